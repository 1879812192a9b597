"""The guest: a thread of memtui in the target, parked in pause(2). It calls a function and parks itself again.

For a call it is stopped for some ten microseconds, its registers are set to a function that returns to ``pause``, and the tracer
detaches. So the call runs untraced, which a leak checker that traces all threads itself needs, and returns even if nobody waits
for it any more.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence

from memtui_parsers.values import Mapping
from memtui_profiler.errors import UserError
from memtui_profiler.guest.errors import GuestBusyError, GuestGoneError, frozen, sandboxed_since
from memtui_profiler.guest.hijack import GUEST_MASK
from memtui_profiler.guest.libc import Libc
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.parking import PAUSE, SCRATCH_BYTES, Parking, is_another_memtui, read_record, write_record
from memtui_profiler.guest.permission import refused_by_kernel
from memtui_profiler.guest.ptrace import (
    Fault,
    Registers,
    ThreadGoneError,
    ThreadStoppedError,
    Tracee,
    no_fault,
    stopped_thread,
)
from memtui_profiler.guest.thread_stack import ThreadStack, runs, thread_stack
from memtui_profiler.guest.threads import DEAD, Sleep, is_frozen, sleep_of, state_of, status_of, thread_ids
from memtui_profiler.process.image import mapping_at, mappings_of

NAME = "memtui"
PR_SET_NAME = 15

# With no call under way the thread is on its way back to sleep: it was stopped and detached, or glibc signalled it for a setuid.
_SETTLES_WITHIN_S = 2.0
_LEAVES_WITHIN_S = 2.0
_NAMED_WITHIN_S = 5.0
_POLL_S = 0.00005
_POLL_SLOWEST_S = 0.01
# A thread in pause() takes some 0.1 ms to look at. A guest that is not found in time is left to sleep.
_SEARCHED_S = 2.0


class GuestThread:
    """A parked guest. Made by adopt(); fulfils memtui_profiler.allocators.base.Caller.

    All methods that call into the target belong to one thread of memtui: the kernel ties a tracee to its tracer's thread.
    """

    def __init__(
        self,
        pid: int,
        tid: int,
        libc: Libc,
        memory: ProcessMemory,
        parking: Parking,
        sandbox: tuple[int, int],
        fault: Fault,
    ) -> None:
        self.pid = pid
        self.tid = tid
        self.libc = libc
        self.memory = memory
        self._parking = parking
        self._sandbox = sandbox
        self._fault = fault
        self._calling = False

    @property
    def scratch(self) -> int:
        """The address of memory in the target that calls may use."""
        return self._parking.scratch

    @property
    def scratch_bytes(self) -> int:
        """The size of that memory."""
        return SCRATCH_BYTES

    @property
    def stack_range(self) -> tuple[int, int]:
        """The address range of the guest's stack: what a checker reports of it is not the target's."""
        return self._parking.stack.low, self._parking.stack.high

    def read(self, address: int, size: int) -> bytes:
        """Return all ``size`` bytes at ``address``. Raises UserError."""
        return self.memory.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Write ``data`` at ``address``. Raises UserError."""
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
            why = f"the process did not come back within {timeout_s:g} s"
            raise GuestBusyError("no answer yet", why, "the call is left to finish")

    def begin(self, function: int, *arguments: int) -> None:
        """Start a call and do not wait. Raises as call() does, GuestSandboxedError, and UserError where the kernel forbids it."""
        self._refuse_unless_there()
        if is_frozen(self.pid, self.tid):
            raise frozen()
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
        """Wait until the call has returned; False when it has not in time. Raises GuestGoneError when the thread ends."""
        deadline = time.monotonic() + timeout_s
        pause_s = _POLL_S
        while not self._is_parked():
            if time.monotonic() > deadline:
                self._refuse_if_gone()
                return False
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.2, _POLL_SLOWEST_S)
            if pause_s > 10 * _POLL_S:
                self._refuse_if_gone()  # it may be stopped: a leak checker stops all threads for a while
        self._calling = False
        return True

    def set_name(self) -> None:
        """Have the thread name itself: another process may not write its name (FACTS.md)."""
        self.write(self.scratch, NAME.encode() + b"\0")
        self.call(self.libc.prctl, PR_SET_NAME, self.scratch, timeout_s=_NAMED_WITHIN_S)

    def leave(self) -> None:
        """End the thread, and other guests that nobody owns any more: each returns from its first pause(), as threads end.

        One with a call under way ends when that returns; nobody waits for it. Nothing is raised when it has ended already, and
        UserError when it stays.
        """
        self._end()
        for tid in guests_in(self.pid, self.libc, self.memory, frozenset({self.tid})):
            with contextlib.suppress(UserError, OSError):
                adopt(self.pid, tid, self.libc, self.memory, self._fault)._end()

    def _end(self) -> None:
        try:
            if _is_hidden(self.pid, self.tid):
                raise refused_by_kernel(self.pid)
            if not self._is_parked():
                self._parking.end_after_call(self.memory)
            if self._is_parked():
                self._redirect(self._parking.first_return())
        except GuestGoneError:
            return
        deadline = time.monotonic() + _LEAVES_WITHIN_S
        while not self._calling and self._exists():
            if time.monotonic() > deadline:
                raise _stays(self.pid)
            time.sleep(_POLL_S)

    def _redirect(self, registers: Registers) -> bool:
        """Have the parked thread go on with these registers; False when it is not parked at the moment."""
        # Also a stop and a detach make it call pause() anew, which a filter may punish.
        if (status := status_of(self.pid, self.tid)) is not None and status.sandbox != self._sandbox:
            raise sandboxed_since()
        if is_frozen(self.pid, self.tid):
            raise frozen()
        with _stopped_guest(self.pid, self.tid, self._fault) as (thread, current):
            # Only now nothing else moves it: another memtui, or a signal that came meanwhile.
            if not self._parking.is_parked(_where(current)):
                return False
            if current.get("fs_base") != self._parking.stack.thread_pointer:
                raise _gone(self.pid)
            frame = self._parking.frame()
            self.write(frame.address, frame.data)
            self._fault("write the parking frame")
            thread.set_registers(registers)
            return True

    def _is_parked(self) -> bool:
        sleep = _sleep(self.pid, self.tid)
        return sleep is not None and self._parking.is_parked(sleep)

    def _exists(self) -> bool:
        return os.path.exists(f"/proc/{self.pid}/task/{self.tid}")

    def _refuse_if_gone(self) -> None:
        if state_of(self.pid, self.tid) in DEAD:
            raise _gone(self.pid)

    def _refuse_unless_there(self) -> None:
        self._refuse_if_gone()
        if state_of(self.pid, self.pid) == "Z":
            # Its main thread has left by pthread_exit(): the process ends with its last thread, which must not be ours.
            with contextlib.suppress(UserError):
                self.leave()
            raise _gone(self.pid)
        if _is_hidden(self.pid, self.tid):
            raise refused_by_kernel(self.pid)
        if state_of(self.pid, self.tid) == "T":
            raise _stopped(self.pid)


def guests_in(pid: int, libc: Libc, memory: ProcessMemory, excluding: frozenset[int] = frozenset()) -> Iterator[int]:
    """Find threads that were made to run pause(), sleep in it and have no owner: new ones, and those an earlier memtui left."""
    deadline = time.monotonic() + _SEARCHED_S
    mappings: tuple[Mapping, ...] = ()
    for tid in reversed(thread_ids(pid)):
        if tid in excluding or tid == pid:
            continue
        if time.monotonic() > deadline:
            return
        sleep = _sleep(pid, tid)
        if sleep is None or sleep.number != PAUSE:
            continue
        with contextlib.suppress(OSError):
            mappings = mappings or mappings_of(pid)
        stack = _stack_of_guest(sleep, mappings, libc, memory)
        with contextlib.suppress(UserError):
            if stack is not None and not is_another_memtui(read_record(stack, memory).owner):
                yield tid


def adopt(
    pid: int,
    tid: int,
    libc: Libc,
    memory: ProcessMemory,
    fault: Fault = no_fault,
    made_with: tuple[int, int] = (0, 0),
) -> GuestThread:
    """Make this memtui the owner of a parked guest. ``made_with``: the ``sandbox`` of the thread that made a new one.

    Raises GuestGoneError when it is no guest (any more), GuestBusyError when another memtui owns it, another process stops it or
    it is frozen, GuestSandboxedError.
    """
    try:
        mappings = mappings_of(pid)
    except OSError:
        raise _gone(pid) from None
    sandbox = _unchanged_sandbox(pid, tid, mappings, libc, memory, made_with)
    with _stopped_guest(pid, tid, fault) as (thread, registers):
        here = _where(registers)
        stack = _stack_of_guest(here, mappings, libc, memory)
        if here.number != PAUSE or stack is None or stack.thread_pointer != registers.get("fs_base"):
            raise _gone(pid)
        record = read_record(stack, memory)
        if is_another_memtui(record.owner):
            raise _traced(pid)
        parking = Parking(stack, registers, libc)
        if record.first is not None and (earlier := Parking(stack, record.first, libc)).is_parked(here):
            parking = earlier
        write_record(stack, parking.first, sandbox, memory)
        fault("write the record")
        # A memtui that died before it had set the host's mask made it with the host's own.
        if thread.signal_mask() != GUEST_MASK:
            thread.set_signal_mask(GUEST_MASK)
    return GuestThread(pid, tid, libc, memory, parking, sandbox, fault)


def _unchanged_sandbox(
    pid: int,
    tid: int,
    mappings: Sequence[Mapping],
    libc: Libc,
    memory: ProcessMemory,
    made_with: tuple[int, int],
) -> tuple[int, int]:
    """The thread's ``sandbox``, which it has had since it came. Raises GuestSandboxedError, and GuestGoneError for no guest."""
    sleep, status = _sleep(pid, tid), status_of(pid, tid)
    stack = None if sleep is None else _stack_of_guest(sleep, mappings, libc, memory)
    if stack is None or status is None:
        raise _gone(pid)
    record = read_record(stack, memory)
    if is_frozen(pid, tid):
        raise frozen()
    if status.sandbox != (made_with if record.first is None else record.sandbox):
        raise sandboxed_since()
    return status.sandbox


@contextlib.contextmanager
def _stopped_guest(pid: int, tid: int, fault: Fault) -> Iterator[tuple[Tracee, Registers]]:
    """The thread, stopped inside the block, and its registers. Raises GuestGoneError, GuestBusyError."""
    try:
        with stopped_thread(tid, fault) as stopped:
            yield stopped
    except ThreadGoneError:
        raise _gone(pid) from None
    except PermissionError:
        status = status_of(pid, tid)
        raise (_traced(pid) if status is not None and status.tracer else refused_by_kernel(pid)) from None
    except ThreadStoppedError:
        raise _stopped(pid) from None


def _stack_of_guest(sleep: Sleep, mappings: Sequence[Mapping], libc: Libc, memory: ProcessMemory) -> ThreadStack | None:
    mapping = mapping_at(mappings, sleep.stack)
    if mapping is None or "w" not in mapping.permissions or mapping.path == "[stack]":
        return None
    stack = thread_stack(sleep.stack, mapping.end, memory)
    return stack if stack is not None and runs(libc.pause, stack, memory) else None


def _where(registers: Registers) -> Sleep:
    """Where a stopped thread sleeps, in the form that /proc has for one that is not stopped."""
    return Sleep(registers.get("orig_rax"), (), registers.get("rsp"), registers.get("rip"))


def _sleep(pid: int, tid: int) -> Sleep | None:
    try:
        return sleep_of(pid, tid)
    except PermissionError:
        return None


def _is_hidden(pid: int, tid: int) -> bool:
    """Whether /proc no longer shows where the thread sleeps: the process has changed its user, or made itself undumpable."""
    try:
        sleep_of(pid, tid)
    except PermissionError:
        return True
    return False


def _stays(pid: int) -> UserError:
    return UserError(
        f"memtui's thread stays in pid {pid}", f"it did not end within {_LEAVES_WITHIN_S:g} s", "attach anew"
    )


def _gone(pid: int) -> GuestGoneError:
    why, todo = "the thread that answers is gone", "ask again: a new one is made then"
    return GuestGoneError(f"cannot ask pid {pid}", why, todo)


def _traced(pid: int) -> GuestBusyError:
    return GuestBusyError(f"cannot ask pid {pid} now", "somebody else traces it", "try again when that is over")


def _stopped(pid: int) -> GuestBusyError:
    return GuestBusyError("cannot ask now", "the process is stopped", f"kill -CONT {pid}")
