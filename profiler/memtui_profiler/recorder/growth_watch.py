"""Watches which stacks make the process of a run grow: one watch at a time, by a process of its own, whose dumps become reports.

Reports come 10 s after the start and then each time that a tenth more time has passed: a watch of days leaves some hundred.
"""

from __future__ import annotations

import selectors
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from memtui_profiler.actions import Action
from memtui_profiler.errors import UserError, todo_of
from memtui_profiler.events import EventKind
from memtui_profiler.recorder.growth_job import Ended, GrowthEvent, GrowthJob, Refused, Reported, Started, silent
from memtui_profiler.recorder.report_queue import ReportQueue
from memtui_profiler.run.active_run import ActiveRun
from memtui_profiler.session.recording import Recording
from memtui_profiler.words import percent_words, span_words

if TYPE_CHECKING:
    from memtui_profiler.asking.scheduler import CommandAnswer, Done

FIRST_REPORT_S = 10.0
_SHARE_OF_TIME = 0.1
# So long it may take to begin, and to end, on a machine that is busy.
_ANSWERS_WITHIN_S = 60.0
# A script that ends in `exec server` is another program from then on. A process that ends is told of within that time.
_BEGINS_AGAIN = 3
_BEGINS_AGAIN_AFTER_S = 1.0
_WORTH_SAYING = 0.01


@dataclass(slots=True)
class _Watch:
    """``whole_run``: the run's check is this. ``on_start``, ``on_report`` and ``on_end`` wait for an answer.

    ``ending``: it was told to end, and its last report is to come; ``over``: because its process has ended, or was left.
    """

    run: ActiveRun
    job: GrowthJob
    deadline_s: float
    seconds: float | None
    anyway: bool
    whole_run: bool
    on_start: list[Done] = field(default_factory=list)
    on_report: list[Done] = field(default_factory=list)
    on_end: list[Done] = field(default_factory=list)
    began_s: float | None = None
    due_s: float = 0.0
    reports: int = 0
    ending: bool = False
    over: bool = False
    why: str = ""


class GrowthWatches:
    """The watch of the current run, if there is one, and those of runs that are over, which make their last report."""

    def __init__(self, recording: Recording, reports: ReportQueue, selector: selectors.BaseSelector) -> None:
        self._recording = recording
        self._reports = reports
        self._selector = selector
        self._watches: list[_Watch] = []
        self._count = 0
        self._again = 0
        self._to_begin_again: tuple[ActiveRun, float] | None = None

    @property
    def pids(self) -> set[int]:
        """The processes that watch."""
        return {watch.job.pid for watch in self._watches}

    @property
    def busy(self) -> bool:
        """Whether a last report is still to come."""
        return any(watch.ending for watch in self._watches)

    def watches(self, run: ActiveRun) -> bool:
        """Whether it is watched, or about to be."""
        return self._of(run) is not None

    def _of(self, run: ActiveRun) -> _Watch | None:
        return next((watch for watch in self._watches if watch.run is run and not watch.ending), None)

    def start_with(self, run: ActiveRun) -> None:
        """Watch a run whose check this is, from its start to its end."""
        self._again, self._to_begin_again = 0, None
        self._start(run, None, seconds=None, anyway=True, whole_run=True)

    def start(self, run: ActiveRun, done: Done, *, seconds: float | None = None, anyway: bool = False) -> None:
        """Begin to watch, for ``seconds`` or to the end; ``done`` gets the answer once it is clear whether that is possible."""
        watch = self._of(run)
        if watch is None:
            self._start(run, done, seconds=seconds, anyway=anyway, whole_run=False)
        elif watch.began_s is None:
            watch.on_start.append(done)
        else:
            done(_begun())

    def _start(
        self, run: ActiveRun, done: Done | None, *, seconds: float | None, anyway: bool, whole_run: bool
    ) -> None:
        self._count += 1
        folder = run.folder / f"growth-{self._count}"
        try:
            # The recorder's stderr is recorder.log: nothing is opened here, as the disk may not answer.
            job = GrowthJob(run.process.pid, folder, sys.stderr.fileno(), seconds=seconds, anyway=anyway)
        except OSError as error:
            why, todo = str(error), todo_of(error, "try again")
            failed = UserError("growth is not watched", why, todo)
            if done is not None:
                done(failed)
            else:
                self._recording.event(EventKind.NO_REPORT, f"{failed.what}: {why}")
            return
        deadline_s = self._recording.now_s() + _ANSWERS_WITHIN_S
        watch = _Watch(run, job, deadline_s, seconds, anyway, whole_run, [] if done is None else [done])
        self._watches.append(watch)
        self._reports.expect(run.number)
        self._selector.register(job.descriptor, selectors.EVENT_READ, partial(self._read, watch))
        run.mapped.hold_now()

    def report(self, run: ActiveRun, done: Done) -> None:
        """Have a report made now; ``done`` gets the answer when there is one."""
        watch = self._of(run)
        if watch is None:
            done(UserError("no report on growth", "it is not watched", "begin to watch it", action=Action.SNAPSHOT))
            return
        watch.on_report.append(done)
        if watch.began_s is not None:
            watch.job.ask_for_report()

    def stop(self, run: ActiveRun, done: Done) -> None:
        """End the watch with its last report; ``done`` is called when that has come, or at once where there is none."""
        watch = self._of(run)
        if watch is None:
            done({})
            return
        watch.on_end.append(done)
        self._end(watch)

    def run_is_over(self, run: ActiveRun) -> None:
        """The process has ended, or memtui leaves it."""
        self._to_begin_again = None
        if (watch := self._of(run)) is not None:
            watch.over = True
            self._end(watch)

    def follow(self, run: ActiveRun) -> None:
        """The run goes on in another process: what the first one took went with it."""
        watch = self._of(run)
        if watch is None:
            return
        waiting = watch.on_start
        self._close(watch, silent("the process was replaced by another"), tell=False)
        self._start(run, None, seconds=watch.seconds, anyway=watch.anyway, whole_run=watch.whole_run)
        if (again := self._of(run)) is not None:
            again.on_start += waiting

    def _end(self, watch: _Watch) -> None:
        if not watch.ending:
            watch.ending = True
            watch.deadline_s = self._recording.now_s() + _ANSWERS_WITHIN_S
            watch.job.end()

    def look(self, now_s: float) -> None:
        """Ask for the reports that are due; give up those who do not answer."""
        if self._to_begin_again is not None and now_s >= self._to_begin_again[1]:
            (run, _), self._to_begin_again = self._to_begin_again, None
            self._start(run, None, seconds=None, anyway=True, whole_run=True)
        for watch in list(self._watches):
            if (watch.began_s is None or watch.ending) and now_s > watch.deadline_s:
                self._close(watch, silent("the process that watches does not answer"))
            elif watch.began_s is not None and not watch.ending and now_s >= watch.due_s:
                watch.due_s = now_s + _ANSWERS_WITHIN_S  # until it comes
                watch.job.ask_for_report()

    def close(self) -> None:
        """End all watches now."""
        for watch in list(self._watches):
            self._close(watch, silent("the recorder ends"), tell=False)

    # What the worker says

    def _read(self, watch: _Watch) -> None:
        try:
            for event in watch.job.events():
                self._take(watch, event)
        except ValueError as error:
            self._close(watch, silent(str(error)))
            return
        if watch.job.done:
            self._close(watch, silent(watch.why or "the process that watches ended early"))

    def _take(self, watch: _Watch, event: GrowthEvent) -> None:
        if isinstance(event, Started):
            self._started(watch, event)
        elif isinstance(event, Reported):
            self._reported(watch, event)
        elif isinstance(event, Refused):
            self._refused(watch, event)
        elif isinstance(event, Ended):
            watch.why = event.why

    def _started(self, watch: _Watch, started: Started) -> None:
        now_s = self._recording.now_s()
        watch.began_s, watch.due_s = now_s, now_s + FIRST_REPORT_S
        first_s = FIRST_REPORT_S if watch.seconds is None else min(watch.seconds, FIRST_REPORT_S)
        share = started.price.get("share")
        costs = ""
        if isinstance(share, int | float) and share >= _WORTH_SAYING:
            costs = f", at {percent_words(share)} of its CPU time"
        text = f"watching page faults{costs}: the first report on growth comes in {span_words(first_s)}, another when asked for"
        self._recording.event(
            EventKind.GROWTH, text, watching=True, first_report_s=first_s, action=Action.SNAPSHOT.value
        )
        answer(watch.on_start, _begun())
        if watch.on_report:
            watch.job.ask_for_report()

    def _reported(self, watch: _Watch, reported: Reported) -> None:
        now_s = self._recording.now_s()
        watch.reports += 1
        if watch.began_s is not None:
            watch.due_s = now_s + max(FIRST_REPORT_S, _SHARE_OF_TIME * (now_s - watch.began_s))
        request = watch.run.reports.growth_request(reported.dump, reported.growth, reported.notes)
        if watch.whole_run and reported.last and (watch.over or not watch.ending):
            self._reports.start_last(request, watch.run.number)
        else:
            self._reports.start_live(request, watch.run.number)
        if watch.on_report:
            text = f"growth in {span_words(reported.growth.seconds)} is being reported"
            self._recording.event(EventKind.SNAPSHOT, text, started=False)
            answer(watch.on_report, {"started": False, "growth": True})

    def _refused(self, watch: _Watch, refused: Refused) -> None:
        error = refused.error
        if refused.for_its_price:
            error = UserError(error.what, error.why, error.todo, action=Action.SNAPSHOT)
        if watch.whole_run:
            self._recording.error(EventKind.REFUSED, error, "growth")
        self._close(watch, error)

    def _close(self, watch: _Watch, error: UserError, *, tell: bool = True) -> None:
        """End the watch; ``error`` is the answer to those who wait for what does not come any more."""
        if watch not in self._watches:
            return
        self._watches.remove(watch)
        self._selector.unregister(watch.job.descriptor)
        watch.job.close()
        began = watch.began_s is not None
        if tell and began:
            text = f"page faults are watched no more: {watch.why or error.why}"
            self._recording.event(EventKind.GROWTH, text, watching=False)
        if tell and watch.whole_run and not watch.reports:
            self._recording.event(EventKind.NO_REPORT, f"growth was not told: {error.why}")
        self._reports.expect_no_more(watch.run.number)
        answer(watch.on_start, error)
        answer(watch.on_report, error)
        answer(watch.on_end, {} if began else error)
        if tell and began and watch.whole_run and not watch.ending and self._again < _BEGINS_AGAIN:
            self._again += 1
            self._to_begin_again = watch.run, self._recording.now_s() + _BEGINS_AGAIN_AFTER_S


def _begun() -> CommandAnswer:
    return {"started": True, "growth": True}


def answer(waiting: list[Done], said: CommandAnswer) -> None:
    """Tell all who wait, once."""
    while waiting:
        waiting.pop()(said)
