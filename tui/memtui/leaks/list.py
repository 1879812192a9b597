"""The list of leaks: rows of an Arrangement, below what has to be said before them."""

from __future__ import annotations

from textual.message import Message

from memtui.leaks.arrange import Arrangement
from memtui.leaks.columns import Columns, Piece, columns, header_pieces, lead_pieces, order_at, row_pieces
from memtui.leaks.cursor_view import CursorView
from memtui.leaks.model import Order

# Positions above the list's own.
NOTES, ERRORS = -1, -2


class LeakList(CursorView):
    """The report's notes and its other errors, where it has some, are rows of their own above the list's."""

    class Highlighted(Message):
        """The user moved the cursor to this position; NOTES or ERRORS for the rows above."""

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

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(ascii=ascii, id=id)
        self._arrangement: Arrangement | None = None
        self._columns: Columns | None = None
        self._lead: tuple[tuple[int, str], ...] = ()
        self._hint = ""

    @property
    def position(self) -> int:
        """The cursor's position in the arrangement, or that of the row above that it is on."""
        return self.cursor - len(self._lead) if self.cursor >= len(self._lead) else self._lead[self.cursor][0]

    def show(self, arrangement: Arrangement, lead: tuple[tuple[int, str], ...], position: int, hint: str = "") -> None:
        """Replace everything and put the cursor on ``position``. ``lead``: rows above, (NOTES or ERRORS, their words).

        ``hint`` stands where no row does.
        """
        self._arrangement = arrangement
        self._hint = hint
        self._lead = lead
        self.renew(self._row_of(position))

    def move_to(self, position: int) -> None:
        self.cursor = self._row_of(position)

    def _row_of(self, position: int) -> int:
        above = [kind for kind, _ in self._lead]
        return above.index(position) if position in above else max(0, position) + len(above)

    @property
    def row_count(self) -> int:
        return (len(self._arrangement) if self._arrangement is not None else 0) + len(self._lead)

    def measured(self, width: int) -> None:
        if self._arrangement is not None:
            self._columns = columns(self._arrangement, width, beside_stack=self.beside_stack)

    def cursor_moved(self) -> None:
        self.post_message(self.Highlighted(self, self.position))

    def action_select(self) -> None:
        if self._arrangement is not None:
            self.post_message(self.Selected(self, self.position))

    def header_clicked(self, x: int) -> None:
        order = order_at(self._columns, x) if self._columns is not None else None
        if order is not None:
            self.post_message(self.OrderAsked(order))

    def draw_header(self, width: int) -> list[Piece]:
        if self._arrangement is None or self._columns is None:
            return []
        return header_pieces(self._arrangement, self._columns, self._look)

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> list[Piece] | None:
        arrangement, layout = self._arrangement, self._columns
        if arrangement is None or layout is None:
            return None
        if row < len(self._lead):
            kind, words = self._lead[row]
            # The last column is the scroll bar's, and words must end before it.
            return lead_pieces(words, "note" if kind == NOTES else "fault", width - 1, self._look, cursor=on_cursor)
        position = row - len(self._lead)
        if position == 0 and not len(arrangement):
            return [("   ", ""), (self._look.cut(self._hint, width - 3), "hint")]
        if position >= len(arrangement):
            return None
        return row_pieces(arrangement, position, layout, self._look, cursor=on_cursor)
