"""Takes reports in: starts a collector for each dump and passes its rows on to the session as they come."""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from memtui_parsers.values import ReportStatus
from memtui_profiler.collect_request import CollectRequest
from memtui_profiler.collect_worker import WorkerFailure
from memtui_profiler.collector_job import CollectorJob
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.session.background import BackgroundWriter
from memtui_profiler.session.rows import ReportEnd, ReportNote, ReportRow, Row, SymbolsEnd
from memtui_profiler.words import object_words, size_words

RECORDER_LOG = "recorder.log"
TIMEOUT_S = 300.0
AT_WORK = (
    2  # a run may leave hundreds of dumps (mode local, children): all at once would take the machine from the target
)


@dataclass(slots=True)
class Intake:
    """One report on its way: what it is of, and how much of it is here."""

    request: CollectRequest
    run: int
    job: CollectorJob
    deadline_s: float
    ended: bool = False
    symbolized: bool = False


class ReportIntake:
    """``pids`` are the collectors at work; ``event`` records what the user should see."""

    def __init__(
        self,
        rows: BackgroundWriter,
        selector: selectors.BaseSelector,
        folder: Path,
        now_s: Callable[[], float],
        event: Callable[..., None],
    ) -> None:
        self._rows = rows
        self._selector = selector
        self._folder = folder
        self._now_s = now_s
        self._event = event
        self._waiting: deque[tuple[CollectRequest, int]] = deque()
        self._intakes: list[Intake] = []

    @property
    def pids(self) -> set[int]:
        return {intake.job.pid for intake in self._intakes}

    def busy_with(self, run: int) -> bool:
        runs = (*(intake.run for intake in self._intakes), *(waiting for _, waiting in self._waiting))
        return run in runs

    def start(self, request: CollectRequest, run: int, origin: str) -> None:
        """Collect one dump, as soon as its turn comes. ``request.report`` is filled in here."""
        report = self._rows.add(
            ReportRow(
                at_s=self._now_s(),
                run=run,
                pid=request.pid,
                checker=request.checker,
                mode=request.mode,
                origin=origin,
                path=request.dump or request.log or "",
            )
        )
        self._waiting.append((replace(request, report=report), run))
        self._next()

    def _next(self) -> None:
        while self._waiting and len(self._intakes) < AT_WORK:
            request, run = self._waiting.popleft()
            try:
                with (self._folder / RECORDER_LOG).open("ab") as log:
                    job = CollectorJob(request, self._folder, log.fileno())
            except OSError as error:
                self._fail(request, UserError("the report cannot be read", str(error), "its dump stays where it is"))
                self._end(request, ended=False, symbolized=False)
                continue
            intake = Intake(request, run, job, self._now_s() + TIMEOUT_S)
            self._intakes.append(intake)
            self._selector.register(job.descriptor, selectors.EVENT_READ, partial(self._read, intake))

    def _read(self, intake: Intake) -> None:
        try:
            for row in intake.job.read():
                if isinstance(row, WorkerFailure):
                    self._fail(intake.request, UserError(row.what, row.why, row.todo))
                else:
                    self._add(intake, row)
        except ValueError as error:  # what came is no row: nothing behind it can be read either
            self._fail(intake.request, UserError("the report is not whole", str(error), f"see {RECORDER_LOG}"))
            self._finish(intake)
            return
        if intake.job.done:
            self._finish(intake)

    def _add(self, intake: Intake, row: Row) -> None:
        if isinstance(row, ReportEnd):
            row = row._replace(at_s=self._now_s())
            intake.ended = True
            self._event(
                EventKind.REPORT,
                f"{size_words(row.total_bytes)} in {object_words(row.total_objects)}"
                if row.total_objects
                else "no leaks found",
                report=row.report,
                bytes=row.total_bytes,
                objects=row.total_objects,
                status=row.status,
                origin="live" if intake.request.live else "exit",
            )
        elif isinstance(row, SymbolsEnd):
            row = row._replace(at_s=self._now_s())
            intake.symbolized = True
        self._rows.add(row)

    def _fail(self, request: CollectRequest, error: UserError) -> None:
        self._event(EventKind.FAILED, str(error), verb="report", **error.fields())
        self._rows.add(ReportNote(report=request.report, text=f"{error.what}: {error.why}"))

    def _finish(self, intake: Intake) -> None:
        """Whatever happened to the collector, the report gets an end: what came before stays and is shown."""
        self._intakes.remove(intake)
        self._selector.unregister(intake.job.descriptor)
        intake.job.close()
        if not (intake.ended and intake.symbolized):
            why = "its reader ended early"
            self._fail(intake.request, UserError("the report is not whole", why, f"see {RECORDER_LOG}"))
        self._end(intake.request, ended=intake.ended, symbolized=intake.symbolized)
        self._next()

    def _end(self, request: CollectRequest, *, ended: bool, symbolized: bool) -> None:
        report, now_s = request.report, self._now_s()
        if not ended:
            status = ReportStatus.TRUNCATED.value
            self._rows.add(ReportEnd(at_s=now_s, report=report, status=status, total_bytes=0, total_objects=0))
        if not symbolized:
            self._rows.add(SymbolsEnd(at_s=now_s, report=report))

    def expire(self) -> None:
        """Give up on collectors that a hostile file has caught."""
        for intake in [i for i in self._intakes if self._now_s() > i.deadline_s]:
            self._finish(intake)

    def close(self) -> None:
        while self._waiting:
            request, _ = self._waiting.popleft()
            why = "the recorder ended before its turn came"
            self._fail(request, UserError("the report was not read", why, "its dump stays: `memtui open` reads it"))
            self._end(request, ended=False, symbolized=False)
        for intake in list(self._intakes):
            self._finish(intake)
