"""The movement of RSS, and of any series alone: it rises, falls, levels off or stays."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from memtui_profiler.actions import Action
from memtui_profiler.diagnosis.reports import by_stack
from memtui_profiler.diagnosis.trend import MIN_SPAN_S, SURE_SCORE, Trend, recent_trend, trend_of
from memtui_profiler.diagnosis.values import Diagnosis, DiagnosisInput, Verdict
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.words import rate_words, size_words

# A series is level while it keeps within this band. Wider swings are judged once they could have repeated.
LEVEL_SHARE = 0.05
LEVEL_BYTES = 16 << 20
WIDE_SPAN_S = 59.0
# A small process may move by a large share of its memory within that band: it does not "stay" then.
_WIDE_SHARE = 0.15
_LEANS_SCORE = 2.5
_LEANS_BYTES = 2 << 20
# How long the end of a rise is worth a word.
NEWS_S = 300.0


def rss_diagnosis(facts: DiagnosisInput, in_use: str = "") -> Diagnosis:
    """The diagnosis of the movement of RSS. ``in_use`` is a clause on how much of a level RSS is in use, for the sentence's end."""
    trend = recent_trend(facts.at_s, facts.rss_bytes)
    if trend is None:
        span_s = facts.at_s[-1] - facts.at_s[0] if facts.at_s else 0.0
        so_far = f"{span_s:.0f} s of samples"
        sentence = f"{so_far}; a verdict on growth takes {MIN_SPAN_S:.0f} s or more"
        evidence: tuple[str, ...] = (f"{len(facts.at_s)} samples so far",)
        return Diagnosis(Verdict.LOOKING, sentence, evidence=evidence, shorter=(f"{so_far} so far",))
    evidence = _evidence(facts, trend)
    if not trend.sure:
        return _level_diagnosis(facts, trend, evidence, in_use)
    if trend.slope <= 0:
        return Diagnosis(Verdict.FALLING, _trend_words(trend), evidence=evidence)
    if facts.not_asked:
        evidence += (f"how much of it is in use, and how much is kept, is not known: {facts.not_asked}",)
    if facts.no_check:
        evidence += (f"no check can name what grows: {facts.no_check}",)
    action, words = _finding_the_leak(facts)
    more = Action.ASK if facts.can.ask else None
    rate = _trend_words(trend)
    growing = Diagnosis(Verdict.GROWING, rate, action, words, evidence, (rate,), more)
    return by_stack(facts, growing, rate)


def _finding_the_leak(facts: DiagnosisInput) -> tuple[Action | None, str]:
    if not facts.can.launch:
        return None, ""
    if facts.mode == CHECK_OFF and facts.no_check:
        return None, ""
    if facts.mode == CHECK_OFF:
        return Action.CHOOSE_CHECK, "choose a check that names what leaks"
    return Action.STOP, "stop, for the report at exit"


def _trend_words(trend: Trend) -> str:
    return f"{signed_words(trend.slope)} over {trend.span_s:.0f} s"


def _level_diagnosis(facts: DiagnosisInput, trend: Trend, evidence: tuple[str, ...], in_use: str) -> Diagnosis:
    now, now_s = facts.rss_bytes[-1], facts.at_s[-1]
    level_from_s, spread_bytes = level_part(facts.at_s, facts.rss_bytes)
    level_s = now_s - level_from_s
    if trend.span_s < WIDE_SPAN_S and _leans(facts, level_s, spread_bytes):
        rate = f"RSS {_trend_words(trend)}"
        sentence = f"{rate}; whether that goes on is not clear yet"
        return Diagnosis(Verdict.LOOKING, sentence, evidence=evidence, shorter=(rate,))
    if level_s < MIN_SPAN_S:
        recent = facts.rss_bytes[bisect_left(facts.at_s, now_s - trend.span_s) :]
        moves = f"RSS moves between {size_words(min(recent))} and {size_words(max(recent))}"
        verdict = Verdict.LOOKING
        if trend.span_s < WIDE_SPAN_S:
            sentence = f"{moves}; a verdict on such swings takes {WIDE_SPAN_S:.0f} s"
        elif abs(trend.score) >= SURE_SCORE:
            sentence = f"{moves}; whether that goes on is not clear yet"
        else:
            verdict, sentence = Verdict.LEVEL, f"{moves}, with no trend in {trend.span_s:.0f} s"
        return Diagnosis(verdict, sentence, evidence=evidence, shorter=(moves,))
    within = f", within {size_words(spread_bytes)}" if spread_bytes else ""
    stays = f"stays at {size_words(now)}{within} for {level_s:.0f} s"
    short = f"RSS stays at {size_words(now)} for {level_s:.0f} s"
    if rise := rise_before(facts.at_s, facts.rss_bytes, level_from_s, spread_bytes):
        sentence = f"RSS rose by {size_words(rise)} and {stays}"
        return Diagnosis(Verdict.LEVELS_OFF, sentence, evidence=evidence, shorter=(short,))
    if spread_bytes > _WIDE_SHARE * now:
        stays = f"moved within {size_words(spread_bytes)} for {level_s:.0f} s, and is {size_words(now)}"
        short = f"RSS is {size_words(now)}"
    return Diagnosis(Verdict.LEVEL, f"RSS {stays}{in_use}", evidence=evidence, shorter=(f"RSS {stays}", short))


def _leans(facts: DiagnosisInput, level_s: float, spread_bytes: int) -> bool:
    """Whether most of a narrow band was crossed one way: too little to call it a trend, too much to call it level."""
    trend = trend_of(facts.at_s, facts.rss_bytes, level_s)
    if trend is None or abs(trend.score) < _LEANS_SCORE:
        return False
    return abs(trend.slope) * trend.span_s >= max(_LEANS_BYTES, spread_bytes / 2)


def level_part(at_s: Sequence[float], sizes: Sequence[int]) -> tuple[float, int]:
    """The time since when a series has kept within a narrow band, and the width of its swings in that time, in bytes."""
    low = high = sizes[-1]
    band = max(LEVEL_BYTES, int(LEVEL_SHARE * high))
    since_s = at_s[-1]
    for at, size in zip(reversed(at_s), reversed(sizes), strict=True):
        if max(high, size) - min(low, size) > band:
            break
        low, high, since_s = min(low, size), max(high, size), at
    return since_s, high - low


def rise_before(at_s: Sequence[float], sizes: Sequence[int], level_from_s: float, spread_bytes: int) -> int:
    """The bytes by which a series rose to its present level; 0 where it did not by much, or where that is no news any more."""
    now, now_s = sizes[-1], at_s[-1]
    level_s = now_s - level_from_s
    # A rise long past (every program's start) is no news.
    news_from_s = now_s - max(NEWS_S, 2 * level_s) if level_s < NEWS_S else level_from_s
    before = [size for at, size in zip(at_s, sizes, strict=True) if news_from_s <= at < level_from_s]
    rise = now - min(before, default=now)
    return rise if rise > max(4 * spread_bytes, now // 4) else 0


def _evidence(facts: DiagnosisInput, trend: Trend) -> tuple[str, ...]:
    lines = [
        f"RSS: median slope {signed_words(trend.slope)} over {trend.span_s:.0f} s (Theil-Sen over medians)",
        f"Mann-Kendall score {trend.score:+.1f}: beyond {SURE_SCORE} either way is no accident",
        f"RSS moved within {size_words(trend.spread_bytes)} in that time",
    ]
    anon = recent_trend(facts.at_s, facts.anon_bytes) if len(facts.anon_bytes) == len(facts.at_s) else None
    if anon is not None:
        lines.append(f"anonymous memory (heap and stacks): {signed_words(anon.slope)} over {anon.span_s:.0f} s")
        if trend.sure and trend.slope > 0 and not (anon.sure and anon.slope > 0):
            lines.append(
                "the growth is not in anonymous memory: files or shared memory are mapped in, no leak of the heap"
            )
    return tuple(lines)


def signed_words(bytes_per_s: float) -> str:
    return f"{'-' if bytes_per_s < 0 else '+'}{rate_words(abs(bytes_per_s))}"
