"""Reads DHAT's profiles (dhat.out.PID), version 2 of the JSON that valgrind's dhat/dh_main.c describes and writes.

It counts the blocks of each stack at several times. Those in use at the global peak (t-gmax) are shown, or on demand those
in use at the end (t-end), or all that was ever allocated. The crate dhat of Rust writes the same format.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.stack_table import BEYOND, MAX_DEPTH, MAX_STEPS, StackTable
from memtui_parsers.formats.unread import Unread
from memtui_parsers.formats.valgrind.frames import Frames
from memtui_parsers.report.json_stream import EndsEarlyError, JsonStream
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus

CHECKER = "dhat"
VERSION = 2
MAX_POINTS = 1_000_000
MAX_FRAME_TEXTS = 1_000_000

_HEADER = ("dhatFileVersion", "mode", "bklt", "cmd", "pid")


class _Column(NamedTuple):
    """A column of figures: the names of its bytes and blocks in the file, and what it says."""

    bytes_key: str
    blocks_key: str
    kind: LeakKind
    words: str


COLUMNS = {
    "t-gmax": _Column("gb", "gbk", LeakKind.IN_USE, "in use at the global peak (t-gmax)"),
    "t-end": _Column("eb", "ebk", LeakKind.IN_USE, "in use at the end (t-end)"),
    "total": _Column("tb", "tbk", LeakKind.ALLOCATED, "allocated in all (total)"),
}
_USUAL = "t-gmax"


class _Reader:
    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._header: dict[str, Any] = {}
        self._frame_texts: list[str] = []
        # Of each program point: bytes and blocks of each column, and its frames.
        self._points: list[tuple[array[int], array[int]]] = []
        self._steps = 0
        self._sums = dict.fromkeys(COLUMNS, (0, 0))
        self._left_out = 0
        self._unread = Unread()
        self._is_cut = False

    def report(self, stream: BinaryIO) -> LeakReport:
        """Return the report. Raises ParseError for what is no profile of the heap by DHAT."""
        text = JsonStream(stream)
        try:
            for key in text.members():
                self._member(text, key)
        except EndsEarlyError:
            self._is_cut = True
        self._check_header()
        name = self._shown()
        table = self._table_of(name)
        total_bytes, total_objects = table.totals()
        status = ReportStatus.TRUNCATED if self._is_cut or self._left_out else ReportStatus.COMPLETE
        return LeakReport(
            checker=CHECKER,
            mode="",
            status=self._unread.status(status),
            argv=tuple(table.text(str(self._header.get("cmd", ""))).split()),
            pid=_count(self._header.get("pid")),
            total_bytes=total_bytes,
            total_objects=total_objects,
            notes=(*self._notes(name), *table.notes(), *self._unread.notes()),
            leaks=table.records(),
        )

    def _member(self, text: JsonStream, key: str) -> None:
        if key == "pps":
            for item in text.items():
                self._add_point(item)
        elif key == "ftbl":
            for item in text.items():
                if len(self._frame_texts) < MAX_FRAME_TEXTS:
                    self._frame_texts.append(item if isinstance(item, str) else "")
        else:
            value = text.value()
            if key in _HEADER and not isinstance(value, (list, dict)):
                self._header[key] = value

    def _add_point(self, item: Any) -> None:
        point = item if isinstance(item, dict) else {}
        frames = point.get("fs")
        figures = [_count(point.get(key)) for column in COLUMNS.values() for key in column[:2]]
        # Without lifetimes (bklt) only what was allocated in all is there.
        if figures[-2] is None or not isinstance(frames, list) or any(_count(n) is None for n in frames):
            self._unread.add(0, str(item)[:80])
            return
        counts = array("Q", [figure or 0 for figure in figures])
        for at, name in enumerate(COLUMNS):
            size, blocks = self._sums[name]
            self._sums[name] = size + counts[2 * at], blocks + counts[2 * at + 1]
        self._steps += len(frames)
        if len(self._points) >= MAX_POINTS or self._steps > MAX_STEPS:
            self._left_out += 1
            return
        self._points.append((counts, array("Q", frames[: MAX_DEPTH + 1])))

    def _check_header(self) -> None:
        version, mode = self._header.get("dhatFileVersion"), str(self._header.get("mode"))
        if version != VERSION:
            raise ParseError(f"DHAT's format of version {version}: memtui reads version {VERSION}")
        if "heap" not in mode:
            raise ParseError("DHAT counted no heap", excerpt=mode, todo="run it with --mode=heap, its default")
        if self._wanted and self._wanted not in COLUMNS:
            raise ParseError(f"DHAT has no such column: choose {', '.join(COLUMNS)}", excerpt=self._wanted)

    def _shown(self) -> str:
        if self._wanted:
            return self._wanted
        return _USUAL if self._header.get("bklt") is not False else "total"

    def _table_of(self, name: str) -> StackTable:
        column, at = COLUMNS[name], 2 * list(COLUMNS).index(name)
        table = StackTable()
        frames = Frames(table)
        for counts, numbers in self._points:
            if counts[at] or counts[at + 1]:
                table.add(column.kind, frames.steps(list(self._numbers(frames, numbers))), counts[at], counts[at + 1])
        return table

    def _numbers(self, frames: Frames, numbers: array[int]) -> Iterator[int]:
        """The frames of a stack, without those of the table that is missing in a file that is cut."""
        for number in numbers:
            text = self._frame_texts[number] if number < len(self._frame_texts) else ""
            if text and text != "[root]":
                frame = frames.number(text)
                yield BEYOND if frame is None else frame

    def _notes(self, shown: str) -> Iterator[str]:
        others = (f"{column.words}: {self._sums[name][0]} bytes" for name, column in COLUMNS.items() if name != shown)
        yield f"Shown: {COLUMNS[shown].words}. Not shown: {', '.join(others)} (--sample-type {' or '.join(COLUMNS)})"
        if self._is_cut:
            yield "The file ends in the middle: the names of the frames are at its end"
        if self._left_out:
            yield f"{self._left_out} stacks beyond what memtui holds are left out"


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63 else None


def parse_dhat(stream: BinaryIO, column: str = "") -> LeakReport:
    """Parse a whole profile; ``column`` is one of COLUMNS ('' for the usual). Raises ParseError for what is none."""
    return _Reader(column).report(stream)
