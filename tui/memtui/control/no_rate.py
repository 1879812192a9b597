"""Why there is no release rate to show or to set, and what gives memory back instead. Pure text."""

from __future__ import annotations

from typing import NamedTuple

from memtui.control.pending import PendingControls
from memtui.display.keymap import ACTION_KEYS
from memtui.session.state import RunView, SessionState
from memtui.session.status_line import StatusLine, Tone
from memtui_parsers.clean_text import clean
from memtui_profiler.actions import Action
from memtui_profiler.allocators import allocator_of
from memtui_profiler.checkers import checker_of
from memtui_profiler.request import RELEASE_RATE


class RateLack(NamedTuple):
    """``sentence`` for the column and for an answer; ``brief`` for the one line of a narrow terminal, 33 columns at the most."""

    sentence: str
    brief: str
    key: str = ""
    key_words: str = ""

    def answer(self) -> StatusLine:
        """What the keys that would change the rate say."""
        key, words = (self.key, self.key_words) if self.key else ("esc", "close")
        return StatusLine("○", "NO RATE", self.sentence, Tone.CALM, key, words, shorter=(self.brief,))


def never_has_rate(run: RunView) -> bool:
    """Whether what it was launched with rules a rate out; False also where that is not known."""
    return _under_check(run) is not None or _of_allocator(run.row.allocator) is not None


def _under_check(run: RunView) -> RateLack | None:
    """Where a checker stands between the program and its allocator: a release gives nothing back there either."""
    checker = checker_of(run.row.mode)
    return None if checker is None or checker.no_rate is None else RateLack(*checker.no_rate)


def _of_allocator(allocator: str) -> RateLack | None:
    """Where the allocator has no rate; None also where that is not known."""
    kind = allocator_of(allocator)
    if kind is None or kind.no_rate is None:
        return None
    key = ACTION_KEYS[Action.RELEASE].shown
    sentence, brief = (words.format(release=key) for words in kind.no_rate)
    return RateLack(sentence, brief, key, "release")


def rate_lack(state: SessionState, pending: PendingControls) -> RateLack | None:
    """None where the process has a rate, or while that is not known; or where another check, and so another malloc, is pending."""
    run = state.run
    if run is None or pending.mode is not None:
        return None
    # Also where the program brings tcmalloc: these put their own malloc in its place.
    if (lack := _under_check(run)) is not None:
        return lack
    newest, guest = state.heap.newest, state.heap.guest
    capability = {row.name: row for row in state.capabilities}.get(RELEASE_RATE)
    if newest is not None and newest.release_rate is not None:
        return None
    known = newest is not None or (guest is not None and (guest.state == "refused" or bool(guest.allocator)))
    if not known and (capability is None or capability.available):
        return None
    allocator = state.heap.allocator or run.row.allocator
    if (lack := _of_allocator(allocator)) is not None:
        return lack
    # One that was refused may be a tcmalloc all the same, whose rate is read and set without being asked.
    if newest is None and allocator_of(allocator) is not None and (capability is None or capability.available):
        return None
    why = "" if capability is None or capability.available else f": {clean(capability.reason)}"
    return RateLack(f"{clean(allocator) or 'its malloc'} has no release rate{why}", "no release rate here")
