"""The trend of a series by statistics that bursts and noise do not move.

The slope is Theil and Sen's: the median of the slopes between all pairs. Mann and Kendall's test tells whether there is one
(H. B. Mann, Econometrica 13, 1945; P. K. Sen, JASA 63, 1968). Both are over medians of equal stretches of time.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

MIN_SPAN_S = 15.0
WINDOWS_S = (60.0, 600.0, math.inf)
RATE_WINDOW_S = 10.0

_BUCKETS = 30  # 435 pairs: a millisecond
_MIN_BUCKETS = 8
# Neighbouring samples are alike, so the test's own bound for one false alarm in a hundred (2.6) would be too low.
SURE_SCORE = 3.9
_LIKELY_SCORE = 2.5
# How long a sure trend stays sure while it is only likely.
REMEMBERED_S = 15.0
LOOK_EVERY_S = 5.0
# A process at rest moves by this: counters of RSS are kept per CPU and off by some MiB (FACTS.md).
_MIN_CHANGE_BYTES = 2 << 20
_MIN_CHANGE_SHARE = 0.005
_STILL_RISING = 0.3


@dataclass(frozen=True, slots=True)
class Trend:
    """The ``slope`` in bytes per second over the last ``span_s``, and the width of the movement there.

    ``score`` is Mann and Kendall's, in standard deviations. ``sure``: beyond what noise does, and still going on. ``likely``
    is less: enough for a trend that was sure a moment ago to go on, not for one to begin.
    """

    slope: float
    span_s: float
    score: float
    spread_bytes: int
    sure: bool
    likely: bool


def recent_trend(at_s: Sequence[float], sizes: Sequence[int]) -> Trend | None:
    """The trend at the last whole 5 s, in the shortest window that has a sure one, else in the shortest.

    None where too little is known. ``at_s`` rises; the spacing may differ (a long run coarse, its last minutes fine). At most
    some hundred points.
    """
    counts = list(looks_before(at_s, REMEMBERED_S))
    if not counts:
        return None
    shortest: Trend | None = None
    at_s, sizes = at_s[: counts[0]], sizes[: counts[0]]
    for window_s in WINDOWS_S:
        trend = trend_of(at_s, sizes, window_s)
        if trend is not None and trend.sure:
            return trend
        if trend is not None and trend.likely:
            before = (trend_of(at_s[:count], sizes[:count], window_s) for count in counts[1:])
            if any(one is not None and one.sure and one.slope * trend.slope > 0 for one in before):
                return replace(trend, sure=True)
        shortest = shortest or trend
        if at_s[-1] - at_s[0] <= window_s:
            break
    return shortest


def looks_before(at_s: Sequence[float], seconds: float) -> Iterator[int]:
    """The number of points up to each whole 5 s of the last ``seconds``, the newest first, while there are enough.

    A verdict that is made at these moments alone, and then holds while nothing speaks against it, does not come and go.
    """
    if not at_s or at_s[-1] - at_s[0] < MIN_SPAN_S:
        return
    look_s = math.floor(at_s[-1] / LOOK_EVERY_S) * LOOK_EVERY_S
    newest = bisect_right(at_s, look_s)
    if newest == 0 or at_s[newest - 1] - at_s[0] < MIN_SPAN_S:
        yield len(at_s)
        return
    while look_s > at_s[-1] - seconds and (count := bisect_right(at_s, look_s)):
        yield count
        look_s -= LOOK_EVERY_S


def growth_rate(at_s: Sequence[float], sizes: Sequence[int], window_s: float = RATE_WINDOW_S) -> float | None:
    """The slope in bytes per second over the last seconds, however unsure; None before 3 s are known."""
    times, values = _window(at_s, sizes, window_s)
    if len(times) < 3 or times[-1] - times[0] < min(3.0, window_s / 2):
        return None
    return pace(times, values)


def pace(at_s: Sequence[float], sizes: Sequence[float]) -> float:
    """The median slope of a whole series, in bytes per second; 0.0 where it has no two times."""
    if len(at_s) < 2:
        return 0.0
    return _slope(*_medians(at_s, sizes, min(len(at_s), 20)))


def trend_of(at_s: Sequence[float], sizes: Sequence[int], window_s: float) -> Trend | None:
    """The trend over the last ``window_s``; None where too little is known."""
    all_times, all_values = _window(at_s, sizes, window_s)
    if not all_times or all_times[-1] - all_times[0] < MIN_SPAN_S:
        return None
    times, values = _medians(all_times, all_values, _BUCKETS)
    if len(times) < _MIN_BUCKETS:
        return None
    slope, score = _slope(times, values), _score(values)
    span_s = all_times[-1] - all_times[0]
    change = abs(slope) * (times[-1] - times[0])
    noise = median(abs(v - values[0] - slope * (t - times[0])) for t, v in zip(times, values, strict=True))
    last_third = len(times) * 2 // 3
    later = _slope(times[last_third:], values[last_third:])
    goes_on = slope * score > 0 and later * slope > 0 and not _has_ended(all_times, all_values, slope)
    least = max(_MIN_CHANGE_BYTES, _MIN_CHANGE_SHARE * median(values))
    sure = (
        goes_on
        and abs(score) >= SURE_SCORE
        and change >= max(least, 2 * noise)
        and abs(later) >= _STILL_RISING * abs(slope)
    )
    likely = goes_on and abs(score) >= _LIKELY_SCORE and change >= max(least, noise)
    return Trend(slope, span_s, score, int(max(all_values) - min(all_values)), sure, likely)


def _has_ended(times: Sequence[float], values: Sequence[float], slope: float) -> bool:
    """Whether the last part is level where the slope would have moved it far: a rise that is over.

    The part is so long that a pause between two bursts does not count.
    """
    tail_s = max((times[-1] - times[0]) / 6, MIN_SPAN_S)
    tail = [v for t, v in zip(times, values, strict=True) if t >= times[-1] - tail_s]
    return abs(slope) * tail_s > 2 * (max(tail) - min(tail))


def _window(at_s: Sequence[float], sizes: Sequence[int], window_s: float) -> tuple[list[float], list[float]]:
    first = at_s[-1] - window_s if at_s else 0.0
    kept = [(t, float(v)) for t, v in zip(at_s, sizes, strict=True) if t >= first]
    return [t for t, _ in kept], [v for _, v in kept]


def _medians(times: Sequence[float], values: Sequence[float], count: int) -> tuple[list[float], list[float]]:
    """One point for each of ``count`` equal stretches of time that has any; the last time lies inside the last stretch."""
    width = (times[-1] - times[0]) / count or 1.0
    buckets: dict[int, tuple[list[float], list[float]]] = {}
    for t, v in zip(times, values, strict=True):
        bucket_times, bucket_values = buckets.setdefault(min(int((t - times[0]) / width), count - 1), ([], []))
        bucket_times.append(t)
        bucket_values.append(v)
    return [median(ts) for ts, _ in buckets.values()], [median(vs) for _, vs in buckets.values()]


def _slope(times: Sequence[float], values: Sequence[float]) -> float:
    slopes = [
        (values[j] - values[i]) / (times[j] - times[i])
        for i in range(len(times))
        for j in range(i + 1, len(times))
        if times[j] > times[i]
    ]
    return median(slopes) if slopes else 0.0


def _score(values: Sequence[float]) -> float:
    """Mann and Kendall's Z with ties counted: the distance of the number of rises over falls from that of chance."""
    n = len(values)
    s = sum((b > a) - (b < a) for i, a in enumerate(values) for b in values[i + 1 :])
    ties = Counter(values).values()
    variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)) / 18
    if s == 0 or variance <= 0:
        return 0.0
    return (s - math.copysign(1, s)) / math.sqrt(variance)
