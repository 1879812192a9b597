"""Reads gperftools' heap profiles and leak dumps in text (.heap files, /pprof/heap, /pprof/growth), jemalloc's and Go's.

The format (FACTS.md): a header line ``heap profile: OBJECTS: BYTES [OBJECTS: BYTES] @ KIND[/PERIOD]``, a line of the
same shape per stack (a leak dump and a sampled profile: per object), then ``MAPPED_LIBRARIES:`` and the lines of
/proc/PID/maps. jemalloc begins with ``heap_v2/PERIOD`` and writes ``@ STACK`` before the lines ``t*: OBJECTS: BYTES
[OBJECTS: BYTES]`` (all threads) and ``tN: ...`` (one of them).

Go (``/debug/pprof/heap?debug=1``) writes the same lines without mappings, and names its stacks (heap_names.py).

gperftools 2.16 closes a leak dump before the last of its buffer is written: up to 8 KiB of the entries, and the line
that these begin in, are missing before the empty line and MAPPED_LIBRARIES; of a small dump all entries are.

The figures of a sampled profile become estimates of all allocations (heap_sampling.py).

A file of 74 MB with 200,000 stacks takes 1.2 s and 90 MiB, as addresses are kept once (google-pprof --text: 50 s, 695
MiB).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import chain, islice
from typing import BinaryIO, cast

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.formats.heap_names import HeapNames, NumberedLines, past_symbols
from memtui_parsers.formats.heap_sampling import NO_SAMPLING, Sampling, sampling_of
from memtui_parsers.formats.unread import EXCERPT_CHARS, Unread
from memtui_parsers.procfs.maps import MAX_LINE_BYTES, MAX_MAPPINGS, parse_mapping
from memtui_parsers.values import HeapEntry, HeapProfile, Mapping

# Bounds against hostile files, far above what gperftools writes (32 frames): they keep the parser below some 500 MiB.
MAX_DEPTH = 256
MAX_STACKS = 500_000
MAX_STEPS = 20_000_000
MAX_ADDRESSES = 1_000_000
# Limits what the lines of the maps have beyond ordinary ones, all lines together.
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
NO_ENTRIES = "the dump has lost its entries, which gperftools 2.16 does: something leaked, and it does not say what"
_GZIP = b"\x1f\x8b"
# Go names each stack below it, so that its first lines tell it.
_GO_LINES = 100

_Figures = tuple[float, float, float, float]


def parse_heap(stream: BinaryIO) -> HeapProfile:
    """Read a whole file and add its lines up by stack; a sampled profile's figures become estimates.

    A truncated file gives its complete lines and a note. Raises ParseError for a file that is no heap profile.
    """
    names = HeapNames()
    lines = _past_symbols(stream, names)
    try:
        kind, period, header = _header(lines)
    except _NoEntriesError:
        return HeapProfile("heapprofile", 0, None, False, (), (), (), _mappings(lines)[0], (NO_ENTRIES,))
    lines, go = _look_for_go(kind, lines)
    equal_totals = header is not None and (header.inuse_objects, header.inuse_bytes) == (
        header.allocated_objects,
        header.allocated_bytes,
    )
    sampling = sampling_of(kind, period, equal_totals=equal_totals, go=go)
    stacks = _Stacks(sampling)
    mappings: tuple[Mapping, ...] | None = None
    unread = Unread()
    cut = False
    for number, (line, whole) in _joined(lines) if header is None else _without_half_line(lines):
        if not whole:
            cut = True
        elif stacks.add(line):
            names.end_of_stack()
        elif line.strip() in _MAPS_HEADINGS:
            mappings, cut = _mappings(lines)
        elif line.strip() and not names.take_comment(line):
            unread.add(number, clean(line[:EXCERPT_CHARS].decode("utf-8", "replace")))
    figures, packed_stacks, addresses = stacks.columns()
    named = names.at(addresses)
    notes = [
        *_missing_notes(header, stacks, cut=cut, has_mappings=mappings is not None),
        *stacks.notes(),
        *unread.notes(),
    ]
    if sampling.mean_bytes:
        notes.append(f"one sample was taken in {sampling.mean_bytes:.0f} bytes: bytes and objects are estimates")
    if names.beyond:
        notes.append(f"{names.beyond} names beyond what memtui holds are left out")
    if mappings is None and packed_stacks and not names:
        notes.append("the dump does not say which libraries were loaded, so no address can be named")
    if header is None:
        whole = mappings is not None and not cut and not unread.count
    else:
        whole = (stacks.objects, stacks.size_bytes) == (header.inuse_objects, header.inuse_bytes) and not unread.count
    return HeapProfile(
        kind=kind,
        period=sampling.mean_bytes,
        header=header,
        whole=whole,
        figures=figures,
        stacks=packed_stacks,
        addresses=addresses,
        mappings=mappings or (),
        notes=tuple(notes),
        names=named,
        samples=stacks.samples,
    )


def _missing_notes(header: HeapEntry | None, stacks: _Stacks, *, cut: bool, has_mappings: bool) -> Iterator[str]:
    """What is missing of the file, by its header's sums or by its end."""
    if header is not None and header.inuse_bytes > stacks.size_bytes:
        missing_bytes = header.inuse_bytes - stacks.size_bytes
        missing_objects = max(0, header.inuse_objects - stacks.objects)
        yield f"the dump is cut: {missing_bytes} bytes in {missing_objects} objects that its header counts are missing"
    elif cut or (header is None and not has_mappings):
        yield "the dump ends in the middle of a line" if cut else "the dump is cut before its end"


def heap_writer(stream: BinaryIO) -> str:
    """Whose heap profile it is, ``Go`` or ``jemalloc``; '' for gperftools'. Raises ParseError for what is no heap profile."""
    lines = _past_symbols(stream, HeapNames())
    try:
        kind, _, header = _header(lines)
    except _NoEntriesError:
        return ""
    if header is None:
        return "jemalloc"
    return "Go" if _look_for_go(kind, lines)[1] else ""


def _past_symbols(stream: BinaryIO, names: HeapNames) -> NumberedLines:
    lines: NumberedLines = enumerate(_lines(stream), 1)
    return past_symbols(lines, names, lambda line: bool(_HEADER.match(line) or _JEMALLOC.match(line)))


def _look_for_go(kind: str, lines: NumberedLines) -> tuple[NumberedLines, bool]:
    """The lines behind the header, and whether Go wrote them: it names the functions in comments."""
    first = list(islice(lines, _GO_LINES)) if kind == "heap" else []
    return chain(first, lines), any(line.startswith(b"#") for _, (line, _) in first)


def _lines(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Yield each line without its end, and whether it is complete, which the last one is not without a line end.

    A line longer than MAX_LINE_BYTES is cut to one byte more than that, so that no reader takes it for a complete one.
    """
    unfinished = b""
    while chunk := stream.read(_CHUNK_BYTES):
        pieces = chunk.split(b"\n")
        pieces[0] = unfinished + pieces[0]
        unfinished = pieces.pop()[: MAX_LINE_BYTES + 1]
        for piece in pieces:
            yield piece, True
    if unfinished:
        yield unfinished, False


class _NoEntriesError(Exception):
    """The file begins with its mappings."""


def _header(lines: NumberedLines) -> tuple[str, int, HeapEntry | None]:
    """Return the kind, the period as written, and the sums that the entries should have (None for jemalloc, whose differ)."""
    for number, (line, _) in lines:
        if (not line.strip() or line.startswith(b"%")) and number < 100:  # pprof's servers may warn before the header
            continue
        if line.strip() in _MAPS_HEADINGS:
            raise _NoEntriesError
        matched = _HEADER.fullmatch(line) if len(line) <= MAX_LINE_BYTES else None
        if matched is not None:
            counts = [int(n) for n in matched.groups()[:4]]
            kind, period = (matched[5] or b"").decode("ascii"), int(matched[6] or 0)
            return kind, period, HeapEntry(counts[0], counts[1], counts[2], counts[3], ())
        if len(line) <= MAX_LINE_BYTES and (matched := _JEMALLOC.fullmatch(line)):
            return "heap_v2", int(matched[1]), None
        if line.startswith(_GZIP):
            raise ParseError("a compressed pprof profile, not gperftools' text", line=number)
        raise ParseError("no heap profile: its first line should start with 'heap profile:'", line=number, excerpt=line)
    raise ParseError("an empty file, no heap profile")


def _without_half_line(lines: NumberedLines) -> NumberedLines:
    """Leave out an entry that the mappings follow with no empty line between: it is the beginning of one that is lost."""
    before: tuple[int, tuple[bytes, bool]] | None = None
    for numbered in lines:
        at_mappings = numbered[1][0] in _MAPS_HEADINGS
        if before is not None and not (at_mappings and b"@" in before[1][0]):
            yield before
        before = None if at_mappings else numbered
        if at_mappings:
            yield numbered  # now, as the mappings behind it are read elsewhere
    if before is not None:
        yield before


def _joined(lines: NumberedLines) -> NumberedLines:
    """Join jemalloc's two lines of a stack into one like gperftools'. Single threads are dropped: ``t*`` is the sum."""
    stack: bytes | None = None
    for number, (line, whole) in lines:
        if whole and line.startswith(b"@"):
            stack = line
        elif matched := _THREAD.match(line):
            if stack is not None and matched[1] == b"*":
                yield number, (line[matched.end() :] + stack, whole)
        else:
            yield number, (line, whole)


def _mappings(lines: NumberedLines) -> tuple[tuple[Mapping, ...], bool]:
    """Return the mappings in the rest of the file, and whether its last line is cut; other lines are skipped."""
    mappings: list[Mapping] = []
    cut = False
    room = MAX_LONG_LINES_BYTES
    for _, (line, whole) in lines:
        if not whole:
            cut = True
        elif len(mappings) < MAX_MAPPINGS and room > 0 and line:
            room -= max(0, len(line) - _ORDINARY_LINE_BYTES)
            try:
                mappings.append(parse_mapping(line))
            except ParseError:
                continue
    return tuple(mappings), cut


class _Ordinals(dict[bytes, int]):
    """Maps hex texts to positions in ``addresses``, as stacks share most addresses.

    Raises ValueError for a text that is no address, OverflowError when full.
    """

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
    """Adds entry lines up by stack; stacks beyond the bounds above are counted under an empty stack.

    ``objects`` and ``size_bytes`` are the sums in use over all lines, as the file states them; ``samples`` the objects in use
    of each stack, if they were sampled.
    """

    def __init__(self, sampling: Sampling) -> None:
        self.objects = self.size_bytes = 0
        self._estimate = None if sampling is NO_SAMPLING else sampling.estimate
        self._ordinals = _Ordinals()
        self._index: dict[bytes, int] = {}
        # Four for each stack, in one list: a million lists of four would be mostly overhead.
        self._counts: list[float] = []
        # A leak dump repeats the same figures and stack for each object, mostly soon again.
        self._figures: dict[bytes, tuple[_Figures, int, int]] = {}
        self.samples: list[int] = []
        self._recent: dict[bytes, int] = {}
        self._steps = 0
        self._beyond = 0
        self._too_deep = 0

    def add(self, line: bytes) -> bool:
        """Add an entry line; return False for any other line."""
        head, at, tail = line.partition(b"@")
        if not at or len(line) > MAX_LINE_BYTES:
            return False
        entry = self._figures.get(head) or self._read_figures(head)
        if entry is None:
            return False
        figures, objects, size_bytes = entry
        start = self._recent.get(tail)
        if start is None:
            try:
                start = self._counts_start(tail)
            except ValueError:
                return False
            if len(self._recent) >= _RECENT:
                self._recent.clear()
            self._recent[tail] = start
        counts = self._counts
        if start == len(counts):
            counts += figures
        else:
            counts[start] += figures[0]
            counts[start + 1] += figures[1]
            counts[start + 2] += figures[2]
            counts[start + 3] += figures[3]
        if self._estimate is not None:
            if start == 4 * len(self.samples):
                self.samples.append(0)
            self.samples[start // 4] += objects
        self.objects += objects
        self.size_bytes += size_bytes
        return True

    def _read_figures(self, head: bytes) -> tuple[_Figures, int, int] | None:
        """Return a line's four figures (estimates for a sampled profile), and objects and bytes in use as written."""
        matched = _ENTRY.fullmatch(head)
        if matched is None:
            return None
        objects, size_bytes, ever_objects, ever_bytes = map(int, matched.groups())
        if min(objects, size_bytes, ever_objects, ever_bytes) < 0:
            return None
        if (objects, size_bytes) == (ever_objects, ever_bytes):
            # Shares the objects, which saves memory over a million lines.
            ever_objects, ever_bytes = objects, size_bytes
        figures: _Figures = objects, size_bytes, ever_objects, ever_bytes
        if self._estimate is not None:
            figures = (*self._estimate(objects, size_bytes), *self._estimate(ever_objects, ever_bytes))
        if len(self._figures) >= _RECENT:
            self._figures.clear()
        entry = self._figures[head] = figures, objects, size_bytes
        return entry

    def columns(self) -> tuple[list[int], tuple[bytes, ...], tuple[int, ...]]:
        """Return figures, stacks and addresses as HeapProfile has them, in the order of the file."""
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
        return notes

    def _counts_start(self, tail: bytes) -> int:
        """Return where this stack's counts start; for a new one the end of all. Raises ValueError for no stack."""
        steps = tail.split()
        if len(steps) > MAX_DEPTH:
            self._too_deep += 1
            del steps[MAX_DEPTH:]
        try:
            stack = array("I", map(self._ordinals.__getitem__, steps)).tobytes()
        except OverflowError:
            self._beyond += 1
            stack = b""
        start = self._index.get(stack)
        if start is None and stack and (len(self._index) >= MAX_STACKS or self._steps > MAX_STEPS):
            self._beyond += 1
            stack = b""
            start = self._index.get(stack)
        if start is None:
            start = self._index[stack] = len(self._counts)
            self._steps += len(steps)
        return start
