"""What the recorded facts say, in one line each: pure functions, never more than the evidence carries."""

from __future__ import annotations

from collections.abc import Iterator

from memtui_profiler.diagnosis_heap import of_release, parts
from memtui_profiler.diagnosis_leak import Growing, grows_too, in_use_of, of_in_use, of_levelled, of_rss_growth
from memtui_profiler.diagnosis_outside import of_children
from memtui_profiler.diagnosis_reports import growth_summary, of_end, of_report, summary_of
from memtui_profiler.diagnosis_rss import of_rss
from memtui_profiler.diagnosis_values import (
    Abilities,
    Diagnosis,
    DiagnosisInput,
    GrowthSummary,
    Release,
    ReportSummary,
    Verdict,
)
from memtui_profiler.heap_balance import Balance, balances, typical
from memtui_profiler.words import percent_words

__all__ = [
    "Abilities",
    "Diagnosis",
    "DiagnosisInput",
    "GrowthSummary",
    "Release",
    "ReportSummary",
    "Verdict",
    "diagnose",
    "growth_summary",
    "summary_of",
]

LINES = 2
_MISSING_SHARE = 0.02
# The reports that ask for something to be done.
_FOUND = (Verdict.LEAK, Verdict.NOT_FREED)


def diagnose(facts: DiagnosisInput) -> tuple[Diagnosis, ...]:
    """One or two, the one to act on first."""
    if facts.end is None:
        return tuple(_running(facts))[:LINES]
    ended, report = of_end(facts, facts.end), of_report(facts)
    if report is not None and facts.report is not None and facts.report.run == facts.run:
        # How it ended matters more than the report only when that took a part of the report away.
        return (ended, report) if facts.no_report else (report, ended)
    looks = balances(facts)
    heap = next(_of_heap(facts, looks, _growing(facts, looks)), None)
    second = heap or report
    return (ended, second) if second else (ended,)


def _running(facts: DiagnosisInput) -> Iterator[Diagnosis]:
    """All that there is to say, the most important first."""
    looks = balances(facts)
    if children := of_children(facts):
        yield children
    growing = _growing(facts, looks)
    yield from _of_heap(facts, looks, growing)
    report = of_report(facts)
    own = facts.report is not None and facts.report.run == facts.run
    urgent = report is not None and own and report.verdict in _FOUND
    if report is not None and urgent:
        yield report
    if growing is None:
        yield _state(facts, looks)
    if report is not None and not urgent:
        yield report
    if release := of_release(facts):
        yield release


def _growing(facts: DiagnosisInput, looks: list[Balance]) -> Growing | None:
    """What grows, where the allocator's figures tell."""
    if not looks:
        return None
    in_use = in_use_of(facts)
    return of_in_use(facts, in_use) or of_rss_growth(facts, looks, in_use)


def _of_heap(facts: DiagnosisInput, looks: list[Balance], growing: Growing | None) -> Iterator[Diagnosis]:
    """What grows and what is large without being in use, by how much memory it is about."""
    for part in parts(facts, looks):
        if growing is not None and growing.part is part.diagnosis.verdict:
            yield grows_too(part.diagnosis, growing)
            growing = None
            continue
        if growing is not None and growing.grown_bytes >= part.size_bytes:
            yield growing.diagnosis
            growing = None
        yield part.diagnosis
    if growing is not None:
        yield growing.diagnosis


def _state(facts: DiagnosisInput, looks: list[Balance]) -> Diagnosis:
    """How RSS goes where nothing else is to be said of it."""
    if not looks:
        return of_rss(facts)
    now = typical(looks)
    # What was allocated and never touched is in use and not in RSS, so its share of RSS cannot be told.
    told = now.missing_bytes < _MISSING_SHARE * now.rss_bytes
    used = f", {percent_words(min(1.0, now.in_use_bytes / max(1, now.rss_bytes)))} of it in use" if told else ""
    of_all = of_rss(facts, used)
    levelled = of_levelled(in_use_of(facts)) if of_all.verdict in (Verdict.LEVEL, Verdict.LEVELS_OFF) else None
    return levelled or of_all
