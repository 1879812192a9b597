"""The current run of a session: starts it, samples it, stops it, and has its reports made."""

from __future__ import annotations

import selectors
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_profiler.errors import UserError, todo_of
from memtui_profiler.events import EventKind
from memtui_profiler.launch.plan import LaunchPlan
from memtui_profiler.recorder import live_report
from memtui_profiler.recorder.askers import Askers
from memtui_profiler.recorder.control import Command
from memtui_profiler.recorder.ended_runs import EndedRuns
from memtui_profiler.recorder.growth_watch import GrowthWatches
from memtui_profiler.recorder.launcher import Launcher, relaunched
from memtui_profiler.recorder.live_report import LiveRequest
from memtui_profiler.recorder.report_queue import ReportQueue
from memtui_profiler.recorder.schedule import Schedule
from memtui_profiler.request import LaunchRequest
from memtui_profiler.run.active_run import ActiveRun, exit_event
from memtui_profiler.run.escalation import Escalation
from memtui_profiler.run.orphans import Orphans
from memtui_profiler.run.output_log import CLOSES_WITHIN_S
from memtui_profiler.run.pty_output import Terminal
from memtui_profiler.run.target_process import ExitStatus, TargetProcess
from memtui_profiler.session.recording import Recording
from memtui_profiler.session.rows import Followed, RunEnd

if TYPE_CHECKING:
    from memtui_profiler.asking.scheduler import AskScheduler, CommandAnswer, Done

# A heap checker that finds itself traced when it starts turns itself off (FACTS.md): a young process is left alone.
ASK_AFTER_S = 1.0
LEAVES_WITHIN_S = 3.0


class RunSupervisor:
    """``run`` is None between two runs, and after the last; ``launcher`` plans the next one."""

    def __init__(
        self,
        request: LaunchRequest,
        recording: Recording,
        reports: ReportQueue,
        schedule: Schedule,
        selector: selectors.BaseSelector,
    ) -> None:
        self.run: ActiveRun | None = None
        self._request = request
        self._recording = recording
        self._reports = reports
        self._schedule = schedule
        self._selector = selector
        self.launcher = Launcher(request, recording)
        self._askers = Askers(request, recording, selector)
        self._orphans = Orphans()
        self._left_before: frozenset[int] = frozenset()  # by earlier runs: no later one goes on in them
        self._escalation: Escalation | None = None
        self._before_end: list[LiveRequest] = []  # of the newest run, checked before it was stopped
        self._previous: ActiveRun | None = None
        self._relaunch: tuple[Command, LaunchPlan] | None = None
        self._told_of_run = 0
        self._over_s = 0.0  # when the previous run ended
        self._ended = EndedRuns(recording, reports)
        self.growth = GrowthWatches(recording, reports, selector)

    @property
    def _own_pids(self) -> set[int]:
        """Processes that memtui started for itself, and waits for."""
        return self._reports.pids | self.growth.pids

    # Start

    def launch(self, plan: LaunchPlan) -> ActiveRun:
        """Start the next run, or attach to what runs already. Raises UserError when that fails."""
        left_before = frozenset(self._orphans.alive(excluding=self._own_pids))
        run = self.launcher.launch(plan)
        self._left_before = left_before
        self.run = run
        self._before_end = []
        self._escalation = Escalation(
            run, self._scheduler_or_none, self._recording, partial(self._check_before_end, run)
        )
        for stream in run.output.streams:
            self._selector.register(stream.master, selectors.EVENT_READ, partial(self._drain, run, stream))
        self._selector.register(run.process.pidfd, selectors.EVENT_READ, partial(self._process_ended, run))
        self._schedule.run_started()
        if run.checker is not None and run.checker.from_outside:
            self.growth.start_with(run)
        return run

    def relaunch(self, command: Command, plan: LaunchPlan) -> None:
        """Start the next run as soon as this one has ended; ``command`` is answered then."""
        self.drop_relaunch(UserError("relaunch replaced", "another was asked for meanwhile", "nothing to do"))
        self._relaunch = (command, plan)
        if self.run is None:
            self._start_relaunched()
        else:
            self.begin_stop()

    def drop_relaunch(self, error: UserError) -> None:
        """No run follows this one any more; the command that waits for it is refused with ``error``."""
        if self._relaunch is not None:
            self._relaunch[0].fail(error)
            self._relaunch = None

    def _start_relaunched(self) -> None:
        if self._relaunch is None:
            return
        (command, plan), self._relaunch = self._relaunch, None
        try:
            run = self.launch(plan)
        except UserError as error:
            self._recording.error(EventKind.FAILED, error, "relaunch")
            command.fail(error)
            return
        text, detail = relaunched(self._previous, run)
        self._recording.event(EventKind.RELAUNCH, text, **detail)
        command.succeed(pid=run.process.pid, run=run.number)

    # While it runs

    def scheduler(self) -> AskScheduler | None:
        """Who asks the process that runs; None when there is none. Made when first wanted: not before a target starts.

        Raises OSError where no descriptor is free or no thread can be made.
        """
        return None if self.run is None else self._askers.of(self.run)

    def _scheduler_or_none(self) -> AskScheduler | None:
        """As scheduler(), for a stop, which goes on without."""
        try:
            return self.scheduler()
        except OSError as error:
            self._tell_once(error)
            return None

    def sample(self, now_s: float) -> None:
        """Sample the run, and ask its process for figures when they are due."""
        run = self.run
        if run is None:
            return
        sample = run.sample(now_s)
        if sample is not None:
            scheduler = self._askers.current
            in_use, kept = (None, None) if scheduler is None else scheduler.in_use_and_kept(now_s)
            sample = sample._replace(in_use_bytes=in_use, kept_bytes=kept)
            self._recording.add(sample)
            run.reports.held_share.take(sample, None if scheduler is None else scheduler.newest_figures)
            self._record_regions(run, now_s, sample.rss_bytes)
        asked_from_s = run.started_s if run.attached else run.started_s + ASK_AFTER_S
        if not self.stopping and now_s >= asked_from_s:
            try:
                self._askers.of(run).tick(sample.rss_bytes if sample is not None else 0)
            except OSError as error:
                self._tell_once(error)
        if (limit := run.sampler.new_limit(now_s)) is not None:
            self._recording.add(limit)

    def _record_regions(self, run: ActiveRun, now_s: float, rss_bytes: int) -> None:
        try:
            for row in run.new_regions(now_s, rss_bytes):
                self._recording.add(row)
        except OSError as error:
            text = f"what pid {run.process.pid} has mapped cannot be read: {error.strerror or error}"
            self._recording.event(EventKind.NOTE, text)

    def _tell_once(self, error: OSError) -> None:
        """Tell, once a run, why its process cannot be asked: each attempt may fail in the same way."""
        if self._told_of_run != self._recording.run:
            self._told_of_run = self._recording.run
            failed = UserError("cannot ask the process", str(error), todo_of(error, "leave it and attach again"))
            self._recording.error(EventKind.FAILED, failed, "ask")

    def take_live_check(self, run: ActiveRun, live: LiveRequest) -> None:
        """Have a report made of a live check, or of a snapshot."""
        request, log = live
        self._reports.start_live(request, run.number, log)

    def take_snapshot(self, run: ActiveRun, dump: Path, *, told: bool = False) -> None:
        """Have a report made of a heap snapshot; with an event, for the mark on the graph, unless who asked for it is ``told``."""
        self._reports.start_live(run.reports.snapshot_request(dump), run.number)
        if not told:
            self._recording.event(EventKind.SNAPSHOT, f"heap snapshot {dump.name}", started=False)

    def look(self, now_s: float) -> None:
        """Do what is due about twice a second."""
        run = self.run
        if run is not None:
            if self.stopping and self._escalation is not None:
                self._escalation.advance()
            elif self._request.for_s is not None and now_s - run.started_s >= self._request.for_s:
                if run.attached:
                    self.detach()
                else:
                    self.begin_stop()
            if dropped := run.output.log.new_refused_bytes():
                text = f"{dropped} bytes of output were not kept: the disk did not take them in time"
                self._recording.event(EventKind.OUTPUT_DROPPED, text, bytes=dropped)
            for dump in run.reports.new_snapshots():
                self.take_snapshot(run, dump)
        self.growth.look(now_s)
        self._orphans.reap(excluding=self._own_pids | ({self.run.process.pid} if self.run else set()))
        if killed := self._orphans.escalate(now_s):
            pids = ", ".join(map(str, killed))
            text = f"killed what the stopped target had left and SIGTERM did not end: pid {pids}"
            self._recording.event(EventKind.NOTE, text)
        self._tell_left_behind()
        if not self._askers.detached and now_s - self._over_s < LEAVES_WITHIN_S:
            return  # whether something of ours stays in the process is part of what is told of the run
        self._ended.conclude()
        self._reports.next()
        self._ended.settle()

    def _tell_left_behind(self) -> None:
        for error in self._askers.new_left_behind():
            text = f"a thread of memtui's stays in the process, asleep until that ends: {error.why}"
            self._recording.event(EventKind.NOTE, text)

    @property
    def settling(self) -> bool:
        """Whether reports of runs that have ended are still to come."""
        return self._ended.settling

    @property
    def busy(self) -> bool:
        """Whether the recorder must not end yet. A question that is under way holds our thread in the process, so it counts."""
        leaving = self._orphans.stopping or self.growth.busy or not self._askers.detached
        return self.run is not None or self.settling or leaving

    # Stop

    @property
    def stopping(self) -> bool:
        """Whether the newest run is being stopped, or was stopped by memtui."""
        return self._escalation is not None and self._escalation.begun

    def begin_stop(self) -> None:
        """Begin to stop the target, more and more firmly."""
        if self._escalation is not None and self.run is not None:
            self._escalation.begin()

    def _check_before_end(self, run: ActiveRun, done: Done) -> None:
        """Check the process while it still runs. Its report is made last: what the exit finds besides must not hide it."""
        scheduler = self._askers.of(run)

        def checked(answer: CommandAnswer) -> None:
            run.sampler.detail_now()  # how many threads ran: each holds a block of libc's
            self.sample(self._recording.now_s())
            done(answer)

        if run.checker is not None and run.checker.from_outside:
            self.growth.stop(run, done)
        elif run.checker is not None and run.checker.takes_snapshots:
            request = run.reports.snapshot_request
            live_report.snapshot(
                run, scheduler, checked, lambda dumps: self._before_end.extend((request(dump), None) for dump in dumps)
            )
        else:
            live_report.check(run, scheduler, checked, self._before_end.append)

    def kill(self) -> None:
        """SIGKILL at once."""
        if self._escalation is not None:
            self._escalation.kill()

    def detach(self) -> None:
        """Leave an attached process as it was found; what was recorded of it stays."""
        run = self.run
        if run is None:
            return
        self._selector.unregister(run.process.pidfd)
        self._askers.detach()
        self.growth.run_is_over(run)
        run.close()
        pid = run.process.pid
        self._recording.event(EventKind.DETACHED, f"memtui lets go of pid {pid}: it runs on", pid=pid)
        self._run_is_over(run, self._recording.now_s())

    def give_up(self) -> None:
        """End what was started, as whoever wanted it is gone: stop the target, or leave a process that was attached to."""
        gone = UserError("relaunch dropped", "whoever started memtui is gone", "launch it again")
        self.drop_relaunch(gone)
        if self.run is not None and self.run.attached:
            self.detach()
        else:
            self.begin_stop()

    # End

    def _drain(self, run: ActiveRun, stream: Terminal) -> None:
        if run.output.drain(stream):
            self._selector.unregister(stream.master)
            run.output.close_stream(stream)

    def _process_ended(self, run: ActiveRun) -> None:
        status = run.process.exit_status()
        if status is None:
            return
        self._selector.unregister(run.process.pidfd)
        if status.exit_code == 0 and not self.stopping and not run.attached and self._follow(run):
            return
        self._end(run, status)

    def _follow(self, run: ActiveRun) -> bool:
        """A daemon's launcher ends with 0 and leaves the server behind: it became our child, so go on with it."""
        holder = set() if run.output.holder is None else {run.output.holder.pid}
        for pid in self._orphans.alive(excluding=self._own_pids | self._left_before | holder):
            try:
                process = TargetProcess.adopt(pid)
                run.follow(process)
            except ProcessLookupError:
                continue
            self._recording.add(Followed(at_s=self._recording.now_s(), run=run.number, pid=pid))
            text = f"the program went on as pid {pid}, a process it left behind"
            self._recording.event(EventKind.FOLLOWING, text, pid=pid)
            self._askers.detach()
            self.growth.follow(run)
            self._selector.register(process.pidfd, selectors.EVENT_READ, partial(self._process_ended, run))
            return True
        return False

    def _end(self, run: ActiveRun, status: ExitStatus) -> None:
        for stream in list(run.output.streams):
            self._drain(run, stream)
            if stream in run.output.streams:  # a child of the target still holds it: nobody will read it from here on
                self._selector.unregister(stream.master)
        recording, now_s = self._recording, self._recording.now_s()
        scheduler, stopped_by_memtui = self._askers.current, self.stopping
        refusal = "" if self._escalation is None else self._escalation.refusal
        if self._escalation is not None:
            self._escalation.over()
        self._askers.detach()
        self.growth.run_is_over(run)
        ended = run.ended(
            status,
            stopped_by_memtui=stopped_by_memtui,
            follow_children=self._request.follow_children,
            guest_stack=None if scheduler is None else scheduler.guest_stack,
        )
        self._ended.look_at(run, ended, tuple(self._before_end), refusal)
        run.close()
        oom_killed = int(ended.oom_killed)
        recording.add(RunEnd(now_s, run.number, status.exit_code, ended.signal, oom_killed))
        kind, text, detail = exit_event(ended)
        recording.event(kind, text, **detail)
        log = run.output.log
        if dropped := log.dropped_bytes - log.told_bytes:
            why = f": {log.failure.strerror}" if log.failure is not None else ""
            recording.event(EventKind.OUTPUT_DROPPED, f"{dropped} bytes of output were not kept{why}", bytes=dropped)
        self._ended.conclude()
        self._run_is_over(run, now_s)
        if stopped_by_memtui:
            self._orphans.stop_group(run.process.group, now_s)
        self._start_relaunched()

    def _run_is_over(self, run: ActiveRun, now_s: float) -> None:
        self.run, self._previous = None, run
        self._ended.add(run)
        self._over_s = now_s
        self._schedule.run_ended(now_s)

    def close(self) -> None:
        """Leave the target, should it live, to itself."""
        self.growth.close()
        self._askers.detach()
        self._askers.join()
        self._tell_left_behind()
        self._ended.conclude()
        if self.run is not None:
            self._recording.event(EventKind.NOTE, "the recorder was told to end; the target goes on, unwatched")
            self.run.close()
            self.run.output.log.closed.wait(CLOSES_WITHIN_S)
