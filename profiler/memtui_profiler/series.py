"""Memory over time, ready to be drawn: samples in time-aligned columns, on every column width of one ladder.

Column ``n`` of width ``w`` covers the session's seconds [n*w, (n+1)*w), whatever is on screen, so a column once past never
changes. It keeps one whole sample, the one with the highest RSS: its parts add up, and a spike survives any zoom.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Sample

WIDTHS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0)
LEVELS = len(WIDTHS_S)

KEEP_COLUMNS = 20_000
_SLACK = (
    1_000  # columns beyond KEEP_COLUMNS before the oldest go: deleting one by one would move the whole list each time
)

# Samples further apart than this are a gap (the process was away), nearer ones hold until the next comes.
HOLD_S = 3.0


@dataclass(frozen=True, slots=True)
class Point:
    """One sample: when, of which run, and how much. ``shared_bytes`` is file and shmem.

    ``in_use_bytes`` and ``kept_bytes`` are the allocator's own figures, None while they are unknown.
    """

    at_s: float
    run: int
    rss_bytes: int
    shared_bytes: int
    in_use_bytes: int | None = None
    kept_bytes: int | None = None


def column_of(at_s: float, width_s: float) -> int:
    """The column a time falls in: divided as SQLite divides, so that a loaded session equals a followed one."""
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
        """What covers the start of ``column``: its own sample, or the one before while that still holds."""
        after = bisect_right(self.columns, column)
        if after == 0:
            return None
        if self.columns[after - 1] == column:
            return self.points[after - 1]
        if after == len(self.columns):
            return None
        before, following = self.points[after - 1], self.points[after]
        held = before.run == following.run and following.at_s - before.at_s <= HOLD_S
        return before if held else None


class Series:
    """All samples of a session, on every level of the ladder; grows by add() and extend(), never forgets a whole time.

    The widest levels always reach back to the session's start; a narrow one keeps its newest KEEP_COLUMNS columns.
    ``last_id`` is the id of the newest row read, what a follower asks the session for next.
    """

    def __init__(self) -> None:
        self._levels = tuple(_Level(width) for width in WIDTHS_S)
        self.last_id = 0
        self.first_s: float | None = None
        self.last: Point | None = None

    def add(self, point: Point) -> None:
        """Append one sample; samples come in the order of their times, one that is older than the last column is passed over."""
        if self.first_s is None:
            self.first_s = point.at_s
        self.last = point
        for level in self._levels:
            level.add(point)

    def extend(self, samples: Iterable[Sample]) -> None:
        """Append rows as the session has them."""
        for sample in samples:
            self.last_id = sample.id
            self.add(
                Point(
                    sample.at_s,
                    sample.run,
                    sample.rss_bytes,
                    sample.shared_bytes,
                    sample.in_use_bytes,
                    sample.kept_bytes,
                )
            )

    def points(self, level: int, first: int, count: int) -> list[Point | None]:
        """What the columns ``first`` to ``first + count`` show on ``level``; None where there was no process.

        Times older than the level keeps come from the next wider one that has them.
        """
        source = self._levels[level]
        oldest = source.columns[0] if source.columns else first
        columns: list[Point | None] = []
        for column in range(first, first + count):
            columns.append(source.at(column) if column >= oldest else self._older(level, column))
        return columns

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
        """Read a session of any length: one pass of SQLite over its rows, each stretch at the width it will be kept at."""
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
    """The widest narrower level whose columns this one's are made of whole: 5 s is not made of 2 s."""
    divisors = (n for n in reversed(range(level)) if WIDTHS_S[level] % WIDTHS_S[n] == 0)
    return next(divisors, None)


def _bounds(reader: SessionReader) -> tuple[int, int, float, float] | None:
    ends = "SELECT id, at_s FROM sample ORDER BY id {} LIMIT 1"
    oldest = next(reader.columns(ends.format("ASC")), None)
    newest = next(reader.columns(ends.format("DESC")), None)
    if oldest is None or newest is None:
        return None
    return cast(int, oldest[0]), cast(int, newest[0]), cast(float, oldest[1]), cast(float, newest[1])


def _id_at(reader: SessionReader, at_s: float, low: int, high: int) -> int:
    """The first id in [low, high] whose row is not before ``at_s``: bisected, as the table has no index by time."""
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
    """The columns of the allocator's figures, which sessions of format 1 do not have."""
    return "in_use_bytes, kept_bytes" if reader.has(Sample, "in_use_bytes") else "NULL, NULL"


def _rows(reader: SessionReader, query: str, parameters: tuple[int | float, ...]) -> Iterator[Point]:
    for at_s, run, rss_bytes, shared_bytes, in_use_bytes, kept_bytes in reader.columns(query, parameters):
        yield Point(
            cast(float, at_s),
            cast(int, run),
            cast(int, rss_bytes),
            cast(int, shared_bytes),
            cast("int | None", in_use_bytes),
            cast("int | None", kept_bytes),
        )
