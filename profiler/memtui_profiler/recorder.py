"""The recorder: owns the target, samples it, writes the session, obeys the viewer (recorder_commands.py). Here is its loop.

Everything that could take long is elsewhere: rows are written by a thread (session/background.py), dumps are read by a
process (collector_job.py). One turn of the loop takes well under a tenth of a second, whatever the target does.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memtui_profiler.active_run import ActiveRun, Stream, clock_s
from memtui_profiler.control import Client, Command, ControlServer
from memtui_profiler.environment import original_environment
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.ladder import Ladder
from memtui_profiler.launch import LaunchPlan, plan_launch
from memtui_profiler.orphans import Orphans
from memtui_profiler.recorder_commands import RecorderCommands
from memtui_profiler.report_intake import ReportIntake
from memtui_profiler.request import LaunchRequest
from memtui_profiler.run_end import conclude, exit_event
from memtui_profiler.session.background import BackgroundWriter
from memtui_profiler.session.folders import hold_lock
from memtui_profiler.session.rows import Event, Followed, MemoryLimit, Row, RunEnd, RunSettled
from memtui_profiler.session.writer import SessionWriter, supports_wal
from memtui_profiler.session_start import capability_rows, meta_rows, relaunched, run_row
from memtui_profiler.target_process import ExitStatus, TargetProcess

if TYPE_CHECKING:
    from memtui_profiler.inquiries import Inquiries

COMMIT_WATCHED_S = 0.25
COMMIT_ALONE_S = 0.8  # a recorder that is killed loses less than a second
SLOW_INTERVAL_S = 0.5
SETTLING_INTERVAL_S = 0.05
PATIENCE_S = (
    60.0  # for a full disk, once nothing is left to record: until then what waits in memory may still be written
)
# A heap checker that finds itself traced when it starts turns itself off (FACTS.md): a young process is left alone.
ASK_AFTER_S = 1.0
LINGER_S = 5.0  # a viewer that launched the target has this long to come and look


class Recorder:
    """Records one session from its first launch until the target has ended and nobody watches."""

    def __init__(self, folder: Path, request: LaunchRequest) -> None:
        self.folder = folder
        self.request = request
        self.began = clock_s()
        self._inherited = original_environment()
        self._lock = hold_lock(folder)
        wal = supports_wal(folder)
        self.rows = BackgroundWriter(SessionWriter(folder, wal=wal), COMMIT_ALONE_S)
        self.selector = selectors.DefaultSelector()
        self.control = ControlServer(folder, self.selector, RecorderCommands(self).obey, self._client_gone)
        self.intake = ReportIntake(self.rows, self.selector, folder, self.now_s, self.event)
        self.orphans = Orphans()
        self.run: ActiveRun | None = None
        self._inquiries: Inquiries | None = None
        self._ladder: Ladder | None = None
        self._parting: list[Inquiries] = []
        self._previous: ActiveRun | None = None
        self._runs = 0
        self._relaunch: tuple[Command, LaunchPlan] | None = None
        self._settling: dict[int, ActiveRun] = {}
        self._left_before: frozenset[int] = frozenset()  # by earlier runs: no later one goes on in them
        self._next_sample_s = 0.0
        self._next_slow_s = 0.0
        self._quiet_since_s = 0.0
        self._was_watched = False
        self._said_failure = False
        self._leave = False
        for row in meta_rows(request, self.began):
            self.rows.add(row)

    def now_s(self) -> float:
        return clock_s() - self.began

    def add(self, row: Row) -> int:
        return self.rows.add(row)

    # Launching

    def plan(self, mode: str, release_rate: float | None) -> LaunchPlan:
        """Raises UserError when it cannot work."""
        if self.request.attach_pid is not None:
            from memtui_profiler.attach import plan_attached

            return plan_attached(self.request.attach_pid)
        number = self._runs + 1
        return plan_launch(
            self.request,
            mode=mode,
            release_rate=release_rate,
            dump_folder=self.folder / "runs" / str(number),
            inherited=self._inherited,
        )

    def launch(self, plan: LaunchPlan) -> ActiveRun:
        """Start the next run, or attach to what runs already. Raises UserError when that fails."""
        number = self._runs + 1
        run_folder = self.folder / "runs" / str(number)
        left_before = frozenset(self.orphans.alive(excluding=self.intake.pids))
        run = ActiveRun(
            number,
            plan,
            run_folder,
            self.now_s(),
            inherit_stdin=self.request.inherit_stdin and number == 1,
            attach_pid=self.request.attach_pid,
        )
        self._left_before = left_before
        self._runs = number
        self.run = run
        self.rows.add(run_row(run, self._inherited))
        following = self.folder / "runs" / str(number + 1)
        for row in capability_rows(run, self.request, following, self._inherited):
            self.rows.add(row)
        for stream in run.streams:
            self.selector.register(stream.master, selectors.EVENT_READ, partial(self._drain, run, stream))
        self.selector.register(run.process.pidfd, selectors.EVENT_READ, partial(self._process_ended, run))
        self._next_sample_s = 0.0
        self._part()
        self._ladder = Ladder(run, self.asking, self.event, self.now_s)
        attached = "attached to " if run.attached else ""
        self.event(
            EventKind.LAUNCHED,
            f"{attached}pid {run.process.pid}, check {plan.mode}, {plan.preflight.allocator}",
            pid=run.process.pid,
            mode=plan.mode,
            release_rate=plan.release_rate,
            allocator=plan.preflight.allocator,
        )
        for note in plan.preflight.notes:
            self.event(EventKind.NOTE, note)
        if run.attached:
            self.rows.hurry()  # so that a second memtui sees at once that this process is taken
        return run

    def asking(self) -> Inquiries | None:
        """Who asks the process that runs now; None when there is none. Made when first wanted: not before a target starts."""
        run = self.run
        if run is not None and self._inquiries is None:
            from memtui_profiler.inquiries import Inquiries

            self._inquiries = Inquiries(
                run.number,
                run.process.pid,
                run.folder,
                self,
                self.selector,
                off=self.request.no_guest,
                force=self.request.force_guest,
            )
        return self._inquiries

    def nothing_runs(self, what: str) -> UserError:
        """Why what is asked of the process cannot be."""
        if self.request.attach_pid is not None:
            return UserError(what, "the process has ended, or memtui let go of it", "attach anew: memtui attach PID")
        return UserError(what, "the target has ended", "r launches it again")

    def _part(self) -> None:
        """Let go of the process that was asked; another one is asked anew."""
        if self._inquiries is not None:
            self._inquiries.close()
            self._parting.append(self._inquiries)
            self._inquiries = None

    def event(self, kind: EventKind, text: str, **detail: Any) -> None:
        run = self._runs or None
        self.rows.add(Event(at_s=self.now_s(), run=run, kind=kind.value, text=text, detail=json.dumps(detail)))

    # What commands do, once they are found to be possible

    def relaunch(self, command: Command, plan: LaunchPlan) -> None:
        """Start the next run as soon as this one has ended; ``command`` is answered then."""
        self.drop_relaunch(UserError("relaunch replaced", "another was asked for meanwhile", "nothing to do"))
        self._relaunch = (command, plan)
        if self.run is None:
            self._start_relaunched()
        else:
            self.begin_stop()

    def drop_relaunch(self, error: UserError) -> None:
        """No run follows this one any more; ``error`` tells whoever waits for it."""
        if self._relaunch is not None:
            self._relaunch[0].fail(error)
            self._relaunch = None

    def kill(self) -> None:
        if self._ladder is not None:
            self._ladder.kill()

    def watched(self) -> None:
        """A viewer is here: what is recorded is wanted at once."""
        self.rows.interval_s = COMMIT_WATCHED_S
        self._was_watched = True

    def let_go(self, run: ActiveRun) -> None:
        """Leave an attached process as it was found; what was recorded of it stays."""
        self.selector.unregister(run.process.pidfd)
        self._part()
        run.close()
        self.run, self._previous = None, run
        pid = run.process.pid
        self.event(EventKind.DETACHED, f"memtui lets go of pid {pid}: it runs on", pid=pid)
        self._settling[run.number] = run
        self._quiet_since_s = self._next_slow_s = self.now_s()

    def begin_stop(self) -> None:
        """Climb the ladder that ends the target."""
        if self._ladder is not None and self.run is not None:
            self._ladder.begin()

    def _client_gone(self, client: Client) -> None:
        if not self.control.watchers:
            self.rows.interval_s = COMMIT_ALONE_S
        self._quiet_since_s = self.now_s()

    # The end of a process, of a run, of the session

    def _drain(self, run: ActiveRun, stream: Stream) -> None:
        if run.drain(stream):
            self.selector.unregister(stream.master)
            run.close_stream(stream)

    def _process_ended(self, run: ActiveRun) -> None:
        status = run.process.exit_status()
        if status is None:
            return
        self.selector.unregister(run.process.pidfd)
        if status.exit_code == 0 and not run.stopped_by_memtui and not run.attached and self._follow(run):
            return
        self._end(run, status)

    def _follow(self, run: ActiveRun) -> bool:
        """A daemon's launcher ends with 0 and leaves the server behind: it became our child, so go on with it."""
        for pid in self.orphans.alive(excluding=self.intake.pids | self._left_before):
            try:
                process = TargetProcess.adopt(pid)
                run.follow(process)
            except ProcessLookupError:
                continue
            self.rows.add(Followed(at_s=self.now_s(), run=run.number, pid=pid))
            self.event(EventKind.FOLLOWING, f"the program went on as pid {pid}, a process it left behind", pid=pid)
            self._part()
            self.selector.register(process.pidfd, selectors.EVENT_READ, partial(self._process_ended, run))
            return True
        return False

    def _end(self, run: ActiveRun, status: ExitStatus) -> None:
        for stream in list(run.streams):
            self._drain(run, stream)
            if stream in run.streams:  # a child of the target still holds it: nobody will read it from here on
                self.selector.unregister(stream.master)
        now_s = self.now_s()
        if self._inquiries is not None:
            run.own_stack = self._inquiries.own_stack
        self._part()
        ended = run.ended(status, follow_children=self.request.follow_children)
        run.close()
        self.run, self._previous = None, run
        self.rows.add(
            RunEnd(
                at_s=now_s,
                run=run.number,
                exit_code=status.exit_code,
                signal=ended.signal,
                oom_killed=int(ended.oom_killed),
            )
        )
        kind, text, detail = exit_event(ended)
        self.event(kind, text, **detail)
        if run.output.dropped_bytes:
            dropped = run.output.dropped_bytes
            self.event(EventKind.OUTPUT_DROPPED, f"{dropped} bytes of output were not kept", bytes=dropped)
        conclusion = conclude(ended)
        for note in conclusion.notes:
            self.event(EventKind.NOTE, note, of_report=True)
        # Those of children first: the newest is what a viewer shows, and that is the program's own.
        for source in sorted(conclusion.sources, key=lambda source: source.pid == run.process.pid):
            self.intake.start(run.collect_request(source), run.number, "exit")
        if conclusion.no_report:
            self.event(EventKind.NO_REPORT, conclusion.no_report)
        self._settling[run.number] = run
        self._quiet_since_s = now_s
        self._next_slow_s = now_s
        if run.stopped_by_memtui:
            self.orphans.stop_group(run.process.group, now_s)
        if self._relaunch is not None:
            self._start_relaunched()

    def _start_relaunched(self) -> None:
        assert self._relaunch is not None
        command, plan = self._relaunch
        self._relaunch = None
        try:
            run = self.launch(plan)
        except UserError as error:
            self.event(EventKind.FAILED, str(error), verb="relaunch", **error.fields())
            command.fail(error)
            return
        text, detail = relaunched(self._previous, run)
        self.event(EventKind.RELAUNCH, text, **detail)
        command.succeed(pid=run.process.pid, run=run.number)

    # The loop

    def loop(self) -> None:
        """Run until there is nothing left to record and nobody to record it for."""
        while not self._finished():
            due_s = min(self._next_sample_s if self.run else self._next_slow_s, self._next_slow_s)
            for key, _ in self.selector.select(max(0.0, due_s - self.now_s())):
                if self.selector.get_map().get(key.fd) is key:  # what came before it in this turn may have closed it
                    key.data()
            now_s = self.now_s()
            if self.run is not None and now_s >= self._next_sample_s:
                self._sample(self.run, now_s)
            if now_s >= self._next_slow_s:
                self._next_slow_s = now_s + (SETTLING_INTERVAL_S if self._settling else SLOW_INTERVAL_S)
                self._look_around(now_s)

    def _sample(self, run: ActiveRun, now_s: float) -> None:
        period_s = 1.0 / self.request.sample_hz
        self._next_sample_s = max(self._next_sample_s + period_s, now_s + period_s / 2)
        limit = run.last_limit
        sample = run.sample(now_s)
        if sample is not None:
            in_use, kept = (None, None) if self._inquiries is None else self._inquiries.split(now_s)
            self.rows.add(sample._replace(in_use_bytes=in_use, kept_bytes=kept))
        asked_from_s = run.started_s if run.attached else run.started_s + ASK_AFTER_S
        if run.stopping is None and now_s >= asked_from_s and (inquiries := self.asking()) is not None:
            inquiries.tick(sample.rss_bytes if sample is not None else 0)
        new = run.last_limit
        if new is not None and (limit is None or (new.source, new.limit_bytes) != (limit.source, limit.limit_bytes)):
            self.rows.add(MemoryLimit(at_s=now_s, run=run.number, source=new.source, limit_bytes=new.limit_bytes))

    def _look_around(self, now_s: float) -> None:
        self.control.tick()
        run = self.run
        if run is not None:
            if run.stopping is not None and self._ladder is not None:
                self._ladder.climb()
            elif self.request.for_s is not None and now_s - run.started_s >= self.request.for_s:
                if run.attached:
                    self.let_go(run)
                else:
                    self.begin_stop()
            for dump in run.new_snapshots():
                self.take_snapshot(run, dump)
        self.intake.expire()
        self.orphans.reap(excluding=self.intake.pids | ({run.process.pid} if run else set()))
        if killed := self.orphans.climb(now_s):
            these = ", ".join(map(str, killed))
            self.event(EventKind.NOTE, f"killed what the stopped target had left and SIGTERM did not end: pid {these}")
        for number in [n for n in self._settling if not self.intake.busy_with(n)]:
            self._settling.pop(number).let_go_of_files()
            self.rows.add(RunSettled(at_s=now_s, run=number))
            self.rows.checkpoint()
            self.rows.hurry()
        self._tell_failure()

    def take_snapshot(self, run: ActiveRun, dump: Path, *, told: bool = False) -> None:
        """Have a report made of it. ``told``: who asked for it says so; of others there is an event, for the mark on the graph."""
        self.intake.start(run.snapshot_request(dump), run.number, "live")
        if not told:
            self.event(EventKind.SNAPSHOT, f"heap snapshot {dump.name}", started=False)

    def _tell_failure(self) -> None:
        failure = self.rows.failure
        if failure is not None and not self._said_failure:
            self.control.alert(failure)
            self.event(EventKind.FAILED, str(failure), verb="record", **failure.fields())
        self._said_failure = failure is not None

    def _finished(self) -> bool:
        if self._leave:
            return True
        if self.run is not None or self._settling or self.control.clients or self.orphans.stopping:
            return False
        if any(not inquiries.gone for inquiries in self._parting):
            return (
                False  # a question that is under way holds our thread in the process: it leaves when that is answered
            )
        linger_s = 0.0 if self._was_watched else LINGER_S
        if self.rows.failure is not None:
            linger_s = PATIENCE_S
        return self.now_s() - self._quiet_since_s >= linger_s

    def leave(self) -> None:
        """Stop recording at the next turn; the target, should it live, lives on."""
        self._leave = True

    def close(self) -> None:
        """Let go of everything; whatever fails on the way, what was recorded is written."""
        with contextlib.ExitStack() as last:
            last.callback(os.close, self._lock)
            self._part()
            for inquiries in self._parting:
                inquiries.join()
            last.callback(self.rows.close)
            last.callback(self.control.close)
            last.callback(self.intake.close)
            if self.run is not None:
                self.event(EventKind.NOTE, "the recorder was told to end; the target goes on, unwatched")
                last.callback(self.run.close)
