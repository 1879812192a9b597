"""Opens the file that a checker wrote, compressed or not, and parses it by its kind."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.as_written import as_written
from memtui_parsers.formats.sniff import FileKind, Sniffed, sniff
from memtui_parsers.formats.unpack import MAX_OUTPUT_BYTES, Unpacked, unpacker
from memtui_parsers.values import LeakReport, Mapping, ReportStatus
from memtui_profiler.errors import UserError
from memtui_profiler.files import open_regular

_MAGIC_BYTES = 4
# A recording of each allocation unpacks to many times its size, and without its end every figure would be wrong.
MAX_RECORDING_BYTES = 1 << 36


# Is given a report's file when it is opened.
Opened = Callable[[BinaryIO], None]


def tell_nobody(_file: BinaryIO) -> None:
    """What ``opened`` is where nobody wants to know."""


@dataclass(frozen=True, slots=True)
class ReportFile:
    """An open report. ``stream`` is unpacked; ``packed`` what unpacks it, if the file is compressed."""

    stream: BinaryIO
    packed: Unpacked | None = None

    @property
    def trouble(self) -> str:
        """The reason why the stream ended before the file; '' where it did not."""
        return self.packed.trouble if self.packed else ""


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """``mappings`` are those in the file, if it has any; they place frames without a function."""

    report: LeakReport
    mappings: tuple[Mapping, ...] = ()


@contextlib.contextmanager
def open_report(path: str, most_bytes: int = MAX_OUTPUT_BYTES, opened: Opened = tell_nobody) -> Iterator[ReportFile]:
    """Open a report for reading with read(); ``opened`` is given the file itself, to see how far it is read.

    Raises OSError when it cannot be read, is empty or no regular file.
    """
    with open_regular(str(Path(path).absolute())) as file:
        opened(file)
        unpack = unpacker(file.read(_MAGIC_BYTES))
        file.seek(0)
        if unpack is None:
            yield ReportFile(as_written(file))
            return
        packed = unpack(file, most_bytes)
        yield ReportFile(as_written(io.BufferedReader(packed)), packed)


def sniff_file(path: str) -> Sniffed:
    """The kind of a file, by its contents. Raises OSError."""
    with open_regular(str(Path(path).absolute())) as file:
        return sniff(file)


def parse_report_file(
    path: str, kind: FileKind, *, pid: int | None = None, sample_type: str = "", opened: Opened = tell_nobody
) -> ParsedFile:
    """The report in a file of this kind; not for heap profiles and logs of the heap checker (see gperftools).

    ``pid`` picks one process of a log that several wrote, ``sample_type`` one column of a profile of pprof or DHAT.
    Raises ParseError, OSError.
    """
    most_bytes = MAX_RECORDING_BYTES if kind is FileKind.HEAPTRACK else MAX_OUTPUT_BYTES
    with open_report(path, most_bytes, opened) as file:
        parsed = _parse(file.stream, kind, pid, sample_type)
        if file.trouble:
            report = parsed.report
            notes = (*report.notes, file.trouble)
            status = ReportStatus.TRUNCATED if report.status is ReportStatus.COMPLETE else report.status
            parsed = replace(parsed, report=replace(report, notes=notes, status=status))
        return parsed


def _parse(stream: BinaryIO, kind: FileKind, pid: int | None, sample_type: str) -> ParsedFile:
    # A collector reads one file, so that each parser is loaded only where it is needed.
    if kind is FileKind.VALGRIND_XML:
        from memtui_parsers.formats.valgrind.xml import parse_valgrind_xml

        return ParsedFile(parse_valgrind_xml(stream))
    if kind is FileKind.VALGRIND_TEXT:
        from memtui_parsers.formats.valgrind.text import parse_valgrind_text

        return ParsedFile(parse_valgrind_text(stream, pid=pid))
    if kind is FileKind.MASSIF:
        from memtui_parsers.formats.valgrind.massif import parse_massif

        return ParsedFile(parse_massif(stream))
    if kind is FileKind.DHAT:
        from memtui_parsers.formats.valgrind.dhat import parse_dhat

        return ParsedFile(parse_dhat(stream, sample_type))
    if kind is FileKind.LSAN_LOG:
        from memtui_parsers.formats.sanitizer_log import parse_lsan_log

        return ParsedFile(parse_lsan_log(stream, pid=pid))
    if kind is FileKind.PPROF:
        from memtui_parsers.formats.pprof.profile import parse_pprof

        return ParsedFile(*parse_pprof(stream, sample_type))
    if kind is FileKind.FOLDED:
        from memtui_parsers.formats.folded_stacks import parse_folded_stacks

        return ParsedFile(parse_folded_stacks(stream))
    if kind is FileKind.HEAPTRACK:
        from memtui_parsers.formats.heaptrack import parse_heaptrack

        return ParsedFile(parse_heaptrack(stream))
    if kind is FileKind.REPORT_JSON:
        from memtui_parsers.report.json_reader import parse_report_json

        return ParsedFile(parse_report_json(stream))
    raise ParseError(f"no report: {kind.value}")


def refusal(path: str, sniffed: Sniffed) -> UserError | None:
    """The error for a file of a kind that cannot be opened; None for one that can."""
    return UserError(f"cannot open {path}", sniffed.why_not, sniffed.todo) if sniffed.why_not else None
