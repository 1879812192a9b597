"""What the graph, the leak browser, the tabs and the controls show of a SessionState. Pure."""

from __future__ import annotations

from dataclasses import replace

from memtui.control.pending import PendingControls
from memtui.display.figures import brief
from memtui.reports import pane_state
from memtui.reports.pane_state import Empty, EmptyKind, LeakPaneState
from memtui.session.report_names import at_words, minute, moment_words, report_title, since_words, snapshot_before
from memtui.session.shown_reports import ReportsShown
from memtui.session.state import ReportView, RunView, SessionState, event_detail, mark_letter
from memtui.session.status_line import StatusLine, Tone
from memtui.session.ways import with_key
from memtui.viewer.graph.state import GraphState, Limit, Mark, RunSpan
from memtui.viewer.widgets.tab_bar import Tab
from memtui_parsers.clean_text import clean
from memtui_parsers.values import LeakReport, ReportStatus
from memtui_profiler.allocators import allocator_of
from memtui_profiler.checkers import instead_of, usual_checker
from memtui_profiler.events import EventKind
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.session.rows import Event


class GraphFeed:
    """Makes GraphStates. Marks are kept until the session's events change."""

    def __init__(self, *, ascii: bool) -> None:
        self._ascii = ascii
        self._events: tuple[Event, ...] | None = None
        self._marks: tuple[Mark, ...] = ()

    def state(self, state: SessionState) -> GraphState:
        """Return what the graph shows of ``state``."""
        if state.events is not self._events:
            self._events = state.events
            marked = ((event, mark_letter(event)) for event in state.events)
            self._marks = tuple(Mark(e.at_s, letter, e.text, _label(e)) for e, letter in marked if letter)
        limit = state.limit
        limits = (Limit(f"{limit.source} limit", limit.limit_bytes),) if limit and limit.limit_bytes else ()
        return GraphState(
            series=state.series,
            now_s=_graph_end_s(state),
            wall_origin_s=state.identity.wall_origin_s,
            utc_offset_s=state.identity.utc_offset_s,
            live=state.running or (state.live and not state.finished),
            runs=tuple(map(_span, state.runs)),
            marks=self._marks,
            limits=limits,
            allocator=next(iter(state.allocator.split()), ""),
            ascii=self._ascii,
        )


def _label(event: Event) -> str:
    """The text beside an event's mark: how much a release returned; '' for other events."""
    detail = event_detail(event)
    before, after = detail.get("before_bytes"), detail.get("after_bytes")
    if event.kind != EventKind.RELEASED.value or not isinstance(before, int) or not isinstance(after, int):
        return ""
    return f"released {brief(before - after)}" if before - after >= 1 << 20 else "released nothing"


def _graph_end_s(state: SessionState) -> float:
    """The present, or the last moment of a target that has ended, which the graph would otherwise move out of view."""
    run = state.run
    if not state.live or run is None or run.end is None or not run.settled:
        return state.now_s
    return min(state.now_s, max(run.end.at_s, *(event.at_s for event in state.events[-1:])))


def _span(run: RunView) -> RunSpan:
    return RunSpan(run.number, run.row.at_s, f"run {run.number}, rate {run.rate_words}")


def leak_state(state: SessionState, shown: ReportsShown) -> LeakPaneState:
    """Return the report that is shown and the one it is compared with, or why there is none and what the user can do."""
    view, against = shown.view, shown.against
    if view is None:
        return LeakPaneState(empty=_no_report(state))
    if shown.report is None:
        return LeakPaneState(empty=pane_state.READING)
    none_found = None
    if state.identity.attached and shown.report.status is ReportStatus.COMPLETE:
        none_found = pane_state.none_found(shown.report, relaunches=False)
    pane = LeakPaneState(
        shown.report,
        view.id,
        view.run,
        moment_words(view, state.identity) + (" · the last whole report" if _is_last_whole(view, state) else ""),
        none_found,
        aside=_beside_leaks(state, shown),
    )
    if against is None or shown.against_report is None:
        return pane
    since = since_words(against, view, state.identity)
    return replace(pane, against=shown.against_report, since=since, was_at=at_words(against, state.identity))


def _beside_leaks(state: SessionState, shown: ReportsShown) -> str:
    """The caption's part about other reports than the one that is shown."""
    if shown.reading is not None:
        return f"reading {report_title(shown.reading, state.identity)} …"
    if shown.newer:
        return f"{shown.newer} newer"
    before = None if shown.view is None or shown.against is not None else snapshot_before(state.reports, shown.view)
    if before is None or shown.view is None:
        return ""
    since = minute(before, state.identity)
    if since == minute(shown.view, state.identity) and not before.label:
        return f"d growth in {shown.view.at_s - before.at_s:.0f} s"
    return f"d growth since {since}"


def _no_report(state: SessionState) -> Empty:
    run = state.run
    if state.identity.statistics:
        return pane_state.NOT_A_REPORT
    if run is not None and run.growth is not None and state.running:
        return pane_state.watching(run.growth.report_s - state.now_s)
    if run is not None and state.identity.attached and (run.row.mode == CHECK_OFF or not run.ended):
        return pane_state.attached(run.row.mode, _snapshot_words(state, run))
    if run is None:
        return _check_off(state)
    if run.row.mode == CHECK_OFF:
        off, snapshot = _check_off(state), _snapshot_words(state, run) if state.can_watch and state.running else ""
        return replace(off, lines=(*off.lines, snapshot)) if snapshot else off
    if not run.ended:
        return pane_state.waiting(run.row.mode)
    if not run.settled and state.live:
        return pane_state.READING
    if run.end is not None and run.end.signal is not None:
        return pane_state.killed(run.end.signal, _killed_by_memtui(state))
    why = with_key(run.no_report or "The target ended and left no report.", run.no_report_action, state)
    attached = "memtui has not started it, and cannot start it again."
    advice = attached if state.identity.attached else _other_checks(state, run.row.mode)
    return pane_state.cannot_work(why[:1].upper() + why[1:], advice)


def _snapshot_words(state: SessionState, run: RunView) -> str:
    kind = allocator_of(run.row.allocator)
    profiler = kind is not None and kind.has_profiler(run.row.allocator)
    return pane_state.snapshot_words(profiler=profiler, watchable=state.can_watch)


def _check_off(state: SessionState) -> Empty:
    """The check is off: how to switch it on, or where gperftools' heap check cannot work on this target, what else."""
    rows = {row.name: row for row in state.capabilities}
    # The checkers are asked only where something cannot work: to load them takes 17 ms, which the first frames go without.
    usual = None if all(row.available for row in rows.values()) else rows.get(usual_checker().usual_mode)
    if usual is None or usual.available:
        return pane_state.UNCHECKED
    reason, remedy = clean(usual.reason), clean(usual.remedy)
    other = instead_of(usual.name, state.checks)
    if other is None:
        return pane_state.cannot_work(f"{reason[:1].upper()}{reason[1:]}.", f"To mend it: {remedy}.")
    return Empty(
        EmptyKind.CHECK_OFF,
        "The leak check is off.",
        (
            f"gperftools' heap check cannot work here: {reason}.",
            f"{other} works instead: m, then {other}; r relaunches the target with it.",
        ),
    )


def _other_checks(state: SessionState, mode: str) -> str:
    other = instead_of(mode, state.checks)
    instead = "" if other is None else f"; {other} can"
    return f"m shows which checks can work on this target{instead}."


def _is_last_whole(view: ReportView, state: SessionState) -> bool:
    """Whether it stands for a later one that is cut, or that a program could not leave as it was killed."""
    if view is not state.report or view.cut or view.label:
        return False
    run = next((run for run in state.runs if run.number == view.run), None)
    killed = run is not None and run.end is not None and run.end.signal is not None and not _killed_by_memtui(state)
    return view is not state.reports[-1] or (view.origin == "live" and killed)


def _killed_by_memtui(state: SessionState) -> bool:
    killed = next((event for event in reversed(state.events) if event.kind == EventKind.KILLED.value), None)
    return killed is not None and bool(event_detail(killed).get("by_memtui"))


def tabs(state: SessionState, shown: ReportView | None, loaded: LeakReport | None = None) -> tuple[Tab, ...]:
    """Return the tabs. ``shown``: the report whose leaks are counted, ``loaded``: its contents, without suppressed leaks."""
    report = next((view for view in state.reports if shown is not None and view.id == shown.id), None)
    leaks = ""
    if report is not None and report.complete:
        leaks = str(report.leaks if loaded is None else len(loaded.leaks))
    events = sum(event.kind != EventKind.VIEWER.value for event in state.events)
    return (
        Tab("leaks", "1", "Leaks", leaks),
        Tab("heap", "2", "Heap"),
        Tab("output", "3", "Output"),
        Tab("events", "4", "Events", str(events) if events else ""),
        Tab("runs", "5", "Runs", str(len(state.runs)) if state.runs else ""),
    )


def following(pending: PendingControls | None, run: RunView | None) -> PendingControls:
    """Return the controls when ``run`` is the newest run; before the first run they show tcmalloc's defaults."""
    controls = pending or PendingControls()
    return controls if run is None else controls.applied(run)


RECORDER_GONE = StatusLine(
    "✗",
    "RECORDER GONE",
    "nothing is sampled any more; the target lives on, and what was recorded is all here",
    Tone.BAD,
)
