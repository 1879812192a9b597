"""The ptrace requests that asking takes, typed; for x86-64. All of them from one thread: the kernel ties a tracee to a thread.

The library is loaded so that a call keeps the interpreter's lock: a host is stopped for some hundred microseconds, and giving
the lock away in between could cost it the five milliseconds that another thread may hold on to it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import time
from collections.abc import Callable

# linux/ptrace.h
_CONT, _GETREGS, _SETREGS, _DETACH = 7, 12, 13, 17
_GETREGSET, _SEIZE, _INTERRUPT = 0x4204, 0x4206, 0x4207
_GETSIGMASK, _SETSIGMASK, _SECCOMP_GET_FILTER = 0x420A, 0x420B, 0x420C
_NT_X86_XSTATE = 0x202
_EVENT_STOP = 128
# linux/wait.h: every kind of thread, and of this thread's tracees alone, so that no other thread's wait is disturbed.
_WAIT = os.WNOHANG | 0x40000000 | 0x20000000

XSTATE_BYTES = 16 << 10  # with AMX an area is 11008 bytes
# On a busy machine a thread may have to wait for a processor before it can stop; nothing is done to it meanwhile.
STOP_TIMEOUT_S = 1.0
_SPIN_S = 0.0001
_BPF_INSTRUCTION_BYTES = 8
_BPF_MAXIMUM = 4096

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long
_libc.waitpid.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_int]
_libc.waitpid.restype = ctypes.c_int
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
        return Registers.from_buffer_copy(self)

    def get(self, name: str) -> int:
        return int(getattr(self, name))

    @property
    def result(self) -> int:
        """rax as the signed number that a system call returns."""
        value = self.get("rax")
        return value - (1 << 64) if value >> 63 else value


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class ThreadGoneError(Exception):
    """The thread has ended, or never stopped for us: nothing was done to it."""


class ThreadStoppedError(Exception):
    """SIGSTOP or a terminal stopped the process: it runs nothing, whoever asks."""


# Called with a step's name after it was made; tests have the asker die there.
Fault = Callable[[str], None]


def no_fault(step: str) -> None:
    """What a real asker does after each step: nothing."""


class Tracee:
    """One seized thread. Raises OSError as ptrace(2) does, ThreadGoneError where ESRCH says so."""

    def __init__(self, tid: int, fault: Fault = no_fault) -> None:
        self.tid = tid
        self._fault = fault
        self._request("seize", _SEIZE)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Have it stop where it is, a sleeping system call interrupted.

        Raises ThreadGoneError when it does not come to that, ThreadStoppedError when job control has stopped it.
        """
        self._request("interrupt", _INTERRUPT)
        began = time.perf_counter()
        while True:
            status = self._stopped(began, timeout_s)
            if not os.WIFSTOPPED(status):
                raise ThreadGoneError(f"thread {self.tid} has ended")
            if status >> 16 == _EVENT_STOP:
                break
            # A signal came first: it gets it, and stops for us behind that.
            self._request("pass a signal on", _CONT, 0, os.WSTOPSIG(status))
        self._fault("stopped")
        if os.WSTOPSIG(status) != signal.SIGTRAP:
            raise ThreadStoppedError(f"thread {self.tid} is stopped by {os.WSTOPSIG(status)}")

    def _stopped(self, began: float, timeout_s: float) -> int:
        status = ctypes.c_int()
        while (found := _libc.waitpid(self.tid, ctypes.byref(status), _WAIT)) != self.tid:
            waited = time.perf_counter() - began
            if found < 0 or waited > timeout_s:
                raise ThreadGoneError(f"thread {self.tid} did not stop")
            if waited > _SPIN_S:
                time.sleep(0.00005)
        return status.value

    def registers(self) -> Registers:
        found = Registers()
        self._request("get registers", _GETREGS, 0, ctypes.addressof(found))
        return found

    def set_registers(self, registers: Registers) -> None:
        self._request("set registers", _SETREGS, 0, ctypes.addressof(registers))

    def vector_state(self) -> bytes:
        """The XSAVE area, in the standard format."""
        buffer = ctypes.create_string_buffer(XSTATE_BYTES)
        vector = _Vector(ctypes.addressof(buffer), XSTATE_BYTES)
        self._request("get vector state", _GETREGSET, _NT_X86_XSTATE, ctypes.addressof(vector))
        return buffer.raw[: vector.length]

    def signal_mask(self) -> int:
        mask = ctypes.c_uint64()
        self._request("get signal mask", _GETSIGMASK, 8, ctypes.addressof(mask))
        return mask.value

    def set_signal_mask(self, mask: int) -> None:
        wanted = ctypes.c_uint64(mask)
        self._request("set signal mask", _SETSIGMASK, 8, ctypes.addressof(wanted))

    def seccomp_filter(self, number: int) -> list[tuple[int, int, int, int]] | None:
        """Filter ``number``, 0 being the newest, as (code, jt, jf, k); None beyond the last. OSError where it may not be read."""
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
        """Let it go on; a thread that is gone is let go already.

        Only a stopped one can be let go. One that did not stop in time is waited for, however long it takes: left attached, it
        would stop for good as soon as it comes to run.
        """
        passed_on, pause_s = 0, 0.00005
        while _libc.ptrace(_DETACH, self.tid, 0, passed_on) < 0:
            if ctypes.get_errno() != errno.ESRCH:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "ptrace: detach")
            _libc.ptrace(_INTERRUPT, self.tid, 0, 0)
            status = ctypes.c_int()
            found = _libc.waitpid(self.tid, ctypes.byref(status), _WAIT)
            if found < 0 or (found == self.tid and not os.WIFSTOPPED(status.value)):
                return
            if found == self.tid and status.value >> 16 == 0:
                passed_on = os.WSTOPSIG(status.value)  # stopped for a signal, which it has to get
            elif found != self.tid:
                time.sleep(pause_s)
                pause_s = min(pause_s * 1.5, 0.01)
        self._fault("detach")

    def _request(self, step: str, request: int, address: int = 0, data: int = 0) -> None:
        if _libc.ptrace(request, self.tid, address, data) < 0:
            code = ctypes.get_errno()
            if code == errno.ESRCH:
                raise ThreadGoneError(f"thread {self.tid} has ended")
            raise OSError(code, os.strerror(code), f"ptrace: {step}")
        self._fault(step)


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
