"""Rows of text without end: a list that draws only what it shows, with or without a cursor, at its end or where one reads."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual


class Rows(ScrollView, can_focus=True):
    """Subclasses say how many rows there are (``row_count``) and what each is (``row``); ``heading`` stands above them.

    ``follows``: while the last row is in sight, new rows keep it there. ``has_cursor``: one row is lit, and j k move it.
    """

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "down", show=False),
        Binding("k,up", "move(-1)", "up", show=False),
        Binding("g,home", "first", "first", show=False),
        Binding("G,end", "last", "last", show=False),
        Binding("pagedown,ctrl+f", "move_page(1)", "page down", show=False),
        Binding("pageup,ctrl+b", "move_page(-1)", "page up", show=False),
    ]
    DEFAULT_CSS = """
    Rows { height: 1fr; text-wrap: nowrap; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
    """

    follows = True
    has_cursor = True

    class Chosen(Message):
        """A row was clicked, or reached with the cursor."""

        def __init__(self, rows: Rows, index: int) -> None:
            super().__init__()
            self.rows = rows
            self.index = index

        @property
        def control(self) -> Rows:
            return self.rows

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cursor = 0
        self._following = self.follows

    @property
    def row_count(self) -> int:
        raise NotImplementedError

    def row(self, index: int, width: int) -> Content:
        raise NotImplementedError

    def heading(self, width: int) -> Content | None:
        return None

    @property
    def following(self) -> bool:
        """Whether the newest row is kept in sight."""
        return self._following

    def rows_changed(self) -> None:
        """There are more rows, or others: subclasses call this."""
        offset = 1 if self.heading(80) is not None else 0
        self.virtual_size = Size(self.size.width, self.row_count + offset)
        if self._following:
            self.cursor = max(0, self.row_count - 1)
            self.scroll_end(animate=False, immediate=True)
        self.cursor = max(0, min(self.cursor, self.row_count - 1))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        heading = self.heading(width)
        if heading is not None:
            if y == 0:
                return self._strip(heading, width)
            y -= 1
        index = round(self.scroll_offset.y) + y
        if not 0 <= index < self.row_count:
            return Strip.blank(width, self.rich_style)
        content = self.row(index, width)
        lit = self.has_cursor and index == self.cursor
        if lit:
            content = content.pad_right(max(0, width - content.cell_length))
            ground = "on $cursor" if self.has_focus else "on $calm-ground"
            content = content.stylize(f"{ground} reverse" if self.app.no_color else ground)
        return self._strip(content, width)

    def _strip(self, content: Content, width: int) -> Strip:
        strips = Visual.to_strips(self, content, width, 1, self.visual_style) if content.plain else []
        return (strips[0] if strips else Strip.blank(width)).adjust_cell_length(width, self.rich_style)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._following = self.follows and new_value >= self.max_scroll_y

    def on_resize(self, event: events.Resize) -> None:
        self.rows_changed()

    def action_move(self, by: int) -> None:
        if self.has_cursor:
            self._go(self.cursor + by)
        else:
            self.scroll_relative(y=by, animate=False, immediate=True)

    def action_move_page(self, direction: int) -> None:
        page = max(1, self.size.height - 2)
        if self.has_cursor:
            self._go(self.cursor + direction * page)
        else:
            self.scroll_relative(y=direction * page, animate=False, immediate=True)

    def action_first(self) -> None:
        self._go(0)
        self.scroll_home(animate=False, immediate=True)

    def action_last(self) -> None:
        self._go(self.row_count - 1)
        self.scroll_end(animate=False, immediate=True)

    def _go(self, index: int) -> None:
        self.cursor = max(0, min(index, self.row_count - 1))
        self._following = self.follows and self.cursor == self.row_count - 1
        offset = 1 if self.heading(80) is not None else 0
        if self.has_cursor:
            self.scroll_to_region(Region(0, self.cursor, 1, 1 + offset), animate=False, immediate=True)
        self.post_message(self.Chosen(self, self.cursor))
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        if not self.has_cursor:
            return
        offset = 1 if self.heading(80) is not None else 0
        index = round(self.scroll_offset.y) + event.y - offset
        if 0 <= index < self.row_count:
            self._go(index)
