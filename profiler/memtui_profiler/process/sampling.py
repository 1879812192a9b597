"""Reads how much memory a process has: RSS and shared ten times a second, what costs more once a second.

The loop reads /proc itself: 7 us of CPU a sample, 32 with psutil, which has no anonymous and shmem memory apart from smaps.
smaps and smaps_rollup are not read at all: they cost 12 to 15 ms per GiB and hold the target's mmap lock meanwhile, which took
43 % of its mmap calls at 10 Hz on 4 GiB. Costs and accuracy: FACTS.md, "Reading /proc".
"""

from __future__ import annotations

import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.process import Status, parse_statm, parse_status
from memtui_profiler.process.descendants import descendants_of

PROC = Path("/proc")
STATM_BYTES = 256
PAGE_BYTES = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Resident:
    """Resident memory of a process. ``shared_bytes`` are its file and shmem pages, part of ``rss_bytes``."""

    rss_bytes: int
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class Detail:
    """The figures of /proc/PID/status, and the processes below this one: their pids and the sum of their RSS."""

    status: Status
    descendants: tuple[int, ...]
    descendants_rss_bytes: int


def rss_bytes(pid: int, *, proc: Path = PROC, page_bytes: int = PAGE_BYTES) -> int:
    """The RSS of a process; 0 once it is gone."""
    try:
        return parse_statm((proc / str(pid) / "statm").read_bytes(), page_bytes).resident_bytes
    except (OSError, ParseError):
        return 0


class ProcessSampler:
    """Samples one process. Raises ProcessLookupError when it is made for one that does not exist."""

    def __init__(self, pid: int, *, proc: Path = PROC, page_bytes: int | None = None) -> None:
        self.pid = pid
        self._proc = proc
        self._page_bytes = resource.getpagesize() if page_bytes is None else page_bytes
        try:
            self._statm = os.open(proc / str(pid) / "statm", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise ProcessLookupError(f"no process {pid}") from error

    def resident(self) -> Resident | None:
        """RSS now; None once the process is gone, or a zombie."""
        try:
            statm = parse_statm(os.pread(self._statm, STATM_BYTES, 0), self._page_bytes)
        except (ProcessLookupError, ParseError):
            return None
        if statm.resident_bytes == 0:
            return None
        return Resident(statm.resident_bytes, min(statm.shared_bytes, statm.resident_bytes))

    def detail(self) -> Detail | None:
        """The figures that cost more to read; None once the process is gone."""
        try:
            status = parse_status((self._proc / str(self.pid) / "status").read_bytes())
        except (OSError, ParseError):
            return None
        below = descendants_of(self.pid, proc=self._proc)
        return Detail(
            status, below, sum(rss_bytes(other, proc=self._proc, page_bytes=self._page_bytes) for other in below)
        )

    def cpu_s(self) -> float:
        """CPU time used so far, user and system, in seconds; 0.0 once the process is gone."""
        import psutil  # only while a process is being stopped

        try:
            times = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return times.user + times.system

    def catches(self, signal_number: int) -> bool:
        """Whether the process has a handler of its own for this signal (SigCgt of /proc/PID/status)."""
        try:
            status = (self._proc / str(self.pid) / "status").read_text("utf-8", "replace")
        except OSError:
            return False
        mask = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
        return mask is not None and bool(int(mask[1], 16) >> (signal_number - 1) & 1)

    def close(self) -> None:
        os.close(self._statm)
