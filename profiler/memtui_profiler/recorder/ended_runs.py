"""The runs that have ended, until all reports of what they left are made: which files there are is looked up by their threads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from memtui_profiler.checkers.ending import Conclusion, Ended
from memtui_profiler.errors import UserError, todo_of
from memtui_profiler.events import EventKind
from memtui_profiler.recorder.live_report import LiveRequest
from memtui_profiler.recorder.report_queue import ReportQueue
from memtui_profiler.run.active_run import ActiveRun
from memtui_profiler.run.output_log import DiskWork
from memtui_profiler.run.run_reports import ExitReport
from memtui_profiler.session.recording import Recording

_NOT_CHECKED_BEFORE = (
    "memtui could not check it before it stopped it: where other threads ran on while it ended, what its static"
    " destructors gave up counts as lost"
)


@dataclass(frozen=True, slots=True)
class _Concluding:
    """A run that has ended, while a thread looks at what it left.

    ``before_end`` was checked before it was stopped; ``refusal`` is why it could not be, where that was tried.
    """

    run: ActiveRun
    work: DiskWork[tuple[Ended, Conclusion, list[ExitReport]]]
    before_end: tuple[LiveRequest, ...]
    refusal: str


class EndedRuns:
    """Starts the reports of runs that have ended, and tells when the last one is made."""

    def __init__(self, recording: Recording, reports: ReportQueue) -> None:
        self._recording = recording
        self._reports = reports
        self._concluding: list[_Concluding] = []
        self._settling: dict[int, ActiveRun] = {}  # by number

    @property
    def settling(self) -> bool:
        """Whether reports are still to come."""
        return bool(self._settling)

    def add(self, run: ActiveRun) -> None:
        """A run that is over, be it that it was left."""
        self._settling[run.number] = run

    def look_at(self, run: ActiveRun, ended: Ended, before_end: tuple[LiveRequest, ...], refusal: str) -> None:
        """Have a thread look at what ``run`` left; ``before_end`` and ``refusal``: of a check before it was stopped."""
        work = run.output.log.submit(partial(run.conclusion, ended))
        self._concluding.append(_Concluding(run, work, before_end, refusal))

    def conclude(self) -> None:
        """Tell what follows of the runs that have ended, as soon as the disk has told which files they left."""
        for each in [each for each in self._concluding if each.work.done.is_set()]:
            self._concluding.remove(each)
            self._tell(each)

    def _tell(self, each: _Concluding) -> None:
        run, recording = each.run, self._recording
        if each.work.result is None:
            error = each.work.error
            why = str(error) if isinstance(error, OSError) else repr(error)
            failed = UserError("no report was looked for", why, todo_of(error, "see to the disk"))
            recording.error(EventKind.FAILED, failed, "report")
            return
        ended, conclusion, reports = each.work.result
        for note in conclusion.notes:
            recording.event(EventKind.NOTE, note, of_report=True)
        if ended.stopped_by_memtui and reports and run.checked_while_it_runs and not each.before_end:
            recording.event(EventKind.NOTE, _NOT_CHECKED_BEFORE, of_report=True)
        for report in reports:
            request, written = run.reports.exit_request(report.source), run.output.log.closed
            self._reports.start(request, run.number, report.origin, written=written, age_s=report.age_s)
        for live_request, log in each.before_end:
            self._reports.start_live(live_request, run.number, log)
        if conclusion.no_report and not each.before_end:
            detail = {} if conclusion.action is None else {"action": conclusion.action.value}
            if ended.crashed_preloaded:
                detail["preloaded"] = ended.preloaded
            refused = f"; it could not be checked before memtui stopped it: {each.refusal}" if each.refusal else ""
            recording.event(EventKind.NO_REPORT, conclusion.no_report + refused, **detail)

    def settle(self) -> None:
        """Tell of each run of which no report is to come any more, and let go of its files."""
        concluding = {each.run.number for each in self._concluding}
        for number, run in list(self._settling.items()):
            if number in concluding or not run.output.log.closed.is_set() or self._reports.busy_with(number):
                continue
            self._settling.pop(number).mapped.release()
            self._recording.settled(number)
