"""The diagnosis: pure functions from recorded facts to verdicts of one line each, never more than the evidence carries."""

from __future__ import annotations

from collections.abc import Iterator

from memtui_profiler.diagnosis.balance import Balance, balances, typical
from memtui_profiler.diagnosis.growth import Growing, grows_too, in_use_growth, in_use_series, levelled, rss_growth
from memtui_profiler.diagnosis.heap import large_parts, release_diagnosis
from memtui_profiler.diagnosis.outside import children_diagnosis, share_of
from memtui_profiler.diagnosis.regions import huge_pages_diagnosis, named_growth
from memtui_profiler.diagnosis.reports import end_diagnosis, report_diagnosis
from memtui_profiler.diagnosis.rss import rss_diagnosis
from memtui_profiler.diagnosis.trend import recent_trend
from memtui_profiler.diagnosis.values import Diagnosis, DiagnosisInput, Verdict

LINES = 2
_MISSING_SHARE = 0.02
# The verdicts on a report that call for something to be done.
_URGENT = (Verdict.LEAK, Verdict.NOT_FREED)


def diagnose(facts: DiagnosisInput) -> tuple[Diagnosis, ...]:
    """One or two diagnoses, the one to act on first."""
    if facts.end is None:
        return tuple(_running(facts))[:LINES]
    ended, report = end_diagnosis(facts, facts.end), report_diagnosis(facts)
    if report is not None and facts.own_report is not None:
        # How it ended matters more than the report only when that took a part of the report away.
        return (ended, report) if facts.no_report else (report, ended)
    looks = balances(facts)
    second = next(_heap_diagnoses(facts, looks, _growths(facts, looks)), report)
    return (ended, second) if second else (ended,)


def _running(facts: DiagnosisInput) -> Iterator[Diagnosis]:
    """All diagnoses of a process that runs, the most important first."""
    looks = balances(facts)
    if children := children_diagnosis(facts):
        yield children
    growths = _growths(facts, looks)
    yield from _heap_diagnoses(facts, looks, growths)
    report = report_diagnosis(facts)
    urgent = report is not None and facts.own_report is not None and report.verdict in _URGENT
    if report is not None and urgent:
        yield report
    state, huge = None if growths else _state(facts, looks), huge_pages_diagnosis(facts)
    states = [diagnosis for diagnosis in (state, huge) if diagnosis is not None]
    # What fills RSS says more than that it does not change, and a small screen has one line.
    yield from sorted(states, key=lambda diagnosis: diagnosis.verdict is Verdict.LEVEL)
    if report is not None and not urgent:
        yield report
    if release := release_diagnosis(facts):
        yield release


def _growths(facts: DiagnosisInput, looks: list[Balance]) -> list[Growing]:
    """The parts that grow, where the allocator's figures tell, the one that grew by most first.

    Memory in use may grow while most of the growth is outside the heap, as of a Python program: both are told.
    """
    if not looks:
        return []
    series = in_use_series(facts)
    in_use, rss = in_use_growth(facts, series), rss_growth(facts, looks, series)
    if in_use is not None and rss is not None and rss.part is not Verdict.OUTSIDE:
        rss = None
    grown = [growing for growing in (in_use, rss) if growing is not None]
    return sorted(grown, key=lambda growing: growing.grown_bytes, reverse=True)


def _heap_diagnoses(facts: DiagnosisInput, looks: list[Balance], growths: list[Growing]) -> Iterator[Diagnosis]:
    """The parts that grow and the parts that are large without being in use, the largest first."""
    left = list(growths)
    for part in large_parts(facts, looks):
        same = next((growing for growing in left if growing.part is part.diagnosis.verdict), None)
        if same is not None:
            left.remove(same)
        size_bytes = part.size_bytes
        yield from (growing.diagnosis for growing in left if growing.grown_bytes >= size_bytes)
        left = [growing for growing in left if growing.grown_bytes < size_bytes]
        yield grows_too(part.diagnosis, same) if same is not None else part.diagnosis
    yield from (growing.diagnosis for growing in left)


def _state(facts: DiagnosisInput, looks: list[Balance]) -> Diagnosis:
    """The movement of RSS, where nothing that grows is known."""
    if not looks:
        moving, trend = rss_diagnosis(facts), recent_trend(facts.at_s, facts.rss_bytes)
        if moving.verdict is not Verdict.GROWING or trend is None:
            return moving
        return named_growth(facts, moving, trend)
    now = typical(looks)
    # Memory that was allocated and never touched is in use and not in RSS, so its share of RSS cannot be told.
    known = now.missing_bytes < _MISSING_SHARE * now.rss_bytes
    where = f" in {facts.allocator[-1].allocator}, beside {facts.beside}" if facts.beside else ""
    in_use = f", {share_of(now.in_use_bytes, now.rss_bytes)} of it in use{where}" if known else ""
    moving = rss_diagnosis(facts, in_use)
    if moving.verdict not in (Verdict.LEVEL, Verdict.LEVELS_OFF):
        return moving
    return levelled(in_use_series(facts)) or moving
