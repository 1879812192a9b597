"""The base of widgets that draw lines of text in named inks: lists, stacks and the icicle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.viewer.widgets.line import Piece


class InkedView(ScrollView, can_focus=True):
    """A scrolled widget that draws strips. ``INKS`` gives each ink its style, ``bold $key on $bar``, in the theme's colours.

    These are not component classes: Textual computes each of those again whenever the focus or a class changes, and the leak
    browser's hundred and fifty took a tenth of a second.
    """

    INKS: ClassVar[Mapping[str, str]] = {}
    DEFAULT_CSS = "InkedView { overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; }"

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        self._mixed: dict[tuple[str, str], Style] = {}
        super().__init__(id=id)
        self._glyphs = glyphs
        if glyphs.ascii:
            # The scrollbar's ends are block elements.
            self.styles.scrollbar_size_vertical = 0

    def notify_style_update(self) -> None:
        self._mixed.clear()
        super().notify_style_update()

    def extend_to(self, lines: int) -> None:
        """Set the number of lines that can be scrolled through.

        Textual computes the layout of the whole screen again for another virtual size; that is needed only where the scroll bar
        appears or disappears.
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

    def reveal(self, first: int, last: int, *, header: bool = True, immediate: bool = False) -> None:
        """Scroll so that the rows from ``first`` to ``last`` are in view, or ``first`` at least."""
        room = self.size.height - header
        top = self.scroll_offset.y
        wanted = min(first, max(top, last - room + 1))
        if room > 0 and wanted != top:
            self.scroll_to(y=wanted, animate=False, immediate=immediate)

    def refresh_row(self, row: int, *, header: bool = True) -> None:
        """Repaint a row where it is in view. ``header``: the first line is a header that does not scroll."""
        y = row + header - self.scroll_offset.y
        if header <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def ink(self, part: str, over: str = "") -> Style:
        """Return the style of an ink on the widget's background. ``over``: the ink of the whole line, as the cursor's."""
        mixed = self._mixed.get((part, over))
        if mixed is None:
            mixed = self.rich_style
            for name in (part, over):
                if name:
                    mixed += self.pure(name)
            self._mixed[part, over] = mixed
        return mixed

    def pure(self, part: str) -> Style:
        """Return the style of an ink alone, without the widget's background."""
        variables = self.app.theme_variables
        terms = (variables[term[1:]] if term.startswith("$") else term for term in self.INKS[part].split())
        return Style.parse(" ".join(terms))

    def strip(self, pieces: Iterable[Piece], over: str = "") -> Strip:
        """Return the pieces as a line of the widget's width."""
        segments = [Segment(text, self.ink(part, over)) for text, part in pieces if text]
        return Strip(segments).adjust_cell_length(self.size.width, self.ink("", over))
