"""Each end of a checked run and the exit code that stands for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memtui.commands.outcome import RunResult, judge, not_run_report
from memtui_parsers.values import GrowthOutcome, LeakKind, LeakRecord, LeakReport, ReportStatus, RunFacts
from tests.fixtures.leak_reports import a_growth_report

LEAK = LeakRecord("0" * 16, 100, 1, LeakKind.NOT_FREED, ())
EXITED = RunFacts(exit_code=0)
LEAK_EXIT = RunFacts(exit_code=1)
FAILED = RunFacts(exit_code=7)
TERMINATED = RunFacts(signal="SIGTERM")
OOM = RunFacts(signal="SIGKILL", oom_killed=True)


def whole(run: RunFacts, *leaks: LeakRecord, status: ReportStatus = ReportStatus.COMPLETE) -> LeakReport:
    size = sum(leak.size_bytes for leak in leaks)
    return LeakReport("heapcheck", "normal", status, run=run, total_bytes=size, total_objects=len(leaks), leaks=leaks)


def unchecked(run: RunFacts, *reasons: str) -> LeakReport:
    return not_run_report("normal", ("./p",), reasons, run=run)


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (whole(EXITED), 0),
        (whole(RunFacts()), 0),
        (whole(LEAK_EXIT, LEAK), 1),
        (whole(EXITED, LEAK), 1),
        (whole(TERMINATED, LEAK), 1),
        (whole(OOM, LEAK), 1),
        (whole(EXITED, LEAK, status=ReportStatus.TRUNCATED), 1),
        (whole(EXITED, status=ReportStatus.TRUNCATED), 3),
        (unchecked(EXITED), 3),
        (unchecked(FAILED), 3),
        (unchecked(RunFacts()), 3),
        (unchecked(TERMINATED), 4),
        (whole(TERMINATED, status=ReportStatus.TRUNCATED), 4),
        (unchecked(OOM), 5),
        (whole(FAILED), 6),
        (whole(TERMINATED), 6),
    ],
)
def test_exit_code(report: LeakReport, code: int) -> None:
    assert judge(RunResult(report), "./p")[0] == code


def test_totals_without_records_are_leaks_too() -> None:
    report = LeakReport("heapcheck", "normal", ReportStatus.COMPLETE, total_bytes=5, total_objects=1)
    assert judge(RunResult(report), "./p")[0] == 1


def test_remarks_name_the_signal_the_code_and_the_reason() -> None:
    assert "SIGTERM" in judge(RunResult(unchecked(TERMINATED, "the reason")), "./p")[1]
    assert "the reason" in judge(RunResult(unchecked(TERMINATED, "the reason")), "./p")[1]
    assert "the reason" in judge(RunResult(unchecked(EXITED, "the reason")), "./p")[1]
    assert "7" in judge(RunResult(whole(FAILED)), "./p")[1]
    assert "OOM" in judge(RunResult(unchecked(OOM)), "./p")[1]
    assert judge(RunResult(whole(EXITED)), "./p")[1] == ""
    assert judge(RunResult(whole(LEAK_EXIT, LEAK)), "./p")[1] == ""


@pytest.mark.parametrize(
    ("outcome", "run", "code"),
    [
        (GrowthOutcome.STACKS, EXITED, 0),
        (GrowthOutcome.STACKS, RunFacts(), 0),
        (GrowthOutcome.NOTHING_GREW, EXITED, 0),
        (GrowthOutcome.STACKS, FAILED, 6),
        (GrowthOutcome.CANNOT_TELL, EXITED, 3),
    ],
)
def test_growth_that_was_told_is_no_leak_and_what_cannot_be_told_was_not_found_out(
    outcome: GrowthOutcome, run: RunFacts, code: int
) -> None:
    report = a_growth_report()
    assert report.growth is not None
    report = replace(report, run=run, growth=replace(report.growth, outcome=outcome), notes=("only 2 samples",))
    found, remark = judge(RunResult(report), "./p")
    assert found == code
    assert (remark == "what grew in ./p cannot be told: only 2 samples") is (outcome is GrowthOutcome.CANNOT_TELL)
