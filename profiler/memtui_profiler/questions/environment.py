"""Variables of a running process."""

from __future__ import annotations

import contextlib
import os
import struct

from memtui_profiler.asker import Conversation
from memtui_profiler.errors import UserError
from memtui_profiler.guest.memory import ProcessMemory

_ENVIRON_BYTES = 1 << 20
_MOST_VARIABLES, _MOST_VALUE_BYTES = 4096, 4096
_PAGE = 4096


def environment_value(conversation: Conversation, name: str) -> str | None:
    """As the process was started with it; None when it is not there, or may not be read.

    Servers that show a title in ps write it over their environment, and move that first (redis, postgres, nginx).
    """
    prefix = os.fsencode(name) + b"="
    try:
        with open(f"/proc/{conversation.pid}/environ", "rb") as stream:
            entries = stream.read(_ENVIRON_BYTES).split(b"\0")
    except OSError:
        return None
    found = next((entry for entry in entries if entry.startswith(prefix)), None)
    if found is None:
        with contextlib.suppress(UserError):
            found = _moved(conversation, prefix)
    return None if found is None else os.fsdecode(found[len(prefix) :])


def _moved(conversation: Conversation, prefix: bytes) -> bytes | None:
    """The entry from where the process itself looks. Raises UserError when that cannot be read."""
    variable = conversation.image.address_of("environ")
    if variable is None:
        return None
    memory = conversation.memory
    at = _pointer(memory, variable)
    for number in range(_MOST_VARIABLES):
        entry = _pointer(memory, at + 8 * number) if at else 0
        if not entry:
            return None
        with contextlib.suppress(UserError):  # one that lies at a mapping's end is too short to be it
            if memory.read(entry, len(prefix)) == prefix:
                return _text(memory, entry)
    return None


def _pointer(memory: ProcessMemory, address: int) -> int:
    (value,) = struct.unpack("<Q", memory.read(address, 8))
    return int(value)


def _text(memory: ProcessMemory, address: int) -> bytes:
    """To the NUL at its end, page by page: what comes behind it may not be mapped."""
    text = b""
    while len(text) < _MOST_VALUE_BYTES:
        start = address + len(text)
        part, end, _ = memory.read(start, _PAGE - start % _PAGE).partition(b"\0")
        text += part
        if end:
            break
    return text
