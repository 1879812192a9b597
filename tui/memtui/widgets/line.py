"""A widget that shows text it was handed, and repaints only when that text is another."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget


class Line(Widget):
    """Text without markup, as long as its content; ``show()`` changes it."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Line { height: 1; width: 1fr; text-wrap: nowrap; }"

    def __init__(self, content: Content | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._content = Content("") if content is None else content

    @property
    def content(self) -> Content:
        return self._content

    def show(self, content: Content) -> None:
        if not content.is_same(self._content):
            self._content = content
            self.refresh()

    def render(self) -> Content:
        return self._content


class Text(Line):
    """Several lines, wrapped to the widget's width; its height follows its content."""

    DEFAULT_CSS = "Text { height: auto; width: 1fr; text-wrap: wrap; }"

    def show(self, content: Content) -> None:
        if not content.is_same(self._content):
            self._content = content
            self.refresh(layout=True)


def fold(text: str, width: int) -> list[str]:
    """``text`` on lines of at most ``width`` columns, parted between words."""
    lines = [""]
    for word in text.split():
        if lines[-1] and columns(lines[-1]) + 1 + columns(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


Part = str | Content | tuple[str, str]


def columns(text: str) -> int:
    """How many columns ``text`` takes on the screen."""
    from rich.cells import cell_len

    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, width: int, ellipsis: str = "…") -> str:
    """``text`` in at most ``width`` columns, its end replaced by ``ellipsis`` where it is longer."""
    if columns(text) <= width:
        return text
    from rich.cells import set_cell_size

    mark = ellipsis[: max(0, width)]
    return set_cell_size(text, max(0, width - len(mark))).rstrip() + mark
