"""What grows: memory in use, as a leak does or not, or another part of RSS.

Growth in use alone proves no leak: a cache that fills and a load that rises grow as well. So the sentence says what was seen,
and only growth that goes on for long without slowing down, or that a check has found lost, is called a leak.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from memtui_profiler.diagnosis_reports import growth_evidence
from memtui_profiler.diagnosis_rss import LEVEL_BYTES, level_part, rise_before, signed_words
from memtui_profiler.diagnosis_values import LOST_KINDS, Diagnosis, DiagnosisInput, Verdict
from memtui_profiler.heap_balance import Balance
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.steady_growth import MIN_GROWTH_S, Growth, lasting_growth
from memtui_profiler.trend import MIN_SPAN_S, Trend, pace, recent_trend, trend_of
from memtui_profiler.words import percent_words, short_function, size_words, span_words

# A check must find this share of the growth lost to prove that the growth is a leak.
_PROVES = 0.3
# A part of RSS grows when it has this share of all the growth.
_MOST = 0.5
_USED_SPAN_S = 10.0


class InUse(NamedTuple):
    """What was in use, as far back as is known."""

    at_s: Sequence[float]
    sizes: Sequence[int]


class Growing(NamedTuple):
    """``grown_bytes``: how much memory this is about so far. ``part``: what is said of the part that grows where it is large."""

    diagnosis: Diagnosis
    grown_bytes: int
    part: Verdict | None = None
    rate: str = ""


def in_use_of(facts: DiagnosisInput) -> InUse:
    first_s = facts.allocator[0].at_s if facts.allocator else float("inf")
    before = [(at, size) for at, size in facts.in_use_before if at < first_s]
    pairs = before + [(row.at_s, row.in_use_bytes) for row in facts.allocator]
    return InUse([at for at, _ in pairs], [size for _, size in pairs])


def of_in_use(facts: DiagnosisInput, in_use: InUse) -> Growing | None:
    """None while it does not surely grow."""
    growth = lasting_growth(in_use.at_s, in_use.sizes)
    if growth is None:
        return None
    lost = _found_lost(facts, growth)
    if growth.steady or lost:
        return Growing(_leak(facts, growth, lost), growth.grown_bytes)
    return Growing(_growing(facts, growth), growth.grown_bytes)


def _found_lost(facts: DiagnosisInput, growth: Growth) -> bool:
    """Whether two checks saw what is lost grow about as fast as what is in use does."""
    grown = facts.growth
    if grown is None or grown.kind not in LOST_KINDS or not grown.seconds:
        return False
    return grown.grown_bytes >= _PROVES * growth.trend.slope * grown.seconds


def _leak(facts: DiagnosisInput, growth: Growth, lost: bool) -> Diagnosis:
    over = facts.end is not None
    rate = f"in use {'grew' if over else 'grows'} {size_words(growth.trend.slope)}/s for {span_words(growth.lasts_s)}"
    tail = " before the end" if over else "" if lost else " and does not slow down"
    said = Diagnosis(Verdict.LEAK, rate + tail, evidence=_evidence(growth), shorter=(rate,))
    return _with_place(facts, said, rate)


def _growing(facts: DiagnosisInput, growth: Growth) -> Diagnosis:
    over = facts.end is not None
    grows = "grew" if over else "grows"
    rate = f"in use {grows} {size_words(growth.trend.slope)}/s for {span_words(growth.lasts_s)}"
    if growth.lasts_s < MIN_GROWTH_S:
        sentence = f"{rate}: a leak, or a cache that fills"
    elif growth.slows:
        rate = f"in use {grows} {size_words(max(0.0, growth.late))}/s, {size_words(growth.early)}/s before"
        sentence = f"{rate}: it slows down, as caches do when they fill"
    else:
        sentence = f"{rate}, with swings: a leak, or load that rises"
    return _with_place(facts, Diagnosis(Verdict.GROWING, sentence, evidence=_evidence(growth), shorter=(rate,)), rate)


def _with_place(facts: DiagnosisInput, said: Diagnosis, rate: str) -> Diagnosis:
    """The same with where it comes from, if reports tell, and the key that tells more."""
    key, words = _key(facts)
    said = replace(said, key=key, key_words=words)
    grown, report = facts.growth, facts.report
    if grown is not None and (grown.top_function or grown.top_location):
        if grown.kind in LOST_KINDS:
            share, head = "", "most lost from"
        else:
            share, head = f"{percent_words(grown.share)} of it ", "from"
        said = replace(said, evidence=said.evidence + growth_evidence(grown))
        return _placed(said, f"{rate}, {share}{head}", grown.top_function, grown.top_location)
    if report is not None and report.run == facts.run and report.place and report.kind in LOST_KINDS:
        return _placed(said, f"{rate}; most lost from", report.top_function, report.top_location)
    return said


def _placed(said: Diagnosis, head: str, function: str, location: str) -> Diagnosis:
    whole = " ".join(part for part in (head, function, location) if part)
    brief = " ".join(part for part in (head, short_function(function), location) if part)
    forms = [brief, f"{head} {location or short_function(function)}", *said.shorter]
    return replace(said, sentence=whole, shorter=tuple(form for form in forms if form != whole))


def _key(facts: DiagnosisInput) -> tuple[str | None, str]:
    report = facts.report
    if facts.growth is not None or (report is not None and report.run == facts.run and report.total_objects):
        return "1", "show"
    if facts.end is not None:
        return None, ""
    if facts.can.check:
        return "c", "check now"
    if facts.can.snapshot:
        return "s", "heap snapshot"
    if not facts.can.launch:
        return None, ""
    return ("m", "choose a check") if facts.mode == CHECK_OFF else ("t", "stop: report")


def _evidence(growth: Growth) -> tuple[str, ...]:
    trend = growth.trend
    floors = ", ".join(size_words(floor) for floor in growth.floors)
    said = [
        f"in use, by the allocator's own count: median slope {signed_words(trend.slope)}/s over {span_words(trend.span_s)} "
        "(Theil-Sen over medians)",
        f"Mann-Kendall score {trend.score:+.1f}",
        f"lowest points of the last stretches of {span_words(growth.stretch_s)}: {floors}",
        f"first half of the growth {signed_words(growth.early)}/s, second half {signed_words(growth.late)}/s",
    ]
    if not growth.steady:
        said.append(
            f"called a leak once it has gone on for {MIN_GROWTH_S + 1:.0f} s, its lowest points rise and it does not slow "
            "down, or once checks find it lost"
        )
    said.append("a cache that fills and a load that rises grow as well: what a check finds lost is proof, this is not")
    return tuple(said)


def of_rss_growth(facts: DiagnosisInput, looks: Sequence[Balance], in_use: InUse) -> Growing | None:
    """Growth of RSS where what is in use does not grow as surely: which part it is. None where RSS does not grow."""
    trend = recent_trend(facts.at_s, facts.rss_bytes)
    if trend is None or not trend.sure or trend.slope <= 0 or not looks:
        return None
    grown_bytes = int(trend.slope * trend.span_s)
    rate = f"+{size_words(trend.slope)}/s over {span_words(trend.span_s)}"
    first = bisect_left(in_use.at_s, facts.at_s[-1] - trend.span_s)
    used = pace(in_use.at_s[first:], in_use.sizes[first:])
    likely = trend_of(in_use.at_s, in_use.sizes, trend.span_s)
    evidence: tuple[str, ...] = (
        f"RSS: median slope {signed_words(trend.slope)}/s, in use {signed_words(used)}/s over {span_words(trend.span_s)}",
    )
    in_use_grows = used >= _MOST * trend.slope
    swings = likely is not None and not likely.likely
    if in_use.at_s[-1] - in_use.at_s[first] < _USED_SPAN_S or (in_use_grows and swings):
        said = Diagnosis(
            Verdict.GROWING, f"{rate}; which part of it grows is not clear yet", None, "", evidence, (rate,)
        )
        return Growing(said, grown_bytes)
    if in_use_grows:
        said = Diagnosis(Verdict.GROWING, f"{rate} of what is in use: a leak, or a cache that fills", shorter=(rate,))
        return Growing(_with_place(facts, replace(said, evidence=evidence), rate), grown_bytes)
    found = _growing_part(facts, looks, trend)
    if found is None:
        said = Diagnosis(Verdict.GROWING, f"{rate}, not of what is in use", evidence=evidence, shorter=(rate,))
        return Growing(said, grown_bytes)
    verdict, words, slope = found
    evidence += (f"{words}: {signed_words(slope)}/s",)
    key, key_words = ("x", "release") if verdict is Verdict.RETENTION and facts.can.release else (None, "")
    said = Diagnosis(
        Verdict.GROWING,
        f"{rate}, not of what is in use: {words}",
        key,
        key_words,
        evidence,
        (f"{rate}: {words}", rate),
    )
    return Growing(said, grown_bytes, verdict, f"{signed_words(slope)}/s")


def _growing_part(facts: DiagnosisInput, looks: Sequence[Balance], trend: Trend) -> tuple[Verdict, str, float] | None:
    """The part of RSS that most of its growth is of: its verdict, its name and its slope."""
    parts: tuple[tuple[Verdict, str, Callable[[Balance], int]], ...] = (
        (Verdict.RETENTION, f"free memory that {facts.allocator[-1].allocator} keeps", lambda b: b.free_counted_bytes),
        (Verdict.FRAGMENTATION, "free objects on partly used pages", lambda b: b.cached_bytes),
        (Verdict.OUTSIDE, _shared_words(facts), lambda b: b.shared_bytes),
        (Verdict.OUTSIDE, "stacks, mmap or another allocator", lambda b: b.unknown_bytes),
    )
    times = [look.at_s for look in looks if look.at_s >= looks[-1].at_s - trend.span_s]
    recent = looks[-len(times) :]
    slopes = [(pace(times, [part(look) for look in recent]), verdict, words) for verdict, words, part in parts]
    slope, verdict, words = max(slopes, key=lambda found: found[0])
    return (verdict, words, slope) if slope >= _MOST * trend.slope else None


def grows_too(part: Diagnosis, growing: Growing) -> Diagnosis:
    """What is said of a large part of RSS, with how fast it grows."""
    return replace(
        part,
        sentence=f"{part.sentence}, {growing.rate}",
        shorter=(*(f"{form}, {growing.rate}" for form in part.shorter), *part.shorter[-1:]),
        evidence=(*part.evidence, *growing.diagnosis.evidence),
    )


def _shared_words(facts: DiagnosisInput) -> str:
    """Whether files or shared memory grow, by the slower figures of the last minute."""
    rows = [row for row in facts.details if row.file_bytes is not None and row.shmem_bytes is not None]
    if len(rows) < MIN_SPAN_S / 2:
        return "files or shared memory"
    times = [row.at_s for row in rows]
    file = trend_of(times, [row.file_bytes or 0 for row in rows], 60.0)
    shmem = trend_of(times, [row.shmem_bytes or 0 for row in rows], 60.0)
    if file is None or shmem is None or file.sure == shmem.sure:
        return "files or shared memory"
    return "mapped files" if file.sure else "shared memory"


def of_levelled(in_use: InUse) -> Diagnosis | None:
    """What is in use rose by much and stays now; None where it did not."""
    if not in_use.at_s:
        return None
    level_from_s, spread_bytes = level_part(in_use.at_s, in_use.sizes)
    level_s = in_use.at_s[-1] - level_from_s
    rise = rise_before(in_use.at_s, in_use.sizes, level_from_s, spread_bytes)
    if level_s < MIN_SPAN_S or rise < LEVEL_BYTES:
        return None
    stays = f"stays at {size_words(in_use.sizes[-1])} for {span_words(level_s)}"
    within = f"it has kept within {size_words(spread_bytes)} since" if spread_bytes else "it has not changed since"
    return Diagnosis(
        Verdict.LEVELS_OFF,
        f"in use rose by {size_words(rise)} and {stays}",
        evidence=(f"in use, by the allocator's own count: {within}",),
        shorter=(f"in use {stays}",),
    )
