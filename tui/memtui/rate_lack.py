"""Why there is no release rate to show or to set, and what gives memory back instead. Pure text."""

from __future__ import annotations

from typing import NamedTuple

from memtui.pending import PendingControls
from memtui.state import RunView, SessionState
from memtui.status_line import StatusLine, Tone
from memtui_parsers.clean_text import clean
from memtui_profiler.request import LSAN, MEMCHECK, RELEASE_RATE


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


_RELEASE = "x", "release"
_ALLOCATORS = {
    "glibc malloc": RateLack(
        "glibc malloc has no release rate: x is its malloc_trim", "no release rate: x is malloc_trim", *_RELEASE
    ),
    "jemalloc": RateLack(
        "jemalloc has no release rate: free pages decay, x purges them", "no release rate: decay; x purges", *_RELEASE
    ),
}
# What stands between the program and its allocator: x gives nothing back there either.
_CHECKERS = {
    MEMCHECK: RateLack("there is no release rate under valgrind: malloc is its own", "no release rate under valgrind"),
    LSAN: RateLack(
        "there is no release rate under LeakSanitizer: malloc is its own", "no release rate under the check"
    ),
}


def never_has_rate(run: RunView) -> bool:
    """Whether what it was launched with rules a rate out; False also where that is not known."""
    return run.row.mode in _CHECKERS or run.row.allocator.startswith(tuple(_ALLOCATORS))


def rate_lack(state: SessionState, pending: PendingControls) -> RateLack | None:
    """None where the process has a rate, or while that is not known; or where another check, and so another malloc, is pending."""
    run = state.run
    if run is None or pending.mode is not None:
        return None
    # Also where the program brings tcmalloc: these put their own malloc in its place.
    if (checker := _CHECKERS.get(run.row.mode)) is not None:
        return checker
    newest = state.heap.newest
    capability = {row.name: row for row in state.capabilities}.get(RELEASE_RATE)
    if newest is not None:
        if newest.release_rate is not None:
            return None
    elif capability is None or capability.available:
        return None
    allocator = state.heap.allocator or run.row.allocator
    known = next((lack for name, lack in _ALLOCATORS.items() if allocator.startswith(name)), None)
    if known is not None:
        return known
    why = "" if capability is None or capability.available else f": {clean(capability.reason)}"
    return RateLack(f"{clean(allocator) or 'its malloc'} has no release rate{why}", "no release rate here")
