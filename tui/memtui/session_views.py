"""What each part of the screen is shown, made of a SessionState alone."""

from __future__ import annotations

import json
from dataclasses import replace

from memtui.figures import brief
from memtui.graph.state import GraphState, Limit, Mark, RunSpan
from memtui.leaks import state as leak_states
from memtui.leaks.state import Empty, EmptyKind, LeakPaneState
from memtui.pending import PendingControls
from memtui.report_desk import ReportsShown
from memtui.report_names import at_words, minute, moment_words, report_title, since_words, snapshot_before
from memtui.state import ReportView, RunView, SessionState, event_detail, mark_letter
from memtui.status_line import StatusLine, Tone
from memtui.widgets.tab_bar import Tab
from memtui_parsers.clean_text import clean
from memtui_parsers.values import LeakReport, ReportStatus
from memtui_profiler.events import EventKind
from memtui_profiler.instead import instead_of
from memtui_profiler.request import CHECK_OFF, HEAPCHECK_MODES
from memtui_profiler.session.rows import Event


class GraphFeed:
    """Makes GraphStates; marks and spans are made anew only when the session's events or runs are others."""

    def __init__(self, *, ascii: bool) -> None:
        self._ascii = ascii
        self._events: tuple[Event, ...] | None = None
        self._marks: tuple[Mark, ...] = ()

    def state(self, state: SessionState) -> GraphState:
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
    """What is worth standing beside a mark: how much a release gave back."""
    detail = event_detail(event)
    before, after = detail.get("before_bytes"), detail.get("after_bytes")
    if event.kind != EventKind.RELEASED.value or not isinstance(before, int) or not isinstance(after, int):
        return ""
    return f"released {brief(before - after)}" if before - after >= 1 << 20 else "released nothing"


def _graph_end_s(state: SessionState) -> float:
    """The present, or once the target is gone the last moment there is something of: an empty graph would push it out of sight."""
    run = state.run
    if not state.live or run is None or run.end is None or not run.settled:
        return state.now_s
    return min(state.now_s, max(run.end.at_s, *(event.at_s for event in state.events[-1:])))


def _span(run: RunView) -> RunSpan:
    return RunSpan(run.number, run.row.at_s, f"run {run.number}, rate {run.rate_words}")


def leak_state(state: SessionState, shown: ReportsShown) -> LeakPaneState:
    """The report that is shown and the one it is compared with, or why there is none and what to do about it."""
    view, against = shown.view, shown.against
    if view is None:
        return LeakPaneState(empty=_no_report(state))
    if shown.report is None:
        return LeakPaneState(empty=leak_states.reading())
    nothing = None
    if state.identity.attached and shown.report.status is ReportStatus.COMPLETE:
        nothing = leak_states.none_found(shown.report.mode, leak_states.caveat_of(shown.report), relaunches=False)
    found = LeakPaneState(
        shown.report,
        view.id,
        view.run,
        moment_words(view, state.identity),
        nothing,
        aside=_beside_leaks(state, shown),
    )
    if against is None or shown.against_report is None:
        return found
    since = since_words(against, view, state.identity)
    return replace(found, against=shown.against_report, since=since, was_at=at_words(against, state.identity))


def _beside_leaks(state: SessionState, shown: ReportsShown) -> str:
    """What there is to know of other reports than the one that is shown."""
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
    if run is not None and state.identity.attached and (run.row.mode == CHECK_OFF or not run.ended):
        return leak_states.attached(run.row.mode)
    if run is None or run.row.mode == CHECK_OFF:
        return _check_off(state)
    if not run.ended:
        return leak_states.waiting(run.row.mode)
    if not run.settled and state.live:
        return leak_states.reading()
    if run.end is not None and run.end.signal is not None:
        return leak_states.killed(run.end.signal, _killed_by_memtui(state))
    why = run.no_report or "The target ended and left no report."
    if state.identity.attached:
        return leak_states.cannot_work(
            why[:1].upper() + why[1:], "memtui has not started it, and cannot start it again."
        )
    return leak_states.cannot_work(why[:1].upper() + why[1:], _others(state, run.row.mode))


def _check_off(state: SessionState) -> Empty:
    """With what to use where gperftools' heap check, which is offered first, cannot work on this target."""
    rows = {row.name: row for row in state.capabilities}
    usual = rows.get(HEAPCHECK_MODES[1])
    if usual is None or usual.available:
        return leak_states.check_off()
    reason, remedy = clean(usual.reason), clean(usual.remedy)
    other = instead_of(usual.name, _able(state))
    if other is None:
        return leak_states.cannot_work(f"{reason[:1].upper()}{reason[1:]}.", f"To mend it: {remedy}.")
    return Empty(
        EmptyKind.CHECK_OFF,
        "The leak check is off.",
        (
            f"gperftools' heap check cannot work here: {reason}.",
            f"{other} works instead: m, then {other}; r relaunches the target with it.",
        ),
    )


def _others(state: SessionState, mode: str) -> str:
    other = instead_of(mode, _able(state))
    instead = "" if other is None else f"; {other} can"
    return f"m shows which checks can work on this target{instead}."


def _able(state: SessionState) -> set[str]:
    return {row.name for row in state.capabilities if row.available}


def _killed_by_memtui(state: SessionState) -> bool:
    for event in reversed(state.events):
        if event.kind == EventKind.KILLED.value:
            try:
                return bool(json.loads(event.detail).get("by_memtui"))
            except (ValueError, AttributeError):
                return False
    return False


def tabs(state: SessionState, shown: ReportView | None, loaded: LeakReport | None = None) -> tuple[Tab, ...]:
    """``shown``: the report whose leaks are counted; ``loaded`` the same as it was read, without what is suppressed."""
    report = next((view for view in state.reports if shown is not None and view.id == shown.id), None)
    leaks = str(report.leaks) if report is not None and report.complete else ""
    if leaks and loaded is not None:
        leaks = str(len(loaded.leaks))
    events = sum(event.kind != EventKind.VIEWER.value for event in state.events)
    return (
        Tab("leaks", "1", "Leaks", leaks),
        Tab("heap", "2", "Heap"),
        Tab("output", "3", "Output"),
        Tab("events", "4", "Events", str(events) if events else ""),
        Tab("runs", "5", "Runs", str(len(state.runs)) if state.runs else ""),
    )


def following(pending: PendingControls | None, run: RunView | None) -> PendingControls:
    """The controls once ``run`` is the newest run; before there is one they show tcmalloc's defaults."""
    if run is None:
        return pending or PendingControls()
    return (pending or PendingControls()).applied(run)


RECORDER_GONE = StatusLine(
    "✗",
    "RECORDER GONE",
    "nothing is sampled any more; the target lives on, and what was recorded is all here",
    Tone.BAD,
)
