"""Growth as a leak has it: on and on, from its lowest points up, without slowing down.

A trend alone does not tell: a cache that fills rises as well, but ever slower, and a load that swings comes back to where it
was. So the growth is followed back for as long as the floor (the lowest point of each stretch of time) kept rising, and its
two halves are compared.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from memtui_profiler.diagnosis.trend import Trend, looks_before, pace, recent_trend, trend_of

# Long enough for some garbage to come and go, and for a cache of the common kind to show that it slows down.
MIN_GROWTH_S = 59.0
_WINDOWS_S = tuple(60.0 * 2**n for n in range(12))  # to one and a half days
_QUARTERS = 4
# How many stretches back growth is followed, and how many the floor is compared with.
_FOLLOWED = 5 * _QUARTERS
_COMPARED = 10 * _QUARTERS
_STEADY = 0.8
# A leak stays one while its figures are but a little worse: a verdict that comes and goes says nothing.
_STILL_STEADY = 0.6
_REMEMBERED_S = 30.0


class Growth(NamedTuple):
    """Growth with a sure upward ``trend`` that has gone on for ``lasts_s`` at least, by about ``grown_bytes``.

    ``floors`` are the lowest points of the last stretches of ``stretch_s`` each, oldest first. ``early`` and ``late`` are the
    slopes of both halves of the growth in bytes per second. ``steady``: as a leak grows, and for long enough.
    """

    trend: Trend
    lasts_s: float
    grown_bytes: int
    early: float
    late: float
    stretch_s: float
    floors: tuple[int, ...]
    steady: bool

    @property
    def slows(self) -> bool:
        return self.late < _STEADY * self.early


def lasting_growth(at_s: Sequence[float], sizes: Sequence[int]) -> Growth | None:
    """The present growth of a series as recent_trend() takes it; None where it does not surely grow."""
    counts = list(looks_before(at_s, _REMEMBERED_S))
    if not counts:
        return None
    at_s, sizes = at_s[: counts[0]], sizes[: counts[0]]
    growth = _steady(at_s, sizes, begun=True)
    if growth and any(_steady(at_s[:count], sizes[:count]) for count in counts):
        return growth
    trend = recent_trend(at_s, sizes)
    if trend is None or not trend.sure or trend.slope <= 0:
        return None
    return _measured(at_s, sizes, trend, trend.span_s, None)


def _steady(at_s: Sequence[float], sizes: Sequence[int], *, begun: bool = False) -> Growth | None:
    """The growth in the shortest window where it goes on as a leak does; ``begun``: it may have been found to do so before."""
    span_s = at_s[-1] - at_s[0] if at_s else 0.0
    if span_s < MIN_GROWTH_S:
        return None
    for window_s in _WINDOWS_S:
        floors = _floors(at_s, sizes, min(window_s, span_s) / _QUARTERS)
        # The cheap test first: most series without a leak have no rising floor.
        if _lifted(floors) if begun else _lifts(floors):
            trend = trend_of(at_s, sizes, window_s)
            if trend is not None and trend.slope > 0 and (trend.sure or begun):
                share = _STILL_STEADY if begun else _STEADY
                growth = _measured(at_s, sizes, trend, min(window_s, span_s), share)
                if growth.steady:
                    return growth
        if window_s >= span_s:
            break
    return None


def _lifts(floors: Sequence[int]) -> bool:
    """Whether the last floors rise one by one, and the middle of that growth lies above all floors before it.

    So a sawtooth is no growth once it has come back from its first peak, however long its teeth are.
    """
    rising = _rising(floors)
    begin, end = floors[-rising], floors[-1]
    return rising >= _QUARTERS and max(floors[:-rising], default=begin) <= (begin + end) / 2


def _lifted(floors: Sequence[int]) -> bool:
    return len(floors) >= _QUARTERS and floors[-1] >= floors[-2] and floors[-1] > floors[-_QUARTERS]


def _measured(
    at_s: Sequence[float], sizes: Sequence[int], trend: Trend, window_s: float, share: float | None
) -> Growth:
    """The figures of a growth. ``share`` None: it is too short, or too unsure, to count as steady whatever its pace."""
    stretch_s = window_s / _QUARTERS
    floors = _floors(at_s, sizes, stretch_s)
    rising = _rising(floors)
    lasts_s = min(max(rising, _QUARTERS) * stretch_s, at_s[-1] - at_s[0])
    first = bisect_left(at_s, at_s[-1] - lasts_s)
    middle = bisect_left(at_s, at_s[-1] - lasts_s / 2)
    early, late = pace(at_s[first:middle], sizes[first:middle]), pace(at_s[middle:], sizes[middle:])
    return Growth(
        trend=trend,
        lasts_s=lasts_s,
        grown_bytes=max(0, int(trend.slope * lasts_s)),
        early=early,
        late=late,
        stretch_s=stretch_s,
        floors=tuple(floors[-_QUARTERS:]),
        steady=share is not None and late >= share * early,
    )


def _floors(at_s: Sequence[float], sizes: Sequence[int], stretch_s: float) -> list[int]:
    """The lowest point of each of the last stretches, oldest first, as far back as each has one."""
    floors: list[int] = []
    end = len(at_s)
    for number in range(1, _COMPARED + 1):
        begin = bisect_left(at_s, at_s[-1] - number * stretch_s - 1e-6, 0, end)
        if begin == end:
            break
        floors.append(min(sizes[begin:end]))
        end = begin
    return floors[::-1]


def _rising(floors: Sequence[int]) -> int:
    """The number of last floors that each lie above the one before."""
    count = 1
    while count < min(len(floors), _FOLLOWED) and floors[-count] > floors[-count - 1]:
        count += 1
    return count
