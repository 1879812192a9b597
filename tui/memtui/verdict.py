"""Brings what a session holds before the diagnosis, and its verdicts into the words of the screen."""

from __future__ import annotations

from memtui.state import SessionState
from memtui.status_line import StatusLine
from memtui_profiler.session.reader import SessionReader

GROWTH_WINDOW_S = 10.0


def growth_of(state: SessionState) -> float | None:
    """How fast RSS of the newest run changes, in bytes a second over the last seconds; None while that is unknown."""
    run, last = state.run, state.series.last
    if run is None or run.ended or last is None:
        return None
    first = last.at_s - GROWTH_WINDOW_S
    points = [p for p in state.series.points(2, max(0, int(first)), int(GROWTH_WINDOW_S) + 1) if p is not None]
    points = [p for p in points if p.run == run.number]
    if len(points) < 3 or points[-1].at_s <= points[0].at_s:
        return None
    return (points[-1].rss_bytes - points[0].rss_bytes) / (points[-1].at_s - points[0].at_s)


def verdicts(state: SessionState, reader: SessionReader) -> tuple[StatusLine, ...]:
    return ()
