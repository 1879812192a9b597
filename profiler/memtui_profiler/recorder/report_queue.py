"""The reports that are to be made: a collector process is started for each dump, and its rows go to the session as they come."""

from __future__ import annotations

import selectors
import sys
import threading
from collections import deque
from dataclasses import dataclass, replace
from functools import partial

from memtui_parsers.values import ReportStatus
from memtui_profiler.checkers import checker_named
from memtui_profiler.collect.job import CollectorJob
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.recorder.start import RECORDER_LOG
from memtui_profiler.run.output_log import DiskWork
from memtui_profiler.session.recording import Recording
from memtui_profiler.session.rows import ReportEnd, ReportNote, ReportRow, Row, SymbolsEnd
from memtui_profiler.words import in_what_was_seen, object_words, size_words, span_words

TIMEOUT_S = 300.0
# A run may leave hundreds of dumps (mode local, children): all at once would take the machine from the target.
AT_WORK = 2
WRITTEN_WITHIN_S = 0.1  # by a disk that answers


# What is said of a report without leaks.
_NOTHING = {
    ReportStatus.TRUNCATED: "the report is cut before its first leak",
    ReportStatus.NOT_RUN: "the check did not run",
}


def _found(request: CollectRequest, end: ReportEnd) -> str:
    """What the report has, in a phrase."""
    if request.growth is not None:
        return f"{size_words(end.total_bytes)} grown in {span_words(request.growth.seconds)}"
    if end.total_objects or end.total_bytes:
        return f"{size_words(end.total_bytes)} in {object_words(end.total_objects)}"
    nothing = _NOTHING.get(ReportStatus(end.status))
    if nothing is None:
        checker = checker_named(request.checker)
        nothing = "no leaks found" if checker is None else checker.found_nothing
    return f"{nothing}{in_what_was_seen(end.seen_bytes)}"


@dataclass(slots=True)
class OpenReport:
    """A report that a collector makes: of which run it is, and which of its two ends have come."""

    request: CollectRequest
    run: int
    job: CollectorJob
    deadline_s: float
    ended: bool = False
    symbolized: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """A report whose turn has not come: it begins once ``written`` is set, and has no log where ``log`` could not be written."""

    request: CollectRequest
    run: int
    written: threading.Event
    log: DiskWork[None] | None


_WRITTEN = threading.Event()  # of files that were written before
_WRITTEN.set()
_SEE_LOG = f"see {RECORDER_LOG} of the session; `memtui check` keeps it with --keep"


class ReportQueue:
    """Starts ``AT_WORK`` collectors at once; the rest waits."""

    def __init__(self, recording: Recording, selector: selectors.BaseSelector) -> None:
        self._recording = recording
        self._selector = selector
        self._waiting: deque[Waiting] = deque()
        self._open: list[OpenReport] = []
        self._expected: list[int] = []

    @property
    def pids(self) -> set[int]:
        """The collectors that run."""
        return {report.job.pid for report in self._open}

    def busy_with(self, run: int) -> bool:
        """Whether reports of this run are still to come."""
        open_or_waiting = (*(report.run for report in self._open), *(waiting.run for waiting in self._waiting))
        return run in (*open_or_waiting, *self._expected)

    def expect(self, run: int) -> None:
        """Reports of this run will still be started, until expect_no_more() has been called as often."""
        self._expected.append(run)

    def expect_no_more(self, run: int) -> None:
        """The last one has been started."""
        self._expected.remove(run)

    def start(
        self,
        request: CollectRequest,
        run: int,
        origin: str,
        *,
        written: threading.Event,
        log: DiskWork[None] | None = None,
        age_s: float = 0.0,
    ) -> None:
        """Collect one dump as soon as its turn comes and its files are ``written``; ``request.report`` is filled in here.

        ``log``: how the writing of the request's log went. ``age_s``: since the dump was written.
        """
        report = self._recording.add(
            ReportRow(
                at_s=max(0.0, self._recording.now_s() - age_s),
                run=run,
                pid=request.pid,
                checker=request.checker,
                mode=request.mode,
                origin=origin,
                path=request.dump or request.log or "",
            )
        )
        if not self._waiting:
            written.wait(WRITTEN_WITHIN_S)
        self._waiting.append(Waiting(replace(request, report=report), run, written, log))
        self.next()

    def start_live(self, request: CollectRequest, run: int, log: DiskWork[None] | None = None) -> None:
        """As start(), for a live check, whose ``log`` may still be written, or a snapshot."""
        self.start(request, run, "live", written=_WRITTEN if log is None else log.done, log=log)

    def start_last(self, request: CollectRequest, run: int) -> None:
        """As start(), for what was written at the end of the run."""
        self.start(request, run, "exit", written=_WRITTEN)

    def next(self) -> None:
        """Start what can be started now."""
        while self._waiting and len(self._open) < AT_WORK and self._waiting[0].written.is_set():
            waiting = self._waiting.popleft()
            request, run = waiting.request, waiting.run
            if waiting.log is not None and waiting.log.error is not None:
                self._fail(request, UserError("what the check said is lost", str(waiting.log.error), "see its report"))
                request = replace(request, log=None)
            try:
                # The recorder's stderr is recorder.log: nothing is opened here, as the disk may not answer.
                job = CollectorJob(request, sys.stderr.fileno())
            except OSError as error:
                self._fail(request, UserError("the report cannot be read", str(error), "its dump stays where it is"))
                self._end(request, ended=False, symbolized=False)
                continue
            report = OpenReport(request, run, job, self._recording.now_s() + TIMEOUT_S)
            self._open.append(report)
            self._selector.register(job.descriptor, selectors.EVENT_READ, partial(self._read, report))

    def _read(self, report: OpenReport) -> None:
        try:
            for row in report.job.read():
                if isinstance(row, UserError):
                    self._fail(report.request, row)
                else:
                    self._add(report, row)
        except ValueError as error:  # what came is no row: nothing behind it can be read either
            self._fail(report.request, UserError("the report is not whole", str(error), _SEE_LOG))
            self._finish(report)
            return
        if report.job.done:
            self._finish(report)

    def _add(self, report: OpenReport, row: Row) -> None:
        if isinstance(row, ReportEnd):
            row = row._replace(at_s=self._recording.now_s())
            report.ended = True
            self._recording.event(
                EventKind.REPORT,
                _found(report.request, row),
                report=row.report,
                bytes=row.total_bytes,
                objects=row.total_objects,
                status=row.status,
                origin="live" if report.request.live else "exit",
            )
        elif isinstance(row, SymbolsEnd):
            row = row._replace(at_s=self._recording.now_s())
            report.symbolized = True
        self._recording.add(row)

    def _fail(self, request: CollectRequest, error: UserError) -> None:
        self._recording.error(EventKind.FAILED, error, "report")
        self._recording.add(ReportNote(report=request.report, text=f"{error.what}: {error.why}"))

    def _finish(self, report: OpenReport) -> None:
        """Whatever happened to the collector, the report gets an end: what came before stays and is shown."""
        self._open.remove(report)
        self._selector.unregister(report.job.descriptor)
        report.job.close()
        if not (report.ended and report.symbolized):
            self._fail(report.request, UserError("the report is not whole", "its reader ended early", _SEE_LOG))
        self._end(report.request, ended=report.ended, symbolized=report.symbolized)
        self.next()

    def _end(self, request: CollectRequest, *, ended: bool, symbolized: bool) -> None:
        report, now_s = request.report, self._recording.now_s()
        if not ended:
            status = ReportStatus.TRUNCATED.value
            self._recording.add(ReportEnd(at_s=now_s, report=report, status=status, total_bytes=0, total_objects=0))
        if not symbolized:
            self._recording.add(SymbolsEnd(at_s=now_s, report=report))

    def expire(self) -> None:
        """End the reports whose collectors take too long, as a hostile file may have them do."""
        for report in [r for r in self._open if self._recording.now_s() > r.deadline_s]:
            self._finish(report)

    def close(self) -> None:
        """End every report now, as far as it has come."""
        while self._waiting:
            request = self._waiting.popleft().request
            why = "the recorder ended before its turn came"
            self._fail(request, UserError("the report was not read", why, "its dump stays: `memtui open` reads it"))
            self._end(request, ended=False, symbolized=False)
        for report in list(self._open):
            self._finish(report)
