"""/proc/PID/maps, and the copy of it at the end of a gperftools dump (proc_pid_maps(5))."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

from memtui_parsers.errors import ParseError
from memtui_parsers.values import Mapping

MAX_LINE_BYTES = 16 << 10  # the kernel's own limit is a page, escapes included
MAX_MAPPINGS = 1 << 20
DELETED = " (deleted)"

_LINE = re.compile(
    rb"([0-9a-fA-F]{1,16})-([0-9a-fA-F]{1,16}) +([r-][w-][x-][sp-]) +([0-9a-fA-F]{1,16}) +[0-9a-fA-F]+:[0-9a-fA-F]+ +(\d{1,20})"
    rb"(?: +(.*))?",
    re.DOTALL,
)


def parse_mapping(line: bytes) -> Mapping:
    """One line, with or without its line end. Bytes of the path that are not UTF-8 come as surrogates, as os.fsdecode gives them.

    Raises ParseError.
    """
    line = line.rstrip(b"\r\n")
    matched = _LINE.fullmatch(line) if len(line) <= MAX_LINE_BYTES else None
    if matched is None:
        raise ParseError("no line of a maps file", excerpt=line)
    start, end, permissions, offset, inode, path = matched.groups()
    mapping = Mapping(
        start=int(start, 16),
        end=int(end, 16),
        permissions=permissions.decode("ascii"),
        offset=int(offset, 16),
        inode=int(inode),
        path=(path or b"").replace(rb"\012", b"\n").decode("utf-8", "surrogateescape"),
    )
    if mapping.end < mapping.start:
        raise ParseError("a mapping that ends before it starts", excerpt=line)
    return mapping


def parse_maps(text: bytes) -> tuple[Mapping, ...]:
    """All mappings of a maps file; lines that are none are passed over."""
    found = []
    for line in text.split(b"\n"):
        try:
            found.append(parse_mapping(line))
        except ParseError:
            continue
        if len(found) == MAX_MAPPINGS:
            break
    return tuple(found)


def file_path(mapping: Mapping) -> str | None:
    """The file a mapping is of, without the kernel's ``(deleted)``; None for anonymous memory, [heap], sockets and the like."""
    path = mapping.path.removesuffix(DELETED)
    return path if path.startswith("/") and mapping.inode else None


def is_deleted(mapping: Mapping) -> bool:
    """Whether the mapped file has been unlinked: what lies at its path now is another file, or none."""
    return mapping.path.endswith(DELETED)


class MappingIndex:
    """Which mapping holds an address, by bisecting. Of overlapping ones the one that starts last is taken."""

    __slots__ = ("_mappings", "_starts")

    def __init__(self, mappings: Iterable[Mapping]) -> None:
        self._mappings = sorted(mappings, key=lambda m: m.start)
        self._starts = [m.start for m in self._mappings]

    def find(self, address: int) -> Mapping | None:
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        mapping = self._mappings[at]
        return mapping if address < mapping.end else None
