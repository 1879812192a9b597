"""What came out of a run under a leak check, and the exit code that says so. Pure: rows are read in run_result.py."""

from __future__ import annotations

from collections.abc import Sequence

from memtui_parsers.values import LeakKind, LeakReport, ReportStatus, RunFacts

NO_LEAK = 0
LEAKS = 1
NEVER_CHECKED = 3
KILLED = 4
OOM_KILLED = 5
TARGET_FAILED = 6

NO_REASON = "it ended without one"


# What is in use is not lost: valgrind's own exit code does not count it either, and a heap profile knows of no loss.
IN_USE = frozenset({LeakKind.STILL_REACHABLE, LeakKind.IN_USE, LeakKind.GROWTH})


def has_leaks(report: LeakReport) -> bool:
    if report.leaks:
        return any(leak.kind not in IN_USE for leak in report.leaks)
    return bool(report.total_objects or report.total_bytes)


# What a checker makes of the target's own exit code where it found leaks (FACTS.md); LeakSanitizer's 1 is AddressSanitizer's.
_EXIT_CODES = {"heapcheck": (1,), "lsan": (1, 23)}


def judge(report: LeakReport, program: str, *, suppressed: bool = False) -> tuple[int, str]:
    """The exit code of ``check``, and a remark for people ('' where the report says all there is).

    A leak that was found counts whatever came after it. A check that found none counts only when it is whole.
    ``suppressed``: it found some that are left out of the report, so that an exit code may be the checker's own.
    """
    if report.status is not ReportStatus.NOT_RUN and has_leaks(report):
        return LEAKS, ""
    run, why = report.run, "; ".join(report.notes) or NO_REASON
    if report.status is ReportStatus.COMPLETE:
        its_own = suppressed and run.signal is None and run.exit_code in _EXIT_CODES.get(report.checker, ())
        ended = "" if its_own else how_it_failed(run)
        return (TARGET_FAILED, f"no leak found, but {program} {ended}") if ended else (NO_LEAK, "")
    if run.oom_killed or run.signal is not None:
        code, killer = (OOM_KILLED, "OOM") if run.oom_killed else (KILLED, run.signal or "")
        ended = "" if killer in why else f"it {how_it_failed(run)}: "
        return code, f"no leak check of {program}: {ended}{why}"
    return NEVER_CHECKED, f"no leak check of {program}: {why}"


def how_it_failed(run: RunFacts) -> str:
    """The end of a run in words; '' for an exit with 0, or an end that nobody saw."""
    if run.oom_killed:
        return "was killed by the OOM killer"
    if run.signal is not None:
        return f"was killed by {run.signal}"
    return f"ended with exit code {run.exit_code}" if run.exit_code else ""


def not_run_report(
    checker: str,
    mode: str,
    argv: Sequence[str],
    reasons: Sequence[str],
    *,
    pid: int | None = None,
    started: str | None = None,
    run: RunFacts | None = None,
) -> LeakReport:
    """The report of a check that did not run; its notes say why."""
    return LeakReport(
        checker=checker,
        mode=mode,
        status=ReportStatus.NOT_RUN,
        argv=tuple(argv),
        pid=pid,
        started=started,
        run=run or RunFacts(),
        notes=tuple(reasons),
    )
