"""Lines of text in named inks: what the browser's lists, stacks and icicle are drawn with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from memtui.leaks.columns import Piece


class InkedView(ScrollView, can_focus=True):
    """``INKS`` says how each part of the text looks: ``bold $key on $bar``, the names being the theme's.

    Not component classes: Textual works out each of those anew whenever the focus or a class changes, and the browser's hundred
    and fifty took a tenth of a second.
    """

    INKS: ClassVar[Mapping[str, str]] = {}
    DEFAULT_CSS = "InkedView { overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; }"

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        self._mixed: dict[tuple[str, str], Style] = {}
        super().__init__(id=id)
        if ascii:
            # The scrollbar's ends are block elements.
            self.styles.scrollbar_size_vertical = 0

    def notify_style_update(self) -> None:
        self._mixed.clear()
        super().notify_style_update()

    def extend_to(self, lines: int) -> None:
        """There are so many lines now.

        Textual lays the whole screen out anew for another virtual size; that is needed only where the scroll bar comes or goes.
        """
        size, room = Size(self.size.width, lines), self.container_size.height
        if room and self.show_vertical_scrollbar is not (lines > room):
            self.virtual_size = size
            return
        self.set_reactive(ScrollView.virtual_size, size)
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.window_virtual_size = lines
        if self.scroll_offset.y > self.max_scroll_y:
            self.scroll_to(y=self.max_scroll_y, animate=False)

    def ink(self, part: str, over: str = "") -> Style:
        """How text in this ink looks on the widget's ground. ``over``: the ink that its whole line has besides."""
        mixed = self._mixed.get((part, over))
        if mixed is None:
            mixed = self.rich_style
            for name in (part, over):
                if name:
                    mixed += self.pure(name)
            self._mixed[part, over] = mixed
        return mixed

    def pure(self, part: str) -> Style:
        """The ink alone, on no ground."""
        variables = self.app.theme_variables
        words = (variables[word[1:]] if word.startswith("$") else word for word in self.INKS[part].split())
        return Style.parse(" ".join(words))

    def strip(self, pieces: Iterable[Piece], over: str = "") -> Strip:
        """A line of the widget's width."""
        segments = [Segment(text, self.ink(part, over)) for text, part in pieces if text]
        return Strip(segments).adjust_cell_length(self.size.width, self.ink("", over))
