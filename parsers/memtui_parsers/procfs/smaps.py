"""Parses /proc/PID/smaps (proc_pid_smaps(5)): each mapping with how much of it is resident, and in which kind of page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import MAX_LINE_BYTES, parse_mapping
from memtui_parsers.values import Mapping

KB = 1024
MAX_ENTRY_BYTES = MAX_LINE_BYTES + (8 << 10)  # a mapping has some 25 lines of 30 bytes behind its own

_BEGIN = re.compile(rb"^[0-9a-f]{1,16}-[0-9a-f]{1,16} [r-][w-][x-][sp-] ", re.MULTILINE)
_FIGURE = re.compile(rb"^(Rss|Pss|Shared_Dirty|Private_Dirty|AnonHugePages|Swap): +(\d{1,15}) kB$", re.MULTILINE)
_FLAGS = re.compile(rb"^VmFlags:((?: [a-z0-9]{2})+)", re.MULTILINE)
_DEVICE = re.compile(rb"\S+ \S+ \S+ +([0-9a-fA-F]{1,8}):([0-9a-fA-F]{1,8}) ")
_GUARDED = b"gu"


class ResidentMapping(NamedTuple):
    """A mapping; ``device`` is (major, minor) of its file's. Sizes are of resident memory, but for ``swap_bytes``.

    ``huge_bytes``: anonymous memory in transparent huge pages. ``has_guards``: pages in it are guards, by madvise(2)'s
    MADV_GUARD_INSTALL.
    """

    mapping: Mapping
    device: tuple[int, int] = (0, 0)
    rss_bytes: int = 0
    pss_bytes: int = 0
    swap_bytes: int = 0
    dirty_bytes: int = 0
    huge_bytes: int = 0
    has_guards: bool = False


def resident_mappings(chunks: Iterable[bytes]) -> Iterator[ResidentMapping]:
    """Parse the file as it is read, one mapping in memory at a time. What is no mapping is skipped."""
    kept = b""
    for chunk in chunks:
        kept += chunk
        begins = [match.start() for match in _BEGIN.finditer(kept)]
        for begin, end in pairwise(begins):
            yield from _entry(kept[begin:end])
        kept = kept[begins[-1] :] if begins else kept
        if len(kept) > MAX_ENTRY_BYTES:
            kept = b""
    yield from _entry(kept)


def _entry(text: bytes) -> Iterator[ResidentMapping]:
    line, _, rest = text.partition(b"\n")
    try:
        mapping = parse_mapping(line)
    except ParseError:
        return
    figures = {name: int(size) * KB for name, size in _FIGURE.findall(rest)}
    device, flags = _DEVICE.match(line), _FLAGS.search(rest)
    yield ResidentMapping(
        mapping,
        (int(device[1], 16), int(device[2], 16)) if device else (0, 0),
        figures.get(b"Rss", 0),
        figures.get(b"Pss", 0),
        figures.get(b"Swap", 0),
        figures.get(b"Private_Dirty", 0) + figures.get(b"Shared_Dirty", 0),
        figures.get(b"AnonHugePages", 0),
        flags is not None and _GUARDED in flags[1].split(),
    )


def memory_devices(mountinfo: str) -> frozenset[tuple[int, int]]:
    """The devices of file systems that are in memory, by /proc/PID/mountinfo (proc_pid_mountinfo(5))."""
    devices = set()
    for line in mountinfo.split("\n"):
        fields, _, kind = line.partition(" - ")
        device = fields.split(" ")[2:3]
        major, _, minor = device[0].partition(":") if device else ("", "", "")
        if kind.split(" ")[0] in ("tmpfs", "ramfs") and major.isdigit() and minor.isdigit():
            devices.add((int(major), int(minor)))
    return frozenset(devices)


def stack_pointer(syscall: str) -> int | None:
    """Where the stack of a thread that waits in the kernel ends, by its /proc/PID/task/TID/syscall; None while it runs."""
    fields = syscall.split()
    pointer = fields[-2] if len(fields) >= 3 else ""
    return int(pointer, 16) if re.fullmatch("0x[0-9a-f]{1,16}", pointer) else None
