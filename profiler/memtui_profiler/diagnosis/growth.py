"""The growth of memory in use, as a leak does it or not, or of another part of RSS.

Growth in use alone proves no leak: a cache that fills and a load that rises grow as well. So the sentence says what was seen,
and only growth that goes on for long without slowing down, or that a check has found lost, is called a leak.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from memtui_profiler.actions import Action
from memtui_profiler.diagnosis.balance import Balance
from memtui_profiler.diagnosis.regions import growing_region, mapped_evidence, more_threads_words
from memtui_profiler.diagnosis.reports import WATCH_WORDS, by_stack, growth_evidence, placed, share_words
from memtui_profiler.diagnosis.rss import LEVEL_BYTES, level_part, rise_before, signed_words
from memtui_profiler.diagnosis.steady_growth import MIN_GROWTH_S, Growth, lasting_growth
from memtui_profiler.diagnosis.trend import MIN_SPAN_S, Trend, pace, recent_trend, trend_of
from memtui_profiler.diagnosis.values import LOST_KINDS, Diagnosis, DiagnosisInput, Verdict
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.words import rate_words, size_words, span_words

# A check must find this share of the growth lost to prove that the growth is a leak.
_PROVES = 0.3
# A part of RSS grows when it has this share of all the growth.
_MOST = 0.5
_USED_SPAN_S = 10.0
_SHMEM_SPAN_S = 60.0


class InUse(NamedTuple):
    """The bytes in use over time, as far back as they are known."""

    at_s: Sequence[float]
    sizes: Sequence[int]


class Growing(NamedTuple):
    """A part of the memory that grows: the diagnosis, and the bytes that it has grown by so far.

    ``part`` is the verdict on the same part where it is large, None for memory in use; ``rate`` is its growth in words.
    """

    diagnosis: Diagnosis
    grown_bytes: int
    part: Verdict | None = None
    rate: str = ""


def in_use_series(facts: DiagnosisInput) -> InUse:
    first_s = facts.allocator[0].at_s if facts.allocator else float("inf")
    before = [(at, size) for at, size in facts.in_use_before if at < first_s]
    pairs = before + [(row.at_s, row.in_use_bytes) for row in facts.allocator]
    return InUse([at for at, _ in pairs], [size for _, size in pairs])


def in_use_growth(facts: DiagnosisInput, in_use: InUse) -> Growing | None:
    """The growth of memory in use; None while it does not surely grow."""
    growth = lasting_growth(in_use.at_s, in_use.sizes)
    if growth is None:
        return None
    over, lost = facts.end is not None, _is_found_lost(facts, growth)
    rate = f"in use {'grew' if over else 'grows'} {rate_words(growth.trend.slope)} for {span_words(growth.lasts_s)}"
    verdict = Verdict.GROWING
    if growth.steady or lost:
        verdict = Verdict.LEAK
        sentence = rate + (" before the end" if over else "" if lost else " and does not slow down")
    elif growth.lasts_s < MIN_GROWTH_S:
        sentence = f"{rate}: a leak, or a cache that fills"
    elif growth.slows:
        late, early = rate_words(max(0.0, growth.late)), rate_words(growth.early)
        rate = f"in use {'grew' if over else 'grows'} {late}, {early} before"
        sentence = f"{rate}: it slows down, as caches do when they fill"
    else:
        sentence = f"{rate}, with swings: a leak, or load that rises"
    diagnosis = Diagnosis(verdict, sentence, evidence=_evidence(growth), shorter=(rate,))
    return Growing(_with_place(facts, diagnosis, rate), growth.grown_bytes)


def _is_found_lost(facts: DiagnosisInput, growth: Growth) -> bool:
    """Whether two checks saw lost memory grow about as fast as memory in use does."""
    grown = facts.growth
    if grown is None or grown.kind not in LOST_KINDS or not grown.seconds:
        return False
    return grown.grown_bytes >= _PROVES * growth.trend.slope * grown.seconds


def _with_place(facts: DiagnosisInput, diagnosis: Diagnosis, rate: str) -> Diagnosis:
    """``diagnosis`` with the place in the program that the growth comes from, if reports tell, and the action that tells more."""
    action, words = _action(facts)
    diagnosis = replace(diagnosis, action=action, action_words=words)
    grown, report = facts.growth, facts.own_report
    if grown is not None and (grown.top_function or grown.top_location):
        head = f"{rate}, {share_words(grown)}"
        if grown.kind in LOST_KINDS:
            head = f"{rate}, most lost from"
        diagnosis = replace(diagnosis, evidence=diagnosis.evidence + growth_evidence(grown))
        return placed(diagnosis, head, grown.top_function, grown.top_location)
    if report is not None and (report.top_function or report.top_location) and report.kind in LOST_KINDS:
        return placed(diagnosis, f"{rate}; most lost from", report.top_function, report.top_location)
    return diagnosis


def _action(facts: DiagnosisInput) -> tuple[Action | None, str]:
    if facts.growth is not None or (facts.own_report is not None and facts.own_report.total_objects):
        return Action.SHOW_LEAKS, "show"
    if facts.end is not None:
        return None, ""
    if facts.can.check:
        return Action.CHECK, "check now"
    if facts.can.snapshot:
        return Action.SNAPSHOT, "heap snapshot"
    if facts.can.watch:
        return Action.SNAPSHOT, WATCH_WORDS
    if not facts.can.launch or (facts.mode == CHECK_OFF and facts.no_check):
        return None, ""
    return (Action.CHOOSE_CHECK, "choose a check") if facts.mode == CHECK_OFF else (Action.STOP, "stop: report")


def _evidence(growth: Growth) -> tuple[str, ...]:
    trend = growth.trend
    floors = ", ".join(size_words(floor) for floor in growth.floors)
    doubt = (
        f"called a leak once it has gone on for {MIN_GROWTH_S + 1:.0f} s, its lowest points rise and it does not slow down, or "
        "once checks find it lost"
    )
    return (
        f"in use, by the allocator's own count: median slope {signed_words(trend.slope)} over {span_words(trend.span_s)} "
        "(Theil-Sen over medians)",
        f"Mann-Kendall score {trend.score:+.1f}",
        f"lowest points of the last stretches of {span_words(growth.stretch_s)}: {floors}",
        f"first half of the growth {signed_words(growth.early)}, second half {signed_words(growth.late)}",
        *(() if growth.steady else (doubt,)),
        "a cache that fills and a load that rises grow as well: what a check finds lost is proof, this is not",
    )


def rss_growth(facts: DiagnosisInput, looks: Sequence[Balance], in_use: InUse) -> Growing | None:
    """The growth of RSS by its part, where memory in use does not grow as surely; None where RSS does not grow."""
    trend = recent_trend(facts.at_s, facts.rss_bytes)
    if trend is None or not trend.sure or trend.slope <= 0:
        return None
    grown_bytes = int(trend.slope * trend.span_s)
    rate = f"+{rate_words(trend.slope)} over {span_words(trend.span_s)}"
    first = bisect_left(in_use.at_s, facts.at_s[-1] - trend.span_s)
    used_slope = pace(in_use.at_s[first:], in_use.sizes[first:])
    used_trend = trend_of(in_use.at_s, in_use.sizes, trend.span_s)
    span = span_words(trend.span_s)
    evidence = (f"RSS: median slope {signed_words(trend.slope)}, in use {signed_words(used_slope)} over {span}",)
    growing = Diagnosis(Verdict.GROWING, rate, evidence=evidence, shorter=(rate,))
    in_use_grows = used_slope >= _MOST * trend.slope
    swings = used_trend is not None and not used_trend.likely
    if in_use.at_s[-1] - in_use.at_s[first] < _USED_SPAN_S or (in_use_grows and swings):
        return Growing(replace(growing, sentence=f"{rate}; which part of it grows is not clear yet"), grown_bytes)
    if in_use_grows:
        growing = replace(growing, sentence=f"{rate} of what is in use: a leak, or a cache that fills")
        return Growing(_with_place(facts, growing, rate), grown_bytes)
    part = _growing_part(facts, looks, trend)
    if part is None:
        growing = replace(growing, sentence=f"{rate}, not of what is in use")
        return Growing(by_stack(facts, growing, rate), grown_bytes)
    verdict, name, slope = part
    region = growing_region(facts, trend) if verdict is Verdict.OUTSIDE else ""
    more = more_threads_words(facts) if verdict is Verdict.OUTSIDE and not region else ""
    name = region or (f"{name}; {more}" if more else name)
    releases = verdict is Verdict.RETENTION and facts.can.release
    growing = Diagnosis(
        Verdict.GROWING,
        f"{rate}, most of it {region}" if region else f"{rate}, not of what is in use: {name}",
        Action.RELEASE if releases else None,
        "release" if releases else "",
        (*evidence, f"{name}: {signed_words(slope)}", *(mapped_evidence(facts) if region else ())),
        (f"{rate}: {name.partition(':')[0]}", rate),
    )
    if not releases:
        growing = by_stack(facts, growing, rate)
    return Growing(growing, grown_bytes, verdict, signed_words(slope))


def _growing_part(facts: DiagnosisInput, looks: Sequence[Balance], trend: Trend) -> tuple[Verdict, str, float] | None:
    """The part of RSS that has most of its growth: its verdict, its name and its slope in bytes per second."""
    parts: tuple[tuple[Verdict, str, Callable[[Balance], int]], ...] = (
        (Verdict.RETENTION, f"free memory that {facts.allocator[-1].allocator} keeps", lambda b: b.free_counted_bytes),
        (Verdict.FRAGMENTATION, "free objects on partly used pages", lambda b: b.cached_bytes),
        (Verdict.OUTSIDE, _shared_words(facts), lambda b: b.shared_bytes),
        (Verdict.OUTSIDE, "stacks, mmap or another allocator", lambda b: b.unknown_bytes),
    )
    recent = [look for look in looks if look.at_s >= looks[-1].at_s - trend.span_s]
    times = [look.at_s for look in recent]
    slopes = [(verdict, name, pace(times, [part(look) for look in recent])) for verdict, name, part in parts]
    largest = max(slopes, key=lambda of_part: of_part[2])
    return largest if largest[2] >= _MOST * trend.slope else None


def grows_too(large: Diagnosis, growing: Growing) -> Diagnosis:
    """The diagnosis of a large part of RSS, with its growth."""
    return replace(
        large,
        sentence=f"{large.sentence}, {growing.rate}",
        shorter=(*(f"{form}, {growing.rate}" for form in large.shorter), *large.shorter[-1:]),
        evidence=(*large.evidence, *growing.diagnosis.evidence),
    )


def _shared_words(facts: DiagnosisInput) -> str:
    """Whether files or shared memory grow, by the slower figures of the last minute."""
    rows = [row for row in facts.details if row.file_bytes is not None and row.shmem_bytes is not None]
    if len(rows) < MIN_SPAN_S / 2:
        return "files or shared memory"
    times = [row.at_s for row in rows]
    file = trend_of(times, [row.file_bytes or 0 for row in rows], _SHMEM_SPAN_S)
    shmem = trend_of(times, [row.shmem_bytes or 0 for row in rows], _SHMEM_SPAN_S)
    if file is None or shmem is None or file.sure == shmem.sure:
        return "files or shared memory"
    return "mapped files" if file.sure else "shared memory"


def levelled(in_use: InUse) -> Diagnosis | None:
    """The diagnosis where memory in use rose by much and is level now; None where it did not."""
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
