"""One run while it lasts: its process, its output, its samples and its reports; and how it ended. It gives rows only."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memtui_profiler.actions import Action
from memtui_profiler.checkers import can_check_live, checker_of
from memtui_profiler.checkers.ending import Conclusion, Ended, may_be_the_preload, why_not_loaded
from memtui_profiler.errors import UserError, todo_of
from memtui_profiler.events import EventKind
from memtui_profiler.files import size_or_zero
from memtui_profiler.launch.plan import LaunchPlan
from memtui_profiler.run.mapped_files import MappedFiles
from memtui_profiler.run.pty_output import TargetOutput
from memtui_profiler.run.run_reports import ExitReport, RunReports
from memtui_profiler.run.run_sampler import RunSampler
from memtui_profiler.run.target_process import ExitStatus, TargetProcess, cannot_record, signal_name
from memtui_profiler.session.rows import RegionRow, Sample

if TYPE_CHECKING:
    from memtui_profiler.run.region_watch import RegionWatch


class ActiveRun:
    """``number`` counts launches from 1; times are seconds since the session began."""

    def __init__(
        self,
        number: int,
        plan: LaunchPlan,
        folder: Path,
        at_s: float,
        *,
        inherit_stdin: bool,
        attach_pid: int | None = None,
    ) -> None:
        """Launch the target, or take ``attach_pid`` as it. Raises UserError when that fails; nothing is left open then."""
        self.number = number
        self.plan = plan
        self.folder = folder
        self.started_s = at_s
        self.attached = attach_pid is not None
        self.checker = checker_of(plan.mode)
        self.followed = False
        self._region_watch: RegionWatch | None = None
        # What can fail comes before the start, and goes again when it does: no target runs that nobody records.
        with contextlib.ExitStack() as opened:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self.output = opened.enter_context(contextlib.closing(TargetOutput(folder, attached=self.attached)))
            except OSError as error:
                todo = todo_of(error, "see to the disk and start it again")
                raise UserError(f"cannot start run {number}", str(error), todo) from error
            # In the same thread as the start: it follows the children that this thread makes from here on.
            mmap_events = None
            if self.checker is not None and not self.attached:
                from memtui_profiler.process.mmap_events import MmapEvents

                mmap_events = MmapEvents.open()
            if mmap_events is not None:
                opened.callback(mmap_events.close)
            if attach_pid is None:
                try:
                    self.process = TargetProcess.start(plan, *self.output.terminals, inherit_stdin=inherit_stdin)
                finally:
                    self.output.close_slaves()
            else:
                self.process = TargetProcess.attach(attach_pid)
            try:
                self.sampler = RunSampler(number, self.process.pid)
                self.mapped = MappedFiles(self.process.pid, mmap_events)
            except OSError as error:
                if not self.attached:
                    self.process.send_group(signal.SIGKILL)
                self.process.close()
                raise cannot_record(error) from error
            opened.pop_all()
        self.reports = RunReports(plan, self.checker, folder, self.mapped, self.output)

    def follow(self, process: TargetProcess) -> None:
        """Go on with another process as the target's main one. Raises ProcessLookupError when it is gone already."""
        self.sampler.follow(process.pid)
        self.process.close()
        self.process = process
        self.followed = True
        self.mapped.follow(process.pid)
        if self._region_watch is not None:
            self._region_watch.follow(process.pid)

    @property
    def ends_by_exit(self) -> bool:
        """Whether a clean exit() brings a report that a signal would cost."""
        return self.checker is not None and not self.checker.reports_when_killed

    @property
    def checked_while_it_runs(self) -> bool:
        """Whether the process can be asked for a leak check, or a heap snapshot, before it ends."""
        checker = self.checker
        return checker is not None and (checker.takes_snapshots or can_check_live(self.plan.mode))

    def own_output_bytes(self) -> int:
        """What the checker has left of this very process so far; what its children left is not its own. It reads the disk."""
        outputs = () if self.checker is None else self.checker.outputs(self.folder)
        return sum(size_or_zero(output.path) for output in outputs if output.pid in (0, self.process.pid))

    def sample(self, now_s: float) -> Sample | None:
        """What the process holds now, with the dearer figures when they are due; None once it is gone."""
        sample = self.sampler.sample(now_s)
        if sample is not None and self.checker is not None:
            self.mapped.update(now_s)
        return sample

    def new_regions(self, now_s: float, rss_bytes: int) -> list[RegionRow]:
        """What the process has mapped, when a look at that has ended. Raises OSError once, where none is possible."""
        return self._regions.update(now_s, rss_bytes)

    def ask_for_regions(self) -> None:
        """Have a look made soon."""
        self._regions.ask()

    @property
    def _regions(self) -> RegionWatch:
        if self._region_watch is None:
            from memtui_profiler.run.region_watch import RegionWatch  # not before the target has started

            self._region_watch = RegionWatch(self.number, self.process.pid)
        return self._region_watch

    def ended(
        self,
        status: ExitStatus,
        *,
        stopped_by_memtui: bool,
        follow_children: bool,
        guest_stack: tuple[int, int] | None,
    ) -> Ended:
        """All there is to conclude from but the files, once the last process of the run has ended."""
        if guest_stack is not None:
            from memtui_profiler.checkers.heapcheck import without_own_stack

            self.output.log.edit = partial(without_own_stack, own=guest_stack)
        # How a process ended that is no child of ours may not be known: then it may have been this.
        unknown = self.attached and status == ExitStatus()
        may_be_oom = (status.signal == signal.SIGKILL or unknown) and not stopped_by_memtui
        oom_killed = self.sampler.oom.killed() if may_be_oom else False
        snapshots = self.reports.snapshots
        return Ended(
            pid=self.process.pid,
            mode=self.plan.mode,
            exit_code=status.exit_code,
            signal=None if status.signal is None else signal_name(status.signal),
            oom_killed=bool(oom_killed),
            oom_unsure=oom_killed is None,
            stopped_by_memtui=stopped_by_memtui,
            outputs=(),
            reported=snapshots.taken > 0,
            stderr=self.output.log.stderr(),
            follow_children=follow_children,
            followed=self.followed,
            attached=self.attached,
            script=bool(self.plan.target.script),
            preloaded=self.plan.preloaded,
        )

    def conclusion(self, ended: Ended) -> tuple[Ended, Conclusion, list[ExitReport]]:
        """Look at the files that were left; return all there is to conclude from, what follows, and the reports to be made.

        Those of children come first: the newest is what a viewer shows, and that is the program's own. It reads the disk.
        """
        outputs = () if self.checker is None else tuple(self.reports.unreported(self.checker.outputs(self.folder)))
        ended = replace(ended, outputs=outputs)
        drawn = conclude(ended)
        sources = sorted(drawn.sources, key=lambda source: source.pid == ended.pid)
        killed = ended.signal is not None
        return ended, drawn, [self.reports.exit_report(source, killed=killed) for source in sources]

    def close(self) -> None:
        """Close everything but the files: the target, should it live, lives on. Reports can still be asked for."""
        self.output.close()
        self.sampler.close()
        self.process.close()
        self.mapped.end()


def conclude(ended: Ended) -> Conclusion:
    """Which reports there are, or why there is none."""
    checker = checker_of(ended.mode)
    if checker is None:
        crash = f"it crashed with {ended.signal}, {may_be_the_preload(ended)}" if ended.crashed_preloaded else ""
        return Conclusion(notes=tuple(filter(None, (crash,))))
    if ended.attached:
        return Conclusion(
            no_report="memtui did not start it: a report of its end lies where HEAP_CHECK_DUMP_DIRECTORY says"
        )
    if why := why_not_loaded(ended):
        return Conclusion(no_report=why, action=Action.SHOW_OUTPUT)
    return checker.conclude(ended)


def exit_event(ended: Ended) -> tuple[EventKind, str, dict[str, Any]]:
    """The event of a run's end: kind, text, detail."""
    if ended.oom_killed:
        return EventKind.OOM_KILLED, f"pid {ended.pid} was killed by the OOM killer", {"signal": ended.signal}
    if ended.signal is not None:
        detail = {"signal": ended.signal, "by_memtui": ended.stopped_by_memtui}
        unsure = "; whether by the OOM killer cannot be told" if ended.oom_unsure else ""
        return EventKind.KILLED, f"pid {ended.pid} was killed by {ended.signal}{unsure}", detail
    code = ended.exit_code
    words = "ended, nobody knows how" if code is None else f"exited with code {code}"
    return EventKind.EXITED, f"pid {ended.pid} {words}", {"exit_code": code}
