"""The Events tab: all events of the session with their times, the newest last."""

from __future__ import annotations

import time

from textual.content import Content

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.session.state import SessionState
from memtui.session.ways import event_words
from memtui.viewer.widgets.line import columns, fit
from memtui.viewer.widgets.session_pane import SessionPane
from memtui_parsers.clean_text import clean
from memtui_profiler.events import EventKind
from memtui_profiler.session.rows import Event

_COLOURS = {
    EventKind.LAUNCHED.value: "$good",
    EventKind.RELAUNCH.value: "$good",
    EventKind.RELEASED.value: "$good",
    EventKind.RATE_SET.value: "$good",
    EventKind.REPORT.value: "$primary",
    EventKind.LEAK_CHECK.value: "$primary",
    EventKind.SNAPSHOT.value: "$primary",
    EventKind.GUEST.value: "$muted",
    EventKind.RATE_CHANGED.value: "$warn",
    EventKind.STOPPING.value: "$warn",
    EventKind.EXIT_CHECK.value: "$warn",
    EventKind.NO_REPORT.value: "$warn",
    EventKind.OUTPUT_DROPPED.value: "$warn",
    EventKind.KILLED.value: "$bad",
    EventKind.OOM_KILLED.value: "$bad",
    EventKind.REFUSED.value: "$bad",
    EventKind.FAILED.value: "$bad",
}


def wall_clock(at_s: float, state: SessionState) -> str:
    """Return a time of the session as the time of day where it was recorded: ``14:03:59``."""
    seconds = state.identity.wall_origin_s + at_s + state.identity.utc_offset_s
    return time.strftime("%H:%M:%S", time.gmtime(seconds))


# The columns before an event's text.
_BEFORE_TEXT = 34
_HINT = "enter: in full"


class EventsPane(SessionPane):
    """One row for each event; enter opens a dialog with its whole text."""

    follows = True

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self._state: SessionState | None = None
        self._events: tuple[Event, ...] = ()
        self._longest = 0

    def show(self, state: SessionState) -> None:
        before, self._state = self._state, state
        if before is None or before.events is not state.events:
            # All but those that only tell that a viewer came or went.
            self._events = tuple(event for event in state.events if event.kind != EventKind.VIEWER.value)
            self._longest = max((columns(clean(event_words(event, state))) for event in self._events), default=0)
            self.renew()

    @property
    def row_count(self) -> int:
        return len(self._events)

    def draw_header(self, width: int) -> Content:
        line = f"  {'TIME':<10}{'RUN':>3}  {'WHAT':<15}  DETAILS"
        hint = _HINT.rjust(width - len(line) - 1) if self._longest > width - _BEFORE_TEXT else ""
        return Content.styled(line + hint, "$muted")

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> Content:
        event = self._events[row]
        at, words = "", event.text
        if self._state is not None:
            at, words = wall_clock(event.at_s, self._state), event_words(event, self._state)
        run = "" if event.run is None else str(event.run)
        text = fit(clean(self._glyphs.plain(words)), max(0, width - _BEFORE_TEXT), self._glyphs.ellipsis)
        colour = _COLOURS.get(event.kind, "$foreground")
        kind = clean(event.kind, 15)
        return Content.assemble(
            "  ", (f"{at:<10}", "$muted"), (f"{run:>3}", "$muted"), "  ", (f"{kind:<15}", colour), "  ", text
        )

    def action_select(self) -> None:
        if self.cursor < len(self._events) and self._state is not None:
            from memtui.viewer.dialogs.dialog import Reading

            event = self._events[self.cursor]
            run = "" if event.run is None else f"  run {event.run}"
            title = f"{wall_clock(event.at_s, self._state)}{run}  {clean(event.kind, 15)}"
            text = clean(self._glyphs.plain(event_words(event, self._state)), 4000)
            self.app.push_screen(Reading(title, Content(text), glyphs=self._glyphs))
