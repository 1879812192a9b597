"""Samples the page faults of all threads of a process with the stacks that made them, some 150 a second at most.

The process is neither stopped nor traced: the kernel copies registers and the top of the stack while the fault goes on. An event
that is inherited has a ring only where it is bound to a processor, so there is one for each thread and processor, and those of a
processor share a ring. When our process ends, however it ends, the kernel takes the events away.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import fcntl
import mmap
import os
import select
import time
from dataclasses import dataclass, replace

from memtui_profiler.growth.fault_records import (
    FORK,
    LOST,
    SAMPLE,
    STACK_BYTES,
    THROTTLE,
    Abilities,
    Fault,
    attributes,
    born_in,
    fault_in,
    lost_in,
)
from memtui_profiler.growth.refusals import no_buffers, refusal
from memtui_profiler.process.perf_ring import PerfRing, online_processors, open_event

SAMPLES_PER_S = 150
# Opening, directing and closing an event takes 24 us: 0.1 s for so many.
MAX_EVENTS = 4096
# Primes: a program that faults in a regular pattern must not show the same one of its callers each time.
PERIODS = (
    1, 2, 3, 5, 7, 11, 17, 23, 37, 53, 79, 127, 191, 281, 421, 631, 947, 1423, 2131, 3203, 4801, 7207, 10799, 16193, 24281, 36433,
)  # fmt: skip
# A page and 512 KiB: all that perf_event_mlock_kb grants each processor; less where other events of the user have some.
_RING_PAGES = (128, 64, 32, 16)
_DISABLE, _SET_OUTPUT = 0x2401, 0x2405  # PERF_EVENT_IOC_*
# What a sample has besides the stack.
_SAMPLE_HEAD_BYTES = 256
# The rate is that of a second, as programs fault in bursts; so many samples at once are acted upon before.
_WINDOW_S = 1.0
_BURST_SAMPLES = 4 * SAMPLES_PER_S
_CALM_S = 2.0
_HUNG_UP_S = 0.02


@dataclass(frozen=True, slots=True)
class WeighedFault:
    """``weight``: how many faults it stands for."""

    weight: float
    fault: Fault


class FaultSampler:
    """Opened for a process, wait() and drain() give its faults.

    Opening and drain() raise UserError where events are refused, and ProcessLookupError when the process has ended.
    ``lost``: samples that found the ring full; ``unwatched``: threads beyond MAX_EVENTS.
    """

    def __init__(self, pid: int, *, faults_per_s: float = 0.0) -> None:
        """``faults_per_s``: what it makes at present, so that sampling does not begin with a storm."""
        self.pid = pid
        self.abilities = Abilities()
        self.period = period_for(faults_per_s / SAMPLES_PER_S)
        self.samples = self.lost = self.throttled = self.reopened = self.unwatched = 0
        self._processors = online_processors()
        self._descriptors: list[int] = []
        self._rings: list[PerfRing] = []
        self._poll = select.poll()
        self._born: set[int] = set()  # threads that the kernel has reported as born with events
        self._waiting: list[WeighedFault] = []
        self._window_began = self._busy_at = time.monotonic()
        self._in_window = 0
        self._ring_samples = 1  # as many as one ring holds
        self._counted = 0  # the process's own count of its faults, when the rings were last read
        self._presumed = 0  # losses that were reckoned from it, and that the kernel will report later
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def wait(self, seconds: float) -> None:
        """Wait until a ring is half full, ``seconds`` at most."""
        began = time.monotonic()
        for descriptor, what in self._poll.poll(seconds * 1000):
            if what & (select.POLLHUP | select.POLLERR):
                # The thread that it was opened for has ended: it would answer at once for ever. Its ring goes on.
                self._poll.unregister(descriptor)
                time.sleep(max(0.0, min(_HUNG_UP_S, seconds - (time.monotonic() - began))))

    def drain(self) -> list[WeighedFault]:
        """The samples since the last call. The period is adapted to how many they were."""
        found, self._waiting = self._waiting + self._read(), []
        self._adapt(len(found))
        return found

    def close(self) -> None:
        """Take the events from the process."""
        for descriptor in self._descriptors:
            # Before the first is closed: an event that overflows while it is released is what kernels of 2026 repair.
            with contextlib.suppress(OSError):
                fcntl.ioctl(descriptor, _DISABLE, 0)
        for ring in self._rings:
            ring.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors, self._rings, self._poll = [], [], select.poll()

    def _read(self) -> list[WeighedFault]:
        faults: list[Fault] = []
        lost = 0
        for ring in self._rings:
            for kind, record in ring.records():
                if kind == SAMPLE:
                    fault = fault_in(record, self.abilities)
                    lost += fault is None
                    faults += [fault] if fault is not None else []
                elif kind == LOST:
                    lost += lost_in(record)
                elif kind == FORK:
                    self._born.add(born_in(record))
                self.throttled += kind == THROTTLE
        lost += self._unreported(len(faults), lost)
        self.samples += len(faults)
        self.lost += lost
        self._in_window += lost
        # Those that were lost came from the same places as those that were not.
        weight = self.period * (len(faults) + lost) / max(1, len(faults))
        return [WeighedFault(weight, fault) for fault in faults]

    def _unreported(self, found: int, reported: int) -> int:
        """How many samples were lost beyond those reported: the kernel says so only with the next sample that it can write.

        A burst that fills the rings and is over would count for as little as they hold.
        """
        before, self._counted = self._counted, faults_of(self.pid) or self._counted
        known = min(reported, self._presumed)
        self._presumed -= known
        if found < self._ring_samples or not before:
            return -known
        expected = (self._counted - before) // self.period
        unreported = max(0, expected - found - (reported - known))
        self._presumed += unreported
        return unreported - known

    def _open(self) -> None:
        self._born.clear()
        opened: set[int] = set()
        output: dict[int, int] = {}
        most = max(1, MAX_EVENTS // len(self._processors))
        self.unwatched = 0
        for _ in range(2):  # the second time for those who were born meanwhile to threads that had no events yet
            missing = [thread for thread in threads_of(self.pid) if thread not in opened and thread not in self._born]
            room = most - len(opened)
            self.unwatched = max(0, len(missing) - room)
            for thread in missing[:room]:
                opened.add(thread)
                self._open_thread(thread, output)
            self._waiting += self._read()
        if not self._rings:
            raise ProcessLookupError(errno.ESRCH, f"process {self.pid} has ended")

    def _open_thread(self, thread: int, output: dict[int, int]) -> None:
        for processor in self._processors:
            try:
                descriptor = self._event(thread, processor)
            except OSError as error:
                if error.errno == errno.ESRCH:
                    return  # the thread has ended
                if error.errno == errno.ENODEV:
                    continue  # the processor was taken off
                raise refusal(self.pid, error) from None
            self._descriptors.append(descriptor)
            if processor in output:
                fcntl.ioctl(descriptor, _SET_OUTPUT, output[processor])
            else:
                output[processor] = descriptor
                ring, pages = _ring(descriptor)
                self._rings.append(ring)
                self._ring_samples = pages * mmap.PAGESIZE // (STACK_BYTES + _SAMPLE_HEAD_BYTES) - 1
                self._poll.register(descriptor, select.POLLIN)

    def _event(self, thread: int, processor: int) -> int:
        """Gives up, in this order, what this user may not see and what old kernels do not know."""
        while True:
            try:
                return open_event(attributes(self.period, self.abilities), thread=thread, processor=processor)
            except OSError as error:
                able = self.abilities
                if error.errno in (errno.EACCES, errno.EPERM) and able.system_calls:
                    self.abilities = replace(able, system_calls=False)
                elif error.errno in (errno.EINVAL, errno.E2BIG) and able.threads_only:
                    self.abilities = replace(able, threads_only=False)
                elif error.errno in (errno.EINVAL, errno.E2BIG) and able.page_size:
                    self.abilities = replace(able, page_size=False)
                else:
                    raise

    def _adapt(self, samples: int) -> None:
        now = time.monotonic()
        self._in_window += samples
        elapsed = now - self._window_began
        if elapsed < _WINDOW_S and self._in_window < _BURST_SAMPLES:
            return
        rate = self._in_window / max(elapsed, _WINDOW_S / 2)
        self._window_began, self._in_window = now, 0
        if rate > SAMPLES_PER_S / 4:
            self._busy_at = now
        if rate > 2 * SAMPLES_PER_S:
            self._reopen(self.period * rate / SAMPLES_PER_S)
        elif self.period > 1 and now - self._busy_at > _CALM_S:
            self._reopen(2 * self.period * rate / SAMPLES_PER_S)

    def _reopen(self, wanted: float) -> None:
        # PERF_EVENT_IOC_PERIOD would do if threads did not exchange their contexts at a switch: an event whose context went to a
        # thread that has ended ignores it in silence, and new threads go on with the old period.
        period = period_for(wanted)
        if period == self.period:
            return
        self._waiting += self._read()
        self.close()
        self.period, self.reopened, self._busy_at = period, self.reopened + 1, time.monotonic()
        self._open()


def _ring(descriptor: int) -> tuple[PerfRing, int]:
    """The largest that can be had, and its pages."""
    refused = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    for pages in _RING_PAGES:
        try:
            return PerfRing(descriptor, pages), pages
        except OSError as error:
            refused = error
    raise no_buffers(refused)


def period_for(faults: float) -> int:
    """The period to use where every ``faults``-th fault is wanted: the next prime of PERIODS."""
    return PERIODS[min(bisect.bisect_left(PERIODS, faults), len(PERIODS) - 1)]


def threads_of(pid: int) -> list[int]:
    """The threads of a process, in order. Raises ProcessLookupError when it has ended."""
    try:
        return sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    except OSError:
        raise ProcessLookupError(errno.ESRCH, f"process {pid} has ended") from None


def faults_of(pid: int) -> int:
    """How many page faults that needed no disk the process has had (proc_pid_stat(5)); 0 once it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[7])
    except (OSError, IndexError, ValueError):
        return 0
