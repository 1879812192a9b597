"""Reads memcheck's XML, protocols 4 to 6 (valgrind's docs/internals/xml-output-protocol*.txt).

A file may contain several leak checks, those that the program requested and the one at its end: the last is the report,
of a file that is cut the last that has its summary (protocol 6).
The documents of protocol 6 and valgrind's code differ: it writes ``<blocks>``, where they have ``<in_blocks>``, and groups
the digits of the summary (print_results in memcheck/mc_leakcheck.c). Valgrind 3.26 leaves ``<still_reachable>`` open where
nothing is still reachable (its bug 514613).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, TypeVar

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.bounded_xml import MAX_FIELDS, BoundedXml, Fields, Grammar
from memtui_parsers.formats.stack_table import BEYOND, StackTable, physical_steps
from memtui_parsers.formats.valgrind.records import (
    KINDS,
    SUMMARY_KINDS,
    SUPPRESSED,
    Counts,
    ErrorTable,
    LeakCheck,
    direct_bytes,
    read_number,
    record_number,
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
_COUNTS: Grammar = dict.fromkeys(("bytes", "blocks", "in_blocks"), _TEXT)
_SUMMARY: Grammar = dict.fromkeys((*SUMMARY_KINDS, SUPPRESSED), _COUNTS)
# The end of valgrind 3.26's open <still_reachable>, and the longest that this can be.
_OPEN_END = re.compile(rb"(</blocks>\s{0,16})(<suppressed>)")
_OPEN_END_BYTES = 40
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


class _Reader:
    """Reads a file up to its end, or to where it is no XML any more."""

    def __init__(self) -> None:
        self._table = StackTable()
        self._errors = ErrorTable(self._table)
        self._numbers: dict[str, int] = {}
        self._check = LeakCheck(StackTable(beside=self._table))
        self._whole: LeakCheck | None = None
        self._checks = 0
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
                **dict.fromkeys(_SUMMARY, self._on_counts),
                "leak_summary": self._on_summary,
            },
            repeated="frame",
        )

    def report(self, stream: BinaryIO) -> LeakReport:
        """Return the last leak check, as far as it is complete.

        Raises ParseError for another tool's output, what is no output of valgrind, or declares a document type.
        """
        try:
            for chunk in _closed(iter(lambda: stream.read(CHUNK_BYTES), b"")):
                self._xml.feed(chunk)
            self._xml.finish()
        except ParseError as error:
            if not self._xml.started:
                raise
            self._broken = error
        protocol = self._checked_protocol()
        check = self._shown()
        check.close()
        total_bytes, total_objects = check.table.totals()
        return LeakReport(
            checker=CHECKER,
            mode="",
            status=self._status(),
            argv=self._argv,
            pid=_number(self._xml.fields, "pid"),
            total_bytes=total_bytes,
            total_objects=total_objects,
            notes=(*self._endings(protocol), *check.notes(), *self._remarks(check)),
            leaks=check.table.records(),
            errors=tuple(self._errors.values()),
        )

    def _checked_protocol(self) -> int | None:
        tool, protocol = _text(self._xml.fields, "protocoltool"), _number(self._xml.fields, "protocolversion")
        if tool not in ("", CHECKER):
            raise ParseError(
                "the output of another tool of valgrind than memcheck, which alone finds leaks",
                excerpt=tool,
                todo="run valgrind with --tool=memcheck",
            )
        if protocol is not None and protocol < OLDEST_PROTOCOL:
            raise ParseError(
                f"valgrind's protocol {protocol}, from before 2009: memtui reads {OLDEST_PROTOCOL} and newer"
            )
        return protocol

    def _status(self) -> ReportStatus:
        if not self._finished and not self._checks:
            return ReportStatus.NOT_RUN
        is_whole = self._finished and not (self._broken or self._unread or self._check.is_limited())
        return ReportStatus.COMPLETE if is_whole else ReportStatus.TRUNCATED

    def _endings(self, protocol: int | None) -> Iterator[str]:
        """Notes about the end of the run and of the file."""
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

    def _shown(self) -> LeakCheck:
        """The last check; where that is cut, the last whole one, if there is one."""
        return self._whole if self._broken and self._whole is not None and not self._check.summary else self._check

    def _remarks(self, check: LeakCheck) -> Iterator[str]:
        """Notes about what the records do not show."""
        yield from check.table.notes()
        yield from self._errors.notes()
        if check is not self._check and self._check.records:
            yield "Behind this check stands another one, which is cut"
        elif self._checks > 1:
            yield f"The file holds {self._checks} leak checks: this is the last"
        if self._unread:
            yield f"{self._unread} leaks or sums of the file have no size that can be read"
        if self._xml.values_left_out:
            yield f"{self._xml.values_left_out} values beyond the first {MAX_FIELDS // 2} of an element are left out"
        if self._suppressed:
            by_count = sorted(self._suppressed.items(), key=lambda item: -item[1])
            named = [f"{name} ({count})" for name, count in by_count[:NAMED_SUPPRESSIONS]]
            more = [f"{len(by_count) - NAMED_SUPPRESSIONS} more"] if len(by_count) > NAMED_SUPPRESSIONS else []
            yield f"Suppressed by {', '.join([*named, *more])}"

    # The handlers of the elements.

    def _on_frame(self, fields: Fields) -> int:
        key = "\0".join(fields)
        number = self._numbers.get(key)
        if number is None:
            file, folder = _text(fields, "file"), _text(fields, "dir")
            number = self._table.frame(
                # valgrind writes the byte before the return address.
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
        plain_names = {"xwhat": "what", "xauxwhat": "auxwhat"}
        plain = [
            plain_names.get(f, f) if isinstance(f, str) else f.text if isinstance(f, _Leaked) else f for f in fields
        ]
        self._errors.add(_text(fields, "unique"), kind, plain)

    def _on_leak(self, kind: LeakKind, fields: Fields) -> None:
        leaked = _value(fields, "xwhat", _Leaked)
        if leaked is None or leaked.bytes is None or leaked.blocks is None:
            self._unread += 1
            return
        record, unique = record_number(leaked.text), _hex(_text(fields, "unique"))
        if self._check.summary or not self._check.goes_on(record, unique):
            self._leave_check()
        self._begin_check()
        size_bytes = direct_bytes(leaked.text, leaked.bytes)
        self._check.indirect_bytes += leaked.bytes - size_bytes
        self._check.add(kind, _value(fields, "stack", list) or [], size_bytes, leaked.blocks, record, unique)

    def _begin_check(self) -> None:
        self._checks += not (self._check.records or self._check.summary)

    def _leave_check(self) -> None:
        if self._check.summary:
            left, self._whole = self._whole, self._check
        else:
            left = self._check
        if left is not None:
            left.table.clear_leaks()
        self._check = LeakCheck(StackTable(beside=self._table))

    def _on_status(self, fields: Fields) -> None:
        if _text(fields, "state") == "FINISHED":
            self._finished = True
            self._leave_check()

    def _on_summary(self, fields: Fields) -> None:
        if self._check.summary:
            self._leave_check()  # one that found nothing to list
        self._begin_check()
        self._check.summary = dict(zip(fields[::2], fields[1::2], strict=True))

    def _on_counts(self, fields: Fields) -> Counts:
        size = read_number(_text(fields, "bytes"))
        blocks = read_number(_text(fields, "blocks") or _text(fields, "in_blocks"))
        self._unread += size is None or blocks is None
        return Counts(size or 0, blocks or 0)

    def _on_argv(self, fields: Fields) -> None:
        self._argv = tuple(self._table.text(argument) for argument in fields[1::2])

    def _on_signal(self, fields: Fields) -> None:
        self._signal = self._table.text(_text(fields, "signame"))

    def _on_pair(self, fields: Fields) -> None:
        count, name = _number(fields, "count") or 0, self._table.text(_text(fields, "name"))
        if not name:
            self._errors.count(_text(fields, "unique"), count)
        elif name in self._suppressed or len(self._suppressed) < MAX_SUPPRESSIONS:
            self._suppressed[name] = self._suppressed.get(name, 0) + count


def parse_valgrind_xml(stream: BinaryIO) -> LeakReport:
    """Parse a whole file. Raises ParseError when it is no output of memcheck."""
    return _Reader().report(stream)


def _value(fields: Fields, name: str, kind: type[T]) -> T | None:
    """The first value of that name and type."""
    # Names and values alternate, and a value may read like a name.
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
    address = _hex(text)
    return address if address is not None and address < (1 << 64) - 1 else 0


def _hex(text: str) -> int | None:
    try:
        number = int(text[:32], 16)
    except ValueError:
        return None
    return number if number >= 0 else None


def _closed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, with an end for each <still_reachable> that valgrind 3.26 left open."""
    pending = b""
    for chunk in chunks:
        data = _OPEN_END.sub(rb"\1</still_reachable>\2", pending + chunk)
        pending = data[-_OPEN_END_BYTES:]
        yield data[:-_OPEN_END_BYTES]
    yield pending
