"""The result of a run under a leak check, read from its session, and the exit code that says it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import cast

from memtui.reports.running_threads import with_running_threads
from memtui.session.argv import argv_in
from memtui.session.chosen_report import ChosenReport, besides, choose, own_reports
from memtui.session.state import event_detail
from memtui_parsers.values import GrowthOutcome, LeakKind, LeakReport, ReportStatus, RunFacts
from memtui_profiler.checkers import checker_named, checker_of, usual_checker
from memtui_profiler.checkers.ending import CRASHES
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import Event, ReportEnd, ReportRow, Run, RunEnd, RunSettled
from memtui_profiler.session.writer import DATABASE

MOST_CHILDREN = 100  # whose reports are read whole; those with the most bytes come first


@contextlib.contextmanager
def open_session(folder: Path) -> Iterator[SessionReader]:
    """Give a reader of the session in ``folder``. An error of the database is raised as UserError."""
    reader = SessionReader(folder / DATABASE)
    try:
        yield reader
    except sqlite3.Error as error:
        raise UserError(
            "cannot read the session", str(error), f"check the disk that holds {folder}, and that it is not full"
        ) from error
    finally:
        reader.close()


def is_settled(reader: SessionReader, run: int) -> bool:
    return bool(reader.rows_of(RunSettled, "run", run))


def complete_reports(reader: SessionReader) -> list[ReportRow]:
    """Return the reports of which the session holds the last row, oldest first."""
    ended = {end.report for end in reader.rows(ReportEnd)}
    return [row for row in reader.rows(ReportRow) if row.id in ended]


def newest_report(reader: SessionReader) -> LeakReport | None:
    """Return the report of the newest run that has a complete one; None where there is none."""
    rows = complete_reports(reader)
    if not rows:
        return None
    run = next(iter(reader.rows_of(Run, "id", rows[-1].run)), None) if rows[-1].run is not None else None
    own = [] if run is None else own_reports(reader, run)[0]
    if run is None or not own:
        return load_report(reader, rows[-1].id)
    return _loaded(reader, choose(reader, run, own))


@dataclass(frozen=True, slots=True)
class RunResult:
    """``stopped``: memtui ended the program, after it had it checked. ``early``: the program left no whole report of its end."""

    report: LeakReport
    stopped: bool = False
    early: bool = False


def run_result(reader: SessionReader, number: int) -> RunResult | None:
    """Return the report of the run's main process; where it has no leak, the report of a child that has.

    None when the session does not hold the run: its recorder could not write it.
    """
    run = next(iter(reader.rows_of(Run, "id", number)), None)
    if run is None:
        return None
    own, others = own_reports(reader, run)
    events = reader.rows_of(Event, "run", run.id)
    if own or others:
        chosen = choose(reader, run, own or others)
        report = with_running_threads(_loaded(reader, chosen), threads_beside_main(reader, run.id))
        report = _with_leaks(reader, report, others)
        # Those that say what the report covers, and not how the program was launched.
        told = [event for event in events if event.kind == EventKind.NOTE.value]
        notes = [event.text for event in told if '"of_report": true' in event.detail]
        if len(own) + len(others) > 1:
            notes.append(f"one of {len(own) + len(others)} reports of this run, the session has the others")
        return RunResult(replace(report, notes=(*report.notes, *notes)), chosen.before_stop, chosen.early)
    reasons = [e.text for e in events if e.kind == EventKind.NO_REPORT.value]
    if run.mode == CHECK_OFF:
        reasons.append("the leak check was off")
    end, facts = next(iter(reader.rows_of(RunEnd, "run", run.id)), None), None
    if end is not None:
        facts = RunFacts(end.exit_code, end.signal, bool(end.oom_killed), round(end.at_s - run.at_s, 3))
    return RunResult(
        not_run_report(
            run.mode,
            argv_in(run.argv),
            reasons,
            pid=run.pid,
            started=_started(reader, run),
            run=facts,
        )
    )


def preload_of_crash(reader: SessionReader, run: int) -> str:
    """The name of the library of memtui's that was in the program when it crashed; '' where there was none."""
    details = (event_detail(event).get("preloaded") for event in reader.rows_of(Event, "run", run))
    return next((str(preloaded) for preloaded in details if preloaded), "")


def _loaded(reader: SessionReader, chosen: ChosenReport) -> LeakReport:
    """The chosen report, with the note that says why it was chosen, and what came at exit beside it."""
    report = load_report(reader, chosen.row.id)
    if chosen.at_exit is not None:
        at_exit = load_report(reader, chosen.at_exit.id)
        report = replace(report, errors=report.errors or at_exit.errors)
        if has_leaks(at_exit) and not has_leaks(report):
            report = replace(report, notes=(*report.notes, besides(at_exit)))
    return replace(report, notes=(chosen.note, *report.notes)) if chosen.note else report


def threads_beside_main(reader: SessionReader, run: int) -> int:
    """How many threads ran beside the main one when the run was seen last."""
    query = "SELECT threads FROM sample WHERE run = ? AND threads IS NOT NULL ORDER BY at_s DESC LIMIT 1"
    return next((cast(int, threads) - 1 for (threads,) in reader.columns(query, (run,))), 0)


def _with_leaks(reader: SessionReader, report: LeakReport, others: list[ReportRow]) -> LeakReport:
    """The report, or where it has no leak one of ``others`` that has."""
    if has_leaks(report) or not others:
        return report
    sizes = {end.report: end.total_bytes for end in reader.rows(ReportEnd)}
    largest = sorted(others, key=lambda row: -sizes[row.id])[:MOST_CHILDREN]
    return next((child for row in largest if has_leaks(child := load_report(reader, row.id))), report)


def _started(reader: SessionReader, run: Run) -> str | None:
    origin = reader.started_s()
    return (
        None
        if origin is None
        else datetime.fromtimestamp(origin + run.at_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    )


NO_LEAK = 0
LEAKS = 1
NEVER_CHECKED = 3
KILLED = 4
OOM_KILLED = 5
TARGET_FAILED = 6

NO_REASON = "it ended without one"


# Not leaked: valgrind's own exit code does not count such blocks either, and a heap profile lists no leaks at all.
IN_USE = frozenset({LeakKind.STILL_REACHABLE, LeakKind.IN_USE, LeakKind.GROWTH, LeakKind.ALLOCATED})


def has_leaks(report: LeakReport) -> bool:
    if report.leaks:
        return any(leak.kind not in IN_USE for leak in report.leaks)
    return bool(report.total_objects or report.total_bytes)


def judge(result: RunResult, program: str, *, suppressed: bool = False) -> tuple[int, str]:
    """Return the exit code of ``check``, and a remark for people ('' where the report says all).

    A leak counts however the run ended. Growth of which it cannot be told whose it is was not found out. "No leak" counts only
    when the check is complete. ``suppressed``: leaks were found and left out of the report, so that the target's exit code may
    be the checker's.
    """
    report = result.report
    if report.status is not ReportStatus.NOT_RUN and has_leaks(report):
        return LEAKS, ""
    if report.growth is not None and report.growth.outcome is GrowthOutcome.CANNOT_TELL:
        return NEVER_CHECKED, f"what grew in {program} cannot be told: {'; '.join(report.notes[:1])}"
    run, why = report.run, "; ".join(report.notes) or NO_REASON
    if report.status is ReportStatus.COMPLETE and result.stopped and run.signal not in CRASHES:
        return NO_LEAK, ""  # how it ended is memtui's doing
    if report.status is ReportStatus.COMPLETE and not result.early:
        checker = checker_named(report.checker)
        its_own = suppressed and checker is not None and run.signal is None and run.exit_code in checker.leak_exit_codes
        ended = "" if its_own else how_it_failed(run)
        return (TARGET_FAILED, f"no leak found, but {program} {ended}") if ended else (NO_LEAK, "")
    if run.oom_killed or (run.signal is not None and not (result.stopped and run.signal not in CRASHES)):
        code, killer = (OOM_KILLED, "OOM") if run.oom_killed else (KILLED, run.signal or "")
        ended = "" if killer in why else f"it {how_it_failed(run)}: "
        return code, f"no leak check of {program}: {ended}{why}"
    return NEVER_CHECKED, f"no leak check of {program}: {why}"


def how_it_failed(run: RunFacts) -> str:
    """Return the end of a run as a phrase; '' for an exit with 0, or where it is not known."""
    if run.oom_killed:
        return "was killed by the OOM killer"
    if run.signal is not None:
        return f"was killed by {run.signal}"
    return f"ended with exit code {run.exit_code}" if run.exit_code else ""


def not_run_report(
    mode: str,
    argv: Sequence[str],
    reasons: Sequence[str],
    *,
    pid: int | None = None,
    started: str | None = None,
    run: RunFacts | None = None,
) -> LeakReport:
    """Return the report of a check that did not run; its notes are the reasons."""
    return LeakReport(
        checker=(checker_of(mode) or usual_checker()).name,
        mode=mode,
        status=ReportStatus.NOT_RUN,
        argv=tuple(argv),
        pid=pid,
        started=started,
        run=run or RunFacts(),
        notes=tuple(reasons),
    )
