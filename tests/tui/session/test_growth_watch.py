"""A watch of page faults on the screen: the time to its first report, what is offered, and the words of its reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from memtui.control.buttons import buttons, unable
from memtui.reports import pane_state
from memtui.session.follower import SessionFollower
from memtui.session.growth_watch import growth_watched
from memtui.session.report_names import check_words, is_snapshot, moment_words
from memtui.session.shown_reports import ReportsShown
from memtui.session.state import ReportView, SessionState, mark_letter
from memtui.viewer.views import leak_state
from memtui_profiler.checkers.growth import CHECKER
from memtui_profiler.events import EventKind
from memtui_profiler.request import PAGE_FAULTS
from memtui_profiler.session.rows import CapabilityRow, Event, GuestRow, Meta, Row, Run, Sample
from memtui_profiler.session.writer import SessionWriter
from tests.fixtures.sessions import STARTED

BEGUN = Event(5.0, 1, EventKind.GROWTH.value, "watching", '{"watching": true, "first_report_s": 10.0}')
ENDED = Event(40.0, 1, EventKind.GROWTH.value, "no more", '{"watching": false}')
WATCHABLE = CapabilityRow(run=1, name=PAGE_FAULTS, available=1, reason="", remedy="")
HIDDEN = WATCHABLE._replace(available=0, reason="it is another user's", remedy="run as that user")


def look(folder: Path, at_s: float, *rows: Row, refused: bool = True) -> SessionState:
    """An attached process that has been asked in vain, or that nobody has asked."""
    folder.mkdir()
    writer = SessionWriter(folder)
    for key, value in (("started", repr(STARTED)), ("attached", "7"), ("argv", '["server"]')):
        writer.add(Meta(key=key, value=value))
    writer.add(
        Run(
            at_s=0.0, pid=7, executable="/srv/server", argv='["server"]', cwd="/", mode="off", release_rate=None,
            allocator="glibc malloc", environment="{}", environment_names="[]",
        )
    )  # fmt: skip
    writer.add(Sample(1.0, 1, 50 << 20, 1 << 20))
    if refused:
        writer.add(GuestRow(1.0, 1, "refused", "", "cannot ask", "it is static", "build it otherwise"))
    for row in rows:
        writer.add(row)
    writer.close()
    follower = SessionFollower(folder)
    state = follower.poll(STARTED + at_s, live=True, judge=False)
    follower.close()
    return state


def a_report(at_s: float, *, complete: bool = True) -> ReportView:
    return ReportView(1, 1, CHECKER.name, CHECKER.usual_mode, "live", complete=complete, at_s=at_s, total_bytes=5 << 20)


def test_a_snapshot_is_offered_where_page_faults_can_be_watched(tmp_path: Path) -> None:
    able = look(tmp_path / "able", 3.0, WATCHABLE)
    assert {button.id: button.able for button in buttons(able)}["snapshot"] and "snapshot" not in unable(able)
    assert "snapshot" in unable(look(tmp_path / "hidden", 3.0, HIDDEN))
    assert "snapshot" in unable(look(tmp_path / "unknown", 3.0))


def test_the_time_to_the_first_report_is_counted_down(tmp_path: Path) -> None:
    state = look(tmp_path / "s", 7.0, WATCHABLE, BEGUN)
    line = growth_watched(state, "*")
    assert line is not None and line.sentence == "watching page faults: first report in 8 s" and line.key == "s"
    late = growth_watched(replace(state, now_s=15.5), "*")
    assert late is not None and late.sentence == "watching page faults: the first report is being made"
    begun = growth_watched(replace(state, reports=(a_report(6.0, complete=False),)), "*")
    assert begun is not None, "one that is being read is not there yet"
    assert growth_watched(replace(state, reports=(a_report(15.0),)), "*") is None
    assert growth_watched(replace(state, reports=(a_report(4.0),)), "*") is not None, "of an earlier watch"
    assert growth_watched(look(tmp_path / "ended", 41.0, BEGUN, ENDED), "*") is None
    assert growth_watched(look(tmp_path / "never", 7.0, WATCHABLE), "*") is None


def test_the_pane_says_what_a_snapshot_does_and_then_that_it_is_under_way(tmp_path: Path) -> None:
    before = leak_state(look(tmp_path / "before", 3.0, WATCHABLE), ReportsShown()).empty
    assert before is not None and before.lines[-1].startswith("s says what makes it grow from now on, by stack")
    hidden = leak_state(look(tmp_path / "hidden", 3.0, HIDDEN), ReportsShown()).empty
    assert hidden is not None and not any(line.startswith("s ") for line in hidden.lines)
    under_way = leak_state(look(tmp_path / "now", 7.0, WATCHABLE, BEGUN), ReportsShown()).empty
    assert under_way is not None and under_way.headline == "Watching page faults: what grows, by stack."
    assert under_way.lines == ("The first report comes in 8 s; s has one made now.",)
    assert pane_state.waiting(CHECKER.usual_mode).headline == "Watching page faults: what grows, by stack."


def test_its_reports_are_called_growth(tmp_path: Path) -> None:
    view, identity = a_report(15.0), look(tmp_path / "s", 20.0).identity
    assert is_snapshot(view) and check_words(view) == "growth"
    assert moment_words(view, identity).endswith(" · growth")


def test_only_its_beginning_is_marked_on_the_axis() -> None:
    assert (mark_letter(BEGUN), mark_letter(ENDED)) == ("s", "")
