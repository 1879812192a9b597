"""The list of leaks: draws the rows in view and nothing else, so 200,000 of them cost what 20 do."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from memtui.leaks.arrange import Arrangement
from memtui.leaks.columns import Columns, Piece, columns, header_pieces, note_pieces, order_at, row_pieces
from memtui.leaks.look import Look
from memtui.leaks.look import look as look_for
from memtui.leaks.model import Order


class LeakList(ScrollView, can_focus=True):
    """Rows of an Arrangement under a header line; with notes, those are the first row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False, id="leaks.down"),
        Binding("up,k", "move(-1)", "up", show=False, id="leaks.up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="leaks.page-down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="leaks.page-up"),
        Binding("home,g", "edge(False)", "first", show=False, id="leaks.first"),
        Binding("end,G", "edge(True)", "last", show=False, id="leaks.last"),
        Binding("enter", "select", "open", show=False, id="leaks.open"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "leak--header",
        "leak--bytes",
        "leak--objects",
        "leak--average",
        "leak--share",
        "leak--bar",
        "leak--kind",
        "leak--function",
        "leak--location",
        "leak--new",
        "leak--grown",
        "leak--shrunk",
        "leak--gone",
        "leak--same",
        "leak--past",
        "leak--note",
        "leak--mark",
        "leak--hint",
        "leak--cursor",
        "leak--cursor-idle",
    }
    DEFAULT_CSS = """
    LeakList {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        & > .leak--header { color: $muted; }
        & > .leak--bytes { color: $strong; }
        & > .leak--objects { color: $foreground; }
        & > .leak--average { color: $muted; }
        & > .leak--share { color: $muted; }
        & > .leak--bar { color: $bad; }
        & > .leak--kind { color: $muted; }
        & > .leak--function { color: $foreground; }
        & > .leak--location { color: $muted; }
        & > .leak--new { color: $bad; text-style: bold; }
        & > .leak--grown { color: $bad; }
        & > .leak--shrunk, & > .leak--gone { color: $good; }
        & > .leak--same, & > .leak--past { color: $faint; }
        & > .leak--note { color: $warn; }
        & > .leak--hint { color: $muted; text-style: italic; }
        & > .leak--mark { color: $key; text-style: bold; }
        & > .leak--cursor { background: $cursor; text-style: bold; }
        & > .leak--cursor-idle { background: $bar; text-style: bold; }
    }
    """

    cursor: reactive[int] = reactive(0, repaint=False)

    class Highlighted(Message):
        """The user moved the cursor to this position; -1 stands for the notes."""

        def __init__(self, leak_list: LeakList, position: int) -> None:
            super().__init__()
            self.leak_list = leak_list
            self.position = position

        @property
        def control(self) -> LeakList:
            return self.leak_list

    class Selected(Highlighted):
        """The user opened the row at this position."""

    class OrderAsked(Message):
        """The user clicked a column's title."""

        def __init__(self, order: Order) -> None:
            super().__init__()
            self.order = order

    beside_stack: reactive[bool] = reactive(False, repaint=False)

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._look: Look = look_for(ascii)
        self._arrangement: Arrangement | None = None
        self._notes: tuple[str, ...] = ()
        self._columns: Columns | None = None
        self._hint = ""
        if ascii:
            # The scrollbar's ends are block elements.
            self.styles.scrollbar_size_vertical = 0

    @property
    def position(self) -> int:
        """The cursor's position in the arrangement, -1 on the notes."""
        return self.cursor - self._lead

    def show(self, arrangement: Arrangement, notes: tuple[str, ...], position: int, hint: str = "") -> None:
        """Replace everything and put the cursor on ``position`` (-1: the notes). ``hint`` stands where no row does."""
        self._arrangement = arrangement
        self._hint = hint
        self._notes = notes
        self._measure()
        self.set_reactive(LeakList.cursor, max(0, min(position + self._lead, self._last)))
        self._reveal()
        self.refresh()

    def move_to(self, position: int) -> None:
        self.cursor = position + self._lead

    @property
    def _lead(self) -> int:
        return 1 if self._notes else 0

    @property
    def _last(self) -> int:
        rows = len(self._arrangement) if self._arrangement is not None else 0
        return max(0, rows + self._lead - 1)

    @property
    def _body_height(self) -> int:
        return max(1, self.size.height - 1)

    def _measure(self) -> None:
        rows = len(self._arrangement) if self._arrangement is not None else 0
        self.virtual_size = Size(self.size.width, rows + self._lead + 1)
        if self._arrangement is not None and self.size.width:
            self._columns = columns(self._arrangement, self.size.width, beside_stack=self.beside_stack)

    def on_resize(self, _: events.Resize) -> None:
        self._measure()
        self._reveal()
        self.refresh()

    def on_focus(self) -> None:
        self._refresh_row(self.cursor)

    def on_blur(self) -> None:
        self._refresh_row(self.cursor)

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, self._last))

    def watch_cursor(self, old: int, new: int) -> None:
        self._refresh_row(old)
        self._refresh_row(new)
        self._reveal()

    def watch_beside_stack(self) -> None:
        self._measure()
        self.refresh()

    def _reveal(self) -> None:
        if self.size.height < 2:
            return
        top = self.scroll_offset.y
        wanted = min(self.cursor, max(top, self.cursor - self._body_height + 1))
        if wanted != top:
            self.scroll_to(y=wanted, animate=False)

    def _refresh_row(self, cursor: int) -> None:
        y = cursor + 1 - self.scroll_offset.y
        if 1 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    # Keys and mouse

    def action_move(self, by: int) -> None:
        self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        self._go(self.cursor + by * self._body_height)

    def action_edge(self, last: bool) -> None:
        self._go(self._last if last else 0)

    def action_select(self) -> None:
        if self._arrangement is not None:
            self.post_message(self.Selected(self, self.position))

    def _go(self, cursor: int) -> None:
        before = self.cursor
        self.cursor = cursor
        if self.cursor != before:
            self.post_message(self.Highlighted(self, self.position))

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            order = order_at(self._columns, event.x) if self._columns is not None else None
            if order is not None:
                self.post_message(self.OrderAsked(order))
            return
        row = self.scroll_offset.y + event.y - 1
        if row > self._last:
            return
        if event.chain == 2:
            self.action_select()
        else:
            self._go(row)

    # Drawing

    def render_line(self, y: int) -> Strip:
        arrangement, layout = self._arrangement, self._columns
        width = self.size.width
        if arrangement is None or layout is None:
            return Strip.blank(width, self.rich_style)
        if y == 0:
            return self._strip(header_pieces(arrangement, layout, self._look), on_cursor=False)
        row = self.scroll_offset.y + y - 1
        on_cursor = row == self.cursor
        if row < self._lead:
            # The last column is the scroll bar's, and words must end before it.
            return self._strip(note_pieces(self._notes, width - 1, self._look, cursor=on_cursor), on_cursor=on_cursor)
        position = row - self._lead
        if position == 0 and not len(arrangement):
            return self._strip([("   ", ""), (self._look.cut(self._hint, width - 3), "hint")], on_cursor=False)
        if position >= len(arrangement):
            return Strip.blank(width, self.rich_style)
        return self._strip(row_pieces(arrangement, position, layout, self._look, cursor=on_cursor), on_cursor=on_cursor)

    def _strip(self, pieces: list[Piece], *, on_cursor: bool) -> Strip:
        ground = self.rich_style
        top = Style()
        if on_cursor:
            top = self.get_component_rich_style("leak--cursor" if self.has_focus else "leak--cursor-idle", partial=True)
        segments = [
            Segment(
                text,
                ground + (self.get_component_rich_style(f"leak--{part}", partial=True) if part else Style()) + top,
            )
            for text, part in pieces
        ]
        return Strip(segments).adjust_cell_length(self.size.width, ground + top)
