"""Every library a process maps, reported by the kernel: also a plugin that comes and goes between two readings of /proc/PID/maps.

perf_event_open(2) with a dummy event reports each executable mmap, and costs nothing in between. Where it is not permitted
(kernel.perf_event_paranoid above 2, most containers) only reading maps is left.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from memtui_profiler.process.perf_ring import ATTRIBUTE_BYTES, TYPE_SOFTWARE, PerfRing, online_processors, open_event

# The kernel copies one event per processor to each new thread: on very large machines that would take long.
MAX_CPUS = 64
MAX_LINES = 20_000

_COUNT_DUMMY, _SAMPLE_TIME = 9, 1 << 2
_INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HV, _MMAP, _SAMPLE_ID_ALL, _MMAP2 = (1 << bit for bit in (1, 5, 6, 8, 18, 23))
_RECORD_MMAP2 = 10
_PROT_EXEC = 4
_DATA_PAGES = 8
_RECORD = struct.Struct("=IIQQQIIQQII")  # pid tid addr len pgoff maj min ino generation prot flags
_WORD = struct.Struct("=Q")


class MmapEvents:
    """Follows the children of the thread that opens it: open it, start the target in the same thread, call update() regularly."""

    def __init__(self, rings: list[_Ring]) -> None:
        self._rings = rings
        self._lines: dict[int, dict[str, None]] = {}
        self._count = 0

    @classmethod
    def open(cls) -> MmapEvents | None:
        """Start to follow; None where the kernel does not permit it."""
        processors = online_processors()
        if len(processors) > MAX_CPUS:
            return None
        rings: list[_Ring] = []
        try:
            for processor in processors:
                rings.append(_Ring(processor))
        except OSError:
            for ring in rings:
                ring.close()
            return None
        return cls(rings)

    def update(self, pid: int) -> None:
        """Empty the kernel's buffers, which hold some hundred mappings. ``pid``: whose lines stay when there are too many."""
        for _, owner, line in sorted(event for ring in self._rings for event in ring.read()):
            if self._count >= MAX_LINES:
                # A target that starts thousands of children must not push its own libraries out.
                self._lines = {pid: self._lines.get(pid, {})}
                self._count = len(self._lines[pid])
            of_owner = self._lines.setdefault(owner, {})
            if line not in of_owner and self._count < MAX_LINES:
                of_owner[line] = None
                self._count += 1

    def lines(self, pid: int) -> list[str]:
        """The files that ``pid`` has had mapped executable, oldest first, as lines of /proc/PID/maps."""
        self.update(pid)
        return list(self._lines.get(pid, ()))

    def close(self) -> None:
        for ring in self._rings:
            ring.close()
        self._rings = []


class _Ring:
    """The event of one processor and its buffer. Raises OSError."""

    def __init__(self, processor: int) -> None:
        flags = _INHERIT | _EXCLUDE_KERNEL | _EXCLUDE_HV | _MMAP | _MMAP2 | _SAMPLE_ID_ALL
        attributes = struct.pack("=IIQQQQQ", TYPE_SOFTWARE, ATTRIBUTE_BYTES, _COUNT_DUMMY, 0, _SAMPLE_TIME, 0, flags)
        self._descriptor = open_event(attributes.ljust(ATTRIBUTE_BYTES, b"\0"), thread=0, processor=processor)
        try:
            self._ring = PerfRing(self._descriptor, _DATA_PAGES)
        except OSError:
            os.close(self._descriptor)
            raise

    def read(self) -> Iterator[tuple[int, int, str]]:
        """(time, pid, line of maps) for each new mapping."""
        for kind, record in self._ring.records():
            if kind == _RECORD_MMAP2:
                yield from _mapping(record)

    def close(self) -> None:
        self._ring.close()
        os.close(self._descriptor)


def _mapping(record: bytes) -> Iterator[tuple[int, int, str]]:
    """(time, pid, line of maps) of a record; none for one that is not executable or no file."""
    if len(record) < _RECORD.size + _WORD.size:
        return
    pid, _, start, size, offset, major, minor, inode, _, protection, _ = _RECORD.unpack_from(record)
    # The name is padded with zeros and followed by the time, because of sample_id_all.
    name = record[_RECORD.size : -_WORD.size].partition(b"\0")[0]
    if protection & _PROT_EXEC and name.startswith(b"/") and not name.startswith(b"//"):
        (time,) = _WORD.unpack_from(record, len(record) - _WORD.size)
        path = name.replace(b"\n", rb"\012").decode("utf-8", "surrogateescape")
        yield time, pid, f"{start:x}-{start + size:x} r-xp {offset:08x} {major:02x}:{minor:02x} {inode} {path}"
