"""glibc's malloc_info(3): each arena's free chunks by size, what it took from the system, and the chunks mapped on their own.

Read with expat and nothing on top: a DOCTYPE is refused, so there is no entity that could grow. What glibc 2.10 to 2.40
write: bins hold sizes with the chunk's flag bits left in (33 for a chunk of 32 bytes), fast bins without them; ``rest``
counts the chunk at an arena's top, which is in no bin.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from xml.parsers import expat

from memtui_parsers.allocator_stats import AllocatorDetail, Arena, SizeClass
from memtui_parsers.errors import ParseError

# glibc makes at most eight arenas a core, each of at most 137 bins of some 60 bytes: 4 MiB on 64 cores.
MAX_TEXT_BYTES = 8 << 20
MAX_ARENAS = 8192
MAX_SIZE_CLASSES = 16_384
MAX_DEPTH = 16

_MOST_BYTES = (1 << 63) - 1
_FLAG_BITS = 7


@dataclass(frozen=True, slots=True)
class MallocInfo:
    """``size_classes`` by size, of all arenas together; a bin that holds several sizes is given by their mean.

    ``fast_bytes``: in the fast bins, a part of ``free_bytes``. ``mapped_bytes``: chunks with a mapping of their own, all of
    them in use. ``whole``: nothing was cut off; without it the totals are those of the arenas that were read.
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
    """Text that is cut gives what was whole of it. Raises ParseError for what is no XML, or not malloc_info's."""
    reader = _Reader()
    parser = expat.ParserCreate(encoding="utf-8")

    def refuse(reason: str) -> None:
        raise ParseError(reason, line=parser.CurrentLineNumber, excerpt=_line(data, parser.CurrentLineNumber))

    def start(name: str, attributes: dict[str, str]) -> None:
        if reader.depth >= MAX_DEPTH:
            refuse("elements in elements without an end")
        reader.start(name, attributes)

    parser.StartElementHandler = start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = lambda *_: refuse("a DOCTYPE has no place here")
    # Newer versions of expat hold the last token back, in case that more of it comes.
    if hasattr(parser, "SetReparseDeferralEnabled"):
        parser.SetReparseDeferralEnabled(False)
    try:
        parser.Parse(data[:MAX_TEXT_BYTES], False)
    except expat.ExpatError as error:
        raise ParseError("this is no XML", line=error.lineno, excerpt=_line(data, error.lineno)) from error
    if not reader.is_malloc_info:
        raise ParseError("this is not what malloc_info writes", excerpt=data)
    return reader.result()


def _line(data: bytes, number: int) -> bytes:
    lines = data[:MAX_TEXT_BYTES].split(b"\n", number)
    return lines[number - 1] if 0 < number <= len(lines) else b""


class _Reader:
    """Follows the elements; ``heap`` is the arena that is open, ``outside`` the totals after the last one."""

    def __init__(self) -> None:
        self.is_malloc_info = False
        self._path: list[str] = []
        self._heap: _Heap | None = None
        self._outside = _Heap("")
        self._heaps: list[_Heap] = []
        self._bins: Counter[int] = Counter()
        self._whole = False

    @property
    def depth(self) -> int:
        return len(self._path)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path:
            self.is_malloc_info = name == "malloc"
        self._path.append(name)
        if not self.is_malloc_info:
            return
        if self._path == ["malloc", "heap"]:
            number = _natural(attributes.get("nr"))
            self._heap = _Heap("main" if number == 0 else f"arena {number}")
        elif name in ("size", "unsorted") and self._heap is not None:
            self._heap.add_bin(attributes)
        elif name in ("total", "system"):
            (self._heap or self._outside).add_total(name, attributes)

    def end(self, name: str) -> None:
        self._path.pop()
        if self._path == ["malloc"] and name == "heap" and self._heap is not None:
            if len(self._heaps) < MAX_ARENAS:
                self._heaps.append(self._heap)
                self._bins.update(self._heap.bins)
            self._heap = None
        elif not self._path:
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
            # Every chunk's size has its flag bits, of which one at least is set.
            self._rest_bytes = max(0, size_bytes - _natural(attributes.get("count")))
        elif name == "total" and kind == "mmap":
            self.mapped_bytes = size_bytes


def _natural(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 20):
        return 0
    number = int(text)
    return number if number <= _MOST_BYTES else 0
