"""Which reports are shown and read: the newest is followed, an older one stays, one reading at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memtui.session.follower import SessionFollower
from memtui.session.report_names import (
    at_words,
    minute,
    moment_words,
    report_name,
    report_time,
    report_title,
    since_words,
    snapshot_before,
)
from memtui.session.shown_reports import NAMES_EVERY_S, ReportSelection
from memtui.session.state import Identity, ReportView, SessionState
from memtui.viewer.views import leak_state
from memtui_profiler.session.rows import ReportEnd, ReportRow
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures import several_reports
from tests.fixtures.sessions import END_S, STARTED


def look(folder: Path, *, live: bool = True) -> SessionState:
    follower = SessionFollower(folder)
    state = follower.poll(STARTED + END_S, live=live)
    follower.close()
    return state


def read_all(selection: ReportSelection, state: SessionState, *, now_s: float = 0.0) -> list[int]:
    """Do all the reading there is; the ids that were read, in their order."""
    ids: list[int] = []
    while (work := selection.next_read(state, now_s)) is not None:
        assert selection.next_read(state, now_s) is None, "one at a time"
        loaded = work()
        selection.take(loaded)
        ids.append(loaded[0])
        selection.shown(state)
    return ids


def test_the_follower_knows_every_report(tmp_path: Path) -> None:
    state = look(several_reports.three_checks(tmp_path))
    assert [(view.id, view.run, view.origin, view.at_s) for view in state.reports] == [
        (1, 2, "live", several_reports.FIRST_S),
        (2, 2, "live", several_reports.SECOND_S),
        (3, 2, "live", several_reports.THIRD_S),
    ]
    assert all(view.complete and view.symbolized and view.leaks == 5 for view in state.reports)
    assert state.report is state.reports[-1]
    assert state.reports[0].total_bytes == sum(size for size, _ in several_reports.FIRST.values())


def test_a_report_that_grows_is_followed_beside_the_others(tmp_path: Path) -> None:
    several_reports.three_checks(tmp_path, reports=1)
    follower = SessionFollower(tmp_path)
    follower.poll(STARTED + END_S, live=True)
    writer = SessionWriter(tmp_path)
    figures = several_reports.THIRD
    report = several_reports.add_figures(writer, several_reports.THIRD_S, figures, named=False)
    writer.commit()
    state = follower.poll(STARTED + END_S, live=True)
    assert [(view.complete, view.symbolized, view.symbols) for view in state.reports][1:] == [(True, False, 0)]
    assert state.reports is follower.poll(STARTED + END_S, live=True).reports
    several_reports.add_names(writer, several_reports.THIRD_S, report, figures)
    writer.commit()
    state = follower.poll(STARTED + END_S, live=True)
    assert state.reports[1].symbolized and state.reports[1].symbols == 12
    writer.add(ReportEnd(at_s=1.0, report=77, status="complete", total_bytes=1, total_objects=1))
    writer.commit()
    assert follower.poll(STARTED + END_S, live=True).reports == state.reports
    writer.close()
    follower.close()


def test_the_newest_is_followed_and_an_older_one_stays(tmp_path: Path) -> None:
    several_reports.three_checks(tmp_path, reports=1)
    selection, state = ReportSelection(), look(tmp_path)
    assert selection.shown(state).report is None
    assert read_all(selection, state) == [1]
    shown = selection.shown(state)
    assert (shown.view, shown.newer) == (state.reports[0], 0)
    writer = SessionWriter(tmp_path)
    several_reports.add_check(writer, several_reports.SECOND_S, several_reports.SECOND, 2)
    writer.commit()
    state = look(tmp_path)
    assert selection.shown(state).view is not None and selection.shown(state).view == state.reports[0]
    assert selection.shown(state).reading == state.reports[1]
    read_all(selection, state)
    assert selection.shown(state).view == state.reports[1]
    selection.show(state, 1)
    read_all(selection, state)
    assert (selection.shown(state).view, selection.shown(state).newer) == (state.reports[0], 1)
    several_reports.add_check(writer, several_reports.THIRD_S, several_reports.THIRD, 3)
    writer.close()
    state = look(tmp_path)
    read_all(selection, state)
    assert (selection.shown(state).view, selection.shown(state).newer) == (state.reports[0], 2)
    assert leak_state(state, selection.shown(state)).aside == "2 newer"
    assert selection.has_read(3), "the verdict names the newest report's largest leak, whatever is shown"
    selection.show(state, 3)
    assert (selection.shown(state).view, selection.shown(state).newer) == (state.reports[2], 0)


def test_a_comparison_needs_both_reports_and_follows_the_newest(tmp_path: Path) -> None:
    selection, state = ReportSelection(against=1), look(several_reports.three_checks(tmp_path, reports=2))
    assert selection.comparing
    assert read_all(selection, state) == [2, 1]
    shown = selection.shown(state)
    assert (shown.view, shown.against) == (state.reports[1], state.reports[0])
    assert shown.against_report is not None
    found = leak_state(state, shown)
    assert found.against is shown.against_report
    assert (found.since, found.was_at) == ("since 10:03:20 (run 2, live)", "at 10:03:20")
    writer = SessionWriter(tmp_path)
    several_reports.add_check(writer, several_reports.THIRD_S, several_reports.THIRD, 3)
    writer.close()
    state = look(tmp_path)
    read_all(selection, state)
    shown = selection.shown(state)
    assert (shown.view, shown.against, shown.newer) == (state.reports[2], state.reports[0], 0)
    assert not selection.has_read(2), "what nobody looks at any more is let go"
    assert selection.leave_comparison() and not selection.leave_comparison()
    assert selection.shown(state).against is None


def test_a_report_is_not_compared_with_itself(tmp_path: Path) -> None:
    selection, state = ReportSelection(), look(several_reports.three_checks(tmp_path))
    read_all(selection, state)
    selection.compare(state, 3)
    assert not selection.comparing
    selection.compare(state, 1)
    selection.show(state, 1)
    assert not selection.comparing and selection.shown(state).against is None


def test_the_caption_says_what_is_being_read(tmp_path: Path) -> None:
    selection, state = ReportSelection(), look(several_reports.three_checks(tmp_path))
    read_all(selection, state)
    selection.compare(state, 1)
    found = leak_state(state, selection.shown(state))
    assert (found.aside, found.against) == ("reading 10:03:20 …", None)
    read_all(selection, state)
    assert leak_state(state, selection.shown(state)).aside == ""


def test_names_that_arrive_are_read_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    selection, state = ReportSelection(), look(several_reports.three_checks(tmp_path, reports=1))

    def with_names(symbols: int, *, all: bool = False) -> SessionState:
        view = replace(state.reports[0], symbols=symbols, symbolized=all)
        return replace(state, report=view, reports=(view,))

    assert read_all(selection, with_names(0)) == [1]
    assert selection.next_read(with_names(3), NAMES_EVERY_S / 2) is None
    work = selection.next_read(with_names(3), NAMES_EVERY_S)
    assert work is not None
    selection.take(work())
    assert selection.next_read(with_names(3), 99.0) is None
    assert selection.next_read(with_names(3, all=True), NAMES_EVERY_S) is not None


def test_one_that_is_still_written_is_not_read(tmp_path: Path) -> None:
    several_reports.three_checks(tmp_path, reports=1)
    writer = SessionWriter(tmp_path)
    row = ReportRow(at_s=300.0, run=2, pid=4391, checker="heapcheck", mode="normal", origin="live", path="x.heap")
    writer.add(row)
    writer.close()
    selection, state = ReportSelection(), look(tmp_path)
    assert not state.reports[1].complete
    assert read_all(selection, state) == [1]
    assert selection.shown(state).view == state.reports[0]


VIEW = ReportView(3, 2, "heapcheck", "normal", "live", complete=True, total_bytes=44_772_352, at_s=312.0)
WHERE = Identity(wall_origin_s=STARTED)


def test_reports_are_called_by_their_time() -> None:
    assert report_name(VIEW, WHERE) == "10:05:12 live · normal · 42.7 MiB"
    at_exit = replace(VIEW, origin="exit", mode="draconian")
    assert report_name(at_exit, WHERE) == "10:05:12 at exit · draconian · 42.7 MiB"
    assert (
        report_name(replace(VIEW, checker="heapprofile", mode=""), WHERE) == "10:05:12 live · heap snapshot · 42.7 MiB"
    )
    assert report_time(VIEW, replace(WHERE, utc_offset_s=5400)) == "11:35:12"
    assert report_time(replace(VIEW, at_s=86_400.0 + 312), WHERE) == "11-24 10:05:12"
    assert minute(VIEW, WHERE) == "10:05"
    assert (moment_words(VIEW, WHERE), moment_words(at_exit, WHERE)) == ("live at 10:05:12", "at exit")


def test_reports_from_files_are_called_by_their_files() -> None:
    file = replace(VIEW, run=None, origin="file", label="a\x1b[2Jb.heap", checker="heapprofile", mode="")
    assert "\x1b" not in report_title(file, WHERE)
    clean = replace(file, label="dump.0002.heap")
    assert report_name(clean, WHERE) == "dump.0002.heap · heap snapshot · 42.7 MiB"
    assert (since_words(clean, VIEW, WHERE), at_words(clean, WHERE)) == ("against dump.0002.heap", "in dump.0002.heap")
    assert (moment_words(clean, WHERE), minute(clean, WHERE)) == ("dump.0002.heap", "dump.0002.heap")


def test_a_later_report_is_no_since() -> None:
    earlier = replace(VIEW, id=2, at_s=5.0)
    assert since_words(earlier, VIEW, WHERE) == "since 10:00:05 (run 2, live)"
    assert since_words(VIEW, earlier, WHERE) == "against 10:05:12 (run 2, live)"


@pytest.mark.parametrize(
    ("before", "found"),
    [
        ({}, True),
        ({"run": 1}, False),
        ({"checker": "heapcheck"}, False),
        ({"complete": False}, False),
    ],
)
def test_growth_is_offered_since_the_snapshot_before_of_the_same_run(before: dict[str, object], found: bool) -> None:
    newest = replace(VIEW, checker="heapprofile", mode="")
    earlier = replace(newest, id=1, at_s=5.0, **before)  # type: ignore[arg-type]
    assert snapshot_before((earlier, newest), newest) == (earlier if found else None)
    assert snapshot_before((earlier, VIEW), VIEW) is None
    assert snapshot_before((newest,), newest) is None


def test_growth_is_offered_in_the_caption(tmp_path: Path) -> None:
    selection, state = ReportSelection(), look(several_reports.two_snapshots(tmp_path))
    read_all(selection, state)
    assert leak_state(state, selection.shown(state)).aside == "d growth since 10:03"
    assert leak_state(state, selection.shown(state)).moment == "live at 10:04:50 · heap snapshot"
    selection.compare(state, 1)
    read_all(selection, state)
    assert leak_state(state, selection.shown(state)).aside == ""
