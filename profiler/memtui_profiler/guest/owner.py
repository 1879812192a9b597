"""Whose guest it is: two memtuis may watch one process, and each has to have a guest of its own."""

from __future__ import annotations

import os
import struct

# The asker's pid namespace (its inode), pid there, and start time in clock ticks.
_OWNER = struct.Struct("<QQQ")
OWNER_BYTES = _OWNER.size


def ourselves() -> bytes:
    """What to write into a guest that is ours."""
    return _OWNER.pack(_namespace(), os.getpid(), _started(os.getpid()) or 0)


def is_somebody_else(record: bytes) -> bool:
    """Whether the owner that a guest names is another memtui that lives. Of one in another pid namespace we cannot know: it may."""
    namespace, pid, started = _OWNER.unpack(record)
    if not namespace or record == ourselves():
        return False
    return bool(namespace != _namespace() or _started(pid) == started)


def _namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _started(pid: int) -> int | None:
    """Field 22 of proc_pid_stat(5); None when there is no such process any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as stream:
            fields = stream.read(4096).rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[19]) if len(fields) > 19 and fields[0] not in (b"Z", b"X") else None
