"""Rows under a header line with a cursor over them: draws those in view and nothing else, so 200,000 cost what 20 do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip

from memtui.leaks.columns import Piece
from memtui.leaks.inked_view import InkedView
from memtui.leaks.look import Look
from memtui.leaks.look import look as look_for


class CursorView(InkedView):
    """A subclass says how many rows there are, draws one as pieces, and is told when the cursor moved or a row is opened."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False, id="leaks.down"),
        Binding("up,k", "move(-1)", "up", show=False, id="leaks.up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="leaks.page-down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="leaks.page-up"),
        Binding("home,g", "edge(False)", "first", show=False, id="leaks.first"),
        Binding("end,G", "edge(True)", "last", show=False, id="leaks.last"),
        Binding("enter", "select", "open", show=False, id="leaks.open"),
    ]
    INKS: ClassVar[Mapping[str, str]] = {
        "header": "$muted",
        "bytes": "$strong",
        "cumulative": "$foreground",
        "objects": "$foreground",
        "average": "$muted",
        "share": "$muted",
        "bar": "$bad",
        "through": "$faint",
        "kind": "$muted",
        "lost": "$bad",
        "doubtful": "$warn",
        "reachable": "$faint",
        "alive": "$key",
        "function": "$foreground",
        "runtime": "$muted",
        "inlined": "italic $faint",
        "branch": "$key",
        "location": "$muted",
        "new": "bold $bad",
        "grown": "$bad",
        "shrunk": "$good",
        "gone": "$good",
        "same": "$faint",
        "past": "$faint",
        "note": "$warn",
        "fault": "bold $bad",
        "hint": "italic $muted",
        "mark": "bold $key",
        "cursor": "bold on $cursor",
        "cursor-idle": "bold on $bar",
    }

    cursor: reactive[int] = reactive(0, repaint=False)
    beside_stack: reactive[bool] = reactive(False, repaint=False)

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(ascii=ascii, id=id)
        self._look: Look = look_for(ascii)

    # What a subclass says

    @property
    def row_count(self) -> int:
        raise NotImplementedError

    def draw_header(self, width: int) -> list[Piece]:
        raise NotImplementedError

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> list[Piece] | None:
        """None: an empty line."""
        raise NotImplementedError

    def measured(self, width: int) -> None:
        """The width, or what is shown, is another one now."""

    def cursor_moved(self) -> None:
        """The user has moved it."""

    def action_select(self) -> None:
        """The user opens the row under the cursor."""

    def header_clicked(self, x: int) -> None:
        """The user clicked the header at this cell."""

    # Where the cursor is

    def renew(self, cursor: int) -> None:
        """The rows are others now."""
        self._measure()
        self.set_reactive(CursorView.cursor, max(0, min(cursor, self._last)))
        self._reveal()
        self.refresh()

    @property
    def _last(self) -> int:
        return max(0, self.row_count - 1)

    @property
    def _body_height(self) -> int:
        return max(1, self.size.height - 1)

    def _measure(self) -> None:
        self.extend_to(self.row_count + 1)
        if self.size.width:
            self.measured(self.size.width)

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
        self.go(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.go(self.cursor + by * self._body_height)

    def action_edge(self, last: bool) -> None:
        self.go(self._last if last else 0)

    def go(self, cursor: int) -> None:
        before = self.cursor
        self.cursor = cursor
        if self.cursor != before:
            self.cursor_moved()

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            self.header_clicked(event.x)
            return
        row = self.scroll_offset.y + event.y - 1
        if row > self._last:
            return
        if event.chain == 2:
            self.action_select()
        else:
            self.go(row)

    # Drawing

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self.strip(self.draw_header(width))
        row = self.scroll_offset.y + y - 1
        on_cursor = row == self.cursor
        pieces = self.draw_row(row, width, on_cursor=on_cursor)
        if pieces is None:
            return Strip.blank(width, self.ink(""))
        return self.strip(pieces, ("cursor" if self.has_focus else "cursor-idle") if on_cursor else "")
