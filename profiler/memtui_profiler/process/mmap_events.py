"""Every library a process maps, reported by the kernel: also a plugin that comes and goes between two readings of /proc/PID/maps.

perf_event_open(2) with a dummy event reports each executable mmap, and costs nothing in between. Where it is not permitted
(kernel.perf_event_paranoid above 2, most containers) only reading maps is left.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
from collections.abc import Iterator
from pathlib import Path

SYSCALLS = {"x86_64": 298, "aarch64": 241}
# The kernel copies one event per processor to each new thread: on very large machines that would take long.
MAX_CPUS = 64
MAX_LINES = 20_000

_ATTR_BYTES = 112  # PERF_ATTR_SIZE_VER5
_TYPE_SOFTWARE, _COUNT_DUMMY, _SAMPLE_TIME = 1, 9, 1 << 2
_INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HV, _MMAP, _SAMPLE_ID_ALL, _MMAP2 = (1 << bit for bit in (1, 5, 6, 8, 18, 23))
_FLAG_CLOEXEC = 8
_RECORD_MMAP2 = 10
_PROT_EXEC = 4
_DATA_PAGES = 8
_HEAD_AT, _TAIL_AT = 1024, 1032  # data_head and data_tail in perf_event_mmap_page
_HEADER = struct.Struct("=IHH")
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
        cpus = _online()
        number = SYSCALLS.get(platform.machine())
        if number is None or len(cpus) > MAX_CPUS:
            return None
        rings: list[_Ring] = []
        try:
            for cpu in cpus:
                rings.append(_Ring(number, cpu))
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

    def __init__(self, number: int, cpu: int) -> None:
        flags = _INHERIT | _EXCLUDE_KERNEL | _EXCLUDE_HV | _MMAP | _MMAP2 | _SAMPLE_ID_ALL
        attributes = struct.pack(
            "=IIQQQQQ", _TYPE_SOFTWARE, _ATTR_BYTES, _COUNT_DUMMY, 0, _SAMPLE_TIME, 0, flags
        ).ljust(_ATTR_BYTES, b"\0")
        libc = ctypes.CDLL(None, use_errno=True)
        this_thread, no_group = 0, -1
        self._descriptor = int(
            libc.syscall(
                ctypes.c_long(number),
                ctypes.create_string_buffer(attributes, _ATTR_BYTES),
                ctypes.c_int(this_thread),
                ctypes.c_int(cpu),
                ctypes.c_int(no_group),
                ctypes.c_ulong(_FLAG_CLOEXEC),
            )
        )
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._size = _DATA_PAGES * mmap.PAGESIZE
        try:
            self._memory = mmap.mmap(self._descriptor, mmap.PAGESIZE + self._size)
        except OSError:
            os.close(self._descriptor)
            raise

    def read(self) -> Iterator[tuple[int, int, str]]:
        """(time, pid, line of maps) for each new mapping."""
        (head,) = _WORD.unpack_from(self._memory, _HEAD_AT)
        (tail,) = _WORD.unpack_from(self._memory, _TAIL_AT)
        data = self._bytes(tail, head)
        _WORD.pack_into(self._memory, _TAIL_AT, head)
        at = 0
        while at + _HEADER.size <= len(data):
            kind, _, size = _HEADER.unpack_from(data, at)
            if size < _HEADER.size or at + size > len(data):
                return
            if kind == _RECORD_MMAP2:
                yield from _mapping(data[at + _HEADER.size : at + size])
            at += size

    def _bytes(self, tail: int, head: int) -> bytes:
        size = head - tail
        if not 0 < size <= self._size:
            return b""
        start = tail % self._size
        first = self._memory[mmap.PAGESIZE + start : mmap.PAGESIZE + min(start + size, self._size)]
        return first + self._memory[mmap.PAGESIZE : mmap.PAGESIZE + size - len(first)]

    def close(self) -> None:
        self._memory.close()
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


def _online() -> list[int]:
    """The numbers of the online processors; sysfs has them as 0-3,8."""
    try:
        text = Path("/sys/devices/system/cpu/online").read_text()
        spans = [part.partition("-") for part in text.strip().split(",")]
        return [cpu for low, dash, high in spans for cpu in range(int(low), int(high if dash else low) + 1)]
    except (OSError, ValueError):
        return list(range(os.cpu_count() or 1))
