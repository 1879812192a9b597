"""The target's memory through /proc/PID/mem: reading and writing what its own threads could."""

from __future__ import annotations

import os

from memtui_profiler.errors import UserError

READ_LIMIT_BYTES = 64 << 20


class ProcessMemory:
    """Open for as long as the process runs the program it ran when this was made. Raises OSError when it may not be opened."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.descriptor = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)

    def read(self, address: int, size: int) -> bytes:
        """All ``size`` bytes. Raises UserError when they are not there."""
        if not 0 <= size <= READ_LIMIT_BYTES:
            raise self._failed("read", address, f"{size} bytes are too many")
        try:
            data = os.pread(self.descriptor, size, address)
        except (OSError, OverflowError) as error:
            raise self._failed("read", address, getattr(error, "strerror", None) or str(error)) from error
        if len(data) != size:
            raise self._failed("read", address, "its memory ends there, or it has ended")
        return data

    def write(self, address: int, data: bytes) -> None:
        """Raises UserError when not all of it could be written."""
        try:
            written = os.pwrite(self.descriptor, data, address)
        except (OSError, OverflowError) as error:
            raise self._failed("write", address, getattr(error, "strerror", None) or str(error)) from error
        if written != len(data):
            raise self._failed("write", address, "its memory ends there, or it has ended")

    def close(self) -> None:
        os.close(self.descriptor)

    def _failed(self, verb: str, address: int, why: str) -> UserError:
        return UserError(f"cannot {verb} the memory of pid {self.pid}", f"{why} (at {address:#x})", "try again")
