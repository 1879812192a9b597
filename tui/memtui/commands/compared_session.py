"""A session made of the reports of two others, or of two files, so that one code shows a comparison and a recording."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from memtui.commands.report_session import add_report_file
from memtui_profiler.errors import UserError
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import (
    CheckerErrorRow,
    ErrorDetailRow,
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

# The ids that the reports get: the order is the one in which they were named, whatever their files' times say.
OLDER, NEWER = 1, 2

_OF_REPORT: tuple[type[Row], ...] = (
    ReportFacts,
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


class Source(NamedTuple):
    """Where a report is: a session's database, or the file that a checker wrote."""

    path: Path
    is_session: bool = False

    @property
    def name(self) -> str:
        """A session goes by its folder's name."""
        return self.path.parent.name if self.is_session and self.path.name == DATABASE else self.path.name


def write_compared_session(folder: Path, older: Source, newer: Source, *, sysroot: str | None = None) -> None:
    """Write a session to ``folder`` that holds both reports; ``sysroot``: where what a file names is looked for.

    Raises UserError when one cannot be read, or is not there.
    """
    names = [older.name, newer.name]
    if names[0] == names[1]:
        names = [f"{name} ({which})" for name, which in zip(names, ("older", "newer"), strict=True)]
    writer = SessionWriter(folder, wal=False)
    try:
        argvs = [
            _add(writer, source, number, name, sysroot)
            for source, number, name in zip((older, newer), (OLDER, NEWER), names, strict=True)
        ]
        for key, value in (
            ("started", repr(newer.path.stat().st_mtime)),
            ("argv", json.dumps(argvs[1] or names[1:])),
            ("cwd", os.fsdecode(newer.path.parent)),
            *((f"argv.{report}", json.dumps(argv)) for report, argv in zip((OLDER, NEWER), argvs, strict=True)),
        ):
            writer.meta(key, value)
    except OSError as error:
        raise UserError("cannot compare", error.strerror or str(error), "check both paths") from error
    finally:
        writer.close()


def _add(writer: SessionWriter, source: Source, number: int, name: str, sysroot: str | None) -> Sequence[str]:
    """Add one report under this name; returns the program's argv where it is known."""
    if not source.is_session:
        add_report_file(writer, source.path, number, name=name, sysroot=sysroot)
        return ()
    with closing(SessionReader(source.path)) as reader:
        ended = {end.report for end in reader.rows(ReportEnd)}
        row = next((row for row in reversed(reader.rows(ReportRow)) if row.id in ended), None)
        if row is None:
            raise UserError(
                f"cannot compare {source.path}", "no leak report in this session", f"see `memtui open {source.path}`"
            )
        # Without its run: what that was like is no part of a comparison.
        identifier = writer.add(row._replace(run=None, origin="file", path=name, at_s=0.0, id=0))
        for kind in _OF_REPORT:
            writer.add_all(
                found._replace(report=identifier, id=0)  # type: ignore[call-arg]
                for found in reader.rows_of(kind, "report", row.id)
            )
        # Of a line that has changed, both texts are kept, and the newer report's is read: it is the last.
        writer.add_all(line._replace(id=0) for line in reader.rows(SourceLine))
        runs = [] if row.run is None else reader.rows_of(Run, "id", row.run)
        return _argv(runs[0].argv if runs else reader.meta().get("argv", "[]"))


def _argv(text: str) -> list[str]:
    try:
        words = json.loads(text)
    except ValueError:
        return []
    return [str(word) for word in words] if isinstance(words, list) else []
