"""The list of a checker's other errors."""

from __future__ import annotations

from rich.cells import cell_len

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.reports.errors import ErrorRows, error_words, own_frame
from memtui.reports.names import function_name, module_name, place, shorten
from memtui.viewer.leaks.leak_rows import LeakRows
from memtui.viewer.widgets.line import Piece, fit, padded

_TIMES, _GAP = 6, 2
_LOCATION_FROM = 60


class ErrorView(LeakRows):
    """The errors that pass the filter, one a row."""

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self.rows = ErrorRows((), ())

    @property
    def index(self) -> int | None:
        """The index in the report of the error under the cursor, None where none passes."""
        indexes = self.rows.indexes
        return indexes[min(self.cursor, len(indexes) - 1)] if indexes else None

    def show(self, rows: ErrorRows, index: int | None = None) -> None:
        """Replace everything and put the cursor on the error of this index."""
        self.rows = rows
        self.renew(rows.indexes.index(index) if index in rows.indexes else 0)

    @property
    def row_count(self) -> int:
        return len(self.rows.indexes)

    def action_select(self) -> None:
        if self.rows.indexes:
            super().action_select()

    def draw_header(self, width: int) -> list[Piece]:
        titles = f" {'TIMES'.rjust(_TIMES)}{' ' * _GAP}ERROR"
        if width >= _LOCATION_FROM:
            titles = titles.ljust(width - 1 - len("LOCATION")) + "LOCATION"
        return [(titles[:width].ljust(width), "header")]

    @property
    def hint(self) -> str:
        return "" if self.rows.indexes else self.rows.trouble or "No error passes the filter: esc clears it."

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> list[Piece]:
        """Return one row, exactly ``width`` cells: how often, what, in which function, where."""
        glyphs = self._glyphs
        error = self.rows.errors[self.rows.indexes[row]]
        frame = own_frame(error)
        where = ""
        if frame is not None and width >= _LOCATION_FROM:
            where = fit(glyphs.plain(place(frame) if frame.file else module_name(frame)), 24, glyphs.ellipsis)
        room = max(0, width - 2 - _TIMES - _GAP - (cell_len(where) + _GAP if where else 0))
        what = fit(glyphs.plain(error_words(error)), room, glyphs.ellipsis)
        left = room - cell_len(what) - _GAP
        name = ""
        if frame is not None and left > 8:
            name = fit(glyphs.plain(shorten(function_name(frame), left)), left, glyphs.ellipsis)
        pieces: list[Piece] = [
            (glyphs.cursor if on_cursor else " ", "mark"),
            (glyphs.count(error.count).rjust(_TIMES), "objects"),
            (" " * _GAP, ""),
            (what, "fault"),
            (f"{' ' * _GAP}{name}" if name else "", "function"),
        ]
        used = sum(cell_len(text) for text, _ in pieces) + cell_len(where) + 1
        pieces.append((" " * max(0, width - used), ""))
        pieces += [(where, "location"), (" ", "")]
        over = sum(cell_len(text) for text, _ in pieces) - width
        return [(padded(glyphs, "".join(text for text, _ in pieces), width), "fault")] if over > 0 else pieces
