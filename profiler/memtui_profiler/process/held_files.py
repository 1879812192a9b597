"""Holds open the files that a process runs and whose paths no longer lead to them: deleted, replaced, or mounted over.

While the process lives they can be opened through /proc/PID/map_files or /proc/PID/exe (see image.py); held open here, they name
the stacks of a report even after the process has ended.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import executable_lines, file_path, is_deleted, parse_mapping
from memtui_parsers.values import Mapping
from memtui_profiler.process.image import open_mapped

# Each costs a descriptor: a new build replaces some files, a hostile target may delete thousands.
MAX_FILES = 128
MAX_LOOKED_AT = 4096


class HeldFiles:
    """The held files of one run: of its process, or of several in turn."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, BinaryIO]] = {}
        self._ambiguous: set[str] = set()

    @property
    def paths(self) -> dict[str, str]:
        """A path to read each file at until close(), by its path in /proc/PID/maps, ``(deleted)`` included."""
        descriptors = f"/proc/{os.getpid()}/fd"
        return {
            path: f"{descriptors}/{stream.fileno()}"
            for path, (_, stream) in self._held.items()
            if path not in self._ambiguous
        }

    def look(self, pid: int, maps: bytes) -> None:
        """Open the mapped files that are no longer at their paths. One that may not be opened is left out."""
        for mapping, path in _executables(maps):
            held_file = self._held.get(mapping.path)
            if held_file is not None:
                # Where two files were deleted nothing tells which one a report means.
                if held_file[0] != mapping.inode:
                    self._ambiguous.add(mapping.path)
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
    """Each executable file of a maps file once, with its path."""
    seen: set[tuple[str, int]] = set()
    for line in executable_lines(maps):
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
    """The inode that is at that path of the process now."""
    try:
        return os.stat(f"/proc/{pid}/root{path}", follow_symlinks=False).st_ino
    except (OSError, ValueError):
        return None
