"""Folded stacks, ``root;caller;leaf 1234`` a line: what flamegraph.pl reads, and heaptrack_print -F writes of a heap.

The file does not say what it counts; bytes are assumed. heaptrack writes the source file behind a name, ``main (server.cpp)``,
and a ``;`` before the number.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from memtui_parsers.clean_text import LineCleaner
from memtui_parsers.errors import ParseError
from memtui_parsers.stack_table import BEYOND, StackTable
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus

CHECKER = "folded stacks"
LINE_BYTES = 1 << 18
CHUNK_BYTES = 1 << 16

_LINE = re.compile(r"(\S.*)\s(\d{1,18})(?:\.\d{1,18})?\s*", re.DOTALL)
_WITH_FILE = re.compile(r"(.*\S) \(([^()/\s]+\.[A-Za-z+]{1,4})\)", re.DOTALL)
_ADDRESS = re.compile(r"0x([0-9a-f]{1,16})")
# heaptrack_print writes calls of malloc unless told otherwise, and nothing in the file tells the two apart.
_WHAT_IT_COUNTS = (
    "The file does not say what its numbers count: they are taken for bytes in use "
    "(heaptrack_print -F writes bytes with --flamegraph-cost-type leaked or peak, else calls)"
)


class FoldedStacksParser:
    """Takes the file in chunks of any size."""

    def __init__(self) -> None:
        self._cleaner = LineCleaner(LINE_BYTES)
        self._table = StackTable()
        self._numbers: dict[str, int] = {}
        self._line = 0
        self._read = 0
        self._unread = 0
        self._first_unread: tuple[int, str] = (0, "")
        self._last_whole = True

    def feed(self, chunk: bytes) -> None:
        if chunk:
            self._last_whole = chunk.endswith(b"\n")
        for line in self._cleaner.feed(chunk):
            self._take(line)

    def finish(self) -> LeakReport:
        """Raises ParseError when no line is a stack with a number."""
        for line in self._cleaner.finish():
            self._take(line)
        if not self._read:
            number, text = self._first_unread
            reason = "no folded stacks: a line should be root;caller;leaf and a number"
            raise ParseError(reason, line=number, excerpt=text)
        total_bytes, _ = self._table.totals()
        notes = [_WHAT_IT_COUNTS, *self._table.notes()]
        if self._unread:
            number, text = self._first_unread
            notes.append(f"{self._unread} lines make no sense, the first is line {number}: {text[:80]!r}")
        if not self._last_whole:
            notes.append("The last line has no end: it may be cut")
        return LeakReport(
            checker=CHECKER,
            mode="",
            status=ReportStatus.COMPLETE if self._last_whole else ReportStatus.TRUNCATED,
            total_bytes=total_bytes,
            notes=tuple(notes),
            leaks=self._table.records(),
        )

    def _take(self, line: str) -> None:
        self._line += 1
        if not line.strip() or line.startswith("#"):
            return
        matched = _LINE.fullmatch(line)
        if matched is None:
            self._unread += 1
            if not self._first_unread[0]:
                self._first_unread = self._line, line
            return
        self._read += 1
        if int(matched[2]):
            names = [name for name in matched[1].split(";") if name]
            steps = [self._frame(name) for name in reversed(names)]
            self._table.add(LeakKind.IN_USE, steps, int(matched[2]), 0)

    def _frame(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            placed = _WITH_FILE.fullmatch(name)
            function, file = (placed[1], placed[2]) if placed else (name, "")
            address = _ADDRESS.fullmatch(function)
            number = self._table.frame(
                int(address[1], 16) if address else 0, function="" if address else function, file=file
            )
            if number != BEYOND:
                self._numbers[name] = number
        return number


def parse_folded_stacks(stream: BinaryIO) -> LeakReport:
    """Raises ParseError when it holds none."""
    parser = FoldedStacksParser()
    while chunk := stream.read(CHUNK_BYTES):
        parser.feed(chunk)
    return parser.finish()
