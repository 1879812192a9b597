"""The ptrace requests of memtui, typed, for x86-64. One thread makes all of them: the kernel ties a tracee to a thread.

The library is loaded so that a call keeps the interpreter's lock: a host is stopped for some hundred microseconds, and a lock
that is released in between could be held by another thread for five milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# linux/ptrace.h
_CONT, _GETREGS, _SETREGS, _DETACH = 7, 12, 13, 17
_GETREGSET, _SEIZE, _INTERRUPT = 0x4204, 0x4206, 0x4207
_GETSIGMASK, _SETSIGMASK, _SECCOMP_GET_FILTER = 0x420A, 0x420B, 0x420C
_NT_X86_XSTATE = 0x202
_EVENT_STOP = 128
_ENDS = frozenset({os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED})
# linux/wait.h: every kind of thread (__WALL), and of this thread's tracees alone (__WNOTHREAD).
_WAIT = os.WNOHANG | 0x40000000 | 0x20000000

XSTATE_BYTES = 16 << 10  # with AMX an area is 11008 bytes
# A thread may be kept from running, by load or by the quota of its control group; nothing is done to it until it stops.
STOP_TIMEOUT_S = 2.0
_SPIN_S = 0.0001
_NAP_S = 0.00005
_LONGEST_NAP_S = 0.01
_REAPED_WITHIN_S = 1.0
_BPF_INSTRUCTION_BYTES = 8
_BPF_MAXIMUM = 4096

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long
_libc.waitid.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_void_p, ctypes.c_int]
_libc.waitid.restype = ctypes.c_int
_libc.pwrite.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long]
_libc.pwrite.restype = ctypes.c_long
_libc.pread.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
_libc.pread.restype = ctypes.c_long


class Registers(ctypes.Structure):
    """struct user_regs_struct (sys/user.h)."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
            *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
        )
    )

    def copy(self) -> Registers:
        """Return a copy that may be changed."""
        return Registers.from_buffer_copy(self)

    def get(self, name: str) -> int:
        """Return one register as an int."""
        return int(getattr(self, name))

    @property
    def result(self) -> int:
        """rax as the signed number that a system call returns."""
        value = self.get("rax")
        return value - (1 << 64) if value >> 63 else value


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Change(ctypes.Structure):
    """The part of siginfo_t that waitid(2) fills in: 128 bytes."""

    _fields_ = (
        ("signal", ctypes.c_int),
        ("errno", ctypes.c_int),
        ("code", ctypes.c_int),
        ("pad", ctypes.c_int),
        ("pid", ctypes.c_int),
        ("uid", ctypes.c_uint),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 100),
    )


class ThreadGoneError(Exception):
    """The thread has ended, or did not stop: nothing was done to it."""


class ThreadStoppedError(Exception):
    """SIGSTOP or a terminal stopped the process: it runs nothing."""


# Called with a step's name after that step; tests have the tracer die there.
Fault = Callable[[str], None]


def no_fault(step: str) -> None:
    """Do nothing after a step."""


class Tracee:
    """One seized thread; it must be detached in any case. Raises OSError as ptrace(2) does, ThreadGoneError for ESRCH."""

    def __init__(self, tid: int, fault: Fault = no_fault) -> None:
        self.tid = tid
        self._fault = fault
        self._is_stopped = False
        self._request("seize", _SEIZE)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop it where it is; a sleeping system call is interrupted.

        Raises ThreadGoneError when it does not stop in time, ThreadStoppedError when job control has stopped it.
        """
        self._request("interrupt", _INTERRUPT)
        by = self._wait_for_stop(timeout_s)
        self._fault("stopped")
        if by != signal.SIGTRAP:
            raise ThreadStoppedError(f"thread {self.tid} is stopped by {by}")

    def _wait_for_stop(self, timeout_s: float) -> int:
        """The signal that stands for the stop: SIGTRAP, or the one of job control."""
        began = time.perf_counter()
        nap_s = _NAP_S
        while True:
            change = self._change(os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if change is not None and change.code in _ENDS:
                raise ThreadGoneError(f"thread {self.tid} has ended")
            if change is not None and (change := self._change(os.WSTOPPED)) is not None:
                if change.status >> 8 == _EVENT_STOP:
                    self._is_stopped = True
                    return int(change.status & 0xFF)
                # A signal came first: it is delivered, and the stop comes after that.
                self._request("pass a signal on", _CONT, 0, change.status & 0xFF)
                continue
            waited = time.perf_counter() - began
            if waited > timeout_s:
                raise ThreadGoneError(f"thread {self.tid} did not stop")
            if waited > _SPIN_S:
                time.sleep(nap_s)
                nap_s = min(nap_s * 1.1, _LONGEST_NAP_S)

    def _change(self, options: int) -> _Change | None:
        """The thread's change of state, if there is a new one. Raises ThreadGoneError when it is not our tracee any more."""
        change = _Change()
        if _libc.waitid(os.P_PID, self.tid, ctypes.addressof(change), options | _WAIT) < 0:
            raise ThreadGoneError(f"thread {self.tid} has ended")
        return change if change.pid else None

    def registers(self) -> Registers:
        """Return the registers of the stopped thread."""
        registers = Registers()
        self._request("get registers", _GETREGS, 0, ctypes.addressof(registers))
        return registers

    def set_registers(self, registers: Registers) -> None:
        """Set the registers with which it goes on."""
        self._request("set registers", _SETREGS, 0, ctypes.addressof(registers))

    def vector_state(self) -> bytes:
        """Return the XSAVE area, in the standard format."""
        buffer = ctypes.create_string_buffer(XSTATE_BYTES)
        vector = _Vector(ctypes.addressof(buffer), XSTATE_BYTES)
        self._request("get vector state", _GETREGSET, _NT_X86_XSTATE, ctypes.addressof(vector))
        return buffer.raw[: vector.length]

    def signal_mask(self) -> int:
        """Return the signals that it blocks, bit 0 for signal 1."""
        mask = ctypes.c_uint64()
        self._request("get signal mask", _GETSIGMASK, 8, ctypes.addressof(mask))
        return mask.value

    def set_signal_mask(self, mask: int) -> None:
        """Set the signals that it blocks."""
        wanted = ctypes.c_uint64(mask)
        self._request("set signal mask", _SETSIGMASK, 8, ctypes.addressof(wanted))

    def seccomp_filter(self, number: int) -> list[tuple[int, int, int, int]] | None:
        """Return filter ``number``, 0 being the newest, as (code, jt, jf, k); None beyond the last. Raises OSError."""
        buffer = ctypes.create_string_buffer(_BPF_MAXIMUM * _BPF_INSTRUCTION_BYTES)
        length = _libc.ptrace(_SECCOMP_GET_FILTER, self.tid, number, ctypes.addressof(buffer))
        if length < 0:
            code = ctypes.get_errno()
            if code == errno.ENOENT:
                return None
            raise OSError(code, os.strerror(code))
        return [
            (c, t, f, k) for c, t, f, k in struct.iter_unpack("<HBBI", buffer.raw[: length * _BPF_INSTRUCTION_BYTES])
        ]

    def detach(self) -> None:
        """Detach, so that it goes on; nothing when the thread has ended.

        The kernel detaches only from a stopped thread. One that does not run, in a frozen control group say, is waited for:
        without a tracer it would stop for ever when it runs again.
        """
        try:
            if not self._is_stopped:
                self._request("interrupt", _INTERRUPT)
                self._wait_for_stop(math.inf)
            self._request("detach", _DETACH)
        except ThreadGoneError:
            self._reap()

    def _reap(self) -> None:
        """Wait for a tracee that died: until then its whole process stays a zombie.

        The end of a child of our own is left to whoever started it: it can be waited for only once.
        """
        deadline = time.monotonic() + _REAPED_WITHIN_S
        with contextlib.suppress(ThreadGoneError):
            while self._change(os.WEXITED | os.WNOWAIT) is None and time.monotonic() < deadline:
                time.sleep(_NAP_S)
            if not _is_child(self.tid):
                self._change(os.WEXITED)

    def _request(self, step: str, request: int, address: int = 0, data: int = 0) -> None:
        if _libc.ptrace(request, self.tid, address, data) < 0:
            code = ctypes.get_errno()
            if code == errno.ESRCH:
                raise ThreadGoneError(f"thread {self.tid} has ended")
            raise OSError(code, os.strerror(code), f"ptrace: {step}")
        self._fault(step)


@contextlib.contextmanager
def stopped_thread(tid: int, fault: Fault = no_fault) -> Iterator[tuple[Tracee, Registers]]:
    """A thread that is stopped inside the block, and its registers. Raises as Tracee and its stop() do."""
    thread = Tracee(tid, fault)
    try:
        thread.stop()
        yield thread, thread.registers()
    finally:
        thread.detach()


def yama_scope(root: Path = Path("/")) -> int | None:
    """Whom Yama lets trace a process (kernel Documentation/admin-guide/LSM/Yama.rst); None where the kernel has no Yama."""
    try:
        return int((root / "proc/sys/kernel/yama/ptrace_scope").read_text())
    except (OSError, ValueError):
        return None


def _is_child(pid: int) -> bool:
    """Whether ``pid`` is a process, not a mere thread, that this one is the parent of."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as stream:
            fields = dict(line.split(b":", 1) for line in stream.read(1 << 16).splitlines() if b":" in line)
    except OSError:
        return False
    return int(fields.get(b"Tgid", 0)) == pid and int(fields.get(b"PPid", 0)) == os.getpid()


def write_without_pause(descriptor: int, data: bytes, address: int) -> None:
    """pwrite(2) that keeps the interpreter's lock, for a thread that is stopped meanwhile. Raises OSError."""
    written = _libc.pwrite(descriptor, data, len(data), address)
    if written != len(data):
        code = ctypes.get_errno() if written < 0 else errno.EIO
        raise OSError(code, os.strerror(code))


def read_without_pause(descriptor: int, size: int) -> bytes:
    """pread(2) from the start, in the same way. Raises OSError."""
    buffer = ctypes.create_string_buffer(size)
    length = _libc.pread(descriptor, buffer, size, 0)
    if length < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return buffer.raw[:length]
