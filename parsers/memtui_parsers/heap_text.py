"""gperftools' heap profiles and leak dumps in text: .heap files and what /pprof/heap and /pprof/growth answer; jemalloc's too.

The format (FACTS.md): a header line ``heap profile: OBJECTS: BYTES [OBJECTS: BYTES] @ KIND[/PERIOD]``, a line of the same
shape per stack (a leak dump and a sampled profile: per object), then ``MAPPED_LIBRARIES:`` and the lines of /proc/PID/maps.
jemalloc begins with ``heap_v2/PERIOD`` and writes ``@ STACK`` before the lines ``t*: OBJECTS: BYTES [OBJECTS: BYTES]`` (all
threads) and ``tN: ...`` (one of them).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import BinaryIO, cast

from memtui_parsers.errors import ParseError
from memtui_parsers.heap_sampling import EVERYTHING, Sampling, sampling_of
from memtui_parsers.maps import MAX_LINE_BYTES, MAX_MAPPINGS, parse_mapping
from memtui_parsers.values import HeapEntry, HeapProfile, Mapping

# Bounds against hostile files, far above what gperftools writes (32 frames): they keep the parser below some 500 MiB.
MAX_DEPTH = 256
MAX_STACKS = 500_000
MAX_STEPS = 20_000_000
MAX_ADDRESSES = 1_000_000
# Of all lines of maps, what each has beyond an ordinary one.
MAX_LONG_LINES_BYTES = 32 << 20
_ORDINARY_LINE_BYTES = 256

_CHUNK_BYTES = 1 << 18
_RECENT = 4096
_COUNTS = rb"\s*(-?\d{1,18}):\s*(-?\d{1,18})\s*\[\s*(-?\d{1,18}):\s*(-?\d{1,18})\]\s*"
_HEADER = re.compile(rb"heap profile:" + _COUNTS + rb"(?:@\s*([a-z0-9_]{1,32})(?:/(\d{1,18}))?\s*)?")
_JEMALLOC = re.compile(rb"heap_v2/(\d{1,18})\s*")
_THREAD = re.compile(rb"\s*t(\*|\d{1,18}):")
_ENTRY = re.compile(_COUNTS)
_MAPS_HEADINGS = (b"MAPPED_LIBRARIES:", b"--- Memory map: ---")
_GZIP = b"\x1f\x8b"


def parse_heap(stream: BinaryIO) -> HeapProfile:
    """The whole file, its lines added up by stack; where only samples were counted, what they stand for.

    A file that is cut gives what was whole of it, and a note. Raises ParseError when it is no heap profile at all.
    """
    lines = _lines(stream)
    kind, sampling, header = _header(lines)
    stacks = _Stacks(sampling)
    mappings: tuple[Mapping, ...] | None = None
    cut = False
    for number, (line, whole) in _joined(lines) if header is None else lines:
        if not whole:
            cut = True
        elif stacks.add(line):
            continue
        elif line.strip() in _MAPS_HEADINGS:
            mappings, cut = _mappings(lines)
        elif line.strip():
            stacks.unread(number)
    figures, found, addresses = stacks.columns()
    notes = stacks.notes()
    if sampling.mean_bytes:
        notes.append(f"one sample was taken in {sampling.mean_bytes:.0f} bytes: bytes and objects are estimates")
    objects, size_bytes = stacks.objects, stacks.size_bytes
    if header is not None and header.inuse_bytes > size_bytes:
        missing_bytes, missing_objects = header.inuse_bytes - size_bytes, max(0, header.inuse_objects - objects)
        notes.insert(
            0, f"the dump is cut: {missing_bytes} bytes in {missing_objects} objects that its header counts are missing"
        )
    elif cut or (header is None and mappings is None):
        notes.insert(0, "the dump ends in the middle of a line" if cut else "the dump is cut before its end")
    if mappings is None and found:
        notes.append("the dump does not say which libraries were loaded, so no address can be named")
    if header is None:
        whole = mappings is not None and not cut
    else:
        whole = (objects, size_bytes) == (header.inuse_objects, header.inuse_bytes)
    return HeapProfile(
        kind, sampling.mean_bytes, header, whole, figures, found, addresses, mappings or (), tuple(notes)
    )


_Four = tuple[float, float, float, float]
_Numbered = Iterator[tuple[int, tuple[bytes, bool]]]


def _lines(stream: BinaryIO) -> _Numbered:
    """Lines by number, from 1, without their end; False beside the last one when it has no end, so may be a part of one.

    Of a line longer than MAX_LINE_BYTES only the beginning comes, still too long to be taken for a whole one.
    """
    return enumerate(_split(stream), 1)


def _split(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    held = b""
    while chunk := stream.read(_CHUNK_BYTES):
        pieces = chunk.split(b"\n")
        pieces[0] = held + pieces[0]
        held = pieces.pop()[: MAX_LINE_BYTES + 1]
        for piece in pieces:
            yield piece, True
    if held:
        yield held, False


def _header(lines: _Numbered) -> tuple[str, Sampling, HeapEntry | None]:
    """Kind, sampling, and the totals that the entries should add up to, None where the file has none that they could."""
    for number, (line, _) in lines:
        if (not line.strip() or line.startswith(b"%")) and number < 100:  # pprof's servers may warn before the header
            continue
        matched = _HEADER.fullmatch(line) if len(line) <= MAX_LINE_BYTES else None
        if matched is not None:
            counts = [int(n) for n in matched.groups()[:4]]
            kind, period = (matched[5] or b"").decode("ascii"), int(matched[6] or 0)
            sampling = sampling_of(kind, period, equal_totals=counts[:2] == counts[2:])
            return kind, sampling, HeapEntry(counts[0], counts[1], counts[2], counts[3], ())
        if len(line) <= MAX_LINE_BYTES and (matched := _JEMALLOC.fullmatch(line)):
            return "heap_v2", sampling_of("heap_v2", int(matched[1]), equal_totals=False), None
        if line.startswith(_GZIP):
            raise ParseError("a compressed pprof profile, not gperftools' text", line=number)
        raise ParseError("no heap profile: its first line should start with 'heap profile:'", line=number, excerpt=line)
    raise ParseError("an empty file, no heap profile")


def _joined(lines: _Numbered) -> _Numbered:
    """jemalloc's two lines to a stack as gperftools' one, single threads' left out: they are in ``t*``."""
    stack: bytes | None = None
    for number, (line, whole) in lines:
        if whole and line.startswith(b"@"):
            stack = line
        elif matched := _THREAD.match(line):
            if stack is not None and matched[1] == b"*":
                yield number, (line[matched.end() :] + stack, whole)
        else:
            yield number, (line, whole)


def _mappings(lines: _Numbered) -> tuple[tuple[Mapping, ...], bool]:
    """The rest of the file as mappings, and whether its last line is cut; lines that are no mapping are passed over."""
    found: list[Mapping] = []
    cut = False
    room = MAX_LONG_LINES_BYTES
    for _, (line, whole) in lines:
        if not whole:
            cut = True
        elif len(found) < MAX_MAPPINGS and room > 0 and line:
            room -= max(0, len(line) - _ORDINARY_LINE_BYTES)
            try:
                found.append(parse_mapping(line))
            except ParseError:
                continue
    return tuple(found), cut


class _Ordinals(dict[bytes, int]):
    """Hex texts to positions in ``addresses``: stacks share most of theirs. Raises ValueError, OverflowError when full."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: dict[int, int] = {}

    def __missing__(self, text: bytes) -> int:
        address = int(text, 16)
        if not 0 <= address < 1 << 64:
            raise ValueError("no address")
        if len(self) >= MAX_ADDRESSES:
            raise OverflowError
        ordinal = self[text] = self.addresses.setdefault(address, len(self.addresses))
        return ordinal


class _Stacks:
    """Adds entry lines up by stack, within the bounds above; what is beyond them is counted under an empty stack.

    ``objects`` and ``size_bytes`` are in use by all lines, as they are in the file.
    """

    def __init__(self, sampling: Sampling) -> None:
        self.objects = self.size_bytes = 0
        self._estimate = None if sampling is EVERYTHING else sampling.estimate
        self._ordinals = _Ordinals()
        self._index: dict[bytes, int] = {}
        self._counts: list[float] = []  # four for each stack: of a million lists of four the overhead would be most
        # A leak dump repeats the same figures and stack for each object, mostly soon again.
        self._figures: dict[bytes, tuple[_Four, int, int]] = {}
        self._recent: dict[bytes, int] = {}
        self._steps = 0
        self._beyond = 0
        self._too_deep = 0
        self._unread = 0
        self._first_unread = 0

    def add(self, line: bytes) -> bool:
        """False when the line is no entry."""
        head, at, tail = line.partition(b"@")
        if not at or len(line) > MAX_LINE_BYTES:
            return False
        read = self._figures.get(head) or self._read_figures(head)
        if read is None:
            return False
        figures, objects, size_bytes = read
        where = self._recent.get(tail)
        if where is None:
            try:
                where = self._find(tail)
            except ValueError:
                return False
            if len(self._recent) >= _RECENT:
                self._recent.clear()
            self._recent[tail] = where
        counts = self._counts
        if where == len(counts):
            counts += figures
        else:
            counts[where] += figures[0]
            counts[where + 1] += figures[1]
            counts[where + 2] += figures[2]
            counts[where + 3] += figures[3]
        self.objects += objects
        self.size_bytes += size_bytes
        return True

    def _read_figures(self, head: bytes) -> tuple[_Four, int, int] | None:
        """A line's four figures, and the first two of them as they are in the file."""
        matched = _ENTRY.fullmatch(head)
        if matched is None:
            return None
        objects, size_bytes, ever_objects, ever_bytes = map(int, matched.groups())
        if min(objects, size_bytes, ever_objects, ever_bytes) < 0:
            return None
        if (objects, size_bytes) == (ever_objects, ever_bytes):
            ever_objects, ever_bytes = objects, size_bytes  # the same two numbers: of a million they take their room
        figures: _Four = objects, size_bytes, ever_objects, ever_bytes
        if self._estimate is not None:
            figures = (*self._estimate(objects, size_bytes), *self._estimate(ever_objects, ever_bytes))
        if len(self._figures) >= _RECENT:
            self._figures.clear()
        read = self._figures[head] = figures, objects, size_bytes
        return read

    def unread(self, number: int) -> None:
        self._unread += 1
        self._first_unread = self._first_unread or number

    def columns(self) -> tuple[list[int], tuple[bytes, ...], tuple[int, ...]]:
        """Figures, stacks and addresses as HeapProfile has them, in the order of the file."""
        self._recent.clear()
        counts = list(map(round, self._counts)) if self._estimate is not None else self._counts
        return cast(list[int], counts), tuple(self._index), tuple(self._ordinals.addresses)

    def notes(self) -> list[str]:
        notes = []
        if self._beyond:
            notes.append(
                f"{self._beyond} lines with stacks beyond the first {MAX_STACKS} are counted without their frames"
            )
        if self._too_deep:
            notes.append(f"{self._too_deep} stacks deeper than {MAX_DEPTH} frames are cut there")
        if self._unread:
            notes.append(f"{self._unread} lines of the dump make no sense, the first is line {self._first_unread}")
        return notes

    def _find(self, tail: bytes) -> int:
        """Where the counts of this stack are, or the end of all for a new one. Raises ValueError when a step is no address."""
        steps = tail.split()
        if len(steps) > MAX_DEPTH:
            self._too_deep += 1
            del steps[MAX_DEPTH:]
        try:
            stack = array("I", map(self._ordinals.__getitem__, steps)).tobytes()
        except OverflowError:
            self._beyond += 1
            stack = b""
        at = self._index.get(stack)
        if at is None and stack and (len(self._index) >= MAX_STACKS or self._steps > MAX_STEPS):
            self._beyond += 1
            stack = b""
            at = self._index.get(stack)
        if at is None:
            at = self._index[stack] = len(self._counts)
            self._steps += len(steps)
        return at
