"""Reads how much memory a process has: what is cheap ten times a second, what is dearer once a second.

Costs and accuracy: FACTS.md, "Reading /proc". smaps and smaps_rollup are not read at all: they hold the target's mmap lock.
"""

from __future__ import annotations

import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs import Status, parse_stat, parse_statm, parse_status
from memtui_profiler.descendants import descendants_of

PROC = Path("/proc")
STATM_BYTES = 256


@dataclass(frozen=True, slots=True)
class Resident:
    """``rss_bytes`` of the process, ``shared_bytes`` of them file and shmem pages."""

    rss_bytes: int
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class Detail:
    """What /proc/PID/status adds, and the processes below this one: how many and the sum of their RSS."""

    status: Status
    descendants: tuple[int, ...]
    descendants_rss_bytes: int


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
        """RSS now; None once the process is gone (a zombie has no memory left to speak of)."""
        try:
            statm = parse_statm(os.pread(self._statm, STATM_BYTES, 0), self._page_bytes)
        except (ProcessLookupError, ParseError):
            return None
        if statm.resident_bytes == 0:
            return None
        return Resident(statm.resident_bytes, min(statm.shared_bytes, statm.resident_bytes))

    def detail(self) -> Detail | None:
        """The dearer figures; None once the process is gone."""
        try:
            status = parse_status((self._proc / str(self.pid) / "status").read_bytes())
        except (OSError, ParseError):
            return None
        below = descendants_of(self.pid, proc=self._proc)
        return Detail(status, below, sum(self._rss_of(pid) for pid in below))

    def cpu_s(self) -> float:
        """CPU time used so far, user and system, in seconds; 0.0 once the process is gone."""
        try:
            stat = parse_stat((self._proc / str(self.pid) / "stat").read_bytes())
        except (OSError, ParseError):
            return 0.0
        return (stat.utime_ticks + stat.stime_ticks) / os.sysconf("SC_CLK_TCK")

    def catches(self, signal_number: int) -> bool:
        """Whether the process has a handler of its own for this signal (SigCgt of /proc/PID/status)."""
        try:
            status = (self._proc / str(self.pid) / "status").read_text("utf-8", "replace")
        except OSError:
            return False
        mask = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
        return mask is not None and bool(int(mask[1], 16) >> (signal_number - 1) & 1)

    def _rss_of(self, pid: int) -> int:
        try:
            return parse_statm((self._proc / str(pid) / "statm").read_bytes(), self._page_bytes).resident_bytes
        except (OSError, ParseError):
            return 0

    def close(self) -> None:
        os.close(self._statm)
