"""The threads of a process as /proc shows them: where each sleeps, which signals it blocks."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass

STATUS_BYTES = 16 << 10
DEAD = ("", "Z", "X")  # states of state_of(): gone, a zombie that waits to be reaped, or dead

_MASK = re.compile(rb"^(SigBlk|SigPnd|ShdPnd|SigCgt|SigIgn):\s*([0-9a-f]{1,16})$", re.MULTILINE)
_SWITCHES = re.compile(rb"^(?:non)?voluntary_ctxt_switches:\s*(\d{1,20})$", re.MULTILINE)
_NUMBER = re.compile(rb"^(Seccomp|Seccomp_filters|TracerPid):\s*(\d{1,10})$", re.MULTILINE)
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
        """The call, the stack pointer and the program counter: the same again when a thread comes back to the same wait."""
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
    filters: int
    shadow_stack: bool

    @property
    def sandbox(self) -> tuple[int, int]:
        """Seccomp's mode and the number of filters, which the kernel tells from Linux 5.9 on: it never falls."""
        return self.seccomp, self.filters

    @property
    def signal_is_coming(self) -> bool:
        """Whether a handler will run as soon as the thread runs: its system call must then return EINTR."""
        return bool(self.pending & self.caught & ~self.blocked)


def head_of(path: str, size: int = 4096) -> bytes:
    """Read the first ``size`` bytes of a file of /proc at once; empty when it is gone, or may not be read."""
    try:
        with open(path, "rb", buffering=0) as stream:
            return stream.read(size)
    except OSError:
        return b""


def thread_ids(pid: int) -> list[int]:
    """Return all threads of ``pid``, the main one first; empty once it is gone."""
    try:
        return sorted(map(int, os.listdir(f"/proc/{pid}/task")), key=lambda tid: (tid != pid, tid))
    except (OSError, ValueError):
        return []


def sleep_of(pid: int, tid: int) -> Sleep | None:
    """Return the system call that a thread sleeps in; None while it runs, or is gone. Raises PermissionError."""
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
    """Return the thread's status; None when it is gone."""
    status = head_of(status_path(pid, tid), STATUS_BYTES)
    return parse_thread_status(status) if status else None


def state_of(pid: int, tid: int) -> str:
    """Return the state's letter in proc_pid_stat(5), which is faster than status_of(); '' when the thread is gone."""
    return head_of(f"/proc/{pid}/task/{tid}/stat").rpartition(b")")[2][1:2].decode("ascii", "replace")


def is_frozen(pid: int, tid: int) -> bool:
    """Whether a cgroup's freezer (docker pause) keeps the thread from running: it then stops for no tracer (version 1)."""
    where = head_of(f"/proc/{pid}/task/{tid}/wchan")
    # kernel/freezer.c; and kernel/signal.c, where a thread that sleeps otherwise than stopped is in the freezer of version 2.
    return where == b"__refrigerator" or (where in (b"get_signal", b"do_freezer_trap") and state_of(pid, tid) == "S")


def status_path(pid: int, tid: int) -> str:
    """Return the path of the thread's status file."""
    return f"/proc/{pid}/task/{tid}/status"


def parse_thread_status(text: bytes) -> ThreadStatus:
    """Parse a thread's status (proc_pid_status(5)); a missing line counts as zero."""
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
        filters=numbers.get(b"Seccomp_filters", 0),
        shadow_stack=features is not None and b"shstk" in features[1].split(),
    )


def name_of(pid: int, tid: int) -> str:
    """Return the thread's comm, hostile text that it chose itself; '' once it is gone."""
    return head_of(f"/proc/{pid}/task/{tid}/comm", 64).rstrip(b"\n").decode("utf-8", "replace")


def parent_of(pid: int) -> int | None:
    """Return the parent's pid; None once the process is gone."""
    fields = head_of(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else None
