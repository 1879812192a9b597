"""Variables of a running process."""

from __future__ import annotations

import contextlib
import os
import struct

from memtui_profiler.asking.asked_process import AskedProcess
from memtui_profiler.errors import UserError
from memtui_profiler.guest.memory import ProcessMemory

_ENVIRON_BYTES = 1 << 20
_MOST_VARIABLES, _MOST_VALUE_BYTES = 4096, 4096
_PAGE = 4096


def environment_value(process: AskedProcess, name: str) -> str | None:
    """Return the value that the process was started with; None when there is none, or it may not be read.

    Servers that show a title in ps write it over their environment, and move that first (redis, postgres, nginx).
    """
    prefix = os.fsencode(name) + b"="
    try:
        with open(f"/proc/{process.pid}/environ", "rb") as stream:
            entries = stream.read(_ENVIRON_BYTES).split(b"\0")
    except OSError:
        return None
    entry = next((entry for entry in entries if entry.startswith(prefix)), None)
    if entry is None:
        with contextlib.suppress(UserError):
            entry = _moved(process, prefix)
    return None if entry is None else os.fsdecode(entry[len(prefix) :])


def _moved(process: AskedProcess, prefix: bytes) -> bytes | None:
    """The entry in the environment that the process itself uses. Raises UserError when that cannot be read."""
    variable = process.image.address_of("environ")
    if variable is None:
        return None
    memory = process.memory
    at = _pointer(memory, variable)
    for number in range(_MOST_VARIABLES):
        entry = _pointer(memory, at + 8 * number) if at else 0
        if not entry:
            return None
        with contextlib.suppress(UserError):  # one at a mapping's end is too short to be it
            if memory.read(entry, len(prefix)) == prefix:
                return _text(memory, entry)
    return None


def _pointer(memory: ProcessMemory, address: int) -> int:
    (value,) = struct.unpack("<Q", memory.read(address, 8))
    return int(value)


def _text(memory: ProcessMemory, address: int) -> bytes:
    """The bytes up to the NUL, read page by page: what comes after it may not be mapped."""
    text = b""
    while len(text) < _MOST_VALUE_BYTES:
        start = address + len(text)
        part, end, _ = memory.read(start, _PAGE - start % _PAGE).partition(b"\0")
        text += part
        if end:
            break
    return text
