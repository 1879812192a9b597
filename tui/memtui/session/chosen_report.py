"""Which of a run's reports says what was found: the one at its exit, or one made before where that one cannot be relied on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from memtui.session.state import event_detail
from memtui_parsers.values import LeakReport, ReportStatus
from memtui_profiler.checkers import checker_of
from memtui_profiler.events import EventKind
from memtui_profiler.run.escalation import Step
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Event, Followed, ReportEnd, ReportRow, Run, RunEnd
from memtui_profiler.words import object_words, size_words

# What tells that a check before the end is done.
_CHECKED = (EventKind.LEAK_CHECK.value, EventKind.SNAPSHOT.value, EventKind.GROWTH.value)


@dataclass(frozen=True, slots=True)
class ChosenReport:
    """``row`` is the report. ``note``: why it is not the one at exit, '' where it is, or where there is nothing to say.

    ``before_stop``: memtui had the process checked before it stopped it; ``at_exit`` is what came at exit nevertheless.
    ``early``: the run ended otherwise than it should, and left no whole report of its end.
    """

    row: ReportRow
    note: str = ""
    before_stop: bool = False
    early: bool = False
    at_exit: ReportRow | None = None


def own_reports(reader: SessionReader, run: Run) -> tuple[list[ReportRow], list[ReportRow]]:
    """Return the reports of the run that have an end: those of the program itself, and those of its children."""
    pids = {run.pid, *(row.pid for row in reader.rows_of(Followed, "run", run.id))}
    ended = {end.report for end in reader.rows(ReportEnd)}
    rows = [row for row in reader.rows_of(ReportRow, "run", run.id) if row.id in ended]
    return [row for row in rows if row.pid in pids], [row for row in rows if row.pid not in pids]


def choose(reader: SessionReader, run: Run, own: Sequence[ReportRow]) -> ChosenReport:
    """Return the one of ``own``, which are reports of one run, the oldest first, and at least one.

    Of several at exit (local checks) it is the largest, of snapshots the last.
    """
    ends = {end.report: end for end in reader.rows(ReportEnd)}
    at_exit = [row for row in own if row.origin == "exit"]
    last = own[-1]
    if last.origin == "live" and _checked_before_stop(reader, run):
        largest = max(at_exit, key=lambda row: ends[row.id].total_bytes, default=None)
        return ChosenReport(last, before_stop=True, at_exit=largest)
    whole = [row for row in own if ends[row.id].status == ReportStatus.COMPLETE.value]
    checker = checker_of(last.mode)
    if at_exit and (any(row in whole for row in at_exit) or not whole):
        if checker is not None and checker.takes_snapshots:
            return ChosenReport(at_exit[-1])
        return ChosenReport(max(at_exit, key=lambda row: ends[row.id].total_bytes))
    end = next(iter(reader.rows_of(RunEnd, "run", run.id)), None)
    chosen = whole[-1] if whole else last
    if end is None or chosen.origin not in ("live", "exit"):
        return ChosenReport(chosen)
    why = "the one at exit is cut short" if at_exit else _how_it_ended(end, end.at_s - chosen.at_s)
    return ChosenReport(chosen, f"the last whole report, of {_clock(reader, chosen.at_s)}: {why}", early=True)


def _checked_before_stop(reader: SessionReader, run: Run) -> bool:
    """Whether memtui had it checked before it stopped it, and that was done."""
    stopped = False
    for event in reader.rows_of(Event, "run", run.id):
        if event.kind == EventKind.STOPPING.value and event_detail(event).get("step") == Step.CHECK.value:
            stopped = True
        elif stopped and event.kind in _CHECKED:
            return True
    return False


def besides(at_exit: LeakReport) -> str:
    """What to know of a report from the exit of a program that was checked before memtui stopped it."""
    return (
        f"checked before memtui stopped it: what its exit left, {size_words(at_exit.total_bytes)} in"
        f" {object_words(at_exit.total_objects)}, does not count, as destructors that run beside threads make blocks look lost"
    )


def _how_it_ended(end: RunEnd, later_s: float) -> str:
    later = f"{max(0.0, later_s):.0f} s later"
    if end.oom_killed:
        return f"the OOM killer took the program {later}"
    if end.signal is not None:
        return f"{end.signal} ended the program {later}"
    return "the program left none at its exit"


def _clock(reader: SessionReader, at_s: float) -> str:
    """The time of day where it was recorded."""
    meta = reader.meta()
    try:
        return time.strftime("%H:%M:%S", time.gmtime(float(meta["started"]) + float(meta.get("utc_offset", 0)) + at_s))
    except (KeyError, ValueError, OverflowError, OSError):
        return f"second {at_s:.0f}"
