"""Parses control group files: the memory limit and usage, and how often the OOM killer ended a process (cgroups(7))."""

from __future__ import annotations

from dataclasses import dataclass

from memtui_parsers.errors import ParseError

# Version 1 writes the largest number of whole pages for "no limit"; numbers near it are no limits.
NO_LIMIT_BYTES = 1 << 60


@dataclass(frozen=True, slots=True)
class CgroupPaths:
    """Paths below the mount points of the unified hierarchy (version 2) and of version 1's memory controller."""

    unified: str | None = None
    memory_v1: str | None = None


def cgroup_paths(text: str) -> CgroupPaths:
    """Parse /proc/PID/cgroup. Where both versions exist (a hybrid mount), the memory controller is in version 1."""
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
    """Parse memory.max or memory.limit_in_bytes: bytes, None for no limit. Raises ParseError."""
    if text.strip() == "max":
        return None
    limit_bytes = _number(text, "no memory limit")
    return limit_bytes if limit_bytes < NO_LIMIT_BYTES else None


def parse_usage(text: str) -> int:
    """Parse memory.current or memory.usage_in_bytes: bytes. Raises ParseError."""
    return _number(text, "no memory usage")


def oom_kills(text: str) -> int:
    """Return ``oom_kill`` of memory.events or memory.oom_control; 0 if it is missing (version 1 before Linux 4.13)."""
    for line in text.split("\n"):
        key, _, count = line.partition(" ")
        if key == "oom_kill" and _is_number(count):
            return int(count)
    return 0


def _number(text: str, reason: str) -> int:
    if not _is_number(text):
        raise ParseError(reason, excerpt=text)
    return int(text)


def _is_number(text: str) -> bool:
    digits = text.strip()
    return digits.isascii() and digits.isdigit() and len(digits) <= 20
