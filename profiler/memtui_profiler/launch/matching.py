"""Which processes a name means: by the program's file, by the name that the process gave itself, by its first argument."""

from __future__ import annotations

import os
from typing import NamedTuple

from memtui_parsers.clean_text import clean
from memtui_profiler.launch.attachable import command_line, process_name
from memtui_profiler.process.sampling import rss_bytes
from memtui_profiler.session.folders import RECORDER_NAME

_COMMAND_COLUMNS = 100
_COMM_BYTES = 64


class Found(NamedTuple):
    """A process as it is told apart from others; ``command`` is clean."""

    pid: int
    rss_bytes: int
    command: str


def found(pid: int) -> Found:
    """The process ``pid``; one that shows no arguments has its name in brackets, one that is gone nothing."""
    name = process_name(pid)
    words = " ".join(command_line(pid)) or (f"[{name}]" if name else "")
    return Found(pid, rss_bytes(pid), clean(words, _COMMAND_COLUMNS))


def processes_called(name: str) -> tuple[list[Found], list[Found]]:
    """The processes with this very name, and those that only have it as a part of theirs; the largest first.

    memtui's own recorders and this process are left out.
    """
    exact, near = [], []
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        if pid == os.getpid():
            continue
        names = _names(pid)
        if RECORDER_NAME in names:
            continue
        if name in names:
            exact.append(found(pid))
        elif any(name in one for one in names):
            near.append(found(pid))
    return _largest_first(exact), _largest_first(near)


def _names(pid: int) -> set[str]:
    try:
        with open(f"/proc/{pid}/comm", "rb") as stream:
            comm = os.fsdecode(stream.read(_COMM_BYTES).rstrip(b"\n"))
    except OSError:
        return set()
    first = os.path.basename(next(iter(command_line(pid)), ""))
    return {comm, process_name(pid), first} - {""}


def _largest_first(processes: list[Found]) -> list[Found]:
    return sorted(processes, key=lambda one: (-one.rss_bytes, one.pid))
