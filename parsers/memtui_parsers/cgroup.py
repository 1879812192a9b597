"""Control group files: where a process's memory is limited and how often the OOM killer came (cgroups(7)).

Texts in, values out: the caller finds the mount points and opens the files.
"""

from __future__ import annotations

from dataclasses import dataclass

from memtui_parsers.errors import ParseError

# Version 1 says "none" with the largest number of whole pages that fits; nothing near it is a limit.
NO_LIMIT_BYTES = 1 << 60


@dataclass(frozen=True, slots=True)
class CgroupPaths:
    """Paths below the mount point: of the unified hierarchy (version 2) and of version 1's memory controller; None: not in one."""

    unified: str | None = None
    memory_v1: str | None = None


def cgroup_paths(text: str) -> CgroupPaths:
    """/proc/PID/cgroup. Where both exist (a hybrid mount), the memory controller lives in version 1's."""
    unified = memory_v1 = None
    for line in text.split("\n"):
        hierarchy, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not (colon and path.startswith("/")):
            continue
        if hierarchy == "0" and not controllers:
            unified = path
        elif "memory" in controllers.split(","):
            memory_v1 = path
    return CgroupPaths(unified, memory_v1)


def parse_limit(text: str) -> int | None:
    """memory.max or memory.limit_in_bytes: bytes, None when there is no limit. Raises ParseError."""
    value = text.strip()
    if value == "max":
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise ParseError("no memory limit", excerpt=text)
    limit_bytes = int(value)
    return limit_bytes if limit_bytes < NO_LIMIT_BYTES else None


def parse_usage(text: str) -> int:
    """memory.current or memory.usage_in_bytes, bytes. Raises ParseError."""
    value = text.strip()
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise ParseError("no memory usage", excerpt=text)
    return int(value)


def oom_kills(text: str) -> int:
    """``oom_kill`` of memory.events or memory.oom_control; 0 where the kernel does not count (version 1 before 4.13)."""
    for line in text.split("\n"):
        key, _, value = line.partition(" ")
        count = value.strip()
        if key == "oom_kill" and count.isascii() and count.isdigit() and len(count) <= 20:
            return int(count)
    return 0
