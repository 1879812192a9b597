"""The list of leaks: rows of an Arrangement in columns, below those of the notes and of the other errors."""

from __future__ import annotations

from textual.message import Message

from memtui.display.figures import percent, tight
from memtui.display.glyphs import UNICODE, Glyphs
from memtui.reports.answer import NOTES
from memtui.reports.arrangement import Arrangement, Row
from memtui.reports.changes import counted, signed
from memtui.reports.names import shorten
from memtui.reports.table import Grouping, Order
from memtui.viewer.leaks.leak_rows import (
    BYTES,
    DELTA,
    Columns,
    LeakRows,
    fitting_columns,
    header_pieces,
    location_text,
    row_pieces,
    share_pieces,
)
from memtui.viewer.leaks.summary import nothing_shown
from memtui.viewer.widgets.line import Piece, padded
from memtui_parsers.clean_text import clean
from memtui_parsers.report.difference import Change
from memtui_profiler.words import size_words

# Groups that show the number of their stacks rather than a location.
COUNTED = (Grouping.FILE, Grouping.LIBRARY, Grouping.NAMESPACE)

_TIGHT = 5
_FUNCTION_LEAST = 12
# Where two reports are compared, the other columns that are of one alone give way to the function's name sooner.
_FUNCTION_WISHED = 22
_OF_ONE_REPORT = ("percent", "kind", "average", "bar")


def record_columns(arrangement: Arrangement, width: int, *, beside_stack: bool = False) -> Columns:
    """Return the columns that fit in ``width`` cells, the least needed left out first.

    ``beside_stack``: the terminal is wide and the list shares it, so that figures matter more than long names, which the
    stack shows. Where two reports are compared and room is short, what has changed takes the place of shares and averages.
    """
    table = arrangement.table
    comparing = table.difference is not None
    mixed = len(table.kinds) > 1
    whole_kinds = width >= (92 if mixed else 104)
    kinds = table.kinds if whole_kinds else [_SHORT_KINDS.get(kind, kind) for kind in table.kinds] if mixed else []
    tight_fit = beside_stack and width < 96
    average = 9 if width >= 96 else (_TIGHT if beside_stack and not mixed else 0)
    bar = _TIGHT if tight_fit and width < 80 else (7 if width < 110 else 12)
    widest = 13 if width < 60 else (15 if tight_fit else (18 if width < 96 else 28))
    location = min(max(table.widest_location, 8), widest)
    if arrangement.query.grouping in COUNTED:
        location = len("123 456 stacks") if len(table.names) > 9_999 else len("9 999 stacks")
    wanted = {
        "bytes": BYTES,
        "cumulative": BYTES if arrangement.grouped else 0,
        "objects": max(7, len(f"{max(table.total_objects, 0):,}")),
        "average": average if not arrangement.grouped or width >= 110 else 0,
        "percent": 7 if width >= 96 else 0,
        "bar": bar,
        "delta": DELTA if comparing else 0,
        "kind": 0 if arrangement.grouped else max(map(len, kinds), default=0),
        "function": 0,
        "location": location,
    }
    if comparing and width < 96:
        wanted |= {"bar": 0, "average": 0}
    if table.report.growth is not None:
        wanted["average"] = 0  # pages alone have a size each
    # Of several kinds, which one a leak is says more than its share drawn once more.
    first = ("percent", "average", "bar", "kind") if mixed and beside_stack else ("percent", "kind", "average", "bar")
    sooner = {name for name in _OF_ONE_REPORT if comparing or (name == "kind" and not whole_kinds and not beside_stack)}
    leaving = (*first, "objects", "location", "cumulative", "delta")
    return fitting_columns(
        width, wanted, [(name, _FUNCTION_WISHED if name in sooner else _FUNCTION_LEAST) for name in leaving]
    )


_ORDERS = {
    "bytes": Order.BYTES,
    "cumulative": Order.CUMULATIVE,
    "objects": Order.OBJECTS,
    "average": Order.AVERAGE,
    "percent": Order.BYTES,
    "bar": Order.BYTES,
    "delta": Order.CHANGE,
    "function": Order.FUNCTION,
    "location": Order.LOCATION,
}


def record_header(arrangement: Arrangement, layout: Columns, glyphs: Glyphs) -> list[Piece]:
    """Return the titles, the sorted column's marked."""
    grouping, order = arrangement.query.grouping, arrangement.query.order
    titles = {
        "bytes": "FLAT" if arrangement.grouped else "BYTES",
        "cumulative": "CUM",
        "objects": "OBJECTS" if arrangement.table.report.growth is None else "SAMPLES",
        "average": "AVG" if layout.widths["average"] < len("AVERAGE") else "AVERAGE",
        "percent": "SHARE",
        "bar": "" if layout.widths["percent"] else "SHARE",
        "delta": glyphs.plain("±"),
        "kind": "KIND",
        "function": "FUNCTION" if grouping is Grouping.STACK else grouping.value.upper(),
        "location": "STACKS" if grouping in COUNTED else "LOCATION",
    }
    marked = [name for name, ordered in _ORDERS.items() if ordered is order and name not in ("percent", "bar")]
    return header_pieces(layout, titles, marked, glyphs)


def order_at(layout: Columns, x: int) -> Order | None:
    """Return the order that a click on the header at cell ``x`` asks for."""
    return next((_ORDERS.get(name) for name, start, width in layout.spans() if start <= x <= start + width), None)


def record_row(
    arrangement: Arrangement, position: int, layout: Columns, glyphs: Glyphs, *, cursor: bool
) -> list[Piece]:
    """Return one row, exactly ``layout.width`` cells."""
    row = arrangement.row(position)
    share = arrangement.share(row.size_bytes)
    gone = row.change is Change.GONE

    def draw(name: str, width: int) -> list[Piece]:
        if name == "bytes":
            return [(("gone" if gone else size_words(row.size_bytes)).rjust(width), "bytes")]
        if name == "cumulative":
            return [(size_words(row.cumulative_bytes).rjust(width), "cumulative")]
        if name == "objects":
            return [(glyphs.count(row.objects).rjust(width), "objects")]
        if name == "average":
            average = "" if gone else (tight if width < BYTES else size_words)(row.average_bytes)
            return [(average.rjust(width), "average")]
        if name == "percent":
            return [(("" if gone else percent(share)).rjust(width), "share")]
        if name == "bar":
            return share_pieces(share, arrangement.share(row.cumulative_bytes), width, glyphs)
        if name == "delta":
            delta = "" if row.change is None else _delta_text(row)
            return [(delta.rjust(width), (row.change or Change.SAME).value)]
        if name == "kind":
            kind = row.kind if len(row.kind) <= width else _SHORT_KINDS.get(row.kind, row.kind)
            return [(kind.ljust(width)[:width], _KIND_PARTS.get(row.kind, "kind"))]
        if name == "function":
            return [(padded(glyphs, glyphs.plain(shorten(row.function, width)), width), "function")]
        return [(location_text(_location(arrangement, row, glyphs), width, glyphs), "location")]

    pieces = row_pieces(layout, draw, glyphs, cursor=cursor)
    if gone or row.aside:
        kept = ("mark", "reachable", "bar", "through", "", *(change.value for change in Change))
        return [(text, part if part in kept else "past" if gone else "runtime") for text, part in pieces]
    return pieces


def _location(arrangement: Arrangement, row: Row, glyphs: Glyphs) -> str:
    """Return where a row is, or how many stacks there are of a group that has no one location."""
    grouping = arrangement.query.grouping
    if grouping in COUNTED or (grouping is not Grouping.STACK and not row.location):
        return counted(row.stacks, "stack", glyphs)
    return row.location


# Names of kinds in at most nine columns.
_SHORT_KINDS = {
    "unreachable": "lost",
    "not-freed": "not freed",
    "definitely-lost": "definite",
    "indirectly-lost": "indirect",
    "possibly-lost": "possible",
    "still-reachable": "reachable",
}
# The inks of kinds: surely lost, perhaps lost, not lost, or never called lost.
_KIND_PARTS = {
    "unreachable": "lost",
    "definitely-lost": "lost",
    "direct": "lost",
    "indirectly-lost": "doubtful",
    "possibly-lost": "doubtful",
    "indirect": "doubtful",
    "still-reachable": "reachable",
    "in-use": "alive",
    "growth": "alive",
}


def _delta_text(row: Row) -> str:
    """Return the change; a new leak's size is in the column of bytes, the size of one that is gone only here."""
    if row.change is Change.NEW:
        return "new"
    return "=" if row.change is Change.SAME else signed(row.delta_bytes)


def lead_pieces(text: str, part: str, width: int, glyphs: Glyphs, *, cursor: bool) -> list[Piece]:
    """Return a row above the list, in the ink ``part``: 'note' or 'fault'."""
    return [
        (glyphs.cursor if cursor else " ", "mark"),
        (padded(glyphs, f" {glyphs.note} {glyphs.plain(text)}", width - 1), part),
    ]


def notes_words(notes: tuple[str, ...]) -> str:
    """Return the report's notes as one row: their number and the first of them."""
    return f"{len(notes)} note{'' if len(notes) == 1 else 's'}: {clean(notes[0])}"


class LeakList(LeakRows):
    """The list; the report's notes and its other errors, where it has some, are rows of their own above the list's."""

    class OrderAsked(Message):
        """The user clicked a column's title."""

        def __init__(self, order: Order) -> None:
            super().__init__()
            self.order = order

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self._arrangement: Arrangement | None = None
        self._columns: Columns | None = None
        self._lead: tuple[tuple[int, str], ...] = ()

    @property
    def position(self) -> int:
        """The cursor's position in the arrangement, or that of the row above that it is on."""
        return self.cursor - len(self._lead) if self.cursor >= len(self._lead) else self._lead[self.cursor][0]

    def show(self, arrangement: Arrangement, lead: tuple[tuple[int, str], ...], position: int) -> None:
        """Replace everything and put the cursor on ``position``. ``lead``: rows above, (NOTES or ERRORS, text)."""
        self._arrangement = arrangement
        self._lead = lead
        self.renew(self._row_of(position))

    def move_to(self, position: int) -> None:
        """Put the cursor on this position."""
        self.cursor = self._row_of(position)

    def _row_of(self, position: int) -> int:
        above = [kind for kind, _ in self._lead]
        return above.index(position) if position in above else max(0, position) + len(above)

    @property
    def row_count(self) -> int:
        return (len(self._arrangement) if self._arrangement is not None else 0) + len(self._lead)

    def measured(self, width: int) -> None:
        if self._arrangement is not None:
            self._columns = record_columns(self._arrangement, width, beside_stack=self.beside_stack)

    def header_clicked(self, x: int) -> None:
        order = order_at(self._columns, x) if self._columns is not None else None
        if order is not None:
            self.post_message(self.OrderAsked(order))

    def draw_header(self, width: int) -> list[Piece]:
        if self._arrangement is None or self._columns is None:
            return []
        return record_header(self._arrangement, self._columns, self._glyphs)

    @property
    def hint(self) -> str:
        if self._arrangement is None or len(self._arrangement):
            return ""
        return self._arrangement.error or nothing_shown(self._arrangement.table)

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> list[Piece]:
        arrangement, layout = self._arrangement, self._columns
        if arrangement is None or layout is None:
            return []
        if row < len(self._lead):
            kind, text = self._lead[row]
            # The last column is the scroll bar's, and the text must end before it.
            return lead_pieces(text, "note" if kind == NOTES else "fault", width - 1, self._glyphs, cursor=on_cursor)
        return record_row(arrangement, row - len(self._lead), layout, self._glyphs, cursor=on_cursor)
