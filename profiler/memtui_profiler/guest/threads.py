"""The threads of a process as /proc shows them: where each sleeps, which signals it blocks."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass

STATUS_BYTES = 16 << 10

_MASK = re.compile(rb"^(SigBlk|SigPnd|ShdPnd|SigCgt|SigIgn):\s*([0-9a-f]{1,16})$", re.MULTILINE)
_SWITCHES = re.compile(rb"^(?:non)?voluntary_ctxt_switches:\s*(\d{1,20})$", re.MULTILINE)
_NUMBER = re.compile(rb"^(Seccomp|TracerPid):\s*(\d{1,10})$", re.MULTILINE)
_STATE = re.compile(rb"^State:\s*(\S)", re.MULTILINE)
_FEATURES = re.compile(rb"^x86_Thread_features:\s*(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sleep:
    """A thread inside a system call: its number and six arguments, its stack pointer and program counter (proc_pid_syscall(5))."""

    number: int
    arguments: tuple[int, ...]
    stack: int
    pc: int

    @property
    def place(self) -> tuple[int, int, int]:
        """Which call, from where; the same again when a thread comes round to it."""
        return self.number, self.stack, self.pc


@dataclass(frozen=True, slots=True)
class ThreadStatus:
    """Signal sets as masks, bit 0 for signal 1; ``pending`` for the thread or for the process."""

    state: str
    blocked: int
    pending: int
    caught: int
    switches: tuple[int, ...]
    tracer: int
    seccomp: int
    shadow_stack: bool

    @property
    def signal_is_coming(self) -> bool:
        """A handler will run as soon as the thread may run: whoever waits for EINTR must get it from that signal."""
        return bool(self.pending & self.caught & ~self.blocked)


def thread_ids(pid: int) -> list[int]:
    """All threads of ``pid``, the main one first; empty once it is gone."""
    try:
        found = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except (OSError, ValueError):
        return []
    return sorted(found, key=lambda tid: tid != pid)


def sleep_of(pid: int, tid: int) -> Sleep | None:
    """The system call that a thread sleeps in; None while it runs, or is gone. Raises PermissionError where it may not be seen."""
    try:
        with open(f"/proc/{pid}/task/{tid}/syscall", "rb", buffering=0) as stream:
            fields = stream.read(256).split()
    except PermissionError:
        raise
    except OSError:
        return None
    if len(fields) != 9:
        return None
    with contextlib.suppress(ValueError):
        return Sleep(int(fields[0]), tuple(int(f, 16) for f in fields[1:7]), int(fields[7], 16), int(fields[8], 16))
    return None


def status_of(pid: int, tid: int) -> ThreadStatus | None:
    """None when the thread is gone."""
    try:
        with open(status_path(pid, tid), "rb", buffering=0) as stream:
            return parse_thread_status(stream.read(STATUS_BYTES))
    except OSError:
        return None


def state_of(pid: int, tid: int) -> str:
    """The letter of proc_pid_stat(5), which is read faster than all of status_of(); '' when the thread is gone."""
    try:
        with open(f"/proc/{pid}/task/{tid}/stat", "rb", buffering=0) as stream:
            return stream.read(4096).rpartition(b")")[2][1:2].decode("ascii", "replace")
    except OSError:
        return ""


def status_path(pid: int, tid: int) -> str:
    return f"/proc/{pid}/task/{tid}/status"


def parse_thread_status(text: bytes) -> ThreadStatus:
    """What is not there counts as zero."""
    masks = {name: int(value, 16) for name, value in _MASK.findall(text)}
    numbers = {name: int(value) for name, value in _NUMBER.findall(text)}
    state, features = _STATE.search(text), _FEATURES.search(text)
    return ThreadStatus(
        state=state[1].decode("ascii", "replace") if state else "?",
        blocked=masks.get(b"SigBlk", 0),
        pending=masks.get(b"SigPnd", 0) | masks.get(b"ShdPnd", 0),
        caught=masks.get(b"SigCgt", 0),
        switches=tuple(map(int, _SWITCHES.findall(text))),
        tracer=numbers.get(b"TracerPid", 0),
        seccomp=numbers.get(b"Seccomp", 0),
        shadow_stack=features is not None and b"shstk" in features[1].split(),
    )


def name_of(pid: int, tid: int) -> str:
    """The thread's comm, as it named itself: hostile; '' once it is gone."""
    try:
        with open(f"/proc/{pid}/task/{tid}/comm", "rb", buffering=0) as stream:
            return stream.read(64).rstrip(b"\n").decode("utf-8", "replace")
    except OSError:
        return ""


def parent_of(pid: int) -> int | None:
    """None once it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as stream:
            return int(stream.read(4096).rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None
