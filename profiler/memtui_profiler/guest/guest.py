"""The guest: a thread of ours in the target, parked in pause(), that calls what it is pointed at and parks itself again.

To ask, it is seized for some ten microseconds, given a function to run and ``pause`` to return into, and let go: it runs
untraced, which a leak checker that traces all threads itself takes, and comes back even if nobody waits for it any more.
"""

from __future__ import annotations

import os
import struct
import time

from memtui_profiler.errors import UserError
from memtui_profiler.guest.hijack import GUEST_MASK
from memtui_profiler.guest.libc import Libc
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.ptrace import Fault, Registers, ThreadGoneError, ThreadStoppedError, Tracee, no_fault
from memtui_profiler.guest.threads import Sleep, sleep_of, status_of, thread_ids

NAME = "memtui"
SCRATCH_BYTES = 256 << 10
PR_SET_NAME = 15

_PAUSE = 34
# The kernel shows no mask with SIGKILL or SIGSTOP in it.
_SHOWN_MASK = GUEST_MASK & ~(1 << 8 | 1 << 18)
# After it was stopped and let go, the thread takes a moment to fall asleep again.
_SETTLES_WITHIN_S = 0.2
_POLL_S = 0.0002
_POLL_SLOWEST_S = 0.01
# Where things are on the guest's stack of 1 MiB, counted down from its thread pointer, which is near the top.
_HOME_BELOW = 964 << 10
_SCRATCH_BELOW = 960 << 10
_CALLS_BELOW_HOME = 16 << 10
_LEAST_CALL_STACK_BYTES = 128 << 10
_HOME_MAGIC = b"memtui\x01\0"
# Each signal that glibc sends to all threads (setuid in one of them) has pause() return once: so often it returns into itself.
_RETURNS = 1024
_PARKED_ABOVE = 8 * _RETURNS
_PARKED_BELOW = 512


class GuestGoneError(UserError):
    """The thread, or the whole process, is no longer there: an exec, an exit."""


class GuestBusyError(UserError):
    """An earlier call has not come back: it is left to finish."""


class GuestThread:
    """A parked guest. Made by adopt(); fulfils memtui_profiler.allocators.base.Caller.

    All methods that call into the target belong to one thread of memtui: the kernel ties a tracee to its tracer's thread.
    """

    def __init__(self, pid: int, tid: int, libc: Libc, memory: ProcessMemory, home: Registers, fault: Fault) -> None:
        self.pid = pid
        self.tid = tid
        self.libc = libc
        self.memory = memory
        self._home = home
        self._fault = fault
        base = home.get("fs_base") & ~4095
        self._scratch = base - _SCRATCH_BELOW
        # A function finds its return address 8 below a multiple of 16.
        self._stack = ((home.get("rsp") - _CALLS_BELOW_HOME - 8 * _RETURNS) & ~15) - 8
        if self._stack - self._scratch - SCRATCH_BYTES < _LEAST_CALL_STACK_BYTES:
            raise UserError(
                "cannot ask the process", "its thread-local variables leave a new thread no stack", "no way around it"
            )
        self._calling = False

    @property
    def scratch(self) -> int:
        return self._scratch

    @property
    def scratch_bytes(self) -> int:
        return SCRATCH_BYTES

    @property
    def stack_range(self) -> tuple[int, int]:
        """Addresses that are the guest's own: what a checker says of them is no news for the user."""
        return self._scratch - (64 << 10), self._home.get("fs_base") + (64 << 10)

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
        if not self._is_parked() and (self._calling or not self.wait(_SETTLES_WITHIN_S)):
            self._refuse_unless_there()
            raise GuestBusyError("cannot ask now", "an earlier call has not come back yet", "wait for it")
        registers = self._home.copy()
        for name, value in zip(("rdi", "rsi", "rdx", "rcx", "r8", "r9"), arguments, strict=False):
            setattr(registers, name, value & (1 << 64) - 1)
        registers.rip, registers.rsp, registers.rbp, registers.rax = function, self._stack, 0, 0
        registers.orig_rax = (1 << 64) - 1
        registers.eflags = registers.get("eflags") & ~0x400
        self._redirect(registers, struct.pack("<Q", self.libc.pause) * _RETURNS)
        self._calling = True

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
        """Give the thread its name: another process may not write it (FACTS.md). And leave word for the next memtui."""
        self.write(self._home_record, _HOME_MAGIC + bytes(self._home))
        self.write(self.scratch, NAME.encode() + b"\0")
        self.call(self.libc.prctl, PR_SET_NAME, self.scratch, timeout_s=2.0)

    def leave(self) -> None:
        """The thread returns from its first pause(), which ends it as any thread ends. Raises nothing when it is gone already."""
        if not self._is_parked():
            return
        registers = self._home.copy()
        registers.rax, registers.orig_rax = (1 << 64) - 4, (1 << 64) - 1
        try:
            self._redirect(registers, b"")
        except (GuestGoneError, GuestBusyError):
            return
        deadline = time.monotonic() + 1.0
        while self._exists() and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    @property
    def _home_record(self) -> int:
        return (self._home.get("fs_base") & ~4095) - _HOME_BELOW

    def _redirect(self, registers: Registers, returns: bytes) -> None:
        try:
            thread = Tracee(self.tid, self._fault)
        except ThreadGoneError:
            raise _gone(self.pid) from None
        except PermissionError:
            raise _traced(self.pid) from None
        try:
            thread.stop()
            if returns:
                self.write(self._stack, returns)
                self._fault("write the return addresses")
            thread.set_registers(registers)
        except ThreadGoneError:
            raise _gone(self.pid) from None
        except ThreadStoppedError:
            raise GuestBusyError("cannot ask now", "the process is stopped", f"kill -CONT {self.pid}") from None
        finally:
            thread.detach()

    def _is_parked(self) -> bool:
        sleep = _sleep(self.pid, self.tid)
        if sleep is None or sleep.number != _PAUSE:
            return False
        at_home = sleep.stack == self._home.get("rsp")
        return at_home or -_PARKED_BELOW < sleep.stack - self._stack <= _PARKED_ABOVE

    def _exists(self) -> bool:
        return os.path.exists(f"/proc/{self.pid}/task/{self.tid}")

    def _refuse_if_gone(self) -> None:
        status = status_of(self.pid, self.tid)
        if status is None or status.state in "ZX":
            raise _gone(self.pid)

    def _refuse_unless_there(self) -> None:
        self._refuse_if_gone()
        status = status_of(self.pid, self.tid)
        if status is not None and status.state in "Tt":
            raise GuestBusyError("cannot ask now", "the process is stopped", f"kill -CONT {self.pid}")


def find_parked(pid: int, excluding: frozenset[int] = frozenset()) -> list[int]:
    """Threads that sleep in pause() with our mask: a guest just made, or one that an earlier memtui left there."""
    found = []
    for tid in thread_ids(pid):
        if tid in excluding or tid == pid:
            continue
        sleep = _sleep(pid, tid)
        if sleep is None or sleep.number != _PAUSE:
            continue
        status = status_of(pid, tid)
        if status is not None and status.blocked == _SHOWN_MASK:
            found.append(tid)
    return found


def adopt(pid: int, tid: int, libc: Libc, memory: ProcessMemory, fault: Fault = no_fault) -> GuestThread:
    """Take a parked thread as the guest. Raises GuestGoneError when it is none, or none any more."""
    try:
        thread = Tracee(tid, fault)
    except ThreadGoneError:
        raise _gone(pid) from None
    try:
        thread.stop()
        registers = thread.registers()
    except (ThreadGoneError, ThreadStoppedError):
        raise _gone(pid) from None
    finally:
        thread.detach()
    # One that was called before wrote down where it was at first.
    record = memory.read((registers.get("fs_base") & ~4095) - _HOME_BELOW, len(_HOME_MAGIC) + len(bytes(registers)))
    home = Registers.from_buffer_copy(record[len(_HOME_MAGIC) :])
    if not record.startswith(_HOME_MAGIC) or home.get("fs_base") != registers.get("fs_base"):
        home = registers
    return GuestThread(pid, tid, libc, memory, home, fault)


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
