"""The one hijacked call: a sleeping thread calls ``pthread_create`` for us, and the kernel restores it as it was.

The tracer may die after any step. Before the registers are set, the thread goes on as if nothing had happened. Afterwards the
frame on its stack restores it without a tracer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from memtui_profiler.errors import UserError
from memtui_profiler.gc_pause import collector_paused
from memtui_profiler.guest.errors import cannot_ask
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
    stopped_thread,
    write_without_pause,
)
from memtui_profiler.guest.signal_frame import EINTR, Frame, restoring_frame, resumed
from memtui_profiler.guest.threads import STATUS_BYTES, parse_thread_status, status_path

# Synchronous faults, and SIGSETXID, by which glibc has every thread change its user. SIGCANCEL is blocked: until glibc 2.40 it
# would unwind the host out of the call while it holds locks.
_NEVER_BLOCKED = (4, 5, 7, 8, 11, 31, 33)
GUEST_MASK = (1 << 64) - 1 & ~sum(1 << (number - 1) for number in _NEVER_BLOCKED)

STACK_BYTES = 1 << 20
# struct pthread_attr of glibc's sysdeps/nptl/internaltypes.h: sched priority and policy, flags, guard, address, size, 2 words.
_ATTRIBUTES = struct.Struct("<iiI4xQQQQQ")
_DETACHED = 1
_GUARD_BYTES = 4096


class NotNowError(Exception):
    """The host cannot be used at this moment. Nothing was changed in it, and another look may find a better one."""


def make_guest(
    pid: int, host: Host, libc: Libc, memory: ProcessMemory, fault: Fault = no_fault, *, stack_bytes: int = STACK_BYTES
) -> float:
    """Have ``host`` create a detached thread that sleeps in pause(); return for how many seconds it was stopped for that.

    Raises NotNowError, ThreadStoppedError, UserError, OSError; the host then goes on as if nothing had happened.
    """
    with collector_paused(), _real_time_priority(), open_status(pid, host.tid) as status:
        time.sleep(0)  # the longest possible turn with the interpreter's lock begins here
        began = time.perf_counter()
        try:
            with stopped_thread(host.tid, fault) as (thread, registers):
                try:
                    call = _prepare(thread, registers, host, libc, memory, fault, stack_bytes)
                    # At the last moment: a signal that comes later waits until the call is over.
                    if _signal_is_coming(status):
                        raise NotNowError("a signal is on its way to it")
                except (NotNowError, UserError, OSError):
                    undo_interruption(thread, registers, status)
                    raise
                thread.set_registers(call)
                # Only now, when the frame that restores the mask is in place: the guest inherits this one.
                thread.set_signal_mask(GUEST_MASK)
        except ThreadGoneError as error:
            raise NotNowError(str(error)) from error
        return time.perf_counter() - began


def _prepare(
    thread: Tracee, registers: Registers, host: Host, libc: Libc, memory: ProcessMemory, fault: Fault, stack_bytes: int
) -> Registers:
    """Write the frame that restores the thread; return the registers with which it makes the call. They are not set yet."""
    if not _still_there(host, registers):
        raise NotNowError("it no longer sleeps where it did")
    back = resumed(registers)
    try:
        vector_state = thread.vector_state()
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise cannot_ask("this processor has no XSAVE, which saves its registers", "no way around it") from error
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


def undo_interruption(thread: Tracee, registers: Registers, status: int) -> None:
    """Have the interrupted call made again where the kernel would return EINTR, unless a signal explains that.

    ``status`` is a descriptor of the thread's status file.
    """
    if registers.result == EINTR and not _signal_is_coming(status):
        thread.set_registers(resumed(registers))


@contextmanager
def open_status(pid: int, tid: int) -> Iterator[int]:
    """A descriptor of the thread's status file, which tells pending signals. Raises NotNowError when the thread is gone."""
    try:
        descriptor = os.open(status_path(pid, tid), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotNowError(f"thread {tid} has ended") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _real_time_priority() -> Iterator[None]:
    """Run at a real-time priority, where permitted: a thread of the target is stopped meanwhile."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, *before)
