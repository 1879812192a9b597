"""The Heap tab in sentences: how asking the process stands, who answers, and what else there is to know of the figures."""

from __future__ import annotations

from dataclasses import dataclass

from memtui.figures import brief, clock, show_rate
from memtui.heap.breakdown import Breakdown
from memtui.heap.terms import terms_of
from memtui.state import SessionState

# Figures older than this are said to be.
FRESH_S = 3.0
# A process that has not been asked after this will not be without a reason.
SOON_S = 10.0


# What the tab bar says of a process that has told nothing.
_STATES = {"waiting": "not asked yet", "refused": "refused", "off": "--no-guest", "busy": "busy", "gone": "gone"}


@dataclass(frozen=True, slots=True)
class Message:
    """Why there are no figures: a headline, the key that does something about it ('' for none), and sentences."""

    headline: str
    sentences: tuple[str, ...] = ()
    key: str = ""
    key_words: str = ""


def message(state: SessionState) -> Message:
    """Why the allocator has said nothing of the newest run."""
    guest = state.heap.guest
    if state.run is None:
        return Message("No process yet.", ("Its figures come within a second of its start.",))
    if guest is not None and guest.state == "refused":
        again = ("enter", "asks again") if state.running else ("", "")
        return Message(_sentence(guest.what), (_sentence(guest.why), _sentence(guest.todo)), *again)
    if guest is not None and guest.state == "off":
        return Message(
            "memtui asks this process nothing (--no-guest).",
            ("Without the option it asks the allocator once a second, through a thread of its own in the process.",),
        )
    if not state.running:
        return Message(
            "Nobody has asked this process for its allocator's figures.",
            ("They are recorded while it runs; sessions of older versions of memtui have none.",),
        )
    if guest is not None and guest.state == "waiting":
        return Message(
            "This process has one thread, so it is asked only when you say so.",
            ("memtui asks through a thread of its own that sleeps between two questions.",),
            "enter",
            "asks it now, and once a second from then on",
        )
    if guest is not None and guest.state == "busy":
        return Message("The first question has not come back yet.", ("The process is left to finish it.",))
    if guest is not None and guest.state == "ready" and state.now_s - guest.at_s > SOON_S:
        return Message(
            f"{guest.allocator or 'This allocator'} has no figures that memtui can read.",
            ("What the kernel says stands below.",),
        )
    return Message("Looking for the allocator.", ("Its figures come within seconds.",))


def caption(state: SessionState) -> str:
    """Who answers, at which rate, and how old that is: for the tab bar."""
    newest, guest = state.heap.newest, state.heap.guest
    if newest is None:
        return "" if guest is None else _STATES.get(guest.state, "")
    return " · ".join(filter(None, (state.heap.allocator, _rate(state), _standing(state))))


def headline(state: SessionState) -> str:
    """The caption with all that there is room for."""
    newest = state.heap.newest
    cost = "" if newest is None else f"answered in {_duration(newest.cost_s)}"
    return " · ".join(filter(None, (state.allocator, _rate(state), _standing(state), cost)))


def asides(state: SessionState, shown: Breakdown) -> list[str]:
    """What the table does not say: what lies outside the heap, what is in no RSS."""
    terms = terms_of(state.heap.allocator)
    found = []
    if (sample := state.detail) is not None and sample.file_bytes is not None:
        files, shared = sample.file_bytes, sample.shmem_bytes or 0
        rest = max(0, shown.parts[-1].size_bytes - files - shared)
        found.append(f"outside: {brief(files)} files, {brief(shared)} shared, {brief(rest)} other")
    if shown.released_bytes:
        found.append(f"{terms.released}: {brief(shown.released_bytes)} of address space, no memory")
    if shown.elsewhere_bytes >= 1 << 20:
        name = state.heap.allocator.split()[0]
        found.append(
            f"{name} counts {brief(shown.elsewhere_bytes)} more: never touched, or given back without its knowing"
        )
    return found


def _rate(state: SessionState) -> str:
    read = state.rate_read
    if read is None:
        return ""
    how = {"live": " live", "outside": ", changed from outside"}.get(read.how, "")
    return f"rate {show_rate(read.rate)}{how}"


def _standing(state: SessionState) -> str:
    """How old the figures are, and why, where that matters."""
    newest, guest = state.heap.newest, state.heap.guest
    if newest is None:
        return ""
    if not state.running:
        return (
            f"at {clock(newest.at_s)}, its last"
            if state.run is not None and state.run.ended
            else f"at {clock(newest.at_s)}"
        )
    age_s = state.now_s - newest.at_s
    if guest is not None and guest.state in ("busy", "refused", "gone"):
        return f"{guest.state}, {age_s:.0f} s old"
    return f"{age_s:.0f} s old" if age_s > FRESH_S else ""


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _sentence(phrase: str) -> str:
    """An error's phrase as a sentence."""
    phrase = phrase.strip()
    return f"{phrase[:1].upper()}{phrase[1:]}{'' if phrase.endswith('.') else '.'}" if phrase else ""
