"""Reads the memory of another process, where the kernel allows it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

# The bytes at an address, as many as asked for; b"" where they cannot be read.
ReadMemory = Callable[[int, int], bytes]


def nothing(address: int, size: int) -> bytes:
    """Of a process whose memory may not be read."""
    return b""


@contextlib.contextmanager
def memory_of(folder: Path) -> Iterator[ReadMemory]:
    """The memory of the process with this folder in /proc, read only. A page that was never touched takes none by it."""
    try:
        descriptor = os.open(folder / "mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield nothing
        return

    def read(address: int, size: int) -> bytes:
        try:
            data = os.pread(descriptor, size, address)
        except (OSError, OverflowError):
            return b""
        return data if len(data) == size else b""

    try:
        yield read
    finally:
        os.close(descriptor)
