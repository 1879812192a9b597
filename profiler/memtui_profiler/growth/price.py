"""What watching would cost a process, from what it does in a quarter of a second, before anything is opened.

Measured on worst cases, in CPU time of the target: each page fault, context switch and new thread takes longer while it has an
event. The bound is a share of what the process uses, or of one processor where it uses less.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.errors import UserError
from memtui_profiler.growth.fault_sampler import SAMPLES_PER_S, threads_of
from memtui_profiler.growth.refusals import WHAT
from memtui_profiler.process.perf_ring import online_processors
from memtui_profiler.words import percent_words

LOOK_S = 0.25
MOST_SHARE = 0.02

# Seconds of the target's CPU.
_A_FAULT_S = 0.27e-6
_A_SAMPLE_S = 30e-6
_A_SWITCH_S = 0.7e-6
# A new thread gets a copy of each processor's event.
_A_THREAD_AND_PROCESSOR_S = 6e-6
_LISTINGS = 8
_THREADS_READ = 500
_PROC = Path("/proc")
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class TooDearError(UserError):
    """It could be watched, and that would cost the process more than it should."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a process does in a second. ``share``: what watching adds to its CPU time, of that or of one processor."""

    faults_per_s: float
    switches_per_s: float
    new_threads_per_s: float
    processors_used: float
    share: float

    def check(self, pid: int) -> None:
        """Raises TooDearError where watching costs the process more than 2 %."""
        if self.share <= MOST_SHARE:
            return
        doing = f"switches {self.switches_per_s:.0f} times, makes {self.new_threads_per_s:.0f} threads"
        why = (
            f"process {pid} {doing} and faults {self.faults_per_s:.0f} pages a second: "
            f"watching would take {percent_words(self.share)} from it"
        )
        raise TooDearError(WHAT, why, "ask for it anyway, or when the process has less to do")

    def fields(self) -> dict[str, float]:
        """As JSON has it."""
        return {
            "faults_per_s": round(self.faults_per_s),
            "switches_per_s": round(self.switches_per_s),
            "new_threads_per_s": round(self.new_threads_per_s),
            "processors_used": round(self.processors_used, 2),
            "share": round(self.share, 4),
        }


def price_of(pid: int, *, look_s: float = LOOK_S) -> Price:
    """Look at the process for ``look_s``. Raises ProcessLookupError once it has ended."""
    began = time.monotonic()
    faults, ticks = _stat(pid)
    threads = set(threads_of(pid))
    switches = {thread: _switches(pid, thread) for thread in sorted(threads)[:_THREADS_READ]}
    seen = set(threads)
    for _ in range(_LISTINGS):
        time.sleep(look_s / _LISTINGS)
        seen.update(threads_of(pid))
    elapsed = time.monotonic() - began
    faults_now, ticks_now = _stat(pid)
    switched = sum(max(0, _switches(pid, thread) - count) for thread, count in switches.items())
    switched_by_all = switched * len(threads) / max(1, len(switches))
    return price(
        faults_per_s=max(0, faults_now - faults) / elapsed,
        switches_per_s=switched_by_all / elapsed,
        new_threads_per_s=len(seen - threads) / elapsed,
        processors_used=max(0, ticks_now - ticks) / _CLOCK_TICKS / elapsed,
        processors=len(online_processors()),
    )


def price(
    *, faults_per_s: float, switches_per_s: float, new_threads_per_s: float, processors_used: float, processors: int
) -> Price:
    """The price of so much of each."""
    cost = (
        faults_per_s * _A_FAULT_S
        + min(SAMPLES_PER_S, faults_per_s) * _A_SAMPLE_S
        + switches_per_s * _A_SWITCH_S
        + new_threads_per_s * _A_THREAD_AND_PROCESSOR_S * processors
    )
    return Price(faults_per_s, switches_per_s, new_threads_per_s, processors_used, cost / max(1.0, processors_used))


def _stat(pid: int) -> tuple[int, int]:
    """Page faults that needed no disk, and ticks of CPU time, so far (proc_pid_stat(5))."""
    try:
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[7]), int(fields[11]) + int(fields[12])
    except (OSError, IndexError, ValueError):
        raise ProcessLookupError(f"process {pid} has ended") from None


def _switches(pid: int, thread: int) -> int:
    """How often the thread was switched; 0 once it is gone."""
    count = 0
    with contextlib.suppress(OSError, ValueError):
        for line in (_PROC / str(pid) / "task" / str(thread) / "status").read_bytes().split(b"\n"):
            name, _, value = line.partition(b":")
            if name.endswith(b"voluntary_ctxt_switches"):
                count += int(value)
    return count
