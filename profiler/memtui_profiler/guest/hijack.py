"""The one hijacked call: a sleeping thread makes ``pthread_create`` for us, and the kernel puts it back as it was.

The tracer may die after any step. Before the registers are set, the thread goes on as if nothing had been; afterwards the
frame on its stack is all it takes to come back.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from memtui_profiler.errors import UserError
from memtui_profiler.guest.host import Host, is_on_its_own_stack
from memtui_profiler.guest.libc import Libc
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.ptrace import (
    Fault,
    Registers,
    ThreadGoneError,
    Tracee,
    no_fault,
    read_without_pause,
    write_without_pause,
)
from memtui_profiler.guest.signal_frame import EINTR, Frame, restoring_frame, resumed
from memtui_profiler.guest.threads import STATUS_BYTES, parse_thread_status, status_path

# Synchronous faults, and the signal by which glibc has every thread change its user (SIGSETXID). The one by which it cancels a
# thread is blocked: until glibc 2.40 it would unwind the host right out of the call, and the locks that it holds.
_NEVER_BLOCKED = (4, 5, 7, 8, 11, 31, 33)
GUEST_MASK = (1 << 64) - 1 & ~sum(1 << (number - 1) for number in _NEVER_BLOCKED)

STACK_BYTES = 1 << 20
# struct pthread_attr of glibc's sysdeps/nptl/internaltypes.h: sched priority and policy, flags, guard, address, size, 2 words.
_ATTRIBUTES = struct.Struct("<iiI4xQQQQQ")
_DETACHED = 1
_GUARD_BYTES = 4096


class NotNowError(Exception):
    """The host is no host any more: it was left as it is, and another look may find a better one."""


@dataclass(frozen=True, slots=True)
class Hijacked:
    """``disturbed_s``: how long the host was kept from its sleep, without the call itself."""

    disturbed_s: float


def make_guest(
    pid: int, host: Host, libc: Libc, memory: ProcessMemory, fault: Fault = no_fault, *, stack_bytes: int = STACK_BYTES
) -> Hijacked:
    """Have ``host`` create a detached thread that sleeps in pause().

    Raises NotNowError, ThreadStoppedError, UserError, OSError; the host goes on as if nothing had been then.
    """
    with _undisturbed(), open_status(pid, host.tid) as status:
        time.sleep(0)  # the longest possible turn with the interpreter's lock begins here
        began = time.perf_counter()
        try:
            thread = Tracee(host.tid, fault)
        except ThreadGoneError as error:
            raise NotNowError(str(error)) from error
        try:
            thread.stop()
            registers = thread.registers()
            try:
                call = _prepare(thread, registers, host, libc, memory, fault, stack_bytes)
                # At the last moment: a signal that comes later waits until the call is over.
                if _signal_is_coming(status):
                    raise NotNowError("a signal is on its way to it")
            except (NotNowError, UserError, OSError):
                let_go(thread, registers, status)
                raise
            thread.set_registers(call)
            # Only now, when the frame that restores the mask is in place: the guest inherits this one.
            thread.set_signal_mask(GUEST_MASK)
        except ThreadGoneError as error:
            raise NotNowError(str(error)) from error
        finally:
            thread.detach()
        return Hijacked(time.perf_counter() - began)


def _prepare(
    thread: Tracee, registers: Registers, host: Host, libc: Libc, memory: ProcessMemory, fault: Fault, stack_bytes: int
) -> Registers:
    """Lay the frame that brings the thread back; give the registers with which it makes the call. It is as it was so far."""
    if not _still_there(host, registers):
        raise NotNowError("it no longer sleeps where it did")
    back = resumed(registers)
    try:
        vector_state = thread.vector_state()
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise UserError(
                "cannot ask the process", "this processor has no XSAVE, which saves its registers", "no way around it"
            ) from error
        raise
    frame = restoring_frame(back, vector_state, thread.signal_mask(), libc.restorer, host.top)
    attributes = _ATTRIBUTES.pack(0, 0, _DETACHED, _GUARD_BYTES, 0, stack_bytes, 0, 0)
    at = frame.scratch + 16 - frame.address
    data = frame.data[:at] + attributes + frame.data[at + len(attributes) :]
    try:
        write_without_pause(memory.descriptor, data, frame.address)
        fault("write the frame")
        write_without_pause(memory.descriptor, host.mark, host.stack[0])
        fault("write the mark")
    except OSError as error:  # its stack may not grow any more
        raise NotNowError("there is no room on its stack") from error
    return _calling(back, frame, libc)


def _calling(registers: Registers, frame: Frame, libc: Libc) -> Registers:
    """pthread_create(scratch, attributes, pause, NULL), which returns into the frame."""
    call = registers.copy()
    call.rdi, call.rsi, call.rdx, call.rcx = frame.scratch, frame.scratch + 16, libc.pause, 0
    call.rip, call.rsp, call.rbp, call.rax = libc.pthread_create, frame.address, 0, 0
    call.eflags = registers.get("eflags") & ~0x400  # the direction flag is clear at a function's entry
    return call


def _still_there(host: Host, registers: Registers) -> bool:
    same = (registers.get("orig_rax"), registers.get("rip")) == (host.sleep.number, host.sleep.pc)
    return same and registers.result < 0 and is_on_its_own_stack(host, registers)


def _signal_is_coming(status: int) -> bool:
    return parse_thread_status(read_without_pause(status, STATUS_BYTES)).signal_is_coming


def let_go(thread: Tracee, registers: Registers, status: int) -> None:
    """Undo the interruption where the kernel would not: a call that returns EINTR is made again, unless a signal explains it.

    ``status`` is a descriptor of the thread's status file.
    """
    if registers.result == EINTR and not _signal_is_coming(status):
        thread.set_registers(resumed(registers))


@contextmanager
def open_status(pid: int, tid: int) -> Iterator[int]:
    """A descriptor to ask for pending signals with. Raises NotNowError when the thread is gone."""
    try:
        descriptor = os.open(status_path(pid, tid), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotNowError(f"thread {tid} has ended") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A thread is stopped meanwhile: no garbage is collected, and where we may, nothing of ordinary priority runs before us."""
    collects = gc.isenabled()
    gc.disable()
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, *before)
        if collects:
            gc.enable()
