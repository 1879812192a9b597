"""What a file is, told from its contents alone, also inside of gzip: what memtui reads, and what it knows but does not read."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

from memtui_parsers.errors import ParseError
from memtui_parsers.gunzip import MAGIC, Gunzip
from memtui_parsers.protobuf_wire import CutShortError, fields

HEAD_BYTES = 1 << 16
CHUNK_BYTES = 1 << 20
# A checker's words may stand far behind what the program printed; beyond this it is some other log.
LOG_SEARCH_BYTES = 256 << 20

FOLDED_LINES = 50


class FileKind(str, Enum):
    SESSION = "memtui session"
    REPORT_JSON = "memtui report in JSON"
    HEAP = "heap profile"
    HEAPCHECK_LOG = "heap checker's log"
    VALGRIND_XML = "valgrind's XML"
    VALGRIND_TEXT = "valgrind's text"
    LSAN_LOG = "LeakSanitizer's log"
    PPROF = "pprof profile"
    FOLDED = "folded stacks"
    EMPTY = "empty file"
    PROGRAM = "program"
    CORE = "core dump"
    OTHER = "other file"


@dataclass(frozen=True, slots=True)
class Sniffed:
    """``why_not`` and ``todo``: why memtui does not read it, and what helps; '' for what it does read."""

    kind: FileKind
    gzipped: bool = False
    why_not: str = ""
    todo: str = ""


_TAKES = "memtui open takes a session, or what a leak checker or heap profiler wrote: see `memtui open --help`"
_LOGS = (
    (
        FileKind.HEAPCHECK_LOG,
        rb"Perftools heap leak checker is active|No leaks found for check \"|Leak check \S{1,200} detected leaks of ",
    ),
    (
        FileKind.LSAN_LOG,
        rb"ERROR: LeakSanitizer: detected memory leaks|LeakSanitizer has encountered a fatal error"
        rb"|==\d{1,10}==\s?ERROR: AddressSanitizer: |ASan runtime does not come first"
        rb"|==\d{1,10}==\s?Processing thread \d|Suppressions used:\r?\n\s+count\s+bytes template",
    ),
    (
        FileKind.VALGRIND_TEXT,
        rb"==\d{1,10}== (?:Memcheck, a memory error detector|LEAK SUMMARY:|.{1,200} in loss record )",
    ),
)
_LOG_WORDS = re.compile(b"|".join(b"(" + pattern + b")" for _, pattern in _LOGS))
_LOG_OVERLAP = 512
# One of these is in all of them, and is found thirty times as fast.
_LOG_SIGNS = (
    b"heap leak checker",
    b"No leaks found",
    b"detected leaks of",
    b"Sanitizer",
    b"ASan runtime",
    b"Processing thread",
    b"Suppressions used",
    b"Memcheck, a",
    b"LEAK SUMMARY",
    b"in loss record",
)
_XML = re.compile(rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,2000}?-->\s*)*<([A-Za-z_][\w.-]{0,100})", re.DOTALL)
_HEAP = re.compile(rb"\s*(?:%[^\n]*\n\s*)*(?:heap profile:|heap_v2/\d{1,18}\s*\n)")
_SCHEMA = re.compile(rb'"schema"\s*:\s*"memtui-report/\d+"')
_FOLDED = re.compile(rb"[^\s;][^\x00-\x08]*?(;?) \d{1,18}(?:\.\d{1,18})?\r?")
# What is often taken for a report, by its first bytes: its name, and how to get from it to one.
_ZSTD = (
    "unpack it first: zstd -d FILE (heaptrack's recordings: heaptrack_print --flamegraph-cost-type leaked -F OUT FILE)"
)
_KNOWN = (
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", _ZSTD),
    (b"BZh", "compressed by bzip2", "unpack it first: bunzip2 FILE"),
    (b"\xfd7zXZ\x00", "compressed by xz", "unpack it first: unxz FILE"),
    (b"PERFILE2", "a recording of perf, which knows no leaks", "record the heap: memtui --check profile PROGRAM"),
    (b"desc: ", "massif's output, which memtui does not read", "record the heap: memtui --check profile PROGRAM"),
)
# Fields of profile.proto by what they hold; comments, 13, come packed or not.
_PPROF_NUMBERS = frozenset({7, 8, 9, 10, 12, 13, 14, 15})
_PPROF_MESSAGES = frozenset({1, 2, 3, 4, 5, 6, 11, 13})
_HEAPTRACK = re.compile(rb"v [0-9a-f]{1,8} [0-9a-f]{1,4}\n")


def sniff(stream: BinaryIO) -> Sniffed:
    """Looks at the beginning of a file, and for a checker's words on through it. Raises OSError."""
    head = _read(stream, HEAD_BYTES)
    if not head.startswith(MAGIC):
        return _sniff(head, stream, gzipped=False)
    unpacked = io.BufferedReader(Gunzip(_Rejoined(head, stream)))
    head = _read(unpacked, HEAD_BYTES)
    if not head:
        return Sniffed(FileKind.OTHER, True, "compressed by gzip, but damaged or empty", "get a whole copy of it")
    return _sniff(head, unpacked, gzipped=True)


def _sniff(head: bytes, rest: BinaryIO, *, gzipped: bool) -> Sniffed:
    kind = _by_head(head)
    if kind is not None:
        return Sniffed(kind, gzipped)
    if refusal := _refusal(head, gzipped):
        return refusal
    kind = _by_words(head, rest)
    if kind is None and _is_folded(head):
        kind = FileKind.FOLDED
    if kind is not None:
        return Sniffed(kind, gzipped)
    return Sniffed(
        FileKind.OTHER, gzipped, "neither a session nor the output of a leak checker that memtui knows", _TAKES
    )


def _by_head(head: bytes) -> FileKind | None:
    """What can be told for sure from the first bytes."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    if head.startswith(b"SQLite format 3\0"):
        return FileKind.SESSION
    if _HEAP.match(text):
        return FileKind.HEAP
    element = _XML.match(text)
    if element and element[1] == b"valgrindoutput":
        return FileKind.VALGRIND_XML
    if text.lstrip().startswith(b"{") and _SCHEMA.search(text):
        return FileKind.REPORT_JSON
    return FileKind.PPROF if _is_pprof(head) else None


def _refusal(head: bytes, gzipped: bool) -> Sniffed | None:
    """What is known, and not read."""
    if not head:
        return Sniffed(FileKind.EMPTY, gzipped, "empty", "run the check again")
    if head.startswith(b"\x7fELF"):
        # e_type, in the file's own byte order
        core = int.from_bytes(head[16:18], "big" if head[5:6] == b"\x02" else "little") == 4
        if core:
            why = "a core dump: it holds the program's memory, but not where that was allocated"
            return Sniffed(FileKind.CORE, gzipped, why, "run the program under a check: memtui --check normal PROGRAM")
        return Sniffed(
            FileKind.PROGRAM, gzipped, "a program or library, not a report", "to launch and watch it: memtui PROGRAM"
        )
    for magic, why, todo in _KNOWN:
        if head.startswith(magic):
            return Sniffed(FileKind.OTHER, gzipped, why, todo)
    if _HEAPTRACK.match(head):
        return Sniffed(
            FileKind.OTHER,
            gzipped,
            "heaptrack's own recording",
            "convert it: heaptrack_print --flamegraph-cost-type leaked -F OUT FILE",
        )
    if element := _XML.match(head):
        why = f"XML, but not valgrind's: it begins with <{element[1].decode('ascii', 'replace')}>"
        return Sniffed(FileKind.OTHER, gzipped, why, _TAKES)
    return None


def _by_words(head: bytes, rest: BinaryIO) -> FileKind | None:
    """A log is told by the first words of a checker's in it."""
    chunk, seen = head, 0
    while chunk and seen < LOG_SEARCH_BYTES:
        if any(sign in chunk for sign in _LOG_SIGNS) and (found := _LOG_WORDS.search(chunk)):
            return _LOGS[(found.lastindex or 1) - 1][0]
        seen += len(chunk)
        fresh = rest.read(CHUNK_BYTES)
        chunk = chunk[-_LOG_OVERLAP:] + fresh if fresh else b""
    return None


def _is_folded(head: bytes) -> bool:
    """Every line a stack with a number behind it, most of them more than one call deep."""
    lines = [line for line in head.split(b"\n")[: FOLDED_LINES + 1] if line.strip() and not line.startswith(b"#")]
    if len(lines) > 1 and (len(head) >= HEAD_BYTES or len(lines) > FOLDED_LINES):
        lines.pop()  # it may be cut
    deep = sum(b";" in line for line in lines)
    return deep * 2 > len(lines) and all(_FOLDED.fullmatch(line) for line in lines)


def _is_pprof(head: bytes) -> bool:
    """Whether a profile's fields begin here: each of its kind, and among them what a sample counts."""
    counted = 0
    try:
        for number, value in fields(head):
            if number not in (_PPROF_NUMBERS if isinstance(value, int) else _PPROF_MESSAGES):
                return False
            if number == 1 and isinstance(value, bytes):
                if any(inner not in (1, 2) or not isinstance(text, int) for inner, text in fields(value)):
                    return False
                counted += 1
    except CutShortError:
        return counted > 0  # by the end of the head, or of a file that is cut
    except ParseError:
        return False
    return counted > 0


def _read(stream: BinaryIO, size: int) -> bytes:
    """``size`` bytes, or all there are: a stream may give less at a time."""
    pieces = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


class _Rejoined(io.BytesIO):
    """A beginning that was read already, and the stream that it came from."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__(head)
        self._rest = rest

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size) or self._rest.read(-1 if size is None else size)
