"""Events of the kernel and the ring buffers in which their records arrive: perf_event_open(2), for whoever reads such records."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
from collections.abc import Iterator
from pathlib import Path

SYSCALLS = {"x86_64": 298, "aarch64": 241}
ATTRIBUTE_BYTES = 112  # PERF_ATTR_SIZE_VER5, which kernels from 4.1 on know
TYPE_SOFTWARE = 1
NO_PROCESSOR = NO_GROUP = -1

_FLAG_CLOEXEC = 8
_HEAD_AT, _TAIL_AT = 1024, 1032  # data_head and data_tail in perf_event_mmap_page
_HEADER = struct.Struct("=IHH")
_WORD = struct.Struct("=Q")


def open_event(attributes: bytes, *, thread: int, processor: int = NO_PROCESSOR) -> int:
    """The descriptor of a new event, which the caller closes. ``thread`` 0: the calling one. Raises OSError."""
    number = SYSCALLS.get(platform.machine())
    if number is None:
        raise OSError(38, "this machine's number of perf_event_open is not known")
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(
        libc.syscall(
            ctypes.c_long(number),
            ctypes.create_string_buffer(attributes, len(attributes)),
            ctypes.c_int(thread),
            ctypes.c_int(processor),
            ctypes.c_int(NO_GROUP),
            ctypes.c_ulong(_FLAG_CLOEXEC),
        )
    )
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


class PerfRing:
    """The buffer of an event, of ``pages`` pages (a power of two). The descriptor stays the caller's. Raises OSError."""

    def __init__(self, descriptor: int, pages: int) -> None:
        self._size = pages * mmap.PAGESIZE
        self._memory = mmap.mmap(descriptor, mmap.PAGESIZE + self._size)

    def records(self) -> Iterator[tuple[int, bytes]]:
        """(type, what follows the header) of each record that has arrived. The buffer is free for new ones at once."""
        (head,) = _WORD.unpack_from(self._memory, _HEAD_AT)
        (tail,) = _WORD.unpack_from(self._memory, _TAIL_AT)
        data = self._bytes(tail, head)
        _WORD.pack_into(self._memory, _TAIL_AT, head)
        at = 0
        while at + _HEADER.size <= len(data):
            kind, _, size = _HEADER.unpack_from(data, at)
            if size < _HEADER.size or at + size > len(data):
                return
            yield kind, data[at + _HEADER.size : at + size]
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


def online_processors() -> list[int]:
    """The numbers of the online processors; sysfs has them as 0-3,8."""
    try:
        text = Path("/sys/devices/system/cpu/online").read_text()
        spans = [part.partition("-") for part in text.strip().split(",")]
        return [cpu for low, dash, high in spans for cpu in range(int(low), int(high if dash else low) + 1)]
    except (OSError, ValueError):
        return list(range(os.cpu_count() or 1))
