"""The sentences of the Heap tab: why there are no figures, which allocator gives them and how old they are, and notes."""

from __future__ import annotations

from dataclasses import dataclass

from memtui.display.figures import brief, clock, show_rate
from memtui.display.keymap import ACTION_KEYS
from memtui.session.state import SessionState
from memtui.viewer.heap.breakdown import Breakdown, part_names
from memtui_parsers.clean_text import clean
from memtui_profiler.actions import Action
from memtui_profiler.region_kinds import RegionKind
from memtui_profiler.session.region_looks import region_words
from memtui_profiler.session.rows import RegionRow
from memtui_profiler.words import cost_words, percent_words

# Older figures are shown with their age.
FRESH_S = 3.0
# An allocator that has given no figures so long after the thread was ready has none.
SOON_S = 10.0
# A smaller part of RSS is not worth a name.
NAMED_SHARE = 0.02
_NOT_OUTSIDE = frozenset({RegionKind.HEAP.value, RegionKind.OTHER.value})

# For the tab bar: the state of the thread in the process, while there are no figures.
_STATES = {"waiting": "not asked yet", "refused": "refused", "off": "--no-guest", "busy": "busy", "gone": "gone"}


@dataclass(frozen=True, slots=True)
class Message:
    """Why there are no figures: a headline, sentences, and the key that can change it ('' for none)."""

    headline: str
    sentences: tuple[str, ...] = ()
    key: str = ""
    key_words: str = ""


def message(state: SessionState) -> Message:
    """Return why there are no figures of the newest run's allocator."""
    guest = state.heap.guest
    if state.run is None:
        return Message("No process yet.", ("Its figures come within a second of its start.",))
    if guest is not None and guest.state == "refused":
        again = ("enter", "asks again") if state.running else ("", "")
        return Message(_sentence(guest.what), (_sentence(guest.why), _sentence(guest.todo)), *again)
    if guest is not None and guest.state == "ready" and guest.why:
        release = ACTION_KEYS[Action.RELEASE].shown
        offer = (
            (release, "has it give free memory back") if state.running and state.heap.can(Action.RELEASE) else ("", "")
        )
        return Message(_sentence(guest.what), (_sentence(guest.why), _sentence(guest.todo)), *offer)
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
    """Return the allocator, its release rate and the age of its figures, for the tab bar."""
    newest, guest = state.heap.newest, state.heap.guest
    if state.identity.statistics:
        return state.heap.allocator
    if newest is None:
        if guest is not None and guest.state == "ready" and guest.why:
            return f"{guest.allocator}, no figures"
        return "" if guest is None else _STATES.get(guest.state, "")
    return " · ".join(filter(None, (state.heap.allocator, _beside(state, ""), _rate(state), _age(state))))


def headline(state: SessionState) -> str:
    """Return the same with the allocator's version and the duration of its answer, for the pane itself."""
    if (printed := state.printed) is not None:
        return f"{printed.allocator} · {printed.writer}"
    newest = state.heap.newest
    cost = "" if newest is None else f"answered in {cost_words(newest.cost_s)}"
    return " · ".join(filter(None, (state.allocator, _beside(state, state.allocator), _rate(state), _age(state), cost)))


def asides(state: SessionState, shown: Breakdown) -> list[str]:
    """Return what the table does not show: what is outside the heap, and what is not in RSS."""
    notes = []
    if (sample := state.detail) is not None and sample.file_bytes is not None:
        files, shared = sample.file_bytes, sample.shmem_bytes or 0
        rest = max(0, shown.parts[-1].size_bytes - files - shared)
        notes.append(f"outside: {brief(files)} files, {brief(shared)} shared, {brief(rest)} other")
    notes += mapped_notes(state)
    if (printed := state.printed) is not None:
        notes += printed.notes
    if shown.released_bytes:
        notes.append(
            f"{part_names(state.heap.allocator).released}: {brief(shown.released_bytes)} of address space, no memory"
        )
    if shown.elsewhere_bytes >= 1 << 20:
        more = brief(shown.elsewhere_bytes)
        name = state.heap.allocator.split()[0]
        notes.append(f"{name} counts {more} more: never touched, or given back without its knowing")
    return notes


def _beside(state: SessionState, named: str) -> str:
    """The allocators that these figures say nothing of, but those that are ``named`` already."""
    beside = clean(state.heap.beside, 60)
    return f"beside {beside}" if beside and beside not in named else ""


def mapped_notes(state: SessionState) -> list[str]:
    """Return what the newest look at the mappings names: parts that are no heap, and huge pages."""
    if not state.regions:
        return []
    look = state.regions[-1]
    least = NAMED_SHARE * look.whole.rss_bytes
    named = [
        _region_words(row, state)
        for row in look.regions
        if row.rss_bytes >= least and row.kind not in _NOT_OUTSIDE and (row.name or row.kind == RegionKind.STACKS.value)
    ]
    notes = [f"mapped: {', '.join(named[:3])} (M: all)"] if named else []
    if look.whole.huge_bytes >= least:
        share = percent_words(look.whole.huge_bytes / max(1, look.whole.rss_bytes))
        notes.append(f"{brief(look.whole.huge_bytes)} of RSS ({share}) in transparent huge pages")
    return notes


def _region_words(row: RegionRow, state: SessionState) -> str:
    words = f"{brief(row.rss_bytes)} {region_words(row)}"
    threads = state.detail.threads if state.detail is not None else None
    if row.kind == RegionKind.STACKS.value and threads is not None:
        words = f"{words} ({threads} threads, {brief(row.rss_bytes // max(1, row.mappings))} each)"
    return words


def _rate(state: SessionState) -> str:
    read = state.rate_read
    if read is None:
        return ""
    how = {"live": " live", "outside": ", changed from outside"}.get(read.how, "")
    return f"rate {show_rate(read.rate)}{how}"


def _age(state: SessionState) -> str:
    """The age of the figures where they are old, and why."""
    newest, guest = state.heap.newest, state.heap.guest
    if newest is None:
        return ""
    if not state.running:
        last = ", its last" if state.run is not None and state.run.ended else ""
        return f"at {clock(newest.at_s)}{last}"
    age_s = state.now_s - newest.at_s
    if guest is not None and guest.state in ("busy", "refused", "gone"):
        return f"{guest.state}, {age_s:.0f} s old"
    return f"{age_s:.0f} s old" if age_s > FRESH_S else ""


def _sentence(phrase: str) -> str:
    """The phrase of an error as a sentence."""
    phrase = phrase.strip()
    return f"{phrase[:1].upper()}{phrase[1:]}{'' if phrase.endswith('.') else '.'}" if phrase else ""
