"""Following a session: every kind of row ends up in the state, a live one as it grows, a finished one at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from memtui.session.follower import SessionFollower, load_samples_apart
from memtui.session.shown_reports import ReportsShown, load_report_apart
from memtui.session.state import SessionState, activity, lost_by_killing
from memtui.viewer.views import leak_state, tabs
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.session.rows import Event, Followed, MemoryLimit, Run, RunEnd, RunSettled, Sample
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures import sessions
from tests.fixtures.sessions import END_S, RELAUNCH_S, STARTED, begin, storyboard


def look(folder: Path, *, live: bool = True, at_s: float = END_S) -> SessionState:
    follower = SessionFollower(folder)
    state = follower.poll(STARTED + at_s, live=live)
    follower.close()
    return state


def test_a_recorded_session_is_known_at_the_first_look(tmp_path: Path) -> None:
    state = look(storyboard(tmp_path))
    assert state.identity.argv == ("./rpc_server", "--port", "9000")
    assert [(run.number, run.pid, run.ended, run.settled) for run in state.runs] == [
        (1, 4343, True, True),
        (2, 4391, False, False),
    ]
    assert state.run is state.runs[1]
    assert state.running
    assert state.runs[0].peak_rss_bytes > 12 * sessions.GIB > state.runs[1].peak_rss_bytes > sessions.GIB
    assert state.sample is not None
    assert state.detail is not None
    assert state.sample.run == state.detail.run == 2
    assert state.limit is not None
    assert state.limit.limit_bytes == 16 * sessions.GIB
    assert {row.run for row in state.capabilities} == {2}
    assert state.report is not None
    assert (state.report.run, state.report.complete, state.report.symbolized, state.report.leaks) == (1, True, True, 5)
    assert state.now_s == END_S


def test_time_stands_still_where_nobody_records(tmp_path: Path) -> None:
    state = look(storyboard(tmp_path, finished=True), live=False, at_s=END_S + 5000)
    assert state.now_s == pytest.approx(END_S + 0.1)
    assert not state.running
    assert state.finished
    assert state.growth_bytes_per_s is None


def test_a_live_session_is_followed_row_by_row(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.commit()
    follower = SessionFollower(tmp_path)
    empty = follower.poll(STARTED + 1, live=True)
    assert empty.run is None
    assert empty.sample is None
    sessions.add_launch(writer, 1, 1.0, 50, "normal", None)
    writer.add(Sample(at_s=1.1, run=1, rss_bytes=5000, shared_bytes=100))
    writer.commit()
    state = follower.poll(STARTED + 2, live=True)
    assert state.run is not None
    assert state.run.pid == 50
    assert state.sample is not None
    assert (state.sample.rss_bytes, state.detail) == (5000, None)
    writer.add(Sample(at_s=2.1, run=1, rss_bytes=9000, shared_bytes=100, anon_bytes=8900, peak_rss_bytes=9500))
    writer.add(Followed(at_s=2.2, run=1, pid=51))
    writer.add(MemoryLimit(at_s=2.3, run=1, source="cgroup", limit_bytes=None))
    writer.commit()
    state = follower.poll(STARTED + 3, live=True)
    assert state.run is not None
    assert (state.run.pid, state.run.peak_rss_bytes) == (51, 9500)
    assert state.detail is not None
    assert state.limit is None
    assert state.series.last is not None
    assert state.series.last.rss_bytes == 9000
    writer.add(RunEnd(at_s=3.0, run=1, exit_code=None, signal="SIGKILL", oom_killed=1))
    writer.add(RunSettled(at_s=3.5, run=1))
    writer.commit()
    state = follower.poll(STARTED + 4, live=True)
    assert state.run is not None
    assert (state.run.ending(), state.run.settled, state.finished) == ("OOM killed", True, True)
    assert state.run.seconds(99.0) == 2.0
    writer.close()
    follower.close()


def test_samples_loaded_apart_give_the_same_as_loaded_at_once(tmp_path: Path) -> None:
    folder = storyboard(tmp_path)
    at_once = look(folder)
    follower = SessionFollower(folder, load_now=False)
    assert not follower.ready
    before = follower.poll(STARTED + END_S, live=True)
    assert before.sample is None
    assert len(before.runs) == 2
    follower.start_from(load_samples_apart(folder))
    after = follower.poll(STARTED + END_S, live=True)
    assert after.sample == at_once.sample
    assert [run.peak_rss_bytes for run in after.runs] == [run.peak_rss_bytes for run in at_once.runs]
    assert after.series.last_id == at_once.series.last_id


def test_a_folder_without_a_session_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        SessionFollower(tmp_path)
    assert "session.db" in caught.value.what


def event(at_s: float, kind: EventKind, **detail: object) -> Event:
    return sessions.event(at_s, 1, kind, "", **detail)


def stopping(folder: Path, *events: Event, end: RunEnd | None = None) -> SessionWriter:
    writer = begin(folder)
    sessions.add_launch(writer, 1, 0.0, 4343, "draconian", None)
    for row in events:
        writer.add(row)
    if end is not None:
        writer.add(end)
    writer.commit()
    return writer


def test_the_ladder_says_how_far_it_is(tmp_path: Path) -> None:
    writer = stopping(tmp_path, event(10.0, EventKind.STOPPING, step="term", pid=4343))
    under_way = activity(look(tmp_path, at_s=12.4))
    assert under_way is not None
    assert under_way.sentence == "stopping pid 4343 · SIGTERM 2 s"
    assert under_way.stopping
    writer.add(event(15.0, EventKind.STOPPING, step="term-group", pid=4343))
    writer.commit()
    under_way = activity(look(tmp_path, at_s=15.2))
    assert under_way is not None
    assert under_way.sentence == "stopping pid 4343 · SIGTERM to its group 0 s"
    writer.close()


def test_a_leak_check_at_exit_is_told_from_a_target_that_hangs(tmp_path: Path) -> None:
    stopping(
        tmp_path,
        event(10.0, EventKind.STOPPING, step="term", pid=4343),
        event(12.0, EventKind.EXIT_CHECK, cpu_s=1.0, dump_bytes=0),
        event(20.0, EventKind.EXIT_CHECK, cpu_s=9.0, dump_bytes=4 << 20),
    ).close()
    under_way = activity(look(tmp_path, at_s=24.0))
    assert under_way is not None
    assert under_way.sentence == "leak check at exit: 12 s, dump 4.0 MiB"
    assert "would be lost" in lost_by_killing(look(tmp_path, at_s=24.0))


def test_after_the_end_the_report_is_waited_for_then_nothing(tmp_path: Path) -> None:
    writer = stopping(tmp_path, end=RunEnd(at_s=20.0, run=1, exit_code=1, signal=None, oom_killed=0))
    under_way = activity(look(tmp_path, at_s=21.0))
    assert under_way is not None
    assert "reading its leak report" in under_way.sentence
    assert not under_way.stopping
    writer.add(RunSettled(at_s=22.0, run=1))
    writer.commit()
    assert activity(look(tmp_path, at_s=23.0)) is None
    starting = activity(look(tmp_path, at_s=23.0), relaunching=True)
    assert starting is not None
    assert starting.sentence == "starting"
    writer.close()


def test_the_report_is_read_whole_and_shown_with_its_run(tmp_path: Path) -> None:
    state = look(storyboard(tmp_path))
    assert state.report is not None
    _, report = load_report_apart(state.folder, state.report.id)
    shown = leak_state(state, ReportsShown(state.report, report))
    assert shown.report is not None
    assert (shown.run, shown.moment, len(shown.report.leaks)) == (1, "at exit", 5)
    assert leak_state(state, ReportsShown(state.report)).empty is not None
    assert [(tab.number, tab.count) for tab in tabs(state, state.report)] == [
        ("1", "5"),
        ("2", ""),
        ("3", ""),
        ("4", "6"),
        ("5", "2"),
    ]


@pytest.mark.parametrize(
    ("mode", "end", "no_report", "expected"),
    [
        ("off", None, "", "The leak check is off."),
        ("normal", None, "", "Checking: normal."),
        ("normal", RunEnd(at_s=5.0, run=1, exit_code=None, signal="SIGSEGV", oom_killed=0), "x", "Killed by SIGSEGV"),
        ("normal", RunEnd(at_s=5.0, run=1, exit_code=0, signal=None, oom_killed=0), "no checker", "No leak check"),
    ],
)
def test_every_empty_leaks_tab_says_why(
    tmp_path: Path, mode: str, end: RunEnd | None, no_report: str, expected: str
) -> None:
    writer = begin(tmp_path)
    sessions.add_launch(writer, 1, 0.0, 7, mode, None)
    if end is not None:
        writer.add(end)
        writer.add(RunSettled(at_s=6.0, run=1))
        if no_report:
            writer.add(Event(at_s=5.5, run=1, kind=EventKind.NO_REPORT.value, text=no_report))
    writer.close()
    empty = leak_state(look(tmp_path), ReportsShown()).empty
    assert empty is not None
    assert empty.headline.startswith(expected)
    assert any("m " in line or "t " in line or "r " in line for line in empty.lines)


def test_a_verdict_names_the_largest_leak_once_the_report_is_read(tmp_path: Path) -> None:
    follower = SessionFollower(storyboard(tmp_path))
    state = follower.poll(STARTED + END_S, live=True)
    assert state.diagnoses
    assert not any("open_session" in line.sentence for line in state.diagnoses)
    assert state.report is not None
    follower.take_report(*load_report_apart(state.folder, state.report.id))
    state = follower.poll(STARTED + END_S, live=True)
    assert any("open_session(Conn&) server.cpp:88" in line.sentence for line in state.diagnoses)
    assert all(line.evidence for line in state.diagnoses)
    follower.close()


def test_where_there_is_no_recorder_no_verdict_offers_a_key_that_acts_on_the_target(tmp_path: Path) -> None:
    state = look(storyboard(tmp_path, finished=True), live=False)
    assert state.diagnoses[0].word == "EXITED"
    assert state.diagnoses[0].key == ""


def test_runs_of_a_hostile_session_do_not_break_the_follower(tmp_path: Path) -> None:
    writer = begin(tmp_path, argv=("./a\x1b[2J\nb", "x" * 5000))
    writer.meta("argv", "{not json")
    run = Run(
        at_s=0.0, pid=1, executable="", argv="]", cwd="", mode="normal", release_rate=None, allocator="\x1b]0;x\x07",
        environment="{}", environment_names="[]",
    )  # fmt: skip
    writer.add(run)
    writer.add(Event(at_s=1.0, run=99, kind="nonsense", text="\x1b[31m", detail="{broken"))
    writer.add(Event(at_s=1.0, run=1, kind=EventKind.STOPPING.value, text="", detail="[]"))
    writer.add(RunEnd(at_s=1.0, run=77, exit_code=0, signal=None, oom_killed=0))
    writer.close()
    state = look(tmp_path)
    assert state.identity.argv == ()
    assert len(state.runs) == 1
    under_way = activity(state)
    assert under_way is not None
    assert "asked to end" in under_way.sentence


def test_time_of_the_relaunch_divides_the_runs(tmp_path: Path) -> None:
    state = look(storyboard(tmp_path))
    assert state.runs[1].row.at_s == RELAUNCH_S
    assert state.runs[0].seconds(state.now_s) < RELAUNCH_S
