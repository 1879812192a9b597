"""The report that stands for a run, read from its session: the checker's own, or one that says why there is none."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from memtui.commands.outcome import has_leaks, not_run_report
from memtui_parsers.values import LeakReport, RunFacts
from memtui_profiler.checkers import checker_of
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.request import CHECK_MODES, CHECK_OFF, PROFILE, suppressions_in
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import Event, Followed, ReportEnd, ReportRow, Run, RunEnd, RunSettled
from memtui_profiler.session.writer import DATABASE

CHECKER = "heapcheck"
MOST_CHILDREN = 100  # whose reports are read whole; those with the most bytes come first


@contextlib.contextmanager
def open_session(folder: Path) -> Iterator[SessionReader]:
    """A reader of the session in ``folder``. A database that fails under it becomes a UserError, too."""
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


def newest_report(reader: SessionReader) -> LeakReport | None:
    """The last report of the session that is whole, whichever run it is of."""
    ended = {end.report for end in reader.rows(ReportEnd)}
    rows = [row for row in reader.rows(ReportRow) if row.id in ended]
    return load_report(reader, rows[-1].id) if rows else None


def session_suppressions(reader: SessionReader) -> tuple[str, ...]:
    """The suppression files that the session was begun with."""
    return suppressions_in(reader.meta().get("request", ""))


def run_report(reader: SessionReader, number: int) -> LeakReport | None:
    """The report of the run's main process; of several (local checks) the one with the most bytes, of snapshots the last.

    Where that lost nothing, and children were asked for, the one of a child that did. None when the session does not know the
    run: its recorder could not write it.
    """
    run = next(iter(reader.rows_of(Run, "id", number)), None)
    if run is None:
        return None
    ended = {end.report: end for end in reader.rows(ReportEnd)}
    rows = [row for row in reader.rows_of(ReportRow, "run", run.id) if row.id in ended]
    events = reader.rows_of(Event, "run", run.id)
    pids = {run.pid, *(row.pid for row in reader.rows_of(Followed, "run", run.id))}
    if rows:
        report = _chosen(reader, rows, pids, {end.report: end.total_bytes for end in ended.values()})
        notes = [event.text for event in events if _is_of_report(event)]
        if len(rows) > 1:
            notes.append(f"one of {len(rows)} reports of this run, the session has the others")
        return replace(report, notes=(*report.notes, *notes))
    reasons = [e.text for e in events if e.kind == EventKind.NO_REPORT.value]
    if run.mode == CHECK_OFF:
        reasons.append("the leak check was off")
    return not_run_report(
        checker_of(run.mode).NAME if run.mode in CHECK_MODES else CHECKER,
        run.mode,
        argv_of(run),
        reasons,
        pid=run.pid,
        started=_started(reader, run),
        run=run_facts(reader, run),
    )


def _chosen(reader: SessionReader, rows: list[ReportRow], pids: set[int], sizes: Mapping[int, int]) -> LeakReport:
    own = [row for row in rows if row.pid in pids] or rows
    own = [row for row in own if row.origin == "exit"] or own
    if own[-1].mode == PROFILE:
        return load_report(reader, own[-1].id)
    report = load_report(reader, max(own, key=lambda row: sizes[row.id]).id)
    others = sorted((row for row in rows if row.pid not in pids), key=lambda row: -sizes[row.id])[:MOST_CHILDREN]
    if has_leaks(report):
        return report
    found = (load_report(reader, row.id) for row in others)
    return next((other for other in found if has_leaks(other)), report)


def _is_of_report(event: Event) -> bool:
    """A note on what the report covers, and not on how the program was launched."""
    return event.kind == EventKind.NOTE.value and '"of_report": true' in event.detail


def argv_of(run: Run) -> tuple[str, ...]:
    return tuple(str(word) for word in json.loads(run.argv))


def run_facts(reader: SessionReader, run: Run) -> RunFacts:
    end = next(iter(reader.rows_of(RunEnd, "run", run.id)), None)
    if end is None:
        return RunFacts()
    return RunFacts(end.exit_code, end.signal, bool(end.oom_killed), round(end.at_s - run.at_s, 3))


def _started(reader: SessionReader, run: Run) -> str | None:
    try:
        origin = float(reader.meta()["started"])
    except (KeyError, ValueError):
        return None
    return datetime.fromtimestamp(origin + run.at_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
