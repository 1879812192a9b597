"""What valgrind's memcheck writes with --xml=yes: protocols 4, 5 and 6 (docs/internals/xml-output-protocol*.txt of valgrind).

A file may hold several leak checks, those that the program asked for and the one at its end: the last is the report.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, TypeVar

from memtui_parsers.bounded_xml import BoundedXml, Fields, Grammar
from memtui_parsers.errors import ParseError
from memtui_parsers.stack_table import BEYOND, StackTable, physical_steps
from memtui_parsers.valgrind_errors import ErrorTable
from memtui_parsers.valgrind_totals import (
    KINDS,
    SUMMARY_KINDS,
    SUPPRESSED,
    Counts,
    LeakTotals,
    Place,
    direct_bytes,
    place_in_check,
)
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus

CHECKER = "memcheck"
OLDEST_PROTOCOL = 4
NEWEST_PROTOCOL = 6
MAX_SUPPRESSIONS = 1000
NAMED_SUPPRESSIONS = 5
CHUNK_BYTES = 1 << 16

T = TypeVar("T")

_TEXT: Grammar = {}
_STACK: Grammar = {"frame": dict.fromkeys(("ip", "obj", "fn", "dir", "file", "line"), _TEXT)}
_SUMMARY: Grammar = dict.fromkeys((*SUMMARY_KINDS, SUPPRESSED), dict.fromkeys(("bytes", "in_blocks"), _TEXT))
_GRAMMAR: Grammar = {
    "protocolversion": _TEXT,
    "protocoltool": _TEXT,
    "pid": _TEXT,
    "args": {"argv": {"exe": _TEXT, "arg": _TEXT}},
    "status": {"state": _TEXT},
    "error": {
        "unique": _TEXT,
        "kind": _TEXT,
        "what": _TEXT,
        "xwhat": {"text": _TEXT, "leakedbytes": _TEXT, "leakedblocks": _TEXT},
        "stack": _STACK,
        "auxwhat": _TEXT,
        "xauxwhat": {"text": _TEXT},
    },
    "fatal_signal": {"signame": _TEXT},
    "errorcounts": {"pair": {"count": _TEXT, "unique": _TEXT}},
    "suppcounts": {"pair": {"count": _TEXT, "name": _TEXT}},
    "leak_summary": _SUMMARY,
}


class _Leaked(NamedTuple):
    text: str
    bytes: int | None
    blocks: int | None


class ValgrindXmlParser:
    """Takes the file in chunks of any size. ``done``: the rest would change nothing."""

    def __init__(self) -> None:
        self._table = StackTable()
        self._errors = ErrorTable(self._table)
        self._numbers: dict[str, int] = {}
        self._totals = LeakTotals()
        self._place = Place()
        self._checks = 0
        self._in_check = False
        self._finished = False
        self._unread = 0
        self._argv: tuple[str, ...] = ()
        self._suppressed: dict[str, int] = {}
        self._signal = ""
        self._broken: ParseError | None = None
        self._xml = BoundedXml(
            "valgrindoutput",
            _GRAMMAR,
            {
                "frame": self._on_frame,
                "stack": self._on_stack,
                "xwhat": lambda fields: _Leaked(
                    _text(fields, "text"), _number(fields, "leakedbytes"), _number(fields, "leakedblocks")
                ),
                "xauxwhat": lambda fields: _text(fields, "text"),
                "error": self._on_error,
                "argv": self._on_argv,
                "status": self._on_status,
                "fatal_signal": self._on_signal,
                "pair": self._on_pair,
                **dict.fromkeys(
                    _SUMMARY, lambda fields: Counts(_number(fields, "bytes") or 0, _number(fields, "in_blocks") or 0)
                ),
                "leak_summary": self._on_summary,
            },
            repeated="frame",
        )

    @property
    def done(self) -> bool:
        return self._broken is not None

    def feed(self, chunk: bytes) -> None:
        """Raises ParseError when this is no output of valgrind, or one that declares a document type."""
        if self._broken is None:
            try:
                self._xml.feed(chunk)
            except ParseError as error:
                self._break(error)

    def finish(self) -> LeakReport:
        """The last leak check of the file, as far as it was whole. Raises ParseError when it is none of memcheck's."""
        if self._broken is None:
            try:
                self._xml.finish()
            except ParseError as error:
                self._break(error)
        protocol = self._judge_protocol()
        total_bytes, total_objects = self._table.totals()
        unlisted = self._totals.unlisted()
        return LeakReport(
            checker=CHECKER,
            mode="",
            status=self._status(),
            argv=self._argv,
            pid=_number(self._xml.fields, "pid"),
            total_bytes=total_bytes + unlisted.bytes,
            total_objects=total_objects + unlisted.blocks,
            notes=(*self._endings(protocol), *self._totals.notes(), *self._remarks()),
            leaks=self._table.records(),
            errors=tuple(self._errors.values()),
        )

    def _break(self, error: ParseError) -> None:
        if not self._xml.started:
            raise error
        self._broken = error

    def _judge_protocol(self) -> int | None:
        tool, protocol = _text(self._xml.fields, "protocoltool"), _number(self._xml.fields, "protocolversion")
        if tool not in ("", CHECKER):
            raise ParseError(
                "the output of another tool of valgrind than memcheck, which alone finds leaks", excerpt=tool
            )
        if protocol is not None and protocol < OLDEST_PROTOCOL:
            raise ParseError(
                f"valgrind's protocol {protocol}, from before 2009: memtui reads {OLDEST_PROTOCOL} and newer"
            )
        return protocol

    def _status(self) -> ReportStatus:
        if not self._finished and not self._checks:
            return ReportStatus.NOT_RUN
        return ReportStatus.TRUNCATED if self._broken or not self._finished else ReportStatus.COMPLETE

    def _endings(self, protocol: int | None) -> Iterator[str]:
        """What became of the run and of the file."""
        if self._broken and not self._finished:
            yield "The file ends before the program did: it was killed, or still runs; valgrind looks for leaks at the end"
        elif self._broken:
            yield "The file ends before valgrind had told all that it found"
        if self._broken and "no element found" not in self._broken.reason:
            yield f"The file makes no sense from there on: {self._broken}"
        if self._signal:
            yield f"The program was ended by {self._signal}"
        if protocol is not None and protocol > NEWEST_PROTOCOL:
            yield f"valgrind's protocol {protocol} is newer than the {NEWEST_PROTOCOL} that memtui knows: some of it may be missing"

    def _remarks(self) -> Iterator[str]:
        """What the records do not show."""
        yield from self._table.notes()
        yield from self._errors.notes()
        if self._checks > 1:
            yield f"The file holds {self._checks} leak checks: this is the last"
        if self._unread:
            yield f"{self._unread} leaks of the file have no size that can be read"
        if self._suppressed:
            named = sorted(self._suppressed.items(), key=lambda item: -item[1])
            words = [f"{name} ({count})" for name, count in named[:NAMED_SUPPRESSIONS]]
            more = [f"{len(named) - NAMED_SUPPRESSIONS} more"] if len(named) > NAMED_SUPPRESSIONS else []
            yield f"Suppressed by {', '.join([*words, *more])}"

    # What the elements are made into.

    def _on_frame(self, fields: Fields) -> int:
        key = "\0".join(fields)
        number = self._numbers.get(key)
        if number is None:
            file, folder = _text(fields, "file"), _text(fields, "dir")
            number = self._table.frame(
                # The byte before the return address, which a frame has.
                _address(_text(fields, "ip")) + 1,
                module=_text(fields, "obj"),
                function=_text(fields, "fn"),
                file=posixpath.normpath(posixpath.join(folder, file)) if file and folder else file,
                line=_number(fields, "line"),
            )
            if number != BEYOND:
                self._numbers[key] = number
        return number

    def _on_stack(self, fields: Fields) -> list[int]:
        steps = fields[1::2]
        if BEYOND in steps:
            return steps
        frames = self._table.frames
        return list(physical_steps(steps, [frames[n].address for n in steps], self._table))

    def _on_error(self, fields: Fields) -> None:
        kind = _text(fields, "kind")
        if kind in KINDS:
            self._on_leak(KINDS[kind], fields)
            return
        words = {"xwhat": "what", "xauxwhat": "auxwhat"}
        plain = [words.get(f, f) if isinstance(f, str) else f.text if isinstance(f, _Leaked) else f for f in fields]
        self._errors.add(_text(fields, "unique"), kind, plain)

    def _on_leak(self, kind: LeakKind, fields: Fields) -> None:
        leaked = _value(fields, "xwhat", _Leaked)
        if leaked is None or leaked.bytes is None or leaked.blocks is None:
            self._unread += 1
            return
        place = place_in_check(leaked.text)
        # Records are numbered upwards within a check.
        if self._totals.summary or place.record <= self._place.record or place.of != self._place.of:
            self._leave_check()
        self._place = place
        self._checks += not self._in_check
        self._in_check = True
        size_bytes = direct_bytes(leaked.text, leaked.bytes)
        self._totals.hanging_bytes += leaked.bytes - size_bytes
        self._totals.add(kind, size_bytes, leaked.blocks)
        self._table.add(kind, _value(fields, "stack", list) or [], size_bytes, leaked.blocks)

    def _leave_check(self) -> None:
        self._in_check = False
        self._table.clear_leaks()
        self._totals = LeakTotals()
        self._place = Place()

    def _on_status(self, fields: Fields) -> None:
        if _text(fields, "state") == "FINISHED":
            self._finished = True
            self._leave_check()

    def _on_summary(self, fields: Fields) -> None:
        if self._totals.summary is not None:
            self._leave_check()  # one that found nothing to list
        self._totals.summary = dict(zip(fields[::2], fields[1::2], strict=True))

    def _on_argv(self, fields: Fields) -> None:
        self._argv = tuple(self._table.text(word) for word in fields[1::2])

    def _on_signal(self, fields: Fields) -> None:
        self._signal = self._table.text(_text(fields, "signame"))

    def _on_pair(self, fields: Fields) -> None:
        count, name = _number(fields, "count") or 0, self._table.text(_text(fields, "name"))
        if not name:
            self._errors.count(_text(fields, "unique"), count)
        elif name in self._suppressed or len(self._suppressed) < MAX_SUPPRESSIONS:
            self._suppressed[name] = self._suppressed.get(name, 0) + count


def parse_valgrind_xml(stream: BinaryIO) -> LeakReport:
    """The whole file. Raises ParseError when it is no output of memcheck."""
    parser = ValgrindXmlParser()
    while not parser.done and (chunk := stream.read(CHUNK_BYTES)):
        parser.feed(chunk)
    return parser.finish()


def _value(fields: Fields, name: str, kind: type[T]) -> T | None:
    """The first of that name and kind."""
    # Values stand behind their names, and a value may read like a name.
    for at in range(0, len(fields), 2):
        if fields[at] == name and isinstance(value := fields[at + 1], kind):
            return value
    return None


def _text(fields: Fields, name: str) -> str:
    return _value(fields, name, str) or ""


def _number(fields: Fields, name: str) -> int | None:
    text = _text(fields, name).strip()
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 20 else None


def _address(text: str) -> int:
    try:
        address = int(text, 16)
    except ValueError:
        return 0
    return address if 0 <= address < (1 << 64) - 1 else 0
