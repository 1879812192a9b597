"""The common part of the leak browser's lists: columns at any width, the pieces of a row, and inks."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual.reactive import reactive

from memtui.display.glyphs import Glyphs
from memtui.viewer.widgets import line
from memtui.viewer.widgets.line import Piece
from memtui.viewer.widgets.virtual_list import VirtualList

# Widths in cells.
BYTES = 9  # the widest size is "999.9 MiB"
DELTA = 10  # with its sign
GAP = 2

_LEFT_ALIGNED = ("bar", "kind", "function")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns from left to right with their widths in cells, 0 for one that is not shown; ``width`` is a whole row's.

    The cursor's cell comes first. The last cell stays free, or holds the mark of a sorted last column.
    """

    width: int
    widths: Mapping[str, int]

    def spans(self) -> list[tuple[str, int, int]]:
        """Return (column, its first cell, its width) for the columns that are shown."""
        spans, start = [], 1
        for name, width in self.widths.items():
            if width > 0:
                spans.append((name, start, width))
                start += width + GAP
        return spans


def fitting_columns(width: int, wanted: Mapping[str, int], leaving: Iterable[tuple[str, int]]) -> Columns:
    """Return the columns that fit in ``width`` cells. The one called 'function' takes what the others leave.

    ``leaving``: the columns that may go, the first first, each with the cells that the function must have for it to stay.
    """
    widths = {**wanted, "function": 0}

    def room() -> int:
        return width - 2 - sum(cells + GAP for cells in widths.values() if cells)

    for name, least in leaving:
        if room() < least:
            widths[name] = 0
    widths["function"] = max(0, room())
    return Columns(width, widths)


def header_pieces(columns: Columns, titles: Mapping[str, str], marked: Container[str], glyphs: Glyphs) -> list[Piece]:
    """Return the titles; those of the ``marked`` columns have the mark of the order in the gap beside them."""
    cells = [" "] * columns.width
    for name, start, width in columns.spans():
        title = titles[name]
        at = start if name in _LEFT_ALIGNED else start + width - len(title)
        if name in marked:
            title += glyphs.dropdown
        cells[at : at + len(title)] = title
    return [("".join(cells)[: columns.width], "header")]


def row_pieces(
    columns: Columns, draw: Callable[[str, int], list[Piece]], glyphs: Glyphs, *, cursor: bool
) -> list[Piece]:
    """Return a row of exactly the columns' width; ``draw`` gives the pieces of a column, of exactly its width in cells."""
    pieces: list[Piece] = [(glyphs.cursor if cursor else " ", "mark")]
    for name, start, width in columns.spans():
        if start > 1:
            pieces.append((" " * GAP, ""))
        pieces += draw(name, width)
    pieces.append((" " * (columns.width - sum(line.columns(text) for text, _ in pieces)), ""))
    return pieces


def share_pieces(share: float, through: float, width: int, glyphs: Glyphs) -> list[Piece]:
    """Return a bar of what is its own, then of what goes through it besides; both are shares of the total, 0 to 1."""
    own = glyphs.share_bar(share, width)
    more = glyphs.share_of_callers * max(0, round(min(1.0, through) * width) - len(own))
    return [(own, "bar"), (more, "through"), (" " * (width - len(own) - len(more)), "")]


def location_text(location: str, width: int, glyphs: Glyphs) -> str:
    """Return a location in exactly ``width`` cells, right aligned, with its end: the line number matters most."""
    shown = glyphs.plain(location)
    if line.columns(shown) > width:
        keep = len(shown)
        while keep and line.columns(shown[-keep:]) + len(glyphs.ellipsis) > width:
            keep -= 1
        shown = (glyphs.ellipsis + shown[len(shown) - keep :])[: max(width, 0)]
    return " " * max(0, width - line.columns(shown)) + shown


class LeakRows(VirtualList):
    """A list of the leak browser; ``beside_stack``: the terminal is wide and the stack stands beside it."""

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

    beside_stack: reactive[bool] = reactive(False, repaint=False)

    @property
    def line_width(self) -> int:
        """With the scroll bar, which covers a line's last cell: columns stay where they are when it comes and goes."""
        return self.size.width

    def measured(self, width: int) -> None:
        """Called when the width, or what is shown, has changed."""

    def renew(self, cursor: int | None = None) -> None:
        if self.size.width:
            self.measured(self.size.width)
        super().renew(cursor)

    def watch_beside_stack(self) -> None:
        self.renew(self.cursor)
