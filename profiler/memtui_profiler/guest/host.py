"""Chooses the host, the thread that makes the one hijacked call: it sleeps where it is safe to wake it.

Why it is needed: ARCHITECTURE.md, "The guest thread". What a call returns when a tracer wakes it: FACTS.md, "Processes".
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from memtui_parsers.values import Mapping
from memtui_profiler.errors import UserError
from memtui_profiler.guest.errors import cannot_ask
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.ptrace import Registers
from memtui_profiler.guest.signal_frame import CODE_SEGMENT_64, RED_ZONE_BYTES, holds_frame
from memtui_profiler.guest.thread_stack import thread_stack
from memtui_profiler.guest.threads import Sleep, sleep_of, status_of, thread_ids
from memtui_profiler.process.image import mapping_at, mappings_of

LOOKS_APART_S = 0.005
PATIENCE_S = 1.0
# Until then a thread must not have moved; later one is taken that is in the same wait again: a busy server has no other.
IDLE_WANTED_S = 0.1
THREADS_LOOKED_AT = 512

# System calls of x86-64 (asm/unistd_64.h).
_READ, _POLL, _SELECT, _PAUSE, _NANOSLEEP, _ACCEPT, _RECVFROM, _RECVMSG = 0, 7, 23, 34, 35, 43, 45, 47
_SIGTIMEDWAIT, _SIGSUSPEND, _FUTEX, _SEMTIMEDOP, _CLOCK_NANOSLEEP, _EPOLL_WAIT = 128, 130, 202, 220, 230, 232
_PSELECT, _PPOLL, _EPOLL_PWAIT, _ACCEPT4, _EPOLL_PWAIT2 = 270, 271, 281, 288, 441

_FUTEX_COMMAND, _FUTEX_WAIT_BITSET = 0x7F, 9
_MSG_WAITALL = 0x100

# Ranks of a wait without an end, and of one with a timeout (it starts over). Never used: a plain FUTEX_WAIT (the locks of malloc
# and libc), wait4 (the heap checker waits there with its lock held), a recv for all bytes (woken, it returns those it has), and
# all that is not listed.
_ENDLESS = {_READ: 0, _ACCEPT: 0, _ACCEPT4: 0, _RECVFROM: 0, _RECVMSG: 0, _POLL: 1, _PPOLL: 1}
_ENDLESS |= {_EPOLL_WAIT: 2, _EPOLL_PWAIT: 2, _EPOLL_PWAIT2: 2, _FUTEX: 3, _SELECT: 4, _PSELECT: 4}
_ENDLESS |= {_PAUSE: 4, _SIGSUSPEND: 4}
_TIMED = {_POLL: 5, _PPOLL: 5, _SELECT: 5, _PSELECT: 5, _EPOLL_WAIT: 6, _EPOLL_PWAIT: 6, _EPOLL_PWAIT2: 6, _FUTEX: 5}
_TIMED |= {_SIGTIMEDWAIT: 6, _SEMTIMEDOP: 6, _CLOCK_NANOSLEEP: 7, _NANOSLEEP: 7}
# Waits that a thread's main loop comes back to; a thread that is seen twice in another one may be waiting for locks.
_LOOPS = frozenset(_ENDLESS) - {_FUTEX, _PAUSE}
# Which argument tells that there is no timeout: -1 milliseconds, or no pointer to a time.
_MILLISECONDS_AT = {_POLL: 2, _EPOLL_WAIT: 3, _EPOLL_PWAIT: 3}
_TIMEOUT_POINTER_AT = {_PPOLL: 2, _SELECT: 4, _PSELECT: 4, _EPOLL_PWAIT2: 3, _FUTEX: 3}

# Which argument holds the flags of a recv.
_FLAGS_AT = {_RECVFROM: 3, _RECVMSG: 2}

# The stack that the hijacked call needs: pthread_create, calloc below it and a heap checker's unwinder, with a margin, and a
# larger one where there is room; then the frame that restores the thread.
CALL_BYTES = (128 << 10, 40 << 10)
FRAME_BYTES = 16 << 10
_UNUSED_ABOVE_BYTES = 16 << 10
# Written to the lowest address of a stack that was used before, with its top then: that part is not all zeros any more, but the
# program still does not use it.
_MARK = struct.Struct("<8sQ")
_MAGIC = b"memtui\x02\0"
_HANDLER_SEARCH_BYTES = 8 << 20
_SYSCALL = b"\x0f\x05"
_STRICT = 1


@dataclass(frozen=True, slots=True)
class Host:
    """A thread that sleeps where it is safe to wake it.

    The hijacked call's stack and frame go below the address ``top``: deep in the unused part of the thread's own stack, or below
    all of the main thread's, which then grows. ``stack`` is the address range of that stack; ``thread_pointer`` is 0 for the main
    thread. ``sandbox`` as in ThreadStatus.
    """

    tid: int
    sleep: Sleep
    top: int
    stack: tuple[int, int]
    thread_pointer: int
    sandbox: tuple[int, int]

    @property
    def mark(self) -> bytes:
        """Return what to write to the lowest address of the stack for the next memtui."""
        return _MARK.pack(_MAGIC, self.top)


def rank(sleep: Sleep) -> int | None:
    """Return how well a thread in this sleep serves as a host: lower is better, None is never."""
    number = sleep.number
    if number == _FUTEX and sleep.arguments[1] & _FUTEX_COMMAND != _FUTEX_WAIT_BITSET:
        return None
    if number in _FLAGS_AT and sleep.arguments[_FLAGS_AT[number]] & _MSG_WAITALL:
        return None
    timed = False
    if number in _MILLISECONDS_AT:
        timed = sleep.arguments[_MILLISECONDS_AT[number]] & 0xFFFFFFFF != 0xFFFFFFFF
    elif number in _TIMEOUT_POINTER_AT:
        timed = sleep.arguments[_TIMEOUT_POINTER_AT[number]] != 0
    elif number not in _ENDLESS:
        timed = True
    return _TIMED.get(number) if timed else _ENDLESS.get(number)


def choose_host(pid: int, memory: ProcessMemory, restorer: int) -> Host:
    """Return the best host of the next second. Raises UserError when there is none, PermissionError where /proc forbids to look."""
    began = time.monotonic()
    while True:
        waited_s = time.monotonic() - began
        host = _best(pid, memory, restorer, idle=waited_s < IDLE_WANTED_S)
        if host is not None:
            return host
        if waited_s > PATIENCE_S:
            why = "no thread of it slept where it is safe to wake it for a moment, in a whole second"
            raise cannot_ask(why, "try again when it is less busy")
        time.sleep(LOOKS_APART_S)


def _best(pid: int, memory: ProcessMemory, restorer: int, *, idle: bool) -> Host | None:
    first: dict[int, tuple[int, Sleep, tuple[int, ...]]] = {}
    for tid in thread_ids(pid)[:THREADS_LOOKED_AT]:
        sleep = sleep_of(pid, tid)
        ranked = None if sleep is None else rank(sleep)
        if sleep is not None and ranked is not None and (status := status_of(pid, tid)) is not None:
            first[tid] = ranked, sleep, status.switches
    if not first:
        return None
    time.sleep(LOOKS_APART_S)
    mappings = mappings_of(pid)
    for tid, (_, before, switches) in sorted(first.items(), key=lambda item: item[1][0]):
        status, sleep = status_of(pid, tid), sleep_of(pid, tid)
        if status is None or sleep is None or sleep.place != before.place or rank(sleep) is None:
            continue
        if status.switches != switches and (idle or sleep.number not in _LOOPS):
            continue
        # One in state D does not wake, one that is traced cannot be seized, and each thread may have filters of its own.
        if status.state != "S" or status.tracer or status.seccomp == _STRICT or status.signal_is_coming:
            continue
        own = _own_stack(pid, tid, sleep, mappings, memory)
        if own is not None and _is_plain(sleep, own[1], memory, restorer):
            low, high, thread_pointer = own
            top = _unused_below(sleep.stack, low, memory)
            if top is None and tid == pid:
                # Nothing below what the main thread has reached is used: the kernel adds it on the first write.
                top = low - _UNUSED_ABOVE_BYTES
                low = top - CALL_BYTES[-1] - FRAME_BYTES
            if top is not None:
                return Host(tid, sleep, top, (low, high), thread_pointer, status.sandbox)
    return None


def _own_stack(
    pid: int, tid: int, sleep: Sleep, mappings: Sequence[Mapping], memory: ProcessMemory
) -> tuple[int, int, int] | None:
    """The range of the thread's own stack, and its thread pointer; None when it is on another (a fiber), or cannot be told."""
    mapping = mapping_at(mappings, sleep.stack)
    if mapping is None or "w" not in mapping.permissions:
        return None
    if tid == pid or mapping.path == "[stack]":
        return (mapping.start, mapping.end, 0) if tid == pid and mapping.path == "[stack]" else None
    stack = thread_stack(sleep.stack, mapping.end, memory)
    if stack is None or stack.low < mapping.start or stack.high > mapping.end:
        return None
    return stack.low, stack.high, stack.thread_pointer


def _is_plain(sleep: Sleep, end: int, memory: ProcessMemory, restorer: int) -> bool:
    """Whether it is a system call of the program's own, outside any signal handler: no frame of one lies on the stack above."""
    try:
        if memory.read(sleep.pc - len(_SYSCALL), len(_SYSCALL)) != _SYSCALL:
            return False
        used = memory.read(sleep.stack, min(end - sleep.stack, _HANDLER_SEARCH_BYTES) & ~7)
    except UserError:
        return False
    return not holds_frame(used, restorer)


def _unused_below(pointer: int, low: int, memory: ProcessMemory) -> int | None:
    """The top of a stack for the call: at the lowest end, as far below ``pointer`` as possible, where nothing was ever written.

    What is near may belong to another fiber, on a stack that several share.
    """
    for call_bytes in CALL_BYTES:
        top = low + call_bytes + FRAME_BYTES
        if top + _UNUSED_ABOVE_BYTES > pointer - RED_ZONE_BYTES:
            continue
        try:
            below = memory.read(low, top + _UNUSED_ABOVE_BYTES - low)
        except UserError:  # guard pages inside the mapping
            return None
        magic, used = _MARK.unpack_from(below)
        if magic == _MAGIC and low < used <= top:
            below = below[used - low :]  # without what an earlier call of ours left there
        if not below.strip(b"\0"):
            return top
    return None


def is_on_its_own_stack(host: Host, registers: Registers) -> bool:
    """Whether the stopped host runs 64-bit code, still on the stack and with the descriptor that were found."""
    if registers.get("cs") != CODE_SEGMENT_64 or registers.get("rsp") != host.sleep.stack:
        return False
    return host.thread_pointer in (0, registers.get("fs_base"))
