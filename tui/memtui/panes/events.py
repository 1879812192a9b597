"""The Events tab: everything that happened, with its time, newest last."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from memtui.charset import UNICODE, Glyphs
from memtui.panes.rows import Rows
from memtui.state import SessionState
from memtui.widgets.line import columns, fit
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
    """The time of day where the session was recorded."""
    seconds = state.identity.wall_origin_s + at_s + state.identity.utc_offset_s
    return time.strftime("%H:%M:%S", time.gmtime(seconds))


def shown_events(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Without the rows that only say who is watching."""
    return tuple(event for event in events if event.kind != EventKind.VIEWER.value)


# What stands before an event's text.
_BEFORE_TEXT = 34
_HINT = "enter: in full"


class EventsPane(Rows):
    """An event that does not fit in its row is read in full with enter."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "read", "read", show=False)]

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._state: SessionState | None = None
        self._events: tuple[Event, ...] = ()
        self._longest = 0

    def show(self, state: SessionState) -> None:
        known = self._state
        self._state = state
        if known is None or known.events is not state.events:
            self._events = shown_events(state.events)
            self._longest = max((columns(clean(event.text)) for event in self._events), default=0)
            self.rows_changed()

    @property
    def row_count(self) -> int:
        return len(self._events)

    def heading(self, width: int) -> Content:
        line = f"  {'TIME':<10}{'RUN':>3}  {'WHAT':<15}  DETAILS"
        hint = _HINT.rjust(width - len(line) - 1) if self._longest > width - _BEFORE_TEXT else ""
        return Content.styled(line + hint, "$muted")

    def row(self, index: int, width: int) -> Content:
        event = self._events[index]
        at = wall_clock(event.at_s, self._state) if self._state is not None else ""
        run = "" if event.run is None else str(event.run)
        text = fit(clean(self._glyphs.plain(event.text)), max(0, width - _BEFORE_TEXT), self._glyphs.ellipsis)
        colour = _COLOURS.get(event.kind, "$foreground")
        kind = clean(event.kind, 15)
        return Content.assemble(
            "  ", (f"{at:<10}", "$muted"), (f"{run:>3}", "$muted"), "  ", (f"{kind:<15}", colour), "  ", text
        )

    def action_read(self) -> None:
        if self.cursor < len(self._events) and self._state is not None:
            from memtui.screens.dialog import Reading

            event = self._events[self.cursor]
            run = "" if event.run is None else f"  run {event.run}"
            title = f"{wall_clock(event.at_s, self._state)}{run}  {clean(event.kind, 15)}"
            words = clean(self._glyphs.plain(event.text), 4000)
            self.app.push_screen(Reading(title, Content(words), glyphs=self._glyphs))
