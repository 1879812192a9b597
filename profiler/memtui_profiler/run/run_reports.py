"""What collectors need to make the reports of one run: of its live checks, of its complete heap snapshots, and of its end."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_parsers.values import GrowthFacts
from memtui_profiler.checkers import usual_checker
from memtui_profiler.checkers.ending import Output, Source
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.files import sees_same_files, size_or_zero
from memtui_profiler.launch.plan import LaunchPlan
from memtui_profiler.launch.preflight import why_blind
from memtui_profiler.run.held_share import HeldShareWatch
from memtui_profiler.run.mapped_files import MappedFiles
from memtui_profiler.run.output_log import STDERR_LOG, DiskWork, LatestLook
from memtui_profiler.run.pty_output import TargetOutput

if TYPE_CHECKING:
    from memtui_profiler.asking.leak_check import LeakCheck
    from memtui_profiler.checkers.base import Checker

# A program that dumps without end must not fill the session with reports: the files beyond this stay where they are.
MOST = 1000


class SnapshotWatch:
    """A snapshot is complete when it has not grown between two looks. ``taken`` counts those that were returned."""

    def __init__(self) -> None:
        self.taken = 0
        self._sizes: dict[Path, int] = {}
        self._returned: set[Path] = set()

    def finished(self, found: Iterable[tuple[Output, int]]) -> list[Path]:
        """Return the complete ones of the process itself, of those ``found`` with their sizes; each once."""
        complete = []
        for output, size in found:
            if output.path in self._returned:
                continue
            if output.pid == 0 and size > 0 and self._sizes.get(output.path) == size and self.taken < MOST:
                self._returned.add(output.path)
                self.taken += 1
                complete.append(output.path)
            self._sizes[output.path] = size
        return complete

    def take(self, outputs: Iterable[Output], name: str) -> list[Path]:
        """Return the snapshot of this name, after earlier ones that were not returned yet: as it is complete, so are they.

        Empty when it was returned already. Beyond MOST it is returned alone.
        """
        left = self.left(outputs)
        number = next((n for n, output in enumerate(left) if output.path.name == name), None)
        if number is None:
            return []
        older = [output.path for output in left[:number] if output.pid == left[number].pid]
        taken = [*older[: max(0, MOST - self.taken)], left[number].path]
        self._returned.update(taken)
        self.taken += len(taken)
        return taken

    def left(self, outputs: Iterable[Output]) -> list[Output]:
        """Return the outputs that were not returned yet."""
        return [output for output in outputs if output.path not in self._returned]


@dataclass(frozen=True, slots=True)
class ExitReport:
    """A report to be made of ``source`` at the end of a run: how it came to be, and the seconds since it was written."""

    source: Source
    origin: str = "exit"
    age_s: float = 0.0


class RunReports:
    """``folder`` is the run's; ``snapshots`` tells which heap snapshots there is no report of yet.

    ``held_share`` takes each sample of the run.
    """

    def __init__(
        self, plan: LaunchPlan, checker: Checker | None, folder: Path, mapped: MappedFiles, output: TargetOutput
    ) -> None:
        self.snapshots = SnapshotWatch()
        self.held_share = HeldShareWatch(checker)
        self._plan = plan
        self._checker = checker
        self._folder = folder
        self._mapped = mapped
        self._output = output
        self._snapshots_there = LatestLook(output.log, self._outputs_with_sizes)
        self._live_logs = 0
        self._reported_bytes = 0  # of a sanitizer's log, by live checks

    def request(self, source: Source) -> CollectRequest:
        """Return what a collector needs to make a report of ``source``; its report id is filled in by who starts it."""
        return CollectRequest(
            report=0,
            checker=(self._checker or usual_checker()).name,
            mode=self._plan.mode,
            pid=source.pid,
            argv=self._plan.target.argv,
            dump=None if source.dump is None else str(source.dump),
            log=str(self._folder / STDERR_LOG),
            extra_maps=self._mapped.lines(source.pid),
            sysroot=_sysroot(self._mapped.pid),
            files=self._mapped.held,
            cwd=self._plan.target.cwd,
            unseen=why_blind(self._plan.preflight, self._plan.mode),
        )

    def exit_request(self, source: Source) -> CollectRequest:
        """As request(), of the end of the run, with what is known of the memory that the check did not see."""
        request = self.request(source)
        if source.pid != self._mapped.pid:
            return request  # of a child, which is not sampled
        share = self.held_share.share
        return replace(request, held_bytes=share.held_bytes, anonymous_bytes=share.anonymous_bytes)

    def exit_report(self, source: Source, *, killed: bool) -> ExitReport:
        """Return what is to be read of ``source``, found at the end of the run. It reads and writes the disk.

        ``killed``: by a signal; then a snapshot was not written at exit, and is of earlier.
        """
        if source.dump is None:
            return ExitReport(source)
        unreported = replace(source, dump=self._unreported(source.dump))
        if not killed or self._checker is None or not self._checker.takes_snapshots:
            return ExitReport(unreported)
        try:
            return ExitReport(unreported, "live", max(0.0, time.time() - source.dump.stat().st_mtime))
        except OSError:
            return ExitReport(unreported, "live")

    def _outputs_with_sizes(self) -> list[tuple[Output, int]]:
        outputs = () if self._checker is None else self._checker.outputs(self._folder)
        return [(output, size_or_zero(output.path)) for output in outputs]

    def begin_live_check(self) -> None:
        """Keep apart what the target says on stderr from here on: a live check is about to speak there."""
        self._output.drain_all()
        self._output.log.begin_excerpt()

    def drop_live_check(self) -> None:
        """Keep nothing apart any more."""
        self._output.log.end_excerpt()

    def live_request(self, check: LeakCheck) -> tuple[CollectRequest, DiskWork[None] | None]:
        """Return what a collector needs to make the report of a live check, and the file with what stderr had of it, if any."""
        self._reported_bytes = max(self._reported_bytes, check.log_bytes)
        self._output.drain_all()
        from memtui_profiler.checkers.heapcheck import without_own_stack

        excerpt = without_own_stack(self._output.log.end_excerpt(), check.own_stack)
        log, written = None, None  # of a process that was attached to, stderr is not ours to read
        if self._output.terminals:
            self._live_logs += 1
            path = self._folder / f"live-{self._live_logs}.log"
            written = self._output.log.write_file(path, excerpt)
            log = str(path)
        request = self._request_now(check.dump)
        checker, mode = check.checker or request.checker, check.mode or request.mode
        anonymous_bytes = check.anonymous_bytes or self.held_share.share.anonymous_bytes
        request = replace(request, held_bytes=check.held_bytes, anonymous_bytes=anonymous_bytes)
        return replace(request, checker=checker, mode=mode, log=log, live=True), written

    def snapshot_request(self, dump: Path) -> CollectRequest:
        """Return what a collector needs to make the report that a heap snapshot is."""
        from memtui_profiler.checkers.heapprofile import CHECKER

        request = self._request_now(dump)
        return replace(request, checker=CHECKER.name, mode=CHECKER.usual_mode, log=None, live=True)

    def growth_request(self, dump: Path, growth: GrowthFacts, notes: tuple[str, ...]) -> CollectRequest:
        """Return what a collector needs to make a report on growth."""
        from memtui_profiler.checkers.growth import CHECKER

        request = self._request_now(dump)
        of_growth = replace(request, checker=CHECKER.name, mode=CHECKER.usual_mode, log=None, live=True, unseen="")
        return replace(of_growth, growth=growth, notes=notes)

    def _request_now(self, dump: Path | None) -> CollectRequest:
        self._mapped.hold_now()
        return self.request(Source(self._mapped.pid, dump))

    def new_snapshots(self) -> list[Path]:
        """Return the snapshots that the profiler has written by itself since the last look, each once and whole."""
        if self._checker is None or not self._checker.takes_snapshots:
            return []
        return self.snapshots.finished(self._snapshots_there.take() or ())

    def asked_snapshot(self, name: str) -> list[Path]:
        """Return the snapshot of this name, behind older ones that new_snapshots() has not given yet.

        Empty: new_snapshots() has given it already.
        """
        if self._checker is None:
            return []
        try:
            return self.snapshots.take(self._checker.outputs(self._folder), name)
        except OSError:
            return []  # new_snapshots() gives it, when the folder can be read

    def unreported(self, outputs: Iterable[Output]) -> list[Output]:
        """Return the outputs with something that there is no report of yet."""
        return [output for output in self.snapshots.left(outputs) if not self._is_reported(output)]

    def _is_reported(self, output: Output) -> bool:
        """Whether live checks have written all of it, a sanitizer's log."""
        appends = self._checker is not None and self._checker.appends and output.pid == self._mapped.pid
        return appends and 0 < size_or_zero(output.path) <= self._reported_bytes

    def _unreported(self, dump: Path) -> Path:
        """What a sanitizer's log has beyond its live checks, which are reports already, in a file of its own."""
        appends = self._checker is not None and self._checker.appends
        if not self._reported_bytes or not appends or dump.suffix != f".{self._mapped.pid}":
            return dump
        rest = self._folder / "exit.lsan"
        try:
            with dump.open("rb") as log, rest.open("wb") as copy:
                log.seek(self._reported_bytes)
                shutil.copyfileobj(log, copy)
        except OSError:
            return dump
        return rest


def _sysroot(pid: int) -> str | None:
    """Where the paths of the process begin, if they may mean other files than here: a container, a service's own /tmp."""
    try:
        return None if sees_same_files(pid) else f"/proc/{pid}/root"
    except OSError:
        return None
