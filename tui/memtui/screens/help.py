"""The help screen: every key, from the keymap's table."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widget import Widget

from memtui.charset import Glyphs
from memtui.keymap import help_sections
from memtui.screens.dialog import Scrolling
from memtui.widgets.line import Part, Text, columns

KEY_COLUMNS = 10
WIDTHS = [(0, "-narrow"), (118, "-wide")]


Sections = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


class Help(Scrolling):
    """Two columns where there is room for them, else one below the other."""

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
        # The last section, of two keys, evens the columns out.
        left, right = (*sections[:2], *sections[-1:]), sections[2:-1]
        columns = Container(Text(help_content(left, self.glyphs)), Text(help_content(right, self.glyphs)), id="columns")
        return [VerticalScroll(columns, id="text")]


def help_content(sections: Sections, glyphs: Glyphs) -> Content:
    parts: list[Part] = []
    for heading, keys in sections:
        parts.append((f"{'' if not parts else chr(10)}{heading}\n", "bold $primary"))
        for shown, words in keys:
            shown = glyphs.plain(shown)
            parts += [(f"  {shown}{' ' * (KEY_COLUMNS - columns(shown))}", "bold $key"), f"{words}\n"]
    return Content.assemble(*parts)
