"""Parses glibc's malloc_info(3): each arena's free chunks by size and memory from the system; chunks with own mappings.

It uses expat directly. A DOCTYPE is refused, so no entity can grow. In what glibc 2.10 to 2.40 write, sizes in bins
include the chunk's flag bits (33 for a chunk of 32 bytes), sizes in fast bins do not; ``rest`` includes the chunk at an
arena's top, which is in no bin.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from xml.parsers import expat

from memtui_parsers.allocators.stats import AllocatorDetail, Arena, SizeClass, size_from
from memtui_parsers.errors import ParseError

# glibc makes at most eight arenas per core, each with at most 137 bins of some 60 bytes: 4 MiB on 64 cores.
MAX_TEXT_BYTES = 8 << 20
MAX_ARENAS = 8192
MAX_SIZE_CLASSES = 16_384
MAX_DEPTH = 16

_FLAG_BITS = 7
_SYSTEM_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class MallocInfo:
    """``size_classes`` are of all arenas together, by size; a bin of several sizes is counted at their mean.

    ``fast_bytes`` are in fast bins, and part of ``free_bytes``. ``mapped_bytes`` are chunks with own mappings, all in
    use. ``whole``: the text is complete; otherwise the totals are those of the arenas that were read.
    """

    arenas: tuple[Arena, ...]
    size_classes: tuple[SizeClass, ...]
    system_bytes: int
    free_bytes: int
    fast_bytes: int
    mapped_bytes: int
    whole: bool

    @property
    def detail(self) -> AllocatorDetail:
        return AllocatorDetail(size_classes=self.size_classes, arenas=self.arenas)


def parse_malloc_info(data: bytes) -> MallocInfo:
    """Parse a text; of a truncated one what is complete. Raises ParseError for what is no XML, or not malloc_info's."""
    reader = _Reader()
    parser = expat.ParserCreate(encoding="utf-8")

    def refuse(reason: str) -> None:
        raise ParseError(reason, line=parser.CurrentLineNumber, excerpt=_line(data, parser.CurrentLineNumber))

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(reader.path) >= MAX_DEPTH:
            refuse("elements in elements without an end")
        reader.start(name, attributes)

    parser.StartElementHandler = start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = lambda *_: refuse("a DOCTYPE has no place here")
    # Newer versions of expat keep the last token back, because more of it may follow.
    if hasattr(parser, "SetReparseDeferralEnabled"):
        parser.SetReparseDeferralEnabled(False)
    try:
        parser.Parse(data[:MAX_TEXT_BYTES], False)
    except expat.ExpatError as error:
        raise ParseError("this is no XML", line=error.lineno, excerpt=_line(data, error.lineno)) from error
    if not reader.is_malloc_info:
        raise ParseError("this is not what malloc_info writes", excerpt=data)
    return reader.result()


def partial_bytes(info: MallocInfo) -> int:
    """Free bytes that malloc_trim has to leave, for their pages are used in part. The chunk at an arena's top is whole.

    A chunk of s bytes begins and ends somewhere within a page: all but some 4096 of it are whole pages, on average.
    """
    return sum(min(c.size_bytes, _SYSTEM_PAGE_BYTES) * c.free_objects for c in info.size_classes)


def _line(data: bytes, number: int) -> bytes:
    lines = data[:MAX_TEXT_BYTES].split(b"\n", number)
    return lines[number - 1] if 0 < number <= len(lines) else b""


class _Reader:
    """Follows the elements. ``_heap`` is the current arena, ``_outside`` has the totals after the last one."""

    def __init__(self) -> None:
        self.is_malloc_info = False
        self.path: list[str] = []
        self._heap: _Heap | None = None
        self._outside = _Heap("")
        self._heaps: list[_Heap] = []
        self._bins: Counter[int] = Counter()
        self._whole = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.path:
            self.is_malloc_info = name == "malloc"
        self.path.append(name)
        if not self.is_malloc_info:
            return
        if self.path == ["malloc", "heap"]:
            number = _natural(attributes.get("nr"))
            self._heap = _Heap("main" if number == 0 else f"arena {number}")
        elif name in ("size", "unsorted") and self._heap is not None:
            self._heap.add_bin(attributes)
        elif name in ("total", "system"):
            (self._heap or self._outside).add_total(name, attributes)

    def end(self, name: str) -> None:
        self.path.pop()
        if self.path == ["malloc"] and name == "heap" and self._heap is not None:
            if len(self._heaps) < MAX_ARENAS:
                self._heaps.append(self._heap)
                self._bins.update(self._heap.bins)
            self._heap = None
        elif not self.path:
            self._whole = True

    def result(self) -> MallocInfo:
        arenas = tuple(Arena(h.name, h.system_bytes, min(h.free_bytes, h.system_bytes)) for h in self._heaps)
        sizes = sorted(self._bins.items())[:MAX_SIZE_CLASSES]
        return MallocInfo(
            arenas=arenas,
            size_classes=tuple(SizeClass(size_bytes, count) for size_bytes, count in sizes),
            system_bytes=sum(a.system_bytes for a in arenas),
            free_bytes=sum(a.free_bytes for a in arenas),
            fast_bytes=sum(h.fast_bytes for h in self._heaps),
            mapped_bytes=self._outside.mapped_bytes,
            whole=self._whole,
        )


class _Heap:
    def __init__(self, name: str) -> None:
        self.name = name
        self.system_bytes = self.fast_bytes = self.mapped_bytes = 0
        self.bins: Counter[int] = Counter()
        self._rest_bytes = 0

    @property
    def free_bytes(self) -> int:
        return self.fast_bytes + self._rest_bytes

    def add_bin(self, attributes: dict[str, str]) -> None:
        count, total_bytes = _natural(attributes.get("count")), _natural(attributes.get("total"))
        size_bytes = total_bytes // count & ~_FLAG_BITS if count else 0
        if size_bytes and (size_bytes in self.bins or len(self.bins) < MAX_SIZE_CLASSES):
            self.bins[size_bytes] += count

    def add_total(self, name: str, attributes: dict[str, str]) -> None:
        kind, size_bytes = attributes.get("type"), _natural(attributes.get("size"))
        if name == "system" and kind == "current":
            self.system_bytes = size_bytes
        elif name == "total" and kind == "fast":
            self.fast_bytes = size_bytes
        elif name == "total" and kind == "rest":
            # The size of each chunk includes its flag bits, at least one of which is set.
            self._rest_bytes = max(0, size_bytes - _natural(attributes.get("count")))
        elif name == "total" and kind == "mmap":
            self.mapped_bytes = size_bytes


def _natural(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 20):
        return 0
    return size_from(text)
