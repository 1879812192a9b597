"""Widgets that show text and repaint only when it changes, and functions that fit text into columns or make pieces of it."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.widget import Widget

from memtui.display.glyphs import Glyphs


class Line(Widget):
    """One line of text without markup, cut at the widget's width."""

    ALLOW_SELECT = False
    LAYS_OUT = False
    DEFAULT_CSS = "Line { height: 1; width: 1fr; text-wrap: nowrap; }"

    def __init__(self, content: Content | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.content = Content("") if content is None else content

    def show(self, content: Content) -> None:
        """Show this text from now on."""
        if not content.is_same(self.content):
            self.content = content
            self.refresh(layout=self.LAYS_OUT)

    def render(self) -> Content:
        return self.content


class Text(Line):
    """Text on several lines, wrapped at the widget's width; its height is that of its content."""

    DEFAULT_CSS = "Text { height: auto; width: 1fr; text-wrap: wrap; }"

    # Another text may have another height.
    LAYS_OUT = True


def fold(text: str, width: int) -> list[str]:
    """Return ``text`` on lines of at most ``width`` columns, broken between words; a longer word has a line of its own."""
    lines = [""]
    for word in text.split():
        if lines[-1] and columns(lines[-1]) + 1 + columns(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


# A part of a line for Content.assemble(): text, or text and its style.
Part = str | Content | tuple[str, str]


def columns(text: str) -> int:
    """Return the width of ``text`` on the screen, in columns."""
    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, width: int, ellipsis: str = "…") -> str:
    """Return ``text`` in at most ``width`` columns; where it is longer, its end is replaced by ``ellipsis``."""
    if columns(text) <= width:
        return text
    mark = ellipsis[: max(0, width)]
    return set_cell_size(text, max(0, width - len(mark))).rstrip() + mark


# Text and the name of its ink in InkedView.INKS: 'bytes', 'bar', 'function' ...; '' for the widget's own colours.
Piece = tuple[str, str]


def padded(glyphs: Glyphs, text: str, width: int) -> str:
    """Return ``text`` cut or filled to exactly ``width`` cells."""
    fitting = fit(text, width, glyphs.ellipsis)
    return fitting + " " * (width - columns(fitting))
