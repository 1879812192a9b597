"""Memcheck's leak records as text: what vgdb answers while a target runs, and logs that were saved without --xml.

The last check of a text is the report. Addresses come as valgrind keeps them, the byte before the return address; a frame of
whose module the text says nothing has that found by who knows the mappings.
"""

from __future__ import annotations

import posixpath
import re
from typing import BinaryIO

from memtui_parsers.errors import ParseError
from memtui_parsers.stack_table import StackTable, physical_steps
from memtui_parsers.valgrind_totals import direct_bytes, ungrouped
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus

CHECKER = "memcheck"
MAX_LINE_BYTES = 16 << 10
LINES_WITHOUT_A_WORD = 20_000

_KINDS = {
    "definitely lost": LeakKind.DEFINITELY_LOST,
    "indirectly lost": LeakKind.INDIRECTLY_LOST,
    "possibly lost": LeakKind.POSSIBLY_LOST,
    "still reachable": LeakKind.STILL_REACHABLE,
}
_N = r"[\d,]{1,24}(?: \([+-][\d,]{1,24}\))?"
_RECORD = re.compile(
    rf"(?P<bytes>{_N}) (?:\({_N} direct, {_N} indirect\) )?bytes in (?P<blocks>{_N}) blocks? (?:are|is) "
    rf"(?P<kind>{'|'.join(_KINDS)}) in (?:new )?loss record ([\d,]{{1,16}}) of ([\d,]{{1,16}})"
)
_LINE = re.compile(rb"==(\d{1,10})== ?(.*)", re.DOTALL)
_FRAME = re.compile(r"\s*(?:at|by) 0x([0-9A-Fa-f]{1,16}): (.*)")
_PLACE = re.compile(
    r"(?P<name>.*?) \((?:in (?P<module>.*)|(?P<file>[^():]+(?:\([^()]*\))?[^():]*):(?P<line>\d{1,9}))\)"
)
_ANSWERS = ("All heap blocks were freed", "LEAK SUMMARY:", "no leaks are possible", "Memcheck, a memory error detector")
_UNKNOWN = "???"


class ValgrindTextParser:
    """Takes the text in chunks of any size."""

    def __init__(self) -> None:
        self._table = StackTable()
        self._frames: dict[str, int] = {}
        self._addresses: dict[int, int] = {}
        self._record: tuple[LeakKind, int, int] | None = None
        self._steps: list[int] = []
        self._number = 0
        self._held = b""
        self._lines = 0
        self._long = 0
        self._spoke = False
        self._summed = False
        self._pid: int | None = None

    def feed(self, chunk: bytes) -> None:
        """Raises ParseError when valgrind has not spoken for many lines."""
        *lines, self._held = (self._held + chunk).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._held) > MAX_LINE_BYTES:
            self._held = self._held[: MAX_LINE_BYTES + 1]

    def finish(self) -> LeakReport:
        """Raises ParseError when there was no word of memcheck's leak check."""
        self._take(self._held)
        self._held = b""
        self._end_record()
        if not self._spoke:
            raise ParseError("no leak check of valgrind's memcheck is in it")
        total_bytes, total_objects = self._table.totals()
        notes = self._table.notes()
        if not self._summed:
            notes.append("The text ends before its leak summary: the program was killed, or the text is cut")
        return LeakReport(
            checker=CHECKER,
            mode="",
            status=ReportStatus.COMPLETE if self._summed else ReportStatus.TRUNCATED,
            pid=self._pid,
            total_bytes=total_bytes,
            total_objects=total_objects,
            notes=tuple(notes),
            leaks=self._table.records(),
        )

    def _take(self, line: bytes) -> None:
        self._lines += 1
        matched = _LINE.match(line[:MAX_LINE_BYTES])
        if matched is None:
            self._end_record()
            if not self._spoke and self._lines > LINES_WITHOUT_A_WORD:
                raise ParseError("no leak check of valgrind's memcheck is in it", line=self._lines, excerpt=line[:80])
            return
        self._pid = self._pid or int(matched[1])
        text = matched[2].decode("utf-8", "replace")
        if frame := _FRAME.match(text):
            if self._record is not None:
                self._steps.append(self._frame(int(frame[1], 16), frame[2]))
            return
        self._end_record()
        if record := _RECORD.search(text):
            self._begin(record, text)
        elif any(answer in text for answer in _ANSWERS):
            self._spoke = True
            self._summed = self._summed or not text.startswith("Memcheck")

    def _begin(self, record: re.Match[str], text: str) -> None:
        number = ungrouped(record[4])
        if number <= self._number:  # another check begins: it counts all anew
            self._table.clear_leaks()
            self._summed = False
        self._number, self._spoke = number, True
        size_bytes, blocks = (ungrouped(record[name].split(" ")[0]) for name in ("bytes", "blocks"))
        self._record = _KINDS[record["kind"]], direct_bytes(text, size_bytes), blocks

    def _end_record(self) -> None:
        if self._record is not None:
            kind, size_bytes, blocks = self._record
            addresses = [self._addresses.get(n, -1) for n in self._steps]
            self._table.add(kind, physical_steps(self._steps, addresses, self._table), size_bytes, blocks)
        self._record = None
        self._steps = []

    def _frame(self, address: int, text: str) -> int:
        key = f"{address:x} {text}"
        number = self._frames.get(key)
        if number is None:
            place = _PLACE.fullmatch(text)
            name = place["name"] if place else text
            module = (place["module"] if place else None) or ""
            number = self._table.frame(
                address + 1,
                module=module,
                function="" if name == _UNKNOWN else name,
                file=(place["file"] if place else None) or "",
                line=int(place["line"]) if place and place["line"] else None,
                allocator="vgpreload_" in posixpath.basename(module),
            )
            if number >= 0:
                self._frames[key] = number
                self._addresses[number] = address
        return number


def parse_valgrind_text(stream: BinaryIO) -> LeakReport:
    """Read a whole text. Raises ParseError when there is no leak check of memcheck's in it."""
    parser = ValgrindTextParser()
    while chunk := stream.read(1 << 16):
        parser.feed(chunk)
    return parser.finish()
