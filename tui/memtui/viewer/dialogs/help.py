"""The help dialog: all keys, from the table of the keymap."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widget import Widget

from memtui.display.glyphs import Glyphs
from memtui.display.keymap import help_sections
from memtui.viewer.dialogs.dialog import Scrolling
from memtui.viewer.widgets.line import Part, Text, columns

KEY_COLUMNS = 10
WIDTHS = [(0, "-narrow"), (118, "-wide")]

# Headings, each with its keys and what they do.
Sections = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


class Help(Scrolling):
    """The sections in two columns, or in one on a narrow terminal."""

    HORIZONTAL_BREAKPOINTS = WIDTHS
    DEFAULT_CSS = """
    Help > #box { width: 76; max-height: 95%; padding: 0 2; }
    Help.-wide > #box { width: 116; padding: 1 2; }
    Help #text { height: auto; max-height: 100%; scrollbar-size-vertical: 1; }
    Help.-wide #columns { layout: horizontal; height: auto; }
    Help #columns { layout: vertical; height: auto; }
    Help #columns > Text { width: 1fr; padding: 0 0 1 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark", "leave", "close", show=False)]

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__("Keys", keys="j k scroll   esc close", glyphs=glyphs)

    def body(self) -> list[Widget]:
        sections = help_sections()
        # The last section has two keys and makes the columns equally long.
        left, right = (*sections[:2], *sections[-1:]), sections[2:-1]
        columns = Container(Text(help_content(left, self.glyphs)), Text(help_content(right, self.glyphs)), id="columns")
        return [VerticalScroll(columns, id="text")]


def help_content(sections: Sections, glyphs: Glyphs) -> Content:
    """Return one column of the help."""
    parts: list[Part] = []
    for heading, keys in sections:
        parts.append((f"{'' if not parts else chr(10)}{heading}\n", "bold $primary"))
        for key, meaning in keys:
            key = glyphs.plain(key)
            parts += [(f"  {key}{' ' * (KEY_COLUMNS - columns(key))}", "bold $key"), f"{meaning}\n"]
    return Content.assemble(*parts)
