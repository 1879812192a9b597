"""The target's memory through /proc/PID/mem: reading and writing what its own threads could."""

from __future__ import annotations

import os

from memtui_profiler.errors import UserError
from memtui_profiler.guest.errors import image_gone

READ_LIMIT_BYTES = 64 << 20


class ProcessMemory:
    """The memory of ``pid`` while it runs the program that it ran when this was made. Raises OSError when it may not be opened.

    After an exec or the end of the process nothing is read and nothing written, and that without an error number (mem_rw() in
    the kernel's fs/proc/base.c): read() and write() raise GuestGoneError then.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.descriptor = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)

    @property
    def is_gone(self) -> bool:
        """Whether the process does not run that program any more."""
        try:
            return not os.pread(self.descriptor, 1, 0)
        except OSError:
            return False  # nothing is mapped at address 0

    def read(self, address: int, size: int) -> bytes:
        """Return all ``size`` bytes at ``address``. Raises UserError when they are not there."""
        if not 0 <= size <= READ_LIMIT_BYTES:
            raise self._failed("read", address, f"{size} bytes are too many")
        try:
            data = os.pread(self.descriptor, size, address)
        except (OSError, OverflowError) as error:
            raise self._failed("read", address, getattr(error, "strerror", None) or str(error)) from error
        if len(data) != size:
            raise self._cut_short("read", address)
        return data

    def write(self, address: int, data: bytes) -> None:
        """Write ``data`` at ``address``. Raises UserError when not all of it could be written."""
        try:
            written = os.pwrite(self.descriptor, data, address)
        except (OSError, OverflowError) as error:
            raise self._failed("write", address, getattr(error, "strerror", None) or str(error)) from error
        if written != len(data):
            raise self._cut_short("write", address)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)

    def _cut_short(self, verb: str, address: int) -> UserError:
        return image_gone() if self.is_gone else self._failed(verb, address, "its memory ends there")

    def _failed(self, verb: str, address: int, why: str) -> UserError:
        return UserError(f"cannot {verb} the memory of pid {self.pid}", f"{why} (at {address:#x})", "try again")
