"""Memory over time, ready to be drawn: samples in time-aligned columns, in levels of one column width each.

Column ``n`` of width ``w`` covers the seconds [n*w, (n+1)*w) of the session, whatever is on screen, so that a past column never
changes. It keeps one whole sample, the one with the highest RSS: its parts add up, and a spike is seen at every zoom.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Sample

WIDTHS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0)
LEVELS = len(WIDTHS_S)

KEEP_COLUMNS = 20_000
# Columns above KEEP_COLUMNS before the oldest are deleted: deleting one by one would move the whole list each time.
_SLACK = 1_000

# Samples further apart than this have a gap between them (the process was away); else a sample holds until the next.
HOLD_S = 3.0


class Point(NamedTuple):
    """The columns of a Sample that are drawn."""

    at_s: float
    run: int
    rss_bytes: int
    shared_bytes: int
    in_use_bytes: int | None = None
    kept_bytes: int | None = None


def column_of(at_s: float, width_s: float) -> int:
    """The column of a time. Divided as SQLite does, so that a loaded session equals a followed one."""
    return int(at_s / width_s)


class _Level:
    """The columns of one width, oldest first."""

    __slots__ = ("columns", "points", "width_s")

    def __init__(self, width_s: float) -> None:
        self.width_s = width_s
        self.columns: list[int] = []
        self.points: list[Point] = []

    def add(self, point: Point) -> None:
        column = column_of(point.at_s, self.width_s)
        if self.columns and column <= self.columns[-1]:
            if column == self.columns[-1] and point.rss_bytes > self.points[-1].rss_bytes:
                self.points[-1] = point
            return
        self.columns.append(column)
        self.points.append(point)
        if len(self.columns) > KEEP_COLUMNS + _SLACK:
            del self.columns[:-KEEP_COLUMNS], self.points[:-KEEP_COLUMNS]

    def at(self, column: int) -> Point | None:
        """The sample at the start of ``column``: its own, or the one before while that holds."""
        after = bisect_right(self.columns, column)
        if after == 0:
            return None
        if self.columns[after - 1] == column:
            return self.points[after - 1]
        if after == len(self.columns):
            return None
        before, following = self.points[after - 1], self.points[after]
        holds = before.run == following.run and following.at_s - before.at_s <= HOLD_S
        return before if holds else None


class Series:
    """All samples of a session on every level; grows by add() and extend().

    The widest levels always reach back to the session's start; a narrow one keeps its newest KEEP_COLUMNS columns.
    ``last_id`` is the id of the newest row: a follower reads the rows after it.
    """

    def __init__(self) -> None:
        self._levels = tuple(_Level(width) for width in WIDTHS_S)
        self.last_id = 0
        self.first_s: float | None = None
        self.last: Point | None = None

    def add(self, point: Point) -> None:
        """Append one sample. Samples come in the order of their times; one older than the last column is skipped."""
        if self.first_s is None:
            self.first_s = point.at_s
        self.last = point
        for level in self._levels:
            level.add(point)

    def extend(self, samples: Iterable[Sample]) -> None:
        """Append rows of the session."""
        for sample in samples:
            self.last_id = sample.id
            self.add(Point(*sample[:4], sample.in_use_bytes, sample.kept_bytes))

    def points(self, level: int, first: int, count: int) -> list[Point | None]:
        """The samples of ``count`` columns of ``level`` from ``first`` on; None where there was no process.

        Times that are too old for the level come from the next wider one that has them.
        """
        source = self._levels[level]
        oldest = source.columns[0] if source.columns else first
        return [
            source.at(column) if column >= oldest else self._older(level, column)
            for column in range(first, first + count)
        ]

    def at(self, level: int, column: int) -> Point | None:
        return self.points(level, column, 1)[0]

    def _older(self, level: int, column: int) -> Point | None:
        at_s = column * WIDTHS_S[level]
        if self.first_s is None or at_s + WIDTHS_S[level] <= self.first_s:
            return None
        for wider in self._levels[level + 1 :]:
            index = column_of(at_s, wider.width_s)
            if wider.columns and wider.columns[0] <= index:
                return wider.at(index)
        return None

    @classmethod
    def load(cls, reader: SessionReader) -> Series:
        """Read a session of any length: SQLite aggregates each part of it once, at the width at which it will be kept."""
        series = cls()
        bounds = _bounds(reader)
        if bounds is None:
            return series
        first_id, last_id, first_s, last_s = bounds
        series.first_s, series.last_id = first_s, last_id
        begins: list[int] = []
        for number, level in enumerate(series._levels):
            finer = _finer(number)
            end_id = last_id + 1 if finer is None else begins[finer]
            begin_s = (column_of(last_s, level.width_s) - KEEP_COLUMNS + 1) * level.width_s
            begins.append(first_id if begin_s <= first_s else _id_at(reader, begin_s, first_id, end_id))
            for point in _aggregate(reader, level.width_s, begins[-1], end_id):
                level.add(point)
            for point in () if finer is None else series._levels[finer].points:
                level.add(point)
        query = f"SELECT at_s, run, rss_bytes, shared_bytes, {_split(reader)} FROM sample WHERE id = ?"
        (newest,) = _rows(reader, query, (last_id,))
        series.last = newest
        return series


def _finer(level: int) -> int | None:
    """The widest narrower level that divides this one's width: 5 s is not made of 2 s."""
    divisors = (n for n in reversed(range(level)) if WIDTHS_S[level] % WIDTHS_S[n] == 0)
    return next(divisors, None)


def _bounds(reader: SessionReader) -> tuple[int, int, float, float] | None:
    ends = "SELECT id, at_s FROM sample ORDER BY id {} LIMIT 1"
    oldest = next(reader.columns(ends.format("ASC"), kind=Sample, names=("id", "at_s")), None)
    newest = next(reader.columns(ends.format("DESC"), kind=Sample, names=("id", "at_s")), None)
    if oldest is None or newest is None:
        return None
    return oldest[0], newest[0], oldest[1], newest[1]


def _id_at(reader: SessionReader, at_s: float, low: int, high: int) -> int:
    """The first id in [low, high] whose row is not before ``at_s``, by bisection: the table has no index by time."""
    while low < high:
        middle = (low + high) // 2
        row = next(reader.columns("SELECT id, at_s FROM sample WHERE id >= ? ORDER BY id LIMIT 1", (middle,)), None)
        if row is None or cast(float, row[1]) >= at_s:
            high = middle
        else:
            low = cast(int, row[0]) + 1
    return low


def _aggregate(reader: SessionReader, width_s: float, begin_id: int, end_id: int) -> Iterator[Point]:
    """The highest sample of each column among the rows [begin_id, end_id).

    SQLite takes bare columns from the row that max() picked (its documentation, "Bare columns in an aggregate query").
    """
    if begin_id >= end_id:
        return iter(())
    return _rows(
        reader,
        f"SELECT at_s, run, max(rss_bytes), shared_bytes, {_split(reader)} FROM sample WHERE id >= ? AND id < ? "
        "GROUP BY CAST(at_s / ? AS INTEGER) ORDER BY 1",
        (begin_id, end_id, width_s),
    )


def _split(reader: SessionReader) -> str:
    """The SQL for the allocator's figures, which sessions of format 1 do not have."""
    return "in_use_bytes, kept_bytes" if reader.has(Sample, "in_use_bytes") else "NULL, NULL"


def _rows(reader: SessionReader, query: str, parameters: tuple[int | float, ...]) -> Iterator[Point]:
    return map(Point._make, reader.columns(query, parameters, kind=Sample, names=Point._fields))
