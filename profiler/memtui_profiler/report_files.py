"""Opens what a checker wrote, also where gzip packed it, and reads it by what it turns out to be."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from memtui_parsers.errors import ParseError
from memtui_parsers.gunzip import MAGIC, Gunzip
from memtui_parsers.sniff import FileKind, Sniffed, sniff
from memtui_parsers.values import LeakReport, Mapping, ReportStatus
from memtui_profiler.debug_files import open_regular
from memtui_profiler.errors import UserError


@dataclass(frozen=True, slots=True)
class ReportFile:
    """``stream`` is what gzip packed where it did."""

    stream: BinaryIO
    packed: Gunzip | None = None

    @property
    def trouble(self) -> str:
        """Why the stream ended before the file's own end; '' where it did not."""
        return self.packed.trouble if self.packed else ""


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """``mappings`` say where the addresses of frames without a function lie, where the file has them."""

    report: LeakReport
    mappings: tuple[Mapping, ...] = ()


@contextlib.contextmanager
def open_report(path: str) -> Iterator[ReportFile]:
    """Raises OSError for what cannot be read, is empty or no regular file."""
    with open_regular(str(Path(path).absolute())) as file:
        if file.read(len(MAGIC)) != MAGIC:
            file.seek(0)
            yield ReportFile(file)
            return
        file.seek(0)
        packed = Gunzip(file)
        yield ReportFile(io.BufferedReader(packed), packed)


def sniff_file(path: str) -> Sniffed:
    """Raises OSError."""
    with open_regular(str(Path(path).absolute())) as file:
        return sniff(file)


def parse_report_file(path: str, kind: FileKind, *, pid: int | None = None) -> ParsedFile:
    """The report in a file of this kind, heap profiles and logs of the heap checker excepted; ``pid``: of a log of several.

    Raises ParseError, OSError.
    """
    with open_report(path) as file:
        parsed = _parse(file.stream, kind, pid)
        if file.trouble:
            report = parsed.report
            notes = (*report.notes, file.trouble)
            status = ReportStatus.TRUNCATED if report.status is ReportStatus.COMPLETE else report.status
            parsed = replace(parsed, report=replace(report, notes=notes, status=status))
        return parsed


def _parse(stream: BinaryIO, kind: FileKind, pid: int | None) -> ParsedFile:
    # Each is loaded where it is wanted: a collector reads one file.
    if kind is FileKind.VALGRIND_XML:
        from memtui_parsers.valgrind_xml import parse_valgrind_xml

        return ParsedFile(parse_valgrind_xml(stream))
    if kind is FileKind.VALGRIND_TEXT:
        from memtui_parsers.valgrind_text import parse_valgrind_text

        return ParsedFile(parse_valgrind_text(stream))
    if kind is FileKind.LSAN_LOG:
        from memtui_parsers.lsan_log import parse_lsan_log

        return ParsedFile(parse_lsan_log(stream, pid=pid))
    if kind is FileKind.PPROF:
        from memtui_parsers.pprof_proto import parse_pprof

        return ParsedFile(*parse_pprof(stream))
    if kind is FileKind.FOLDED:
        from memtui_parsers.folded_stacks import parse_folded_stacks

        return ParsedFile(parse_folded_stacks(stream))
    if kind is FileKind.REPORT_JSON:
        from memtui_parsers.report_json_reader import parse_report_json

        return ParsedFile(parse_report_json(stream))
    raise ParseError(f"no report: {kind.value}")


def refusal(path: str, sniffed: Sniffed) -> UserError | None:
    """Why a file cannot be opened, in words; None for one that can."""
    return UserError(f"cannot open {path}", sniffed.why_not, sniffed.todo) if sniffed.why_not else None
