"""Parses /proc/PID/maps (proc_pid_maps(5)), and the copy of it at the end of a gperftools dump."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from memtui_parsers.errors import ParseError
from memtui_parsers.values import Mapping

MAX_LINE_BYTES = 16 << 10  # the kernel's limit is a page, with escapes
MAX_MAPPINGS = 1 << 20
DELETED = " (deleted)"

_LINE = re.compile(
    rb"([0-9a-fA-F]{1,16})-([0-9a-fA-F]{1,16}) +([r-][w-][x-][sp-]) +([0-9a-fA-F]{1,16}) +[0-9a-fA-F]+:[0-9a-fA-F]+ +(\d{1,20})"
    rb"(?: +(.*))?",
    re.DOTALL,
)


def parse_mapping(line: bytes) -> Mapping:
    """Parse one line, with or without its line end. Raises ParseError.

    Bytes of the path that are not UTF-8 become surrogates, as with os.fsdecode.
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
    """Parse a maps file; lines that are no mappings are skipped."""
    mappings = []
    for line in text.split(b"\n"):
        try:
            mappings.append(parse_mapping(line))
        except ParseError:
            continue
        if len(mappings) == MAX_MAPPINGS:
            break
    return tuple(mappings)


def parse_map_lines(lines: Iterable[str]) -> tuple[Mapping, ...]:
    """Parse lines that were seen at several times, as text; each is one line, whatever is in it."""
    return parse_maps(b"\n".join(_line_bytes(line.rstrip("\r\n")) for line in lines))


def _line_bytes(line: str) -> bytes:
    try:
        data = line.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a character, which no kernel writes
        data = line.encode("utf-8", "replace")
    return data.replace(b"\n", rb"\012")


def executable_lines(text: bytes) -> Iterator[bytes]:
    """The lines of executable files. A process may have 65,000 mappings and few such: the others are not parsed."""
    for line in text.splitlines():
        fields = line.split(b" ", 2)
        if len(fields) == 3 and b"/" in fields[2] and fields[1][2:3] == b"x":
            yield line


def file_path(mapping: Mapping) -> str | None:
    """Return the mapped file's path without the kernel's ``(deleted)``; None for what is no file, such as [heap]."""
    path = mapping.path.removesuffix(DELETED)
    return path if path.startswith("/") and mapping.inode else None


def is_deleted(mapping: Mapping) -> bool:
    """Whether the mapped file was unlinked: another file, or none, is at its path now."""
    return mapping.path.endswith(DELETED)


class MappingIndex:
    """Finds the mapping that contains an address. Of overlapping mappings the one that starts last is taken."""

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
