"""The list's columns at any width, and its rows as pieces of text in them. Pure; the widget only adds colours."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len

from memtui.figures import percent, prose, tight
from memtui.leaks.arrange import Arrangement, Row
from memtui.leaks.changes import signed
from memtui.leaks.look import Look
from memtui.leaks.model import Grouping, Order
from memtui.leaks.names import shorten
from memtui_parsers.clean_text import clean
from memtui_parsers.report_diff import Change

# Groups of which the number of stacks is said rather than a place.
COUNTED = (Grouping.FILE, Grouping.LIBRARY, Grouping.NAMESPACE)

# Text and the part of the look it has: 'bytes', 'bar', 'function' ...; '' for the ground.
Piece = tuple[str, str]

_BYTES = 9  # the widest size is "999.9 MiB"
_DELTA = 10  # with its sign
_GAP = 2
_TIGHT = 5
_FUNCTION_LEAST = 12
# Where two reports are compared, the other columns that are of one alone give way to the function's name sooner.
_FUNCTION_WISHED = 22
_OF_ONE_REPORT = ("percent", "kind", "average", "bar")


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths in cells, 0 for a column that is not shown. ``width`` is the whole row's, the cursor's cell first."""

    width: int
    cumulative: int
    objects: int
    average: int
    bar: int
    percent: int
    delta: int
    kind: int
    function: int
    location: int

    def spans(self) -> list[tuple[str, int, int]]:
        """(column, its first cell, its width) for the columns shown."""
        spans = [("bytes", 1, _BYTES)]
        at = 1 + _BYTES
        for name in ("cumulative", "objects", "average", "percent", "bar", "delta", "kind", "function", "location"):
            width = getattr(self, name)
            if width > 0:
                spans.append((name, at + _GAP, width))
                at += _GAP + width
        return spans


def columns(arrangement: Arrangement, width: int, *, beside_stack: bool = False) -> Columns:
    """Which columns fit in ``width`` cells, the least needed going first; the function's takes what is left.

    ``beside_stack``: the terminal is wide and the list shares it, so that figures matter more than long names, which the
    stack shows. Where two reports are compared and room is short, what has changed takes the place of shares and averages.
    """
    table = arrangement.table
    grouping = arrangement.query.grouping
    comparing = table.difference is not None
    objects = max(7, len(f"{max(table.total_objects, 0):,}"))
    mixed = len(table.kinds) > 1
    whole_kinds = width >= (92 if mixed else 104)
    kinds = table.kinds if whole_kinds else [short_kind(kind) for kind in table.kinds] if mixed else []
    tight_fit = beside_stack and width < 96
    average = 9 if width >= 96 else (_TIGHT if beside_stack and not mixed else 0)
    bar = _TIGHT if tight_fit and width < 80 else (7 if width < 110 else 12)
    widest = 13 if width < 60 else (15 if tight_fit else (18 if width < 96 else 28))
    location = min(max(table.widest_location, 8), widest)
    if grouping in COUNTED:
        location = len("123 456 stacks") if len(table.names) > 9_999 else len("9 999 stacks")
    wanted = {
        "cumulative": _BYTES if arrangement.grouped else 0,
        "objects": objects,
        "bar": bar,
        "location": location,
        "average": average if not arrangement.grouped or width >= 110 else 0,
        "percent": 7 if width >= 96 else 0,
        "delta": _DELTA if comparing else 0,
        "kind": 0 if arrangement.grouped else max(map(len, kinds), default=0),
    }
    if comparing and width < 96:
        wanted |= {"bar": 0, "average": 0}
    # Of several kinds, which one a leak is says more than its share drawn once more.
    first = ("percent", "average", "bar", "kind") if mixed and beside_stack else ("percent", "kind", "average", "bar")
    for least in (*first, "objects", "location", "cumulative", "delta"):
        wished = (comparing and least in _OF_ONE_REPORT) or (least == "kind" and not whole_kinds and not beside_stack)
        if _function_width(width, wanted) < (_FUNCTION_WISHED if wished else _FUNCTION_LEAST):
            wanted[least] = 0
    return Columns(width=width, function=max(0, _function_width(width, wanted)), **wanted)


def _function_width(width: int, others: dict[str, int]) -> int:
    # The cursor's cell at the left; at the right one that stays free, or holds the mark of a sorted last column.
    return width - 2 - _BYTES - _GAP - sum(other + _GAP for other in others.values() if other)


_TITLES = {
    "bytes": "BYTES",
    "cumulative": "CUM",
    "objects": "OBJECTS",
    "average": "AVERAGE",
    "percent": "SHARE",
    "bar": "SHARE",
    "delta": "±",
    "kind": "KIND",
    "location": "LOCATION",
}
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


def header_pieces(arrangement: Arrangement, layout: Columns, look: Look) -> list[Piece]:
    """The titles, the sorted column marked; the mark stands in the gap beside the title."""
    grouping, order = arrangement.query.grouping, arrangement.query.order
    line = [" "] * layout.width
    for name, start, width in layout.spans():
        title = look.text(_TITLES.get(name, "")) or (
            "FUNCTION" if grouping is Grouping.STACK else grouping.value.upper()
        )
        if name == "bytes" and arrangement.grouped:
            title = "FLAT"
        if name == "bar" and layout.percent:
            title = ""
        if name == "location" and grouping in COUNTED:
            title = "STACKS"
        if name == "average" and width < len(title):
            title = "AVG"
        right = name in ("bytes", "cumulative", "objects", "average", "percent", "delta", "location")
        at = start + width - len(title) if right else start
        if name not in ("percent", "bar") and _ORDERS.get(name) is order:
            title += look.sorted_by
        line[at : at + len(title)] = title
    return [("".join(line)[: layout.width], "header")]


def order_at(layout: Columns, x: int) -> Order | None:
    """The order that a click on the header at cell ``x`` asks for."""
    for name, start, width in layout.spans():
        if start <= x <= start + width:
            return _ORDERS.get(name)
    return None


def row_pieces(arrangement: Arrangement, position: int, layout: Columns, look: Look, *, cursor: bool) -> list[Piece]:
    """One row, exactly ``layout.width`` cells."""
    row = arrangement.row(position)
    share = arrangement.share(row.size_bytes)
    gone = row.change is Change.GONE
    pieces: list[Piece] = [
        (look.cursor if cursor else " ", "mark"),
        (("gone" if gone else prose(row.size_bytes)).rjust(_BYTES), "bytes"),
    ]
    for name, _, width in layout.spans()[1:]:
        pieces.append((" " * _GAP, ""))
        if name == "cumulative":
            pieces.append((prose(row.cumulative_bytes).rjust(width), "cumulative"))
        elif name == "objects":
            pieces.append((look.count(row.objects).rjust(width), "objects"))
        elif name == "average":
            average = row.average_bytes
            words = "" if gone else tight(average) if width < _BYTES else prose(average)
            pieces.append((words.rjust(width), "average"))
        elif name == "percent":
            pieces.append((("" if gone else percent(share)).rjust(width), "share"))
        elif name == "bar":
            pieces += _bar(share, arrangement.share(row.cumulative_bytes), width, look)
        elif name == "delta":
            words = "" if row.change is None else _delta_words(row)
            pieces.append((words.rjust(width), (row.change or Change.SAME).value))
        elif name == "kind":
            kind = row.kind if len(row.kind) <= width else short_kind(row.kind)
            pieces.append((kind.ljust(width)[:width], kind_part(row.kind)))
        elif name == "function":
            pieces.append((padded(look, look.text(shorten(row.function, width)), width), "function"))
        elif name == "location":
            pieces.append((_place(arrangement, row.location, row.stacks, width, look), "location"))
    used = sum(cell_len(text) for text, _ in pieces)
    pieces.append((" " * (layout.width - used), ""))
    if gone or row.aside:
        kept = ("mark", "reachable", "bar", "through", "", *(change.value for change in Change))
        return [(text, part if part in kept else "past" if gone else "runtime") for text, part in pieces]
    return pieces


def _bar(share: float, through: float, width: int, look: Look) -> list[Piece]:
    """What it is itself, then what goes through it besides."""
    own = look.bar(share, width)
    more = look.through * max(0, round(min(1.0, through) * width) - len(own))
    return [(own, "bar"), (more, "through"), (" " * (width - len(own) - len(more)), "")]


_SHORT_KINDS = {
    "unreachable": "lost",
    "not-freed": "not freed",
    "definitely-lost": "definite",
    "indirectly-lost": "indirect",
    "possibly-lost": "possible",
    "still-reachable": "reachable",
}
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


def short_kind(kind: str) -> str:
    """A kind in at most nine columns."""
    return _SHORT_KINDS.get(kind, kind)


def kind_part(kind: str) -> str:
    """The colour of a kind: surely lost, perhaps, not, or nothing that was ever called lost."""
    return _KIND_PARTS.get(kind, "kind")


def _delta_words(row: Row) -> str:
    """What is new says so, for how much that is stands beside it; of what is gone only this says how much it was."""
    if row.change is Change.NEW:
        return "new"
    return "=" if row.change is Change.SAME else signed(row.delta_bytes)


def lead_pieces(words: str, part: str, width: int, look: Look, *, cursor: bool) -> list[Piece]:
    """A row above the list: ``part`` 'note' or 'fault'."""
    return [
        (look.cursor if cursor else " ", "mark"),
        (padded(look, f" {look.note} {look.text(words)}", width - 1), part),
    ]


def notes_words(notes: tuple[str, ...]) -> str:
    """The report's notes in a row: their number and the first of them."""
    return f"{len(notes)} note{'' if len(notes) == 1 else 's'}: {clean(notes[0])}"


def padded(look: Look, words: str, width: int) -> str:
    """``words`` cut or filled to exactly ``width`` cells."""
    fitting = look.cut(words, width)
    return fitting + " " * (width - cell_len(fitting))


def _place(arrangement: Arrangement, location: str, stacks: int, width: int, look: Look) -> str:
    """The location right aligned, its end kept: the line number matters most."""
    grouping = arrangement.query.grouping
    if grouping in COUNTED or (grouping is not Grouping.STACK and not location):
        location = f"{look.count(stacks)} stack{'' if stacks == 1 else 's'}"
    shown = look.text(location)
    if cell_len(shown) > width:
        keep = len(shown)
        while keep and cell_len(shown[-keep:]) + len(look.ellipsis) > width:
            keep -= 1
        shown = (look.ellipsis + shown[len(shown) - keep :])[: max(width, 0)]
    return " " * max(0, width - cell_len(shown)) + shown
