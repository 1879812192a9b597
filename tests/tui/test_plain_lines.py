"""A session as lines: the form of each, their order, and what is safe to print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memtui.commands.plain_session import print_lines
from memtui.plain import DiagnosisLines, Second, SessionLines, event_line, sample_line
from memtui.state import Identity, SessionState
from memtui.status_line import StatusLine
from memtui_profiler.events import EventKind
from memtui_profiler.series import Series
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Event, Followed, RunEnd, RunSettled, Sample
from tests.fixtures import sessions

GIB, MIB = 1 << 30, 1 << 20
SAMPLE = re.compile(
    r"\d\d:\d\d:\d\d run \d+ pid \d+ rss \S+ anon \S+ file \S+ swap \S+ threads \S+ [+-]?\d+(\.\d)?[BKMGT]/s"
)


def test_a_sample_line_is_as_designed() -> None:
    sample = Sample(at_s=12.9, run=1, rss_bytes=int(14.2 * GIB), shared_bytes=310 * MIB)
    assert (
        sample_line(Second(sample, 10 * MIB, 0, 12), 4343, 1.2 * MIB)
        == "00:00:12 run 1 pid 4343 rss 14.2G anon 13.9G file 300M swap 0 threads 12 +1.2M/s"
    )


def test_the_allocators_figures_stand_at_the_end_of_a_line() -> None:
    sample = Sample(1.0, 1, 2 * GIB, 0, in_use_bytes=246 * MIB, kept_bytes=int(1.3 * GIB))
    line = sample_line(Second(sample, 0, 0, 12), 4343, 0.0)
    assert line.endswith("threads 12 0B/s in use 246M kept 1.3G")
    unasked = sample_line(Second(sample._replace(kept_bytes=None), 0, 0, 12), 4343, 0.0)
    assert unasked.endswith("threads 12 0B/s")


def test_what_is_not_known_yet_is_a_dash() -> None:
    line = sample_line(Second(Sample(at_s=0.1, run=1, rss_bytes=4096, shared_bytes=4096)), 7, 0.0)
    assert line == "00:00:00 run 1 pid 7 rss 4.0K anon 0 file 4.0K swap - threads - 0B/s"


def test_parts_never_exceed_the_whole() -> None:
    second = Second(Sample(at_s=0.1, run=1, rss_bytes=0, shared_bytes=4096), shmem_bytes=8192)
    assert second.anon_bytes == 0 and second.file_bytes == 0


def test_events_of_a_hostile_target_are_harmless() -> None:
    event = Event(at_s=13.0, run=1, kind=EventKind.RELAUNCH.value, text="rate 1 → 3\x1b[2J\n, pid 1 -> 2")
    assert event_line(event) == "00:00:13 event relaunch: rate 1 -> 3 , pid 1 -> 2"


def test_a_recorded_session_line_by_line(tmp_path: Path) -> None:
    folder = sessions.storyboard(tmp_path / "s", end_s=200.0, finished=True)
    reader = SessionReader(folder / "session.db")
    follower = SessionLines(reader)
    lines = follower.poll()
    reader.close()
    assert follower.settled
    samples = [line for line in lines if " rss " in line]
    assert all(SAMPLE.fullmatch(line) for line in samples)
    assert len({line.split()[0] for line in samples if " run 1 " in line}) == len(
        [line for line in samples if " run 1 " in line]
    ), "one line a second"
    assert len(samples) == 162 + 37
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    leaks = [line for line in lines if line.split()[1] == "leak"]
    assert leaks[0].endswith("leak 41.2 MiB in 10547 objects: open_session(Conn&) server.cpp:88")
    assert len(leaks) == 5
    assert any("event relaunch: rate 1 -> 7.5, pid 4343 -> 4391" in line for line in lines)


def test_lines_come_once_and_as_they_come(tmp_path: Path) -> None:
    writer = sessions.begin(tmp_path / "s")
    sessions.add_launch(writer, 1, 0.0, 10, "off", None)
    writer.commit()
    reader = SessionReader(tmp_path / "s" / "session.db")
    follower = SessionLines(reader)
    assert [line.split()[1] for line in follower.poll()] == ["event"]
    writer.add(Sample(at_s=0.5, run=1, rss_bytes=5 * MIB, shared_bytes=0, threads=4))
    writer.commit()
    assert follower.poll() == [], "the second is not over"
    writer.add(Sample(at_s=0.9, run=1, rss_bytes=6 * MIB, shared_bytes=2 * MIB))
    writer.add(Followed(at_s=1.0, run=1, pid=11))
    writer.add(Sample(at_s=1.1, run=1, rss_bytes=7 * MIB, shared_bytes=0))
    writer.commit()
    (line,) = follower.poll()
    assert "rss 6.0M anon 4.0M file 2.0M swap - threads 4 " in line
    assert not follower.settled
    writer.add(RunEnd(at_s=1.2, run=1, exit_code=0, signal=None, oom_killed=0))
    writer.add(RunSettled(at_s=1.3, run=1))
    writer.commit()
    (line,) = follower.poll()
    assert "pid 11 rss 7.0M" in line and follower.settled
    assert follower.poll() == [] and follower.finish() == []
    reader.close()
    writer.close()


def test_a_relaunch_goes_on(tmp_path: Path) -> None:
    writer = sessions.begin(tmp_path / "s")
    sessions.add_launch(writer, 1, 0.0, 10, "off", None)
    writer.add(RunSettled(at_s=1.3, run=1))
    writer.commit()
    reader = SessionReader(tmp_path / "s" / "session.db")
    follower = SessionLines(reader)
    follower.poll()
    assert follower.settled
    sessions.add_launch(writer, 2, 2.0, 20, "off", None)
    writer.commit()
    follower.poll()
    assert not follower.settled and follower.run == 2
    reader.close()
    writer.close()


def test_a_finished_session_ends_with_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sessions.storyboard(tmp_path / "s", end_s=170.0, finished=True)
    assert print_lines(folder, ascii=True) == 0
    lines, _, report = capsys.readouterr().out.partition("\n\n")
    assert "server.cpp:88" in report and "auto *s = new Session(c);" in report
    assert report.isascii() and " rss " in lines


def test_a_verdict_is_said_when_it_is_reached(tmp_path: Path) -> None:
    state = state_with("LOOKING")
    diagnoses = DiagnosisLines()
    assert diagnoses.poll(state_with("LOOKING"), 1.0) == ["00:00:01 diagnosis looking: at it"]
    assert diagnoses.poll(state, 2.0) == []
    assert diagnoses.poll(state_with("GROWING"), 20.0) == ["00:00:20 diagnosis growing: at it"]
    assert diagnoses.poll(state_with("GROWING", "REPORT"), 21.0) == ["00:00:21 diagnosis report: at it"]
    assert diagnoses.poll(state_with("LOOKING"), 22.0) == ["00:00:22 diagnosis looking: at it"]


def state_with(*words: str) -> SessionState:
    lines = tuple(StatusLine("▲", word, "at\x1b[1m it") for word in words)
    return SessionState(folder=Path("/"), identity=Identity(), now_s=0.0, live=True, series=Series(), diagnoses=lines)
