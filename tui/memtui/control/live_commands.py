"""Commands to the running process: which wait for their answer, and the event that tells their outcome.

The answer says only that a command is done; the outcome is in an event of the session, which every viewer sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from memtui.control.buttons import unable
from memtui.control.commander import Commander
from memtui.display.keymap import ACTION_KEYS
from memtui.session.state import SessionState
from memtui.session.status_line import StatusLine, Tone
from memtui.session.ways import event_words
from memtui_profiler.actions import Action
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.session.rows import Event


class Verb(NamedTuple):
    """``kinds``: the events that tell its outcome. ``waiting``: the sentence while it is under way; ``word`` names the outcome."""

    name: str
    kinds: tuple[EventKind, ...]
    waiting: str
    word: str


VERBS = {
    verb.name: verb
    for verb in (
        Verb("ask", (EventKind.GUEST,), "asking the process for its figures", "ASKED"),
        Verb("rate", (EventKind.RATE_SET,), "setting the release rate", "RATE"),
        Verb("release", (EventKind.RELEASED,), "releasing free memory", "RELEASED"),
        Verb(
            "check",
            (EventKind.LEAK_CHECK, EventKind.NO_REPORT),
            "leak check under way: the server's threads are held for moments",
            "CHECKED",
        ),
        Verb("snapshot", (EventKind.SNAPSHOT, EventKind.GROWTH), "taking a snapshot", "SNAPSHOT"),
    )
}

_CHECK_KEY = ACTION_KEYS[Action.CHECK].shown
# Shown once a session, before the first live check (FACTS.md, "Heap checker").
BEFORE_FIRST_CHECK = StatusLine(
    "◇",
    "CHECK",
    "threads are held for moments, epoll_wait may return EINTR",
    Tone.WARN,
    _CHECK_KEY,
    "go on",
    (
        "The checker stops the other threads while it walks the memory: some 10 ms at a time, 2 s in all for a million blocks.",
        "A thread that waits in epoll_wait may come back from it with EINTR, as under any debugger: a program that makes the "
        "call again does not notice.",
        f"{_CHECK_KEY} again starts the check, esc leaves it. This is said once a session.",
    ),
)


# An event that comes later after the answer is not its outcome: the recorder commits at least once a second.
EVENT_COMES_WITHIN_S = 5.0
# A price that was told longer ago is told anew.
PRICE_HOLDS_S = 60.0


@dataclass(slots=True)
class _Sent:
    at_s: float
    after_event: int
    answered_s: float | None = None


class LiveCommands:
    """``clock_s`` arguments are of one clock, of any origin."""

    def __init__(self, commander: Commander) -> None:
        self._commander = commander
        self._sent: dict[str, _Sent] = {}
        self._told = False
        # Refused for their price, and when: the same command soon after means that it is paid.
        self._too_dear: dict[str, float] = {}

    def send(self, verb: str, state: SessionState, clock_s: float, **args: Any) -> bool:
        """Send the command, unless one of its kind is still waiting; returns whether it was sent."""
        if self._commander.waits_for(verb):
            return False
        self._sent[verb] = _Sent(clock_s, state.events[-1].id if state.events else 0)
        if clock_s - self._too_dear.pop(verb, -math.inf) <= PRICE_HOLDS_S:
            args["anyway"] = True
        self._commander.send(verb, **args)
        return True

    def must_tell_first(self, state: SessionState) -> bool:
        """Whether BEFORE_FIRST_CHECK is still to be shown; True at most once, and not before a check that would be refused."""
        if "check-now" in unable(state):
            return False
        if self._told or any(event.kind == EventKind.LEAK_CHECK.value for event in state.events):
            return False
        self._told = True
        return True

    def waiting(self, clock_s: float, glyph: str) -> tuple[StatusLine, ...]:
        """Return a line for each command that has not been answered."""
        return tuple(
            _waiting(VERBS[name], clock_s - sent.at_s, glyph)
            for name, sent in self._sent.items()
            if self._commander.waits_for(name)
        )

    def answered(self, verb: str, clock_s: float, error: UserError | None) -> None:
        """Take the recorder's answer; after an error no event follows. One that calls for the same again is about a price."""
        if error is not None:
            self._sent.pop(verb, None)
            if is_price(verb, error):
                self._too_dear[verb] = clock_s
        elif verb in self._sent:
            self._sent[verb].answered_s = clock_s

    def news(self, state: SessionState, clock_s: float) -> StatusLine | None:
        """Return the outcome of a command once it is answered and its event has come; each once."""
        outcome: StatusLine | None = None
        for name, sent in list(self._sent.items()):
            if self._commander.waits_for(name):
                continue
            event = _outcome(state, VERBS[name], sent.after_event)
            # Of a watch that has begun there is a line of its own.
            if event is not None and event.kind != EventKind.GROWTH.value:
                outcome = _told(VERBS[name], event, state)
            if event is not None or sent.answered_s is None or clock_s - sent.answered_s > EVENT_COMES_WITHIN_S:
                del self._sent[name]
        return outcome


def is_price(verb: str, error: UserError) -> bool:
    """Whether a command was refused only for what it would cost: what is to be done about that is the same once more."""
    return error.action is not None and ACTION_KEYS[error.action].id == verb


def _outcome(state: SessionState, verb: Verb, after_event: int) -> Event | None:
    for event in reversed(state.events):
        if event.id <= after_event:
            return None
        if event.kind in verb.kinds:
            return event
    return None


def _told(verb: Verb, event: Event, state: SessionState) -> StatusLine:
    words = event_words(event, state)
    if event.kind == EventKind.NO_REPORT.value:
        return StatusLine("✗", "NO REPORT", words, Tone.WARN, "esc", "close")
    return StatusLine("✓", verb.word, words, Tone.GOOD)


def _waiting(verb: Verb, seconds: float, glyph: str) -> StatusLine:
    waited = f", {seconds:.0f} s" if seconds >= 1 else "…"
    return StatusLine(glyph, "WAIT", f"{verb.waiting}{waited}", Tone.WARN)
