"""Choosing the thread that makes the one hijacked call: one that sleeps where waking it harms nobody.

The order and the dangers: DESIGN.md section 8. What a call returns when a tracer wakes it: FACTS.md, "Processes".
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from memtui_parsers.values import Mapping
from memtui_profiler.errors import UserError
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.ptrace import Registers
from memtui_profiler.guest.signal_frame import CODE_SEGMENT_64, RED_ZONE_BYTES, holds_frame
from memtui_profiler.guest.thread_stack import thread_stack
from memtui_profiler.guest.threads import Sleep, sleep_of, status_of, thread_ids
from memtui_profiler.process_image import mapping_at, mappings_of

LOOKS_APART_S = 0.005
PATIENCE_S = 1.0
# So long only a thread will do that has not moved; then also one that is found in the same wait again: a busy server has no other.
IDLE_WANTED_S = 0.1
THREADS_LOOKED_AT = 512

# System calls of x86-64 (asm/unistd_64.h).
_READ, _POLL, _SELECT, _PAUSE, _NANOSLEEP, _ACCEPT, _RECVFROM, _RECVMSG = 0, 7, 23, 34, 35, 43, 45, 47
_SIGTIMEDWAIT, _FUTEX, _SEMTIMEDOP, _CLOCK_NANOSLEEP, _EPOLL_WAIT = 128, 202, 220, 230, 232
_PSELECT, _PPOLL, _EPOLL_PWAIT, _ACCEPT4, _EPOLL_PWAIT2 = 270, 271, 281, 288, 441

_FUTEX_COMMAND, _FUTEX_WAIT_BITSET = 0x7F, 9
_MSG_WAITALL = 0x100

# Rank of a wait without an end, and of one with a timeout (it starts over). Never: a plain FUTEX_WAIT (the locks of malloc and
# libc), wait4 (the heap checker waits there with its lock held), a recv for all bytes (woken, it returns those it has), what is not
# listed.
_ENDLESS = {_READ: 0, _ACCEPT: 0, _ACCEPT4: 0, _RECVFROM: 0, _RECVMSG: 0, _POLL: 1, _PPOLL: 1}
_ENDLESS |= {_EPOLL_WAIT: 2, _EPOLL_PWAIT: 2, _EPOLL_PWAIT2: 2, _FUTEX: 3, _SELECT: 4, _PSELECT: 4, _PAUSE: 4}
_TIMED = {_POLL: 5, _PPOLL: 5, _SELECT: 5, _PSELECT: 5, _EPOLL_WAIT: 6, _EPOLL_PWAIT: 6, _EPOLL_PWAIT2: 6, _FUTEX: 5}
_TIMED |= {_SIGTIMEDWAIT: 6, _SEMTIMEDOP: 6, _CLOCK_NANOSLEEP: 7, _NANOSLEEP: 7}
# Waits that a thread comes back to as its way of life; in others, seen twice, it may be after a lock again and again.
_LOOPS = frozenset(
    {
        _READ,
        _ACCEPT,
        _ACCEPT4,
        _RECVFROM,
        _RECVMSG,
        _POLL,
        _PPOLL,
        _SELECT,
        _PSELECT,
        _EPOLL_WAIT,
        _EPOLL_PWAIT,
        _EPOLL_PWAIT2,
    }
)
# Which argument tells: -1 milliseconds, or no pointer to a time.
_MILLISECONDS_AT = {_POLL: 2, _EPOLL_WAIT: 3, _EPOLL_PWAIT: 3}
_TIMEOUT_POINTER_AT = {_PPOLL: 2, _SELECT: 4, _PSELECT: 4, _EPOLL_PWAIT2: 3, _FUTEX: 3}

# Which argument holds the flags of a recv.
_FLAGS_AT = {_RECVFROM: 3, _RECVMSG: 2}

# What the hijacked call takes of a stack: pthread_create, calloc below it and a heap checker's unwinder, with a margin, and a
# larger one where there is room; then the frame that brings the thread back.
CALL_BYTES = (128 << 10, 40 << 10)
FRAME_BYTES = 16 << 10
_UNUSED_ABOVE_BYTES = 16 << 10
# At the lowest address of a stack that served before, followed by what was its top then: that part is not all zeros any more, and
# still unused.
_MARK = struct.Struct("<8sQ")
_MAGIC = b"memtui\x02\0"
_HANDLER_SEARCH_BYTES = 8 << 20
_SYSCALL = b"\x0f\x05"
_STRICT = 1


@dataclass(frozen=True, slots=True)
class Host:
    """``top``: the hijacked call's stack and frame go below this address, deep in the unused part of the thread's own stack, or
    below all of the main thread's, which then grows.

    ``stack`` is the address range of that; ``thread_pointer`` is 0 for the main thread. ``seccomp`` as in proc_pid_status(5).
    """

    tid: int
    sleep: Sleep
    top: int
    stack: tuple[int, int]
    thread_pointer: int
    seccomp: int

    @property
    def mark(self) -> bytes:
        """What to leave at the lowest address of the stack for the next memtui."""
        return _MARK.pack(_MAGIC, self.top)


def rank(sleep: Sleep) -> int | None:
    """Lower is better; None: never this one."""
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
    """The best host of the next second. Raises UserError when there is none, PermissionError where threads may not be seen."""
    began = time.monotonic()
    while True:
        waited_s = time.monotonic() - began
        found = _best(pid, memory, restorer, idle=waited_s < IDLE_WANTED_S)
        if found is not None:
            return found
        if waited_s > PATIENCE_S:
            raise UserError(
                "cannot ask the process",
                "no thread of it slept where it is safe to wake it for a moment, in a whole second",
                "try again when it is less busy",
            )
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
        # One in state D does not wake, one that somebody traces is not ours, and a thread's filters need not be the main one's.
        if status.state != "S" or status.tracer or status.seccomp == _STRICT or status.signal_is_coming:
            continue
        own = _own_stack(pid, tid, sleep, mappings, memory)
        if own is not None and _is_plain(sleep, own[1], memory, restorer):
            low, high, thread_pointer = own
            top = _unused_below(sleep.stack, low, memory)
            if top is None and tid == pid:
                # Below all that the main thread ever reached is nobody's yet: the kernel adds it on the first write.
                top = low - _UNUSED_ABOVE_BYTES
                low = top - CALL_BYTES[-1] - FRAME_BYTES
            if top is not None:
                return Host(tid, sleep, top, (low, high), thread_pointer, status.seccomp)
    return None


def _own_stack(
    pid: int, tid: int, sleep: Sleep, mappings: Sequence[Mapping], memory: ProcessMemory
) -> tuple[int, int, int] | None:
    """The thread's own stack, from and to, and its thread pointer; None when it is not on that (a fiber), or cannot be told."""
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
    """A system call of the program's own, outside any signal handler: no frame of one lies on the stack above."""
    try:
        if memory.read(sleep.pc - len(_SYSCALL), len(_SYSCALL)) != _SYSCALL:
            return False
        held = memory.read(sleep.stack, min(end - sleep.stack, _HANDLER_SEARCH_BYTES) & ~7)
    except UserError:
        return False
    return not holds_frame(held, restorer)


def _unused_below(pointer: int, low: int, memory: ProcessMemory) -> int | None:
    """Where the call can have its stack: at the far end, as far below ``pointer`` as there is, where nothing was ever written.

    What is near may be another fiber's, on a stack that they share out among them.
    """
    for call_bytes in CALL_BYTES:
        top = low + call_bytes + FRAME_BYTES
        if top + _UNUSED_ABOVE_BYTES > pointer - RED_ZONE_BYTES:
            continue
        try:
            held = memory.read(low, top + _UNUSED_ABOVE_BYTES - low)
        except UserError:  # guard pages inside the mapping
            return None
        magic, used = _MARK.unpack_from(held)
        if magic == _MAGIC and low < used <= top:
            held = held[used - low :]  # what an earlier call of ours left there
        if not held.strip(b"\0"):
            return top
    return None


def is_on_its_own_stack(host: Host, registers: Registers) -> bool:
    """With its registers known: 64-bit code, and still the stack and the descriptor that were found."""
    if registers.get("cs") != CODE_SEGMENT_64 or registers.get("rsp") != host.sleep.stack:
        return False
    return host.thread_pointer in (0, registers.get("fs_base"))
