"""What each part of the screen is shown, made of a SessionState alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from memtui.graph.state import GraphState, Limit, Mark, RunSpan
from memtui.leaks import state as leak_states
from memtui.leaks.state import Empty, LeakPaneState
from memtui.pending import PendingControls
from memtui.state import RunView, SessionState
from memtui.status_line import StatusLine, Tone
from memtui.widgets.rate_slider import show_rate
from memtui.widgets.tab_bar import Tab
from memtui_parsers.values import LeakReport
from memtui_profiler.events import MARKS, EventKind
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.session.rows import Event

_LETTERS = {kind.value: letter for kind, letter in MARKS.items()}


class GraphFeed:
    """Makes GraphStates; marks and spans are made anew only when the session's events or runs are others."""

    def __init__(self, *, ascii: bool) -> None:
        self._ascii = ascii
        self._events: tuple[Event, ...] | None = None
        self._marks: tuple[Mark, ...] = ()

    def state(self, state: SessionState) -> GraphState:
        if state.events is not self._events:
            self._events = state.events
            marked = (event for event in state.events if event.kind in _LETTERS)
            self._marks = tuple(Mark(event.at_s, _LETTERS[event.kind], event.text) for event in marked)
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
            allocator=state.run.row.allocator.split()[0] if state.run and state.run.row.allocator else "",
            ascii=self._ascii,
        )


def _graph_end_s(state: SessionState) -> float:
    """The present, or once the target is gone the last moment there is something of: an empty graph would push it out of sight."""
    run = state.run
    if not state.live or run is None or run.end is None or not run.settled:
        return state.now_s
    return min(state.now_s, max(run.end.at_s, *(event.at_s for event in state.events[-1:])))


def _span(run: RunView) -> RunSpan:
    return RunSpan(run.number, run.row.at_s, f"run {run.number}, rate {show_rate(run.rate)}")


def load_report_apart(folder: Path, report: int) -> tuple[int, LeakReport]:
    """Read a report with a connection of its own, for a thread: 200,000 records take seconds."""
    from memtui_profiler.session.reader import SessionReader
    from memtui_profiler.session.reports import load_report
    from memtui_profiler.session.writer import DATABASE

    reader = SessionReader(folder / DATABASE)
    try:
        return report, load_report(reader, report)
    finally:
        reader.close()


def report_work(state: SessionState) -> Callable[[], tuple[int, LeakReport]] | None:
    """How the newest report is read; None while there is none that is whole."""
    if state.report is None or not state.report.complete:
        return None
    return partial(load_report_apart, state.folder, state.report.id)


def leak_state(state: SessionState, loaded: tuple[int, LeakReport] | None) -> LeakPaneState:
    """The newest report, or why there is none and what to do about it."""
    view = state.report
    if view is not None:
        if loaded is not None and loaded[0] == view.id:
            moment = {"exit": "at exit", "live": "while it ran", "file": "from a file"}.get(view.origin, view.origin)
            return LeakPaneState(loaded[1], view.id, view.run, moment)
        return LeakPaneState(empty=leak_states.reading())
    return LeakPaneState(empty=_no_report(state))


def _no_report(state: SessionState) -> Empty:
    run = state.run
    if run is None or run.row.mode == CHECK_OFF:
        return leak_states.check_off()
    if not run.ended:
        return leak_states.waiting(run.row.mode)
    if not run.settled and state.live:
        return leak_states.reading()
    if run.end is not None and run.end.signal is not None:
        return leak_states.killed(run.end.signal, _killed_by_memtui(state))
    why = run.no_report or "The target ended and left no report."
    return leak_states.cannot_work(why[:1].upper() + why[1:], "m shows which checks can work on this target.")


def _killed_by_memtui(state: SessionState) -> bool:
    for event in reversed(state.events):
        if event.kind == EventKind.KILLED.value:
            try:
                return bool(json.loads(event.detail).get("by_memtui"))
            except (ValueError, AttributeError):
                return False
    return False


def tabs(state: SessionState) -> tuple[Tab, ...]:
    report = state.report
    leaks = str(report.leaks) if report is not None and report.complete else ""
    events = sum(event.kind != EventKind.VIEWER.value for event in state.events)
    return (
        Tab("leaks", "1", "Leaks", leaks),
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
