"""What the movement of RSS says, and that of any series alone: rises, falls, levels off, stays."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from memtui_profiler.diagnosis_values import Diagnosis, DiagnosisInput, Verdict
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.trend import MIN_SPAN_S, SURE_SCORE, Trend, recent_trend, trend_of
from memtui_profiler.words import size_words

# Level is what keeps within this band; what does not is judged once its swings could have repeated.
LEVEL_SHARE = 0.05
LEVEL_BYTES = 16 << 20
WIDE_SPAN_S = 59.0
_LEANS_SCORE = 2.5
_LEANS_BYTES = 2 << 20
# How long the end of a rise is worth a word.
NEWS_S = 300.0


def of_rss(facts: DiagnosisInput, in_use: str = "") -> Diagnosis:
    """``in_use``: how much of a level RSS is in use, as a clause to end the sentence with."""
    trend = recent_trend(facts.at_s, facts.rss_bytes)
    if trend is None:
        known_s = facts.at_s[-1] - facts.at_s[0] if facts.at_s else 0.0
        known = f"{known_s:.0f} s of samples"
        sentence = f"{known}; a verdict on growth takes {MIN_SPAN_S:.0f} s or more"
        return Diagnosis(
            Verdict.LOOKING, sentence, evidence=(f"{len(facts.at_s)} samples so far",), shorter=(f"{known} so far",)
        )
    rate = rate_words(trend)
    evidence = trend_evidence(facts, trend)
    if trend.sure and trend.slope > 0:
        if facts.not_asked:
            evidence += (f"how much of it is in use, and how much is kept, is not known: {facts.not_asked}",)
        if not facts.can.launch:
            return Diagnosis(Verdict.GROWING, rate, evidence=evidence)
        if facts.mode == CHECK_OFF:
            return Diagnosis(Verdict.GROWING, rate, "m", "choose a check that names what leaks", evidence)
        return Diagnosis(Verdict.GROWING, rate, "t", "stop, for the report at exit", evidence)
    if trend.sure:
        return Diagnosis(Verdict.FALLING, rate, evidence=evidence)
    return _of_level(facts, trend, evidence, in_use)


def rate_words(trend: Trend) -> str:
    return f"{'+' if trend.slope > 0 else '-'}{size_words(abs(trend.slope))}/s over {trend.span_s:.0f} s"


def _of_level(facts: DiagnosisInput, trend: Trend, evidence: tuple[str, ...], in_use: str) -> Diagnosis:
    now, now_s = facts.rss_bytes[-1], facts.at_s[-1]
    level_from_s, spread_bytes = level_part(facts.at_s, facts.rss_bytes)
    level_s = now_s - level_from_s
    if trend.span_s < WIDE_SPAN_S and _leans(facts, level_s, spread_bytes):
        rate = f"RSS {rate_words(trend)}"
        sentence = f"{rate}; whether that goes on is not clear yet"
        return Diagnosis(Verdict.LOOKING, sentence, evidence=evidence, shorter=(rate,))
    if level_s < MIN_SPAN_S:
        low_bytes, high_bytes = _extremes(facts, trend.span_s)
        moves = f"RSS moves between {size_words(low_bytes)} and {size_words(high_bytes)}"
        if trend.span_s < WIDE_SPAN_S:
            sentence = f"{moves}; a verdict on such swings takes {WIDE_SPAN_S:.0f} s"
            return Diagnosis(Verdict.LOOKING, sentence, evidence=evidence, shorter=(moves,))
        if abs(trend.score) >= SURE_SCORE:
            sentence = f"{moves}; whether that goes on is not clear yet"
            return Diagnosis(Verdict.LOOKING, sentence, evidence=evidence, shorter=(moves,))
        sentence = f"{moves}, with no trend in {trend.span_s:.0f} s"
        return Diagnosis(Verdict.LEVEL, sentence, evidence=evidence, shorter=(moves,))
    within = f", within {size_words(spread_bytes)}" if spread_bytes else ""
    still = f"stays at {size_words(now)}{within} for {level_s:.0f} s"
    short = f"stays at {size_words(now)} for {level_s:.0f} s"
    if rise := rise_before(facts.at_s, facts.rss_bytes, level_from_s, spread_bytes):
        sentence = f"RSS rose by {size_words(rise)} and {still}"
        return Diagnosis(Verdict.LEVELS_OFF, sentence, evidence=evidence, shorter=(f"RSS {short}",))
    return Diagnosis(Verdict.LEVEL, f"RSS {still}{in_use}", evidence=evidence, shorter=(f"RSS {still}", f"RSS {short}"))


def _extremes(facts: DiagnosisInput, span_s: float) -> tuple[int, int]:
    recent = facts.rss_bytes[bisect_left(facts.at_s, facts.at_s[-1] - span_s) :]
    return min(recent), max(recent)


def _leans(facts: DiagnosisInput, level_s: float, spread_bytes: int) -> bool:
    """Whether most of a narrow band was crossed one way: too little to call it a trend, too much to call it level."""
    trend = trend_of(facts.at_s, facts.rss_bytes, level_s)
    if trend is None or abs(trend.score) < _LEANS_SCORE:
        return False
    return abs(trend.slope) * trend.span_s >= max(_LEANS_BYTES, spread_bytes / 2)


def level_part(at_s: Sequence[float], sizes: Sequence[int]) -> tuple[float, int]:
    """Since when a series has kept within a narrow band, and how wide it went in that time, in bytes."""
    low = high = sizes[-1]
    band = max(LEVEL_BYTES, int(LEVEL_SHARE * high))
    since_s = at_s[-1]
    for at, size in zip(reversed(at_s), reversed(sizes), strict=True):
        if max(high, size) - min(low, size) > band:
            break
        low, high, since_s = min(low, size), max(high, size), at
    return since_s, high - low


def rise_before(at_s: Sequence[float], sizes: Sequence[int], level_from_s: float, spread_bytes: int) -> int:
    """By how much a series rose to where it is level now; 0 where it did not by much, or where that is no news any more."""
    now, now_s = sizes[-1], at_s[-1]
    level_s = now_s - level_from_s
    # A rise long past (every program's start) is no news.
    news_from_s = now_s - max(NEWS_S, 2 * level_s) if level_s < NEWS_S else level_from_s
    before = [size for at, size in zip(at_s, sizes, strict=True) if news_from_s <= at < level_from_s]
    rise = now - min(before, default=now)
    return rise if rise > max(4 * spread_bytes, now // 4) else 0


def trend_evidence(facts: DiagnosisInput, trend: Trend) -> tuple[str, ...]:
    said = [
        f"RSS: median slope {signed_words(trend.slope)}/s over {trend.span_s:.0f} s (Theil-Sen over medians)",
        f"Mann-Kendall score {trend.score:+.1f}: beyond {SURE_SCORE} either way is no accident",
        f"RSS moved within {size_words(trend.spread_bytes)} in that time",
    ]
    anon = recent_trend(facts.at_s, facts.anon_bytes) if len(facts.anon_bytes) == len(facts.at_s) else None
    if anon is not None:
        said.append(f"anonymous memory (heap and stacks): {signed_words(anon.slope)}/s over {anon.span_s:.0f} s")
        if trend.sure and trend.slope > 0 and not (anon.sure and anon.slope > 0):
            said.append(
                "the growth is not in anonymous memory: files or shared memory are mapped in, no leak of the heap"
            )
    return tuple(said)


def signed_words(bytes_per_s: float) -> str:
    return f"{'-' if bytes_per_s < 0 else '+'}{size_words(abs(bytes_per_s))}"
