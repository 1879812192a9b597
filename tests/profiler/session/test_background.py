import sqlite3
from pathlib import Path

import pytest

from memtui_profiler.session.background import BackgroundWriter
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Event, Sample
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures.waiting import until


def sample(n: int) -> Sample:
    return Sample(at_s=n / 10, run=1, rss_bytes=n, shared_bytes=0)


def test_a_reader_follows_while_rows_are_written(tmp_path: Path) -> None:
    rows = BackgroundWriter(SessionWriter(tmp_path), 0.01)
    reader = SessionReader(tmp_path / "session.db")
    assert rows.add(sample(1)) == 1
    until(lambda: reader.rows(Sample), "the first row is seen")
    assert rows.add(sample(2)) == 2
    until(lambda: reader.rows(Sample, after=1), "the second row is seen")
    assert [row.rss_bytes for row in reader.rows(Sample)] == [1, 2]
    reader.close()
    rows.close()


def test_closing_leaves_one_file_that_opens_read_only(tmp_path: Path) -> None:
    rows = BackgroundWriter(SessionWriter(tmp_path), 60.0)
    for n in range(20_000):
        rows.add(sample(n))
    rows.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["session.db"]
    (tmp_path / "session.db").chmod(0o400)
    tmp_path.chmod(0o500)
    assert len(SessionReader(tmp_path / "session.db").rows(Sample)) == 20_000
    tmp_path.chmod(0o700)


class FullDisk(SessionWriter):
    """A session on a disk that is full until told otherwise."""

    full = True

    def commit(self) -> None:
        if self.full and self._db.in_transaction:
            raise sqlite3.OperationalError("database or disk is full")
        super().commit()


def test_a_full_disk_delays_rows_and_loses_none(tmp_path: Path) -> None:
    FullDisk.full = False
    writer = FullDisk(tmp_path)
    writer.full = True
    rows = BackgroundWriter(writer, 0.01)
    for n in range(100):
        rows.add(sample(n))
    failure = until(lambda: rows.failure, "the failure is known")
    assert "full" in failure.why
    writer.full = False
    reader = SessionReader(tmp_path / "session.db")
    until(lambda: len(reader.rows(Sample)) == 100, "all rows arrive once there is room")
    assert [row.id for row in reader.rows(Sample)] == list(range(1, 101))
    assert rows.failure is None
    reader.close()
    rows.close()


def test_past_the_bound_samples_thin_out_and_events_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memtui_profiler.session.background.KEEP_ROWS", 100)
    FullDisk.full = False
    writer = FullDisk(tmp_path)
    writer.full = True
    rows = BackgroundWriter(writer, 0.001)
    for n in range(1000):
        rows.add(sample(n))
        if n % 100 == 0:
            rows.add(Event(at_s=n / 10, run=1, kind="note", text=str(n)))
    until(lambda: len(rows._rows) <= 110, "the backlog is thinned out")
    writer.full = False
    rows.close()
    reader = SessionReader(tmp_path / "session.db")
    assert len(reader.rows(Event)) == 10
    assert 0 < len(reader.rows(Sample)) <= 101


def test_a_row_that_no_database_takes_is_passed_over(tmp_path: Path) -> None:
    rows = BackgroundWriter(SessionWriter(tmp_path), 0.01)
    rows.add(sample(1))
    rows.add(sample(2**70))
    rows.add(sample(3))
    reader = SessionReader(tmp_path / "session.db")
    until(lambda: len(reader.rows(Sample)) == 2, "the others are written")
    assert rows.unstorable == 1 and rows.failure is None
    reader.close()
    rows.close()
