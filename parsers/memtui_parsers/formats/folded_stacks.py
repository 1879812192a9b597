"""Reads folded stacks, ``root;caller;leaf 1234`` per line: the input of flamegraph.pl, which heaptrack_print -F writes.

The file does not say what it counts: bytes are assumed. heaptrack writes the source file behind a name, ``main
(server.cpp)``, and a ``;`` before the number.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from memtui_parsers.clean_text import LineCleaner
from memtui_parsers.errors import ParseError
from memtui_parsers.formats.stack_table import BEYOND, StackTable
from memtui_parsers.formats.unread import Unread
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus

CHECKER = "folded stacks"
LINE_BYTES = 1 << 18
CHUNK_BYTES = 1 << 16

_LINE = re.compile(r"(\S.*)\s(\d{1,18})(?:\.\d{1,18})?\s*", re.DOTALL)
_WITH_FILE = re.compile(r"(.*\S) \(([^()/\s]+\.[A-Za-z+]{1,4})\)", re.DOTALL)
_ADDRESS = re.compile(r"0x([0-9a-f]{1,16})")
# By default heaptrack_print counts calls of malloc, and nothing in the file tells which it is.
_UNIT_NOTE = (
    "The file does not say what its numbers count: they are taken for bytes in use "
    "(heaptrack_print -F writes bytes with --flamegraph-cost-type leaked or peak, else calls)"
)


class _Reader:
    def __init__(self) -> None:
        self._table = StackTable()
        self._numbers: dict[str, int] = {}
        self._line = 0
        self._stacks = 0
        self._unread = Unread()

    def report(self, stream: BinaryIO) -> LeakReport:
        """Return the report. Raises ParseError when no line is a stack with a number."""
        cleaner, ends_with_newline = LineCleaner(LINE_BYTES), True
        while chunk := stream.read(CHUNK_BYTES):
            ends_with_newline = chunk.endswith(b"\n")
            for line in cleaner.feed(chunk):
                self._take(line)
        for line in cleaner.finish():
            self._take(line)
        if not self._stacks:
            reason = "no folded stacks: a line should be root;caller;leaf and a number"
            raise ParseError(reason, line=self._unread.first_line, excerpt=self._unread.first_text)
        total_bytes, _ = self._table.totals()
        notes = [_UNIT_NOTE, *self._table.notes(), *self._unread.notes()]
        if not ends_with_newline:
            notes.append("The last line has no end: it may be cut")
        return LeakReport(
            checker=CHECKER,
            mode="",
            status=self._unread.status(ReportStatus.COMPLETE if ends_with_newline else ReportStatus.TRUNCATED),
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
            self._unread.add(self._line, line)
            return
        self._stacks += 1
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
    """Parse a whole file. Raises ParseError when it contains no folded stack."""
    return _Reader().report(stream)
