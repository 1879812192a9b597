"""Heap snapshots of a process that was started without any of it: gperftools' heap profiler, begun through the guest.

It sees what is allocated from its start on (FACTS.md, "Heap profiler").
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from memtui_profiler.allocators import allocator_of
from memtui_profiler.asking.asked_process import AskedProcess
from memtui_profiler.asking.target_environment import environment_value
from memtui_profiler.asking.target_files import Version, fetch, own_pid, seen_from_here, version_of
from memtui_profiler.asking.target_folder import TargetFolder, target_folder
from memtui_profiler.errors import UserError
from memtui_profiler.guest.guest import GuestThread
from memtui_profiler.guest.memory import ProcessMemory

DUMP_TIMEOUT_S = 120.0
REASON = b"memtui\0"

_WHAT = "cannot take a heap snapshot"
_START, _DUMP, _STOP = "HeapProfilerStart", "HeapProfilerDump", "HeapProfilerStop"
# The variables, of 8 bytes each, that say when the profiler dumps by itself; at 0 it never does (heap-profiler.cc). The first
# namespace is that of 2.10, the second that of 2.16.
_NAMESPACES = (
    "61FLAG__namespace_do_not_use_directly_use_DECLARE_int64_instead",
    "63FLAG__namespace_do_not_use_directly_use_DECLARE_int64_t_instead",
)
_INTERVALS = tuple(f"FLAGS_heap_profile_{kind}_interval" for kind in ("allocation", "deallocation", "inuse", "time"))
_NEVER = bytes(8)
_MAX_PREFIX_BYTES = 900  # gperftools makes its file names in a buffer of 1000 bytes
_NUMBERED = re.compile(r".*\.(\d{4,9})\.heap", re.DOTALL)

Versions = Callable[[], dict[str, Version]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A heap snapshot. ``dump`` lies in the session's folder; None: the profiler was only begun, and has seen nothing yet.

    ``written_as``: the name that the profiler itself gave it.
    """

    dump: Path | None
    written_as: str = ""


class HeapProfiler:
    """The heap profiler of one process: begun by memtui, or on since the process started.

    One that memtui began dumps when it is asked to and never by itself, into a folder that is deleted when memtui leaves.
    """

    def __init__(self, session_folder: Path) -> None:
        self._session_folder = session_folder
        self._folder: TargetFolder | None = None  # where one that memtui began writes

    @property
    def begun(self) -> bool:
        """Whether memtui has begun it."""
        return self._folder is not None

    def snapshot(self, process: AskedProcess, destination: Path) -> Snapshot:
        """Begin profiling; if that is on already, dump and copy the dump to ``destination``. Raises UserError."""
        start, dump, stop = _functions(process)
        if start is None or dump is None or stop is None:
            why = "there is no heap profiler in this process (libtcmalloc has one, libtcmalloc_minimal has not)"
            kind = allocator_of(process.allocator.name)
            own = "" if kind is None or kind.of_libc else kind.alternative
            preloaded = "start it with libtcmalloc preloaded: memtui --check profile PROGRAM"
            raise UserError(_WHAT, why, own or ("link it with -ltcmalloc" if process.image.is_static else preloaded))
        if prefix := environment_value(process, "HEAPPROFILE"):
            path = _dump(
                process, dump, partial(_numbered, process.pid, _unmarked(prefix)), f"{_unmarked(prefix)}.*.heap"
            )
            fetch(process.pid, path, destination, remove=False)
            return Snapshot(destination, os.path.basename(path))
        if self._folder is None:
            self._begin(process, start, stop)
            return Snapshot(None)
        name = _dump(process, dump, self._folder.versions, self._folder.path)
        try:
            self._folder.move_out(name, destination)
        except OSError as error:
            raise UserError("the dump cannot be read", str(error), "take another snapshot") from error
        return Snapshot(destination, name)

    def _begin(self, process: AskedProcess, start: int, stop: int) -> None:
        guest, memory = process.guest, process.memory
        named = (f"_ZN{space}{len(name)}{name}E" for space in _NAMESPACES for name in _INTERVALS)
        intervals = [at for at in map(process.image.address_of, named) if at is not None]
        if len(intervals) != len(_INTERVALS):
            why = "this tcmalloc does not show how to keep its profiler from writing by itself, which could fill a disk"
            raise UserError(_WHAT, why, "start it with --check profile")
        folder = target_folder(process.pid, self._session_folder)
        process.on_forget(partial(self._forget, folder))
        prefix = os.fsencode(f"{folder.path}/heap") + b"\0"
        if len(prefix) > _MAX_PREFIX_BYTES:
            raise UserError(_WHAT, "the session's path is too long", "set XDG_STATE_HOME to a short one")
        # A profiler that an earlier memtui began writes where nobody looks any more.
        guest.call(stop, timeout_s=DUMP_TIMEOUT_S)
        before = {at: memory.read(at, len(_NEVER)) for at in intervals}
        process.on_leave(partial(_end, stop, memory, before))
        for at in intervals:
            memory.write(at, _NEVER)
        guest.write(guest.scratch, prefix)
        guest.call(start, guest.scratch, timeout_s=DUMP_TIMEOUT_S)
        self._folder = folder

    def _forget(self, folder: TargetFolder) -> None:
        self._folder = None
        folder.close()


def _end(stop: int, memory: ProcessMemory, intervals: dict[int, bytes], guest: GuestThread) -> None:
    guest.call(stop, timeout_s=DUMP_TIMEOUT_S)
    for at, before in intervals.items():
        memory.write(at, before)


def _dump(process: AskedProcess, dump: int, versions: Versions, where: str) -> str:
    """Have the profiler dump; return which of the files that ``versions`` finds is new. Raises UserError when none is."""
    guest = process.guest
    before = versions()
    guest.write(guest.scratch, REASON)
    guest.call(dump, guest.scratch, timeout_s=DUMP_TIMEOUT_S)
    written = [path for path, version in versions().items() if before.get(path) != version]
    if not written:
        raise UserError("no heap snapshot was written", f"nothing new at {where}", "is its folder writable for it?")
    return written[-1]


def _functions(process: AskedProcess) -> tuple[int | None, int | None, int | None]:
    start, dump, stop = (process.image.address_of(name) for name in (_START, _DUMP, _STOP))
    return start, dump, stop


def has_heap_profiler(process: AskedProcess) -> bool:
    """Whether a heap snapshot can be taken."""
    return None not in _functions(process)


def _unmarked(prefix: str) -> str:
    """The prefix without a bit that gperftools sets in the first byte: its children see by it that the variable is taken."""
    raw = os.fsencode(prefix)
    return os.fsdecode(bytes([raw[0] & 0x7F]) + raw[1:])


def _numbered(pid: int, prefix: str) -> dict[str, Version]:
    """The numbered dumps of a profiler that was on from the start, the oldest first, by their paths as we see them.

    A child of the process that the variable was meant for writes to PREFIX_PID.
    """
    dumps = {}
    for seen in (seen_from_here(pid, prefix), seen_from_here(pid, f"{prefix}_{own_pid(pid)}")):
        for path in sorted(glob.glob(glob.escape(seen) + ".*.heap")):
            if _NUMBERED.fullmatch(path) and (version := version_of(path)):
                dumps[path] = version
    return dumps
