from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import AllocatorSample, Sample
from memtui_profiler.session.series import KEEP_COLUMNS, LEVELS, WIDTHS_S, Point, Series
from memtui_profiler.session.writer import DATABASE, SessionWriter

MIB = 1 << 20
SECOND = WIDTHS_S.index(1.0)


def point(at_s: float, mib: int, run: int = 1) -> Point:
    return Point(at_s, run, mib * MIB, MIB)


def series_of(*points: Point) -> Series:
    series = Series()
    for each in points:
        series.add(each)
    return series


def rss(points: list[Point | None]) -> list[int | None]:
    return [None if p is None else p.rss_bytes // MIB for p in points]


def record(folder: Path, samples: list[Sample]) -> SessionReader:
    writer = SessionWriter(folder)
    writer.add_all(samples)
    writer.close()
    return SessionReader(folder / DATABASE)


def test_an_empty_series_shows_nothing() -> None:
    assert Series().points(SECOND, 0, 3) == [None, None, None]


def test_a_column_keeps_its_highest_sample_whole() -> None:
    spike = point(0.4, 900)
    series = series_of(point(0.1, 10), spike, point(0.9, 20), point(1.1, 30))
    assert series.points(SECOND, 0, 2) == [spike, point(1.1, 30)]


def test_a_spike_survives_every_width() -> None:
    series = series_of(*(point(n / 10, 900 if n == 777 else 10) for n in range(5000)))
    for level, width in enumerate(WIDTHS_S):
        found = series.points(level, 0, int(500 / width) + 1)
        assert max(p.rss_bytes for p in found if p) == 900 * MIB


def test_slow_samples_hold_until_the_next_but_not_across_a_gap_or_a_relaunch() -> None:
    quarter = 0
    series = series_of(point(0.0, 1), point(1.0, 2), point(9.0, 3), point(9.5, 4, run=2))
    assert rss(series.points(quarter, 0, 6)) == [1, 1, 1, 1, 2, None]
    assert rss(series.points(quarter, 36, 4)) == [3, None, 4, None]


def test_samples_that_go_back_in_time_are_passed_over() -> None:
    series = series_of(point(5.0, 1), point(2.0, 9), point(6.0, 2))
    assert rss(series.points(SECOND, 2, 5)) == [None, None, None, 1, 2]


def test_memory_is_bounded_and_old_times_come_from_a_wider_level() -> None:
    count = KEEP_COLUMNS * 2
    series = series_of(*(point(n * 0.25, n) for n in range(count)))
    oldest = series.points(0, 0, 2)
    assert rss(oldest) == [1, 1]  # the highest of the first half second, on the narrowest level that still has it
    assert rss(series.points(0, count - 1, 1)) == [count - 1]
    assert all(len(level.columns) <= KEEP_COLUMNS + 1000 for level in series._levels)


@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.integers(0, 1 << 40), st.integers(0, 3)),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, LEVELS - 1),
)
def test_a_column_is_the_maximum_of_its_time(steps: list[tuple[int, int, int]], level: int) -> None:
    at, points = 0, []
    for step, size, run in steps:
        at += step
        points.append(Point(at / 10, run, size, 0))
    series = series_of(*points)
    width = WIDTHS_S[level]
    for column in range(int(at / 10 / width) + 1):
        inside = [p.rss_bytes for p in points if int(p.at_s / width) == column]
        shown = series.at(level, column)
        if inside:
            assert shown is not None and shown.rss_bytes == max(inside)


def test_a_loaded_session_equals_a_followed_one(tmp_path: Path) -> None:
    # Long enough that the narrowest level has dropped its oldest columns.
    samples = [
        Sample(
            at_s=n * 0.2,
            run=1 + n // 20_000,
            rss_bytes=(n * 7919) % 10_007,
            shared_bytes=n % 5,
            in_use_bytes=n % 11 or None,
            kept_bytes=n % 7 or None,
        )
        for n in range(40_000)
    ]
    reader = record(tmp_path, samples)
    loaded, followed = Series.load(reader), Series()
    followed.extend(reader.rows(Sample))
    assert (loaded.last_id, loaded.first_s, loaded.last) == (followed.last_id, followed.first_s, followed.last)
    last_s = samples[-1].at_s
    for level, width in enumerate(WIDTHS_S):
        end = int(last_s / width) + 1
        begin = max(0, end - KEEP_COLUMNS)
        assert loaded.points(level, begin, end - begin) == followed.points(level, begin, end - begin), width


def test_a_session_of_format_1_has_no_split(tmp_path: Path) -> None:
    record(tmp_path, [Sample(at_s=n, run=1, rss_bytes=9, shared_bytes=1) for n in range(3)]).close()
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.executescript(
            "ALTER TABLE sample DROP COLUMN in_use_bytes; ALTER TABLE sample DROP COLUMN kept_bytes;"
            "DROP TABLE allocator_sample; PRAGMA user_version = 1"
        )
    reader = SessionReader(tmp_path / DATABASE)
    assert reader.has(Sample) and not reader.has(Sample, "in_use_bytes") and not reader.has(AllocatorSample)
    loaded, followed = Series.load(reader), Series()
    followed.extend(reader.rows(Sample))
    assert loaded.last == followed.last == Point(2.0, 1, 9, 1, None, None)
    assert loaded.points(SECOND, 0, 3) == followed.points(SECOND, 0, 3)


def test_a_live_session_is_loaded_once_then_followed(tmp_path: Path) -> None:
    writer = SessionWriter(tmp_path)
    writer.add_all(Sample(at_s=n / 10, run=1, rss_bytes=n, shared_bytes=0) for n in range(10))
    writer.commit()
    reader = SessionReader(tmp_path / DATABASE)
    series = Series.load(reader)
    writer.add_all(Sample(at_s=1 + n / 10, run=1, rss_bytes=100 + n, shared_bytes=0) for n in range(10))
    writer.commit()
    series.extend(reader.rows(Sample, after=series.last_id))
    assert [p.rss_bytes for p in series.points(SECOND, 0, 2) if p] == [9, 109]
    assert series.last_id == 20


def test_an_empty_session_loads(tmp_path: Path) -> None:
    SessionWriter(tmp_path).close()
    series = Series.load(SessionReader(tmp_path / DATABASE))
    assert series.last is None and series.last_id == 0
