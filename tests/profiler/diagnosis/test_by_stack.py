"""Growth that watched page faults explain, and the action that finds it where nothing has explained it yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memtui_parsers.values import GrowthFacts, GrowthOutcome, LeakKind, LeakRecord, LeakReport, ReportStatus
from memtui_profiler.actions import Action
from memtui_profiler.diagnosis.diagnose import diagnose
from memtui_profiler.diagnosis.reports import report_diagnosis, summary_of, watched_growth
from memtui_profiler.diagnosis.values import Abilities, DiagnosisInput, GrowthSummary, Verdict
from tests.fixtures.leak_reports import frame, record
from tests.profiler.diagnosis.test_heap import process

MIB = 1 << 20
FOUND = GrowthSummary(LeakKind.GROWTH, 10 * MIB, 9 * MIB, 0, "open_session(Conn&)", "server.cpp:88", seconds=10.0)
WATCH = Abilities(watch=True, launch=False)


def growing(**more: object) -> DiagnosisInput:
    """A process that grows, of which no allocator answers."""
    times = [float(second) for second in range(91)]
    rss = [100 * MIB + int(at * 2 * MIB) for at in times]
    return DiagnosisInput(times, rss, can=WATCH, **more)  # type: ignore[arg-type]


def name(_: LeakRecord) -> tuple[str, str]:
    return "open_session(Conn&)", "server.cpp:88"


def a_report(outcome: GrowthOutcome) -> LeakReport:
    leak = replace(record("a" * 16, 9 * MIB, 0, frame("open_session(Conn&)"), kind=LeakKind.GROWTH), samples=90)
    growth = GrowthFacts(10.0, 10 * MIB, 9 * MIB, samples=100, outcome=outcome)
    leaks = (leak,) if outcome is not GrowthOutcome.NOTHING_GREW else ()
    return LeakReport("growth", "growth", ReportStatus.COMPLETE, total_bytes=9 * MIB, leaks=leaks, growth=growth)


def test_a_verdict_on_growth_leads_to_the_watch() -> None:
    verdict = diagnose(growing())[0]
    assert (verdict.verdict, verdict.action) == (Verdict.GROWING, Action.SNAPSHOT)
    assert diagnose(replace(growing(), can=Abilities(launch=False)))[0].action is None


def test_in_use_that_grows_leads_to_it_where_the_allocator_has_no_profiler() -> None:
    facts = process(in_use=lambda at: 10 + int(at), allocator="jemalloc", rate=None, can=WATCH)
    assert diagnose(facts)[0].action is Action.SNAPSHOT


def test_what_was_found_is_named() -> None:
    verdict = diagnose(replace(growing(), growth=FOUND))[0]
    assert verdict.sentence.endswith("90 % first touched by open_session(Conn&) server.cpp:88")
    assert verdict.action is Action.SHOW_LEAKS
    assert any("first touched by open_session" in line for line in verdict.evidence)


@pytest.mark.parametrize(
    ("outcome", "verdict", "words"),
    [
        (GrowthOutcome.STACKS, Verdict.SNAPSHOT, "10.0 MiB grown in 10 s (1.0 MiB/s); most at open_session(Conn&)"),
        (GrowthOutcome.NOTHING_GREW, Verdict.SNAPSHOT, "nothing stands out"),
        (GrowthOutcome.CANNOT_TELL, Verdict.CANNOT_TELL, "whose it is cannot be told"),
    ],
)
def test_a_report_is_told_by_what_it_is_worth(outcome: GrowthOutcome, verdict: Verdict, words: str) -> None:
    report = a_report(outcome)
    summary = summary_of(report, 1, name)
    told = report_diagnosis(replace(growing(), report=summary))
    assert told is not None and told.verdict is verdict and words in told.sentence
    assert (outcome is GrowthOutcome.STACKS) is ("open_session" in told.sentence), "no culprit where it cannot tell"


def test_only_a_report_that_can_tell_explains_growth() -> None:
    found = watched_growth(a_report(GrowthOutcome.STACKS), name)
    assert found is not None and (found.top_bytes, found.grown_bytes, found.seconds) == (9 * MIB, 10 * MIB, 10.0)
    assert watched_growth(a_report(GrowthOutcome.CANNOT_TELL), name) is None
    assert watched_growth(a_report(GrowthOutcome.NOTHING_GREW), name) is None
