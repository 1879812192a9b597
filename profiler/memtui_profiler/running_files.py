"""Holds on to the files that a process runs and that its paths lead to no more: deleted, replaced by a new build, mounted over.

While the process lives they can be opened through /proc/PID/map_files or /proc/PID/exe (see process_image); held open here,
they name the stacks of a report even after its end.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from memtui_parsers.errors import ParseError
from memtui_parsers.maps import file_path, is_deleted, parse_mapping
from memtui_parsers.values import Mapping
from memtui_profiler.process_image import open_mapped

# Each costs a descriptor: a new build replaces some files, a hostile target may delete thousands.
MAX_FILES = 128
MAX_LOOKED_AT = 4096


class RunningFiles:
    """Of one run's process, or of several in turn."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, BinaryIO]] = {}
        self._ambiguous: set[str] = set()

    @property
    def paths(self) -> dict[str, str]:
        """Where to read a file, by its path as /proc/PID/maps has it (``(deleted)`` and all); good until close()."""
        here = f"/proc/{os.getpid()}/fd"
        return {
            path: f"{here}/{stream.fileno()}" for path, (_, stream) in self._held.items() if path not in self._ambiguous
        }

    def look(self, pid: int, maps: bytes) -> None:
        """Take hold of what is not to be found by its path any more. What may not be opened is left out."""
        for mapping, path in _executables(maps):
            held = self._held.get(mapping.path)
            if held is not None:
                if held[0] != mapping.inode:
                    self._ambiguous.add(mapping.path)  # two files were deleted there: which one is meant, nobody knows
                continue
            if len(self._held) == MAX_FILES:
                return
            if is_deleted(mapping) or _inode_at(pid, path) != mapping.inode:
                with contextlib.suppress(OSError):
                    self._held[mapping.path] = mapping.inode, open_mapped(pid, mapping)

    def close(self) -> None:
        for _, stream in self._held.values():
            stream.close()
        self._held.clear()


def _executables(maps: bytes) -> Iterator[tuple[Mapping, str]]:
    """Each executable file of a maps file once."""
    seen: set[tuple[str, int]] = set()
    for line in maps.splitlines():
        # A process may have 65,000 mappings, and few of them are executable.
        fields = line.split(b" ", 2)
        if len(fields) < 3 or b"/" not in fields[2] or fields[1][2:3] != b"x":
            continue
        try:
            mapping = parse_mapping(line)
        except ParseError:
            continue
        path, key = file_path(mapping), (mapping.path, mapping.inode)
        if path is None or key in seen:
            continue
        if len(seen) == MAX_LOOKED_AT:
            return
        seen.add(key)
        yield mapping, path


def _inode_at(pid: int, path: str) -> int | None:
    """What lies at that path of the process's now."""
    try:
        return os.stat(f"/proc/{pid}/root{path}", follow_symlinks=False).st_ino
    except (OSError, ValueError):
        return None
