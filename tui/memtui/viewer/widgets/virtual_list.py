"""A list that draws the rows in view and no others, so that 200,000 rows cost what 20 do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.visual import Visual

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.viewer.widgets.inked_view import InkedView
from memtui.viewer.widgets.line import Piece, fit


class VirtualList(InkedView):
    """Rows with a cursor, below a header line that does not scroll.

    A subclass gives ``row_count`` and draws a row, and says whether there is a header and a cursor. ``follows``: while the
    last row is in view, as long as it is ``following``, new rows keep it there.
    """

    class Moved(Message):
        """The user has moved the cursor to another row."""

    class Opened(Message):
        """The user has opened the row under the cursor."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False, id="list.down"),
        Binding("up,k", "move(-1)", "up", show=False, id="list.up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="list.page-down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="list.page-up"),
        Binding("home,g", "edge(False)", "first", show=False, id="list.first"),
        Binding("end,G", "edge(True)", "last", show=False, id="list.last"),
        Binding("enter", "select", "open", show=False, id="list.open"),
    ]
    DEFAULT_CSS = "VirtualList { height: 1fr; text-wrap: nowrap; }"
    # The background of the row under the cursor, with the focus and without.
    INKS: ClassVar[Mapping[str, str]] = {
        "cursor": "on $cursor",
        "cursor-idle": "on $calm-ground",
        "hint": "italic $muted",
    }

    has_header: ClassVar[bool] = True
    has_cursor: ClassVar[bool] = True
    follows: ClassVar[bool] = False

    cursor: reactive[int] = reactive(0, repaint=False)

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self.following = self.follows

    # What a subclass gives

    @property
    def row_count(self) -> int:
        raise NotImplementedError

    @property
    def line_width(self) -> int:
        """The width in cells that lines are drawn for: without the scroll bar."""
        return self.scrollable_content_region.width

    def draw_header(self, width: int) -> Content | list[Piece]:
        raise NotImplementedError

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> Content | list[Piece]:
        raise NotImplementedError

    @property
    def hint(self) -> str:
        """What stands below the last row, to say why there are no others; '' for nothing."""
        return ""

    def header_clicked(self, x: int) -> None:
        """Called when the user clicks the header at cell ``x``."""

    # Where the cursor is

    def renew(self, cursor: int | None = None) -> None:
        """Draw everything, as the rows have changed, and put the cursor on row ``cursor``, in view.

        None: the cursor follows the last row, or stays, in view or not.
        """
        follows = cursor is None and self.following
        self.extend_to(self.row_count + self.has_header)
        wanted = self._last if follows else self.cursor if cursor is None else cursor
        self.set_reactive(VirtualList.cursor, self.validate_cursor(wanted))
        if follows:
            # Textual refuses to scroll before the scroll bar is there, which is after the next layout.
            self.scroll_end(animate=False, immediate=self.show_vertical_scrollbar)
        elif cursor is not None:
            self._reveal()
        self.refresh()

    def on_resize(self, _: events.Resize) -> None:
        self.renew(None if self.following else self.cursor)

    def on_focus(self) -> None:
        self.refresh_row(self.cursor, header=self.has_header)

    def on_blur(self) -> None:
        self.refresh_row(self.cursor, header=self.has_header)

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, self._last))

    def watch_cursor(self, old: int, new: int) -> None:
        self.refresh_row(old, header=self.has_header)
        self.refresh_row(new, header=self.has_header)
        self._reveal()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.following = self.follows and new_value >= self.max_scroll_y

    @property
    def _last(self) -> int:
        return max(0, self.row_count - 1)

    def _reveal(self) -> None:
        if self.has_cursor:
            now = self.show_vertical_scrollbar
            self.reveal(self.cursor, self.cursor, header=self.has_header, immediate=now)

    # Keys and mouse

    def action_move(self, by: int) -> None:
        if self.has_cursor:
            self.go(self.cursor + by)
        else:
            self.scroll_relative(y=by, animate=False, immediate=True)

    def action_select(self) -> None:
        self.post_message(self.Opened())

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.size.height - self.has_header))

    def action_edge(self, last: bool) -> None:
        self.action_move(self.row_count if last else -self.row_count)

    def go(self, cursor: int) -> None:
        """Move the cursor as the user does."""
        before = self.cursor
        self.cursor = cursor
        self.following = self.follows and self.cursor == self._last
        if self.cursor != before:
            self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        row = self.scroll_offset.y + event.y - self.has_header
        if self.has_header and event.y == 0:
            self.header_clicked(event.x)
        elif self.has_cursor and row <= self._last:
            if event.chain == 2:
                self.action_select()
            else:
                self.go(row)

    # Drawing

    def render_line(self, y: int) -> Strip:
        if self.has_header and y == 0:
            return self._line(self.draw_header(self.line_width))
        row = self.scroll_offset.y + y - self.has_header
        on_cursor = self.has_cursor and row == self.cursor
        ground = ("cursor" if self.has_focus else "cursor-idle") if on_cursor else ""
        if row < self.row_count:
            return self._line(self.draw_row(row, self.line_width, on_cursor=on_cursor), ground)
        if row > self.row_count or not (hint := self.hint):
            return Strip.blank(self.size.width, self.ink(""))
        return self._line([("   ", ""), (fit(hint, self.line_width - 3, self._glyphs.ellipsis), "hint")], ground)

    def _line(self, line: Content | list[Piece], ground: str = "") -> Strip:
        """``line`` as wide as the lines are, on the cursor's ``ground`` where it has one."""
        width = self.line_width
        if not isinstance(line, Content):
            return self.strip(line, ground)
        if ground:
            style = f"{self.INKS[ground]}{' reverse' if self.app.no_color else ''}"
            line = line.pad_right(max(0, width - line.cell_length)).stylize(style)
        # Content without text, or without a column to draw it in, makes no strip.
        strips = Visual.to_strips(self, line, width, 1, self.visual_style) if line.plain else []
        return (strips[0] if strips else Strip.blank(width)).adjust_cell_length(width, self.ink(""))
