"""The list of a checker's other errors."""

from __future__ import annotations

from textual.message import Message

from memtui.leaks.columns import Piece
from memtui.leaks.cursor_view import CursorView
from memtui.leaks.errors import ErrorRows, error_header, error_row


class ErrorView(CursorView):
    class Moved(Message):
        """Another error is under the cursor."""

    class Opened(Message):
        """The user opened the one under the cursor."""

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(ascii=ascii, id=id)
        self._rows = ErrorRows((), ())

    @property
    def rows(self) -> ErrorRows:
        return self._rows

    @property
    def index(self) -> int | None:
        """Which of the report's errors is under the cursor."""
        indexes = self._rows.indexes
        return indexes[min(self.cursor, len(indexes) - 1)] if indexes else None

    def show(self, rows: ErrorRows, index: int | None = None) -> None:
        self._rows = rows
        self.renew(rows.indexes.index(index) if index in rows.indexes else 0)

    @property
    def row_count(self) -> int:
        return len(self._rows.indexes)

    def cursor_moved(self) -> None:
        self.post_message(self.Moved())

    def action_select(self) -> None:
        if self._rows.indexes:
            self.post_message(self.Opened())

    def draw_header(self, width: int) -> list[Piece]:
        return error_header(width)

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> list[Piece] | None:
        if row < len(self._rows.indexes):
            return error_row(self._rows, row, width, self._look, cursor=on_cursor)
        words = self._rows.trouble or "No error passes the filter: esc clears it."
        return [("   ", ""), (self._look.cut(words, width - 3), "hint")] if row == 0 else None
