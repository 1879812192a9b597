"""One run while it lasts: its process, its output, and what is read of it. Gives rows; who writes them is not its affair."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_profiler.checkers import checker_of, heapcheck
from memtui_profiler.collect_request import CollectRequest
from memtui_profiler.errors import UserError
from memtui_profiler.launch import LaunchPlan
from memtui_profiler.limits import Limit, MemoryLimits
from memtui_profiler.maps_log import MapsLog
from memtui_profiler.pty_output import STDERR_LOG, OutputLog, Terminal, open_terminal, read_available
from memtui_profiler.request import CHECK_OFF, HEAPCHECK_MODES, LSAN, PROFILE
from memtui_profiler.run_end import Ended, Source
from memtui_profiler.sampling import Detail, ProcessSampler
from memtui_profiler.session.rows import Sample
from memtui_profiler.snapshot_watch import SnapshotWatch
from memtui_profiler.stop import Progress
from memtui_profiler.target_process import ExitStatus, TargetProcess

if TYPE_CHECKING:
    from memtui_profiler.mmap_events import MmapEvents
    from memtui_profiler.questions.leak_check import LeakCheck
    from memtui_profiler.running_files import RunningFiles

CHECKER = "heapcheck"
HEAPPROFILE = "heapprofile"
DETAIL_INTERVAL_S = 1.0
DETAIL_COST_SHARE = 0.02
DELETED = b" (deleted)\n"


def clock_s() -> float:
    """Seconds on CLOCK_BOOTTIME, which goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Stream:
    master: int
    stderr: bool


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
        self.stopping: Progress | None = None
        self.stopped_by_memtui = False
        self.attached = attach_pid is not None
        self.checker = None if plan.mode == CHECK_OFF else checker_of(plan.mode)
        self.snapshots = SnapshotWatch()
        self.followed = False
        self.exit_asked = False
        self.own_stack: tuple[int, int] | None = None
        self.last_limit: Limit | None = None
        # What can fail comes before the start, and goes again when it does: no target runs that nobody records.
        with contextlib.ExitStack() as opened:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self.output = opened.enter_context(contextlib.closing(OutputLog(folder)))
                terminals = () if self.attached else (_terminal(opened), _terminal(opened))
            except OSError as error:
                raise UserError(
                    f"cannot start run {number}", str(error), "see to the disk and start it again"
                ) from error
            # In the same thread as the start: it follows the children that this thread makes from here on.
            self._mmap_events = _follow_mmaps() if self.checked and not self.attached else None
            if self._mmap_events is not None:
                opened.callback(self._mmap_events.close)
            self.process = (
                _start(plan, *terminals, inherit_stdin=inherit_stdin)
                if attach_pid is None
                else TargetProcess.attach(attach_pid)
            )
            opened.pop_all()
        self.streams = [Stream(terminal.master, n == 1) for n, terminal in enumerate(terminals)]
        self._next_detail_s = 0.0
        self._dump_seen_bytes = 0
        self._cpu_seen_s = 0.0
        self._checks = 0
        self._told_bytes = 0
        self.sampler = ProcessSampler(self.process.pid)
        self.limits = MemoryLimits(self.process.pid)
        self._maps = MapsLog(self.process.pid)
        self._files: RunningFiles | None = None

    def follow(self, process: TargetProcess) -> None:
        """Go on with another process as the target's main one. Raises ProcessLookupError when it is gone already."""
        sampler = ProcessSampler(process.pid)
        self.process.close()
        self.sampler.close()
        self.process, self.sampler = process, sampler
        self.followed = True
        self.limits = MemoryLimits(process.pid)
        self._maps.follow(process.pid)

    @property
    def checked(self) -> bool:
        return self.checker is not None

    @property
    def ends_by_exit(self) -> bool:
        """Whether a clean exit() brings a report that a signal would cost."""
        return self.checker is not None and not self.checker.REPORTS_WHEN_KILLED

    def own_outputs(self) -> list[Path]:
        """What the checker has left of this very process so far; those of its children are not its own."""
        if self.checker is None:
            return []
        return [output.path for output in self.checker.outputs(self.folder) if output.pid in (0, self.process.pid)]

    def sample(self, now_s: float) -> Sample | None:
        """What the process holds now, with the dearer figures when they are due; None once it is gone."""
        resident = self.sampler.resident()
        if resident is None:
            return None
        if self.checked:
            maps = self._maps.update(now_s)
            if maps is not None and DELETED in maps:
                self._look_at_files(maps)
        if self._mmap_events is not None:
            self._mmap_events.update(self.process.pid)
        detail = self._detail(now_s)
        if detail is None:
            return Sample(at_s=now_s, run=self.number, rss_bytes=resident.rss_bytes, shared_bytes=resident.shared_bytes)
        limit = self.limits.read()
        self.last_limit = limit
        status = detail.status
        return Sample(
            at_s=now_s,
            run=self.number,
            rss_bytes=resident.rss_bytes,
            shared_bytes=resident.shared_bytes,
            anon_bytes=status.anon_bytes,
            file_bytes=status.file_bytes,
            shmem_bytes=status.shmem_bytes,
            swap_bytes=status.swap_bytes,
            peak_rss_bytes=status.peak_rss_bytes,
            threads=status.threads,
            descendants=len(detail.descendants),
            descendants_rss_bytes=detail.descendants_rss_bytes,
            cgroup_bytes=None if limit is None else limit.used_bytes,
        )

    def _detail(self, now_s: float) -> Detail | None:
        if now_s < self._next_detail_s:
            return None
        began = time.perf_counter()
        detail = self.sampler.detail()
        self._next_detail_s = now_s + max(DETAIL_INTERVAL_S, (time.perf_counter() - began) / DETAIL_COST_SHARE)
        return detail

    def exit_check_busy(self, dumps: list[Path]) -> bool:
        """Whether a leak check at exit shows work since the last look: CPU burnt, or a dump that grew."""
        if self.checker is None:
            return False
        if not (self.exit_asked or self.checker.REPORTS_WHEN_KILLED or self.sampler.catches(signal.SIGTERM)):
            return False  # without a handler SIGTERM ends it, or is ignored: neither is a way into exit()
        cpu_s, dump_bytes = self.sampler.cpu_s(), sum(_size(path) for path in dumps)
        busy = cpu_s - self._cpu_seen_s > 0.02 or dump_bytes > self._dump_seen_bytes
        self._cpu_seen_s, self._dump_seen_bytes = cpu_s, dump_bytes
        return busy

    @property
    def exit_check_figures(self) -> dict[str, float]:
        return {"cpu_s": round(self._cpu_seen_s, 2), "dump_bytes": self._dump_seen_bytes}

    def ended(self, status: ExitStatus, *, follow_children: bool) -> Ended:
        """All there is to conclude from, once the last process of the run has ended."""
        if self.own_stack is not None:
            self.output.edit = partial(heapcheck.without_own_stack, own=self.own_stack)
        killed = status.signal == signal.SIGKILL and not self.stopped_by_memtui
        return Ended(
            pid=self.process.pid,
            mode=self.plan.mode,
            status=status,
            oom_killed=killed and self.limits.oom_killed(),
            stopped_by_memtui=self.stopped_by_memtui,
            dumps=tuple(heapcheck.all_dumps(self.folder)) if self.plan.mode in HEAPCHECK_MODES else (),
            outputs=() if self.checker is None else tuple(self.snapshots.left(self.checker.outputs(self.folder))),
            reported=self.snapshots.taken > 0,
            stderr=self.output.stderr(),
            follow_children=follow_children,
            followed=self.followed,
            attached=self.attached,
            script=bool(self.plan.target.script),
        )

    def collect_request(self, source: Source) -> CollectRequest:
        """What a collector needs to make a report of ``source``; its report id is filled in by who starts it."""
        events = self._mmap_events
        return CollectRequest(
            report=0,
            checker=CHECKER if self.checker is None else self.checker.NAME,
            mode=self.plan.mode,
            pid=source.pid,
            argv=self.plan.target.argv,
            dump=None if source.dump is None else str(self._untold(source.dump)),
            log=str(self.folder / STDERR_LOG),
            extra_maps=(*self._maps.lines(), *(events.lines(source.pid) if events is not None else ())),
            sysroot=self._sysroot(),
            files={} if self._files is None else self._files.paths,
        )

    # Reports while it runs

    def begin_excerpt(self) -> None:
        """From here on what the target says on stderr is kept apart: a live check is about to speak there."""
        self._drain_all()
        self.output.begin_excerpt()

    def end_excerpt(self, check: LeakCheck) -> Path | None:
        """What it said meanwhile, in a file beside the dump; None for a process whose stderr is not ours."""
        self._told_bytes = max(self._told_bytes, check.log_bytes)
        self._drain_all()
        said = heapcheck.without_own_stack(self.output.end_excerpt(), check.own_stack)
        if self.attached:
            return None
        self._checks += 1
        path = self.folder / f"live-{self._checks}.log"
        path.write_bytes(said)
        return path

    def drop_excerpt(self) -> None:
        self.output.end_excerpt()

    def live_request(self, check: LeakCheck, log: Path | None) -> CollectRequest:
        """For the report of a live check."""
        request = self._request_now(check.dump)
        return replace(request, mode=check.mode, log=None if log is None else str(log), live=True)

    def snapshot_request(self, dump: Path) -> CollectRequest:
        """For the report that a heap snapshot is."""
        request = self._request_now(dump)
        return replace(request, checker=HEAPPROFILE, mode="profile", log=None, live=True)

    def _request_now(self, dump: Path | None) -> CollectRequest:
        with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/maps", "rb") as stream:
            self._look_at_files(stream.read())
        return self.collect_request(Source(self.process.pid, dump))

    def _look_at_files(self, maps: bytes) -> None:
        if self._files is None:
            from memtui_profiler.running_files import RunningFiles

            self._files = RunningFiles()
        self._files.look(self.process.pid, maps)

    def let_go_of_files(self) -> None:
        """Once no report of the run is to be made any more."""
        if self._files is not None:
            self._files.close()

    def new_snapshots(self) -> list[Path]:
        """Snapshots that the profiler has written by itself since the last look, each once and whole."""
        if self.checker is None or self.plan.mode != PROFILE:
            return []
        return self.snapshots.finished(self.checker.outputs(self.folder))

    def asked_snapshot(self, name: str) -> list[Path]:
        """The snapshot of this name, behind older ones that new_snapshots() has not given yet; empty: it has given this one."""
        return [] if self.checker is None else self.snapshots.take(self.checker.outputs(self.folder), name)

    def _untold(self, dump: Path) -> Path:
        """What a sanitizer's log has beyond its live checks, which are reports already, in a file of its own."""
        if not self._told_bytes or self.plan.mode != LSAN or dump.suffix != f".{self.process.pid}":
            return dump
        rest = self.folder / "exit.lsan"
        try:
            with dump.open("rb") as log, rest.open("wb") as copy:
                log.seek(self._told_bytes)
                shutil.copyfileobj(log, copy)
        except OSError:
            return dump
        return rest

    def _drain_all(self) -> None:
        for stream in list(self.streams):
            data, _ = read_available(stream.master)
            self.output.write(data, stderr=stream.stderr)

    def drain(self, stream: Stream) -> bool:
        """Move what is there into the log; True once the stream has ended."""
        if stream not in self.streams:
            return False  # closed by what came before it in the same turn of the loop
        data, ended = read_available(stream.master)
        if data:
            self.output.write(data, stderr=stream.stderr)
        return ended

    def close_stream(self, stream: Stream) -> None:
        self.streams.remove(stream)
        os.close(stream.master)

    def _sysroot(self) -> str | None:
        """Where the paths of the process begin, if they may mean other files than here: a container, a service's own /tmp."""
        root = f"/proc/{self.process.pid}/root"
        try:
            theirs, ours = os.stat(root + "/"), os.stat("/")
            mounts = os.readlink(f"/proc/{self.process.pid}/ns/mnt"), os.readlink("/proc/self/ns/mnt")
        except OSError:
            return None
        same_root = (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
        return None if same_root and mounts[0] == mounts[1] else root

    def close(self) -> None:
        """Let go of everything but the files: the target, should it live, lives on."""
        for stream in list(self.streams):
            self.close_stream(stream)
        self.output.close()
        self.sampler.close()
        self.process.close()
        if self._mmap_events is not None:
            self._mmap_events.update(self.process.pid)  # what came and went since the last sample
            self._mmap_events.close()


def _follow_mmaps() -> MmapEvents | None:
    from memtui_profiler.mmap_events import MmapEvents

    return MmapEvents.open()


def _start(plan: LaunchPlan, stdout: Terminal, stderr: Terminal, *, inherit_stdin: bool) -> TargetProcess:
    try:
        return TargetProcess.start(plan, stdout, stderr, inherit_stdin=inherit_stdin)
    finally:
        _close(stdout.slave, stderr.slave)


def _terminal(opened: contextlib.ExitStack) -> Terminal:
    terminal = open_terminal()
    opened.callback(os.close, terminal.master)
    return terminal


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
