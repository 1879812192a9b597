"""The parts of a process's resident memory at each answer of its allocator: in use, kept free, on partly used pages, outside.

The allocator counts address space, the kernel counts pages. Memory that the allocator counts beyond the resident anonymous
memory was never touched, or is in swap; no figure tells in which of the parts it is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from memtui_profiler.diagnosis.values import DiagnosisInput

# Smaller parts are every program's: its libraries, its stacks, the allocator's first spans.
LEAST_BYTES = 32 << 20
HOLD_S = 10.0
# In a process that allocates, free memory counts once nobody has needed it for so long.
BUSY_HOLD_S = 20.0
MEDIAN_S = 10.0
MEDIAN_LOOKS = 3
_LOOK_BACK_S = 180.0
# An answer that is older than this, and than some spacings of the answers, says nothing about now.
_FRESH_S = 10.0
_FRESH_SPACINGS = 4
# How far an RSS sample may lie from the answer it goes with.
_APART_S = 2.5
# How many answers it takes to say that something was so all the time; more in a process that allocates.
_HOLD_LOOKS, _BUSY_LOOKS = 4, 10


class Balance(NamedTuple):
    """The parts of RSS at one answer of the allocator, or the medians of several.

    Of the ``free_counted_bytes`` that the allocator counts, at least ``free_bytes`` and at most ``free_at_most_bytes`` are
    resident. ``cached_bytes`` are free objects, as far as they can be resident. ``shared_bytes`` is file and shmem,
    ``unknown_bytes`` the anonymous memory that the allocator does not count, ``missing_bytes`` the memory that it counts and
    that is not resident.
    """

    at_s: float
    rss_bytes: int
    in_use_bytes: int
    free_bytes: int
    free_at_most_bytes: int
    free_counted_bytes: int
    cached_bytes: int
    central_bytes: int
    transfer_bytes: int
    thread_bytes: int
    metadata_bytes: int
    shared_bytes: int
    unknown_bytes: int
    missing_bytes: int
    released_bytes: int

    @property
    def outside_bytes(self) -> int:
        return self.shared_bytes + self.unknown_bytes


def balances(facts: DiagnosisInput) -> list[Balance]:
    """The balances of the last minutes, oldest first; empty where the allocator has not answered lately."""
    answers = facts.allocator
    if len(answers) < MEDIAN_LOOKS or len(facts.anon_bytes) != len(facts.at_s) or not facts.at_s:
        return []
    last_s = answers[-1].at_s
    spacing_s = (last_s - answers[-MEDIAN_LOOKS].at_s) / (MEDIAN_LOOKS - 1)
    if facts.at_s[-1] - last_s > max(_FRESH_S, _FRESH_SPACINGS * spacing_s):
        return []
    recent: list[Balance] = []
    for answer in answers:
        nearest = _nearest(facts.at_s, answer.at_s)
        if answer.at_s < last_s - _LOOK_BACK_S or abs(facts.at_s[nearest] - answer.at_s) > _APART_S:
            continue
        rss, anon = facts.rss_bytes[nearest], facts.anon_bytes[nearest]
        in_use, free, metadata = max(0, answer.in_use_bytes), max(0, answer.free_bytes), max(0, answer.metadata_bytes)
        central, transfer = max(0, answer.central_bytes), max(0, answer.transfer_bytes)
        thread = max(0, answer.thread_bytes)
        cached = central + transfer + thread
        counted = in_use + free + cached + metadata
        missing = max(0, counted - anon)
        balance = Balance(
            at_s=answer.at_s,
            rss_bytes=rss,
            in_use_bytes=in_use,
            free_bytes=max(0, free - missing),
            free_at_most_bytes=min(free, anon),
            free_counted_bytes=free,
            cached_bytes=min(cached, anon),
            central_bytes=central,
            transfer_bytes=transfer,
            thread_bytes=thread,
            metadata_bytes=metadata,
            shared_bytes=max(0, rss - anon),
            unknown_bytes=max(0, anon - counted),
            missing_bytes=missing,
            released_bytes=answer.released_bytes,
        )
        recent.append(balance)
    return recent


def typical(looks: Sequence[Balance]) -> Balance:
    """The median of each figure over the last ten seconds, and over three balances at least where there are so many."""
    recent = _last(looks, len(looks) - 1, MEDIAN_S)
    return Balance(looks[-1].at_s, *(int(median(figures)) for figures in list(zip(*recent, strict=True))[1:]))


def idle_s(looks: Sequence[Balance]) -> float:
    """The time for which every figure of the allocator has stayed the same to the byte, up to the last balance.

    Memory that is freed and taken again between two answers is not seen.
    """
    last, since_s = looks[-1], looks[-1].at_s
    for look in reversed(looks):
        if _figures(look) != _figures(last):
            break
        since_s = look.at_s
    return last.at_s - since_s


def _figures(look: Balance) -> tuple[int, ...]:
    sizes = look.in_use_bytes, look.free_counted_bytes, look.central_bytes, look.transfer_bytes
    return (*sizes, look.thread_bytes, look.released_bytes)


def freed_bytes(looks: Sequence[Balance]) -> int:
    """The least that was freed as whole pages in the time of ``looks``: what the release rate counts."""
    pages = [look.free_counted_bytes + look.released_bytes for look in looks]
    return sum(max(0, after - before) for before, after in pairwise(pages))


def persists(looks: Sequence[Balance], part: Callable[[Balance], int], *, on_share: float, off_share: float) -> bool:
    """Return whether a part of RSS is large and has been for a while: one that is large for a moment now and then is not.

    To become so it has to be larger (``on_share`` of RSS, for HOLD_S in an idle process and BUSY_HOLD_S in one that
    allocates) than to stay so (``off_share``), so that the verdict does not come and go. A part that came and went before,
    and not because it was given back, has to stay for twice as long as it did then.
    """
    on, since, longest_s = False, -1, 0.0
    for index, look in enumerate(looks):
        share, least = (off_share, 0.75 * LEAST_BYTES) if on else (on_share, LEAST_BYTES)
        if part(look) >= max(share * look.rss_bytes, least):
            since = index if since < 0 else since
        elif since >= 0:
            stayed_s = looks[index - 1].at_s - looks[since].at_s
            given_back = look.released_bytes - looks[index - 1].released_bytes >= LEAST_BYTES
            on, since, longest_s = False, -1, longest_s if given_back else max(longest_s, stayed_s)
        if on or since < 0 or index < MEDIAN_LOOKS - 1:
            continue
        spacing_s = (look.at_s - looks[index - MEDIAN_LOOKS + 1].at_s) / (MEDIAN_LOOKS - 1)
        needed_s = max(HOLD_S, _HOLD_LOOKS * spacing_s)
        recent = _last(looks, index, needed_s)
        if idle_s(recent) < recent[-1].at_s - recent[0].at_s:
            needed_s = max(BUSY_HOLD_S, _BUSY_LOOKS * spacing_s)
        on = look.at_s - looks[since].at_s >= max(needed_s, 2 * longest_s) - 1.5 * spacing_s
    return on


def _last(looks: Sequence[Balance], last: int, seconds: float) -> Sequence[Balance]:
    """The balances of the ``seconds`` up to the one of index ``last``, three at least."""
    first = last
    while first > 0 and (looks[first - 1].at_s >= looks[last].at_s - seconds or last - first < MEDIAN_LOOKS - 1):
        first -= 1
    return looks[first : last + 1]


def _nearest(at_s: Sequence[float], wanted_s: float) -> int:
    after = bisect_left(at_s, wanted_s)
    if after in (0, len(at_s)):
        return max(0, after - 1)
    return after if at_s[after] - wanted_s < wanted_s - at_s[after - 1] else after - 1
