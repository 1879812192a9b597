"""Tells what a file is by its contents, also within gzip or zstd: a format that memtui reads, or only recognizes."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.as_written import HEAD_BYTES, Rejoined, as_written
from memtui_parsers.formats.pprof.protobuf_wire import CutShortError, fields
from memtui_parsers.formats.unpack import MAX_OUTPUT_BYTES, unpacker
from memtui_parsers.report.json_stream import read_up_to

CHUNK_BYTES = 1 << 20
# A program may print much before the checker does; a log without its words up to here is taken for another one.
LOG_SEARCH_BYTES = 256 << 20

FOLDED_LINES = 50


class FileKind(str, Enum):
    SESSION = "memtui session"
    REPORT_JSON = "memtui report in JSON"
    HEAP = "heap profile"
    HEAPCHECK_LOG = "heap checker's log"
    VALGRIND_XML = "valgrind's XML"
    VALGRIND_TEXT = "valgrind's text"
    MASSIF = "massif's profile"
    DHAT = "DHAT's profile"
    LSAN_LOG = "LeakSanitizer's log"
    PPROF = "pprof profile"
    FOLDED = "folded stacks"
    STATISTICS = "an allocator's statistics"
    HEAPTRACK = "heaptrack's data"
    EMPTY = "empty file"
    PROGRAM = "program"
    CORE = "core dump"
    OTHER = "other file"


@dataclass(frozen=True, slots=True)
class Sniffed:
    """The kind of a file. ``why_not`` and ``todo`` say why memtui does not read it and what helps; '' when it does."""

    kind: FileKind
    packed: bool = False
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
        rb"\d==.{0,10} (?:Memcheck, a memory error detector|(?:HEAP|LEAK) SUMMARY:|All heap blocks were freed"
        rb"|.{1,200} in (?:new )?loss record )",
    ),
)
_LOG_WORDS = re.compile(b"|".join(b"(" + pattern + b")" for _, pattern in _LOGS))
# Statistics of an allocator, by words of their writers; a report of leaks in the same log counts more.
_STATISTICS = re.compile(
    rb"MALLOC:[ +=]{1,20}\d{1,20} .{0,40}in use by application|_ Begin jemalloc statistics _|Allocated: \d{1,20}, active: \d"
    rb"|\"jemalloc\" ?: ?\{|<malloc version=\"|(?:system|in use) bytes {1,10}= {1,20}\d|heap stats:? {1,20}peak {1,20}total"
    rb"|jemalloc[._](?:allocated|active)(?:\b|_bytes\b)|\bused_memory:\d|\btotal\.allocated\b"
)
_STATISTICS_SIGNS = (
    b"MALLOC:", b"jemalloc", b"Allocated: ", b"<malloc version", b"in use bytes", b"heap stats", b"used_memory:",
    b"total.allocated",
)  # fmt: skip
_LOG_OVERLAP = 512
# Each pattern above contains one of these, for which a search is thirty times faster.
_LOG_SIGNS = (
    b"heap leak checker", b"No leaks found", b"detected leaks of", b"Sanitizer", b"ASan runtime", b"Processing thread",
    b"Suppressions used", b"Memcheck, a", b"LEAK SUMMARY", b"HEAP SUMMARY",
    b"loss record", b"All heap blocks",
)  # fmt: skip
_XML = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--(?:(?!-->).){0,2000}-->\s*)*<([A-Za-z_][\w.-]{0,100})", re.DOTALL
)
_HEAP = re.compile(rb"\s*(?:%[^\n]*\n\s*)*(?:---\s*symbol\s*\n|heap profile:|heap_v2/\d{1,18}\s*\n)")
_SCHEMA = re.compile(rb'"schema"\s*:\s*"memtui-report/\d+"')
_MASSIF = re.compile(rb"desc: [^\n]*\ncmd: [^\n]*\ntime_unit: ")
_DHAT = re.compile(rb"\s*\{\s*\"dhatFileVersion\"\s*:")
_FOLDED = re.compile(rb"[^\s;][^\x00-\x08]*?(;?) \d{1,18}(?:\.\d{1,18})?\r?")
# Files that are often taken for reports: first bytes, name, and how to get a report.
_KNOWN = (
    (b"BZh", "compressed by bzip2", "unpack it first: bunzip2 FILE"),
    (b"\xfd7zXZ\x00", "compressed by xz", "unpack it first: unxz FILE"),
    (b"PERFILE2", "a recording of perf, which knows no leaks", "record the heap: memtui --check profile PROGRAM"),
)
# Field numbers of profile.proto by their types; comments (13) are packed or not.
_PPROF_NUMBERS = frozenset({7, 8, 9, 10, 12, 13, 14, 15})
_PPROF_MESSAGES = frozenset({1, 2, 3, 4, 5, 6, 11, 13})
_HEAPTRACK = re.compile(rb"v [0-9a-f]{4,8}(?: [0-9a-f]{1,4})?\n[AIXx#] ")


def sniff(stream: BinaryIO) -> Sniffed:
    """Tell a file by its beginning, else by a checker's words anywhere in it. Raises OSError."""
    stream = as_written(stream)
    head = read_up_to(stream, HEAD_BYTES)
    unpack = unpacker(head)
    if unpack is None:
        return _sniff(head, stream, packed=False)
    unpacked = as_written(io.BufferedReader(unpack(Rejoined(head, stream), MAX_OUTPUT_BYTES)))
    head = read_up_to(unpacked, HEAD_BYTES)
    if not head:
        return Sniffed(FileKind.OTHER, True, "a compressed file, but damaged or empty", "get a whole copy of it")
    return _sniff(head, unpacked, packed=True)


def _sniff(head: bytes, rest: BinaryIO, *, packed: bool) -> Sniffed:
    kind = _by_head(head)
    if kind is not None:
        return Sniffed(kind, packed)
    if refusal := _refusal(head, packed):
        return refusal
    kind = _by_words(head, rest)
    if kind is None and _is_folded(head):
        kind = FileKind.FOLDED
    if kind is not None:
        return Sniffed(kind, packed)
    return Sniffed(
        FileKind.OTHER, packed, "neither a session nor the output of a leak checker that memtui knows", _TAKES
    )


def _by_head(head: bytes) -> FileKind | None:
    """The kind of a file whose first bytes leave no doubt."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    if head.startswith(b"SQLite format 3\0"):
        return FileKind.SESSION
    if _HEAP.match(text):
        return FileKind.HEAP
    if _HEAPTRACK.match(head):
        return FileKind.HEAPTRACK
    if _MASSIF.match(text):
        return FileKind.MASSIF
    if _DHAT.match(text):
        return FileKind.DHAT
    element = _XML.match(text)
    if element and element[1] == b"valgrindoutput":
        return FileKind.VALGRIND_XML
    if element and element[1] == b"malloc":
        return FileKind.STATISTICS
    if text.lstrip().startswith(b"{") and _SCHEMA.search(text):
        return FileKind.REPORT_JSON
    return FileKind.PPROF if _is_pprof(head) else None


def _refusal(head: bytes, packed: bool) -> Sniffed | None:
    """The refusal of a format that memtui recognizes and does not read."""
    if not head:
        return Sniffed(FileKind.EMPTY, packed, "empty", "run the check again")
    if head.startswith(b"\x7fELF"):
        # e_type, in the file's own byte order
        if int.from_bytes(head[16:18], "big" if head[5:6] == b"\x02" else "little") == 4:
            why = "a core dump: it holds the program's memory, but not where that was allocated"
            return Sniffed(FileKind.CORE, packed, why, "run the program under a check: memtui --check normal PROGRAM")
        return Sniffed(
            FileKind.PROGRAM, packed, "a program or library, not a report", "to launch and watch it: memtui PROGRAM"
        )
    for magic, why, todo in _KNOWN:
        if head.startswith(magic):
            return Sniffed(FileKind.OTHER, packed, why, todo)
    if element := _XML.match(head):
        why = f"XML, but not valgrind's: it begins with <{element[1].decode('ascii', 'replace')}>"
        return Sniffed(FileKind.OTHER, packed, why, _TAKES)
    return None


def _by_words(head: bytes, rest: BinaryIO) -> FileKind | None:
    """The kind of a log by a checker's first message in it, else by an allocator's statistics."""
    chunk, searched_bytes, statistics = head, 0, False
    while chunk and searched_bytes < LOG_SEARCH_BYTES:
        if any(sign in chunk for sign in _LOG_SIGNS) and (matched := _LOG_WORDS.search(chunk)):
            return _LOGS[(matched.lastindex or 1) - 1][0]
        if not statistics and any(sign in chunk for sign in _STATISTICS_SIGNS):
            statistics = _STATISTICS.search(chunk) is not None
        searched_bytes += len(chunk)
        fresh = rest.read(CHUNK_BYTES)
        chunk = chunk[-_LOG_OVERLAP:] + fresh if fresh else b""
    return FileKind.STATISTICS if statistics else None


def _is_folded(head: bytes) -> bool:
    """Whether every line is a stack and a number, and most stacks are more than one call deep."""
    lines = [line for line in head.split(b"\n")[: FOLDED_LINES + 1] if line.strip() and not line.startswith(b"#")]
    if len(lines) > 1 and (len(head) >= HEAD_BYTES or len(lines) > FOLDED_LINES):
        lines.pop()  # it may be cut
    deep = sum(b";" in line for line in lines)
    return deep * 2 > len(lines) and all(_FOLDED.fullmatch(line) for line in lines)


def _is_pprof(head: bytes) -> bool:
    """Whether a profile's fields begin here, each of the right type, with at least one sample type among them."""
    sample_types = 0
    try:
        for number, value in fields(head):
            if number not in (_PPROF_NUMBERS if isinstance(value, int) else _PPROF_MESSAGES):
                return False
            if number == 1 and isinstance(value, bytes):
                if any(inner not in (1, 2) or not isinstance(text, int) for inner, text in fields(value)):
                    return False
                sample_types += 1
    except CutShortError:
        return sample_types > 0  # the head or the file ends here
    except ParseError:
        return False
    return sample_types > 0
