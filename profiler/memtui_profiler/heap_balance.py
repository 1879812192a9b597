"""Where the resident memory of a process is, look by look: in use, kept free, on partly used pages, outside the heap.

The allocator counts address space, the kernel counts pages. What the allocator counts beyond the anonymous memory that is
resident was never touched, or is in swap; no figure tells in which of its parts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from memtui_profiler.diagnosis_values import DiagnosisInput

LOOK_BACK_S = 180.0
# Looks further from the newest sample of RSS than some of their own spacings say nothing of now.
_FRESH_S = 10.0
_FRESH_SPACINGS = 4
# How far an RSS sample may lie from the look it goes with.
_APART_S = 2.5
MEDIAN_S = 10.0
MEDIAN_LOOKS = 3
# So many looks it takes to say that something has been so all the time, in a process that allocates the more.
_HOLD_LOOKS, _BUSY_LOOKS = 4, 10


class Balance(NamedTuple):
    """One look, or the medians of some.

    Of the ``free_counted_bytes`` that the allocator counts, ``free_bytes`` are resident for certain, ``free_at_most_bytes`` at
    the most. ``shared_bytes`` is file and shmem, ``unknown_bytes`` the anonymous memory that the allocator does not know.
    ``missing_bytes``: what the allocator counts that is not resident.
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
    """The looks of the last minutes, oldest first; empty where the allocator was not asked lately."""
    looks = facts.allocator
    if len(looks) < MEDIAN_LOOKS or len(facts.anon_bytes) != len(facts.at_s) or not facts.at_s:
        return []
    spacing_s = (looks[-1].at_s - looks[-MEDIAN_LOOKS].at_s) / (MEDIAN_LOOKS - 1)
    if facts.at_s[-1] - looks[-1].at_s > max(_FRESH_S, _FRESH_SPACINGS * spacing_s):
        return []
    found: list[Balance] = []
    for look in looks:
        if look.at_s < looks[-1].at_s - LOOK_BACK_S:
            continue
        place = _nearest(facts.at_s, look.at_s)
        if abs(facts.at_s[place] - look.at_s) > _APART_S:
            continue
        rss, anon = facts.rss_bytes[place], facts.anon_bytes[place]
        in_use, free, metadata = max(0, look.in_use_bytes), max(0, look.free_bytes), max(0, look.metadata_bytes)
        central, transfer = max(0, look.central_bytes), max(0, look.transfer_bytes)
        thread = max(0, look.thread_bytes)
        cached = central + transfer + thread
        counted = in_use + free + cached + metadata
        missing = max(0, counted - anon)
        balance = Balance(
            at_s=look.at_s,
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
            released_bytes=look.released_bytes,
        )
        found.append(balance)
    return found


def typical(looks: Sequence[Balance]) -> Balance:
    """The medians of the last ten seconds, each figure for itself; of three looks at least where there are so many."""
    recent = _last(looks, len(looks) - 1, MEDIAN_S)
    return Balance(looks[-1].at_s, *(int(median(figures)) for figures in list(zip(*recent, strict=True))[1:]))


def idle_s(looks: Sequence[Balance]) -> float:
    """For how long up to the last look every figure of the allocator has stayed the same to the byte.

    What was freed and taken again between two looks, alike, is not seen.
    """
    last, since_s = looks[-1], looks[-1].at_s
    for look in reversed(looks):
        if _figures(look) != _figures(last):
            break
        since_s = look.at_s
    return last.at_s - since_s


def _figures(look: Balance) -> tuple[int, ...]:
    return (
        look.in_use_bytes,
        look.free_counted_bytes,
        look.central_bytes,
        look.transfer_bytes,
        look.thread_bytes,
        look.released_bytes,
    )


def freed_bytes(looks: Sequence[Balance]) -> int:
    """At least so much was freed as whole pages from look to look: what the rate counts."""
    pages = [look.free_counted_bytes + look.released_bytes for look in looks]
    return sum(max(0, after - before) for before, after in pairwise(pages))


def persists(
    looks: Sequence[Balance],
    part: Callable[[Balance], int],
    *,
    on_share: float,
    off_share: float,
    least_bytes: int,
    hold_s: float,
    busy_hold_s: float,
) -> bool:
    """Whether a part of RSS is large, and has been at each look for a while: a share that swings by is none.

    It has to be larger to become so (``on_share``, for ``hold_s`` in an idle process and ``busy_hold_s`` in one that
    allocates) than to stay so (``off_share``), so that two looks do not differ for nothing. What came and went before, and
    not because it was given back, has to stay for twice as long as it did then.
    """
    on, since, longest_s = False, -1, 0.0
    for place, look in enumerate(looks):
        share, least = (off_share, 0.75 * least_bytes) if on else (on_share, least_bytes)
        if part(look) >= max(share * look.rss_bytes, least):
            since = place if since < 0 else since
        elif since >= 0:
            stayed_s = looks[place - 1].at_s - looks[since].at_s
            given_back = look.released_bytes - looks[place - 1].released_bytes >= least_bytes
            on, since, longest_s = False, -1, longest_s if given_back else max(longest_s, stayed_s)
        if on or since < 0 or place < MEDIAN_LOOKS - 1:
            continue
        spacing_s = (look.at_s - looks[place - MEDIAN_LOOKS + 1].at_s) / (MEDIAN_LOOKS - 1)
        needed_s = max(hold_s, _HOLD_LOOKS * spacing_s)
        recent = _last(looks, place, needed_s)
        if idle_s(recent) < recent[-1].at_s - recent[0].at_s:
            needed_s = max(busy_hold_s, _BUSY_LOOKS * spacing_s)
        on = look.at_s - looks[since].at_s >= max(needed_s, 2 * longest_s) - 1.5 * spacing_s
    return on


def _last(looks: Sequence[Balance], place: int, seconds: float) -> Sequence[Balance]:
    """Those up to ``place`` within its last seconds, three at least."""
    first = place
    while first > 0 and (looks[first - 1].at_s >= looks[place].at_s - seconds or place - first < MEDIAN_LOOKS - 1):
        first -= 1
    return looks[first : place + 1]


def _nearest(at_s: Sequence[float], wanted_s: float) -> int:
    after = bisect_left(at_s, wanted_s)
    if after == 0:
        return 0
    if after == len(at_s):
        return after - 1
    return after if at_s[after] - wanted_s < wanted_s - at_s[after - 1] else after - 1
