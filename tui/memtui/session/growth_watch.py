"""The line that tells of a watch of page faults, until its first report is there."""

from __future__ import annotations

from memtui.display.keymap import ACTION_KEYS
from memtui.session.report_names import is_snapshot
from memtui.session.state import SessionState
from memtui.session.status_line import StatusLine, Tone
from memtui_profiler.actions import Action


def growth_watched(state: SessionState, glyph: str) -> StatusLine | None:
    """Return the line, with the time to the report; None where nothing is watched, or there is a report of it."""
    run = state.run
    if run is None or run.growth is None or not state.running:
        return None
    since = (view for view in reversed(state.reports) if view.run == run.number and view.at_s >= run.growth.began_s)
    if any(view.complete and is_snapshot(view) for view in since):
        return None
    left_s = run.growth.report_s - state.now_s
    when = f"first report in {left_s:.0f} s" if left_s >= 1 else "the first report is being made"
    sentence = f"watching page faults: {when}"
    return StatusLine(glyph, "WATCH", sentence, Tone.CALM, ACTION_KEYS[Action.SNAPSHOT].shown, "report now")
