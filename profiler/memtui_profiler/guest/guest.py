"""The guest: a thread of ours in the target, parked in pause(), that calls what it is pointed at and parks itself again.

To ask, it is seized for some ten microseconds, given a function to run and a way back to ``pause``, and let go: it runs
untraced, which a leak checker that traces all threads itself takes, and comes back even if nobody waits for it any more.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from memtui_profiler.errors import UserError
from memtui_profiler.guest.hijack import GUEST_MASK
from memtui_profiler.guest.libc import Libc
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.owner import is_somebody_else
from memtui_profiler.guest.parking import PAUSE, SCRATCH_BYTES, Parking, read_record, write_record
from memtui_profiler.guest.ptrace import Fault, Registers, ThreadGoneError, ThreadStoppedError, Tracee, no_fault
from memtui_profiler.guest.thread_stack import ThreadStack, runs, thread_stack
from memtui_profiler.guest.threads import Sleep, sleep_of, state_of, thread_ids
from memtui_profiler.process_image import mapping_at, mappings_of

NAME = "memtui"
PR_SET_NAME = 15

# With no call under way the thread is on its way back to sleep: it was stopped and let go, or glibc signalled it for a setuid.
_SETTLES_WITHIN_S = 2.0
_LEAVES_WITHIN_S = 2.0
_NAMED_WITHIN_S = 5.0
_ENDED = ("", "Z", "X")
_POLL_S = 0.00005
_POLL_SLOWEST_S = 0.01


class GuestGoneError(UserError):
    """The thread, or the whole process, is no longer there: an exec, an exit."""


class GuestBusyError(UserError):
    """An earlier call has not come back: it is left to finish."""


class GuestThread:
    """A parked guest. Made by adopt(); fulfils memtui_profiler.allocators.base.Caller.

    All methods that call into the target belong to one thread of memtui: the kernel ties a tracee to its tracer's thread.
    """

    def __init__(self, pid: int, tid: int, libc: Libc, memory: ProcessMemory, parking: Parking, fault: Fault) -> None:
        self.pid = pid
        self.tid = tid
        self.libc = libc
        self.memory = memory
        self._parking = parking
        self._fault = fault
        self._calling = False

    @property
    def scratch(self) -> int:
        return self._parking.scratch

    @property
    def scratch_bytes(self) -> int:
        return SCRATCH_BYTES

    @property
    def stack_range(self) -> tuple[int, int]:
        """Addresses that are the guest's own: what a checker says of them is no news for the user."""
        return self._parking.stack.low, self._parking.stack.high

    def read(self, address: int, size: int) -> bytes:
        return self.memory.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        self.memory.write(address, data)

    @property
    def busy(self) -> bool:
        """Whether a call is still under way."""
        return self._calling and not self._is_parked()

    def call(self, function: int, *arguments: int, timeout_s: float) -> None:
        """Run function(*arguments) and wait until it has returned.

        Raises GuestBusyError when it does not come back in time, an earlier call has not, or the process is stopped;
        GuestGoneError.
        """
        self.begin(function, *arguments)
        if not self.wait(timeout_s):
            raise GuestBusyError(
                "no answer yet", f"the process did not come back within {timeout_s:g} s", "the call is left to finish"
            )

    def begin(self, function: int, *arguments: int) -> None:
        """Start a call and do not wait. Raises as call() does."""
        self._refuse_unless_there()
        if self.busy:
            raise GuestBusyError("cannot ask now", "an earlier call has not come back yet", "wait for it")
        registers = self._parking.call(function, arguments)
        deadline = time.monotonic() + _SETTLES_WITHIN_S
        while self.wait(_SETTLES_WITHIN_S) and time.monotonic() < deadline:
            if self._redirect(registers):
                self._calling = True
                return
        raise GuestBusyError("cannot ask now", "the thread that answers is at something else", "try again")

    def wait(self, timeout_s: float) -> bool:
        """Wait for the call that was begun. False: not back in time. Raises GuestGoneError when the thread ends."""
        deadline = time.monotonic() + timeout_s
        pause_s = _POLL_S
        while not self._is_parked():
            if time.monotonic() > deadline:
                self._refuse_if_gone()
                return False
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.2, _POLL_SLOWEST_S)
            if pause_s > 10 * _POLL_S:
                self._refuse_if_gone()  # stopped it may be: a leak checker stops all threads, and lets them go again
        self._calling = False
        return True

    def introduce(self) -> None:
        """Give the thread its name: another process may not write it (FACTS.md)."""
        self.write(self.scratch, NAME.encode() + b"\0")
        self.call(self.libc.prctl, PR_SET_NAME, self.scratch, timeout_s=_NAMED_WITHIN_S)

    def leave(self) -> None:
        """The thread returns from its first pause(), which ends it as any thread ends. So does any that nobody owns any more.

        One with a call under way does so when that returns; nobody waits for it. Raises nothing when it is gone already.
        """
        self._go_home()
        for tid in guests_in(self.pid, self.libc, self.memory, frozenset({self.tid})):
            with contextlib.suppress(UserError, OSError):
                adopt(self.pid, tid, self.libc, self.memory, self._fault)._go_home()

    def _go_home(self) -> None:
        try:
            if not self._is_parked():
                self._parking.lay_way_home(self.memory)
            if self._is_parked():
                self._redirect(self._parking.homeward())
        except UserError:
            return
        deadline = time.monotonic() + _LEAVES_WITHIN_S
        while not self._calling and self._exists() and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def _redirect(self, registers: Registers) -> bool:
        """Have the parked thread go on with these registers; False: it is not parked at the moment."""
        try:
            thread = Tracee(self.tid, self._fault)
        except ThreadGoneError:
            raise _gone(self.pid) from None
        except PermissionError:
            raise _traced(self.pid) from None
        try:
            thread.stop()
            # Only now does nobody else move it: another memtui, or a signal that came meanwhile.
            found = thread.registers()
            if not self._parking.is_parked(_where(found)):
                return False
            if found.get("fs_base") != self._parking.stack.thread_pointer:
                raise _gone(self.pid)
            frame = self._parking.frame()
            self.write(frame.address, frame.data)
            self._fault("write the way back")
            thread.set_registers(registers)
            return True
        except ThreadGoneError:
            raise _gone(self.pid) from None
        except ThreadStoppedError:
            raise _stopped(self.pid) from None
        finally:
            thread.detach()

    def _is_parked(self) -> bool:
        sleep = _sleep(self.pid, self.tid)
        return sleep is not None and self._parking.is_parked(sleep)

    def _exists(self) -> bool:
        return os.path.exists(f"/proc/{self.pid}/task/{self.tid}")

    def _refuse_if_gone(self) -> None:
        if state_of(self.pid, self.tid) in _ENDED:
            raise _gone(self.pid)

    def _refuse_unless_there(self) -> None:
        self._refuse_if_gone()
        if state_of(self.pid, self.pid) == "Z":
            # Its main thread has left by pthread_exit(): the process ends with its last thread, which must not be ours.
            self.leave()
            raise _gone(self.pid)
        if state_of(self.pid, self.tid) == "T":
            raise _stopped(self.pid)


def guests_in(pid: int, libc: Libc, memory: ProcessMemory, excluding: frozenset[int] = frozenset()) -> Iterator[int]:
    """Threads that were made to run pause(), sleep in it and are nobody's: just made, or left there by an earlier memtui."""
    for tid in thread_ids(pid):
        if tid in excluding or tid == pid:
            continue
        sleep = _sleep(pid, tid)
        stack = _stack_of_guest(pid, sleep, libc, memory) if sleep is not None and sleep.number == PAUSE else None
        with contextlib.suppress(UserError):
            if stack is not None and not is_somebody_else(read_record(stack, memory).owner):
                yield tid


def adopt(pid: int, tid: int, libc: Libc, memory: ProcessMemory, fault: Fault = no_fault) -> GuestThread:
    """Take a parked guest as ours.

    Raises GuestGoneError when it is none, or none any more; GuestBusyError when another memtui, or a debugger, has it.
    """
    try:
        thread = Tracee(tid, fault)
    except ThreadGoneError:
        raise _gone(pid) from None
    except PermissionError:
        raise _traced(pid) from None
    try:
        thread.stop()
        registers = thread.registers()
        # Its stack is looked at now that nobody else moves it.
        here = _where(registers)
        stack = _stack_of_guest(pid, here, libc, memory)
        if here.number != PAUSE or stack is None or stack.thread_pointer != registers.get("fs_base"):
            raise _gone(pid)
        record = read_record(stack, memory)
        if is_somebody_else(record.owner):
            raise _traced(pid)
        parking = Parking(stack, registers, libc)
        if record.home is not None and (known := Parking(stack, record.home, libc)).is_parked(here):
            parking = known
        write_record(stack, parking.home, memory)
        fault("write the record")
        # Made by one that died before it had set the host's mask, it has the host's own.
        if thread.signal_mask() != GUEST_MASK:
            thread.set_signal_mask(GUEST_MASK)
    except (ThreadGoneError, ThreadStoppedError):
        raise _gone(pid) from None
    finally:
        thread.detach()
    return GuestThread(pid, tid, libc, memory, parking, fault)


def _stack_of_guest(pid: int, sleep: Sleep, libc: Libc, memory: ProcessMemory) -> ThreadStack | None:
    try:
        mapping = mapping_at(mappings_of(pid), sleep.stack)
    except OSError:
        return None
    if mapping is None or "w" not in mapping.permissions or mapping.path == "[stack]":
        return None
    stack = thread_stack(sleep.stack, mapping.end, memory)
    return stack if stack is not None and runs(libc.pause, stack, memory) else None


def _where(registers: Registers) -> Sleep:
    """Where a stopped thread sleeps, as /proc says it of one that is not stopped."""
    return Sleep(registers.get("orig_rax"), (), registers.get("rsp"), registers.get("rip"))


def _sleep(pid: int, tid: int) -> Sleep | None:
    try:
        return sleep_of(pid, tid)
    except PermissionError:
        return None


def _gone(pid: int) -> GuestGoneError:
    return GuestGoneError(
        f"cannot ask pid {pid}", "the thread that answers is gone", "ask again: a new one is made then"
    )


def _traced(pid: int) -> GuestBusyError:
    return GuestBusyError(f"cannot ask pid {pid} now", "somebody else traces it", "try again when that is over")


def _stopped(pid: int) -> GuestBusyError:
    return GuestBusyError("cannot ask now", "the process is stopped", f"kill -CONT {pid}")
