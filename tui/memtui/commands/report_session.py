"""Makes a session of a report file, so that the same code shows files and recordings."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

from memtui.commands.outcome import complete_reports
from memtui.session.argv import argv_in
from memtui.terminal.progress import SILENT, Progress, share_read
from memtui_parsers.errors import ParseError
from memtui_profiler.collect.collect import collect
from memtui_profiler.collect.report_files import open_report
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.errors import UserError
from memtui_profiler.gc_pause import collector_paused
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import (
    CheckerErrorRow,
    ErrorDetailRow,
    GrowthRow,
    Leak,
    LeakFrame,
    ModuleRow,
    ReportEnd,
    ReportFacts,
    ReportNote,
    ReportRow,
    Row,
    Run,
    SourceLine,
    Symbol,
    SymbolsEnd,
)
from memtui_profiler.session.writer import DATABASE, SessionWriter

# The ids of the two reports, in the order of the command line, whatever the times of the files are.
OLDER, NEWER = 1, 2

_OF_REPORT: tuple[type[Row], ...] = (
    ReportFacts,
    GrowthRow,
    ModuleRow,
    LeakFrame,
    Leak,
    CheckerErrorRow,
    ErrorDetailRow,
    ReportNote,
    ReportEnd,
    Symbol,
    SymbolsEnd,
)

# What takes long in the making of a session, by the rows that come then.
_STEPS: dict[type, str] = {
    Leak: "storing the leaks",
    ReportEnd: "looking up names",
    Symbol: "looking up names",
    SourceLine: "looking up sources",
}


class Reading(NamedTuple):
    """How files are read. ``sysroot``: where what they name is looked for. ``sample_type``: of a pprof profile, '': the best."""

    sysroot: str | None = None
    sample_type: str = ""


AS_IT_IS = Reading()


class Source(NamedTuple):
    """The place of a report: a session's database, or the file that a checker wrote."""

    path: Path
    is_session: bool = False

    @property
    def name(self) -> str:
        """The file's name; of a session the name of its folder."""
        return self.path.parent.name if self.is_session and self.path.name == DATABASE else self.path.name


def write_compared_session(
    folder: Path, older: Source, newer: Source, reading: Reading = AS_IT_IS, progress: Progress = SILENT
) -> None:
    """Write a session to ``folder`` that holds both reports. Raises UserError when one cannot be read, or is not there."""
    names = [older.name, newer.name]
    if names[0] == names[1]:
        names = [f"{name} ({which})" for name, which in zip(names, ("older", "newer"), strict=True)]
    writer = SessionWriter(folder, wal=False)
    try:
        argvs = [
            _add(writer, source, number, name, reading, progress)
            for source, number, name in zip((older, newer), (OLDER, NEWER), names, strict=True)
        ]
        writer.meta("started", repr(newer.path.stat().st_mtime))
        writer.meta("argv", json.dumps(argvs[1] or names[1:]))
        writer.meta("cwd", os.fsdecode(newer.path.parent))
        for report, argv in zip((OLDER, NEWER), argvs, strict=True):
            writer.meta(f"argv.{report}", json.dumps(argv))
    except OSError as error:
        raise UserError("cannot compare", error.strerror or str(error), "check both paths") from error
    finally:
        writer.close()


def _add(
    writer: SessionWriter, source: Source, number: int, name: str, reading: Reading, progress: Progress
) -> Sequence[str]:
    """Add one report under this name; returns the program's argv where it is known."""
    if not source.is_session:
        add_report_file(writer, source.path, number, name=name, reading=reading, progress=progress)
        return ()
    with closing(SessionReader(source.path)) as reader:
        complete = complete_reports(reader)
        if not complete:
            raise UserError(
                f"cannot compare {source.path}", "no leak report in this session", f"see `memtui open {source.path}`"
            )
        row = complete[-1]
        # Without its run: what that was like is no part of a comparison.
        identifier = writer.add(row._replace(run=None, origin="file", path=name, at_s=0.0, id=0))
        for kind in _OF_REPORT:
            writer.add_all(
                part._replace(report=identifier, id=0)  # type: ignore[call-arg]
                for part in reader.rows_of(kind, "report", row.id)
            )
        # Of a line that has changed, both texts are kept, and the newer report's is read: it is the last.
        writer.add_all(line._replace(id=0) for line in reader.rows(SourceLine))
        runs = [] if row.run is None else reader.rows_of(Run, "id", row.run)
        return argv_in(runs[0].argv if runs else reader.meta().get("argv", ""))


def write_report_session(folder: Path, report: Path, reading: Reading = AS_IT_IS, progress: Progress = SILENT) -> None:
    """Write a session to ``folder`` that holds the one report. Raises UserError when it cannot be read."""
    writer = SessionWriter(folder, wal=False)
    try:
        writer.meta("started", repr(report.stat().st_mtime))
        writer.meta("argv", json.dumps([os.fsdecode(report.name)]))
        writer.meta("cwd", os.fsdecode(report.parent))
        add_report_file(writer, report, 1, reading=reading, progress=progress)
    except OSError as error:
        raise UserError(f"cannot open {report}", error.strerror or str(error), "check the file") from error
    finally:
        writer.close()


def write_statistics_session(folder: Path, file: Path) -> None:
    """Write a session to ``folder`` that holds the statistics that an allocator has printed to a file.

    Raises UserError when they cannot be read.
    """
    from memtui_parsers.formats.allocator_statistics import parse_printed
    from memtui_profiler.collect.printed import write_printed

    try:
        with open_report(str(file)) as opened:
            printed = parse_printed(opened.stream)
    except OSError as error:
        raise UserError(f"cannot open {file}", error.strerror or str(error), "check the file") from error
    except ParseError as error:
        raise UserError(f"cannot open {file}", str(error), "give memtui all that the allocator has printed") from error
    writer = SessionWriter(folder, wal=False)
    argv, cwd = [os.fsdecode(file.name)], os.fsdecode(file.parent)
    try:
        writer.meta("started", repr(file.stat().st_mtime))
        writer.meta("argv", json.dumps(argv))
        writer.meta("cwd", cwd)
        write_printed(writer, printed, argv, cwd)
    finally:
        writer.close()


def add_report_file(
    writer: SessionWriter,
    report: Path,
    number: int,
    *,
    name: str = "",
    reading: Reading = AS_IT_IS,
    progress: Progress = SILENT,
) -> None:
    """Add what the file says as report ``number``, the next in this session; ``name``: what it is called where not by its path.

    Raises UserError, OSError.
    """

    def opened(file: BinaryIO) -> None:
        progress.say(f"reading {report.name}", share_read(file))

    request = CollectRequest(report=number, checker="", mode="", dump=str(report), **reading._asdict())
    rows = collect(request, opened)
    facts = next(rows)
    assert isinstance(facts, ReportFacts)
    given = writer.add(
        ReportRow(
            at_s=0.0,
            run=None,
            pid=facts.pid,
            checker=facts.checker,
            mode=facts.mode,
            origin="file",
            path=name or str(report),
        )
    )
    assert given == number
    writer.add(facts)
    # A statement for each of 200,000 rows costs more than the rows.
    with collector_paused():
        for kind, alike in groupby(rows, type):
            progress.say(_STEPS.get(kind, f"reading {report.name}"))
            writer.add_all(alike)
