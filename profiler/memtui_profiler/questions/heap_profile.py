"""Heap snapshots of a process that was started without any of it: gperftools' heap profiler, begun through the guest.

It sees what is allocated from its start on (FACTS.md, "Heap profiler").
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.asker import Conversation
from memtui_profiler.errors import UserError
from memtui_profiler.guest.guest import GuestThread
from memtui_profiler.questions.environment import environment_value
from memtui_profiler.questions.target_files import Version, fetch, output_prefix, own_pid, seen_from_here, version_of

DUMP_TIMEOUT_S = 120.0
REASON = b"memtui\0"

_START, _DUMP, _STOP = "HeapProfilerStart", "HeapProfilerDump", "HeapProfilerStop"
_NUMBERED = re.compile(r".*\.(\d{4,9})\.heap", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``dump`` lies in the session's folder; None: the profiler was begun by this very question, and has seen nothing yet.

    ``written_as``: the name that the profiler itself gave it.
    """

    dump: Path | None
    written_as: str = ""


class HeapProfiler:
    """The profiler of one process, as memtui left it; a value of the conversation with it."""

    def __init__(self, session_folder: Path) -> None:
        self._folder = session_folder
        self._prefix: str | None = None
        self._ours = False

    def snapshot(self, conversation: Conversation, destination: Path) -> Snapshot:
        """Begin profiling, or if that is on already dump and fetch the dump. Raises UserError where there is no profiler."""
        functions = {name: conversation.image.address_of(name) for name in (_START, _DUMP, _STOP)}
        start, dump, stop = (functions[name] for name in (_START, _DUMP, _STOP))
        if start is None or dump is None or stop is None:
            raise UserError(
                "cannot take a heap snapshot",
                "there is no heap profiler in this process (libtcmalloc has one, libtcmalloc_minimal has not)",
                "start it with libtcmalloc preloaded, as memtui PROGRAM does",
            )
        guest = conversation.guest
        if self._prefix is None:
            self._begin(conversation, guest, start, stop)
            if self._ours:
                return Snapshot(None)
        assert self._prefix is not None
        pid = conversation.pid
        # A child of the process that the variable was meant for writes to PREFIX_PID.
        prefixes = [seen_from_here(pid, prefix) for prefix in (self._prefix, f"{self._prefix}_{own_pid(pid)}")]
        before = _dumps(prefixes)
        guest.write(guest.scratch, REASON)
        guest.call(dump, guest.scratch, timeout_s=DUMP_TIMEOUT_S)
        written = [path for path, version in _dumps(prefixes).items() if before.get(path) != version]
        if not written:
            raise UserError(
                "no heap snapshot was written",
                f"nothing new at {self._prefix}.*.heap",
                "is its folder writable for it?",
            )
        fetch(written[-1], destination, remove=self._ours)
        return Snapshot(destination, os.path.basename(written[-1]))

    def _begin(self, conversation: Conversation, guest: GuestThread, start: int, stop: int) -> None:
        from_the_start = environment_value(conversation, "HEAPPROFILE")
        if from_the_start:
            self._prefix = _unmarked(from_the_start)
            return
        prefix = output_prefix(conversation.pid, self._folder, "heap")
        data = prefix.encode("utf-8", "surrogateescape") + b"\0"
        if len(data) > 900:  # gperftools makes its file names in a buffer of 1000 bytes
            raise UserError(
                "cannot take a heap snapshot", "the session's path is too long", "set XDG_STATE_HOME to a short one"
            )
        # One that an earlier memtui began writes where nobody looks any more.
        guest.call(stop, timeout_s=DUMP_TIMEOUT_S)
        guest.write(guest.scratch, data)
        guest.call(start, guest.scratch, timeout_s=DUMP_TIMEOUT_S)
        self._prefix, self._ours = prefix, True
        conversation.before_leaving(lambda last: last.call(stop, timeout_s=DUMP_TIMEOUT_S))


def _unmarked(prefix: str) -> str:
    """gperftools sets the highest bit of the first byte in the process that takes the variable: its children see that."""
    raw = os.fsencode(prefix)
    return os.fsdecode(bytes([raw[0] & 0x7F]) + raw[1:])


def _dumps(prefixes: Iterable[str]) -> dict[str, Version]:
    """The numbered dumps of these prefixes, each one's oldest first."""
    found = {}
    for prefix in prefixes:
        for path in sorted(glob.glob(glob.escape(prefix) + ".*.heap")):
            if _NUMBERED.fullmatch(path) and (version := version_of(path)):
                found[path] = version
    return found
