"""A session made from a bare report, so that a file and a recording are shown by the same code."""

from __future__ import annotations

import json
import os
from itertools import groupby
from pathlib import Path

from memtui.collector import collector_paused
from memtui_profiler.collect import collect
from memtui_profiler.collect_request import CollectRequest
from memtui_profiler.errors import UserError
from memtui_profiler.session.rows import ReportFacts, ReportRow
from memtui_profiler.session.writer import SessionWriter


def write_report_session(folder: Path, report: Path, *, sysroot: str | None = None) -> None:
    """Write a session to ``folder`` that holds the one report; ``sysroot``: where what it names is looked for.

    Raises UserError when it cannot be read.
    """
    writer = SessionWriter(folder, wal=False)
    try:
        for key, value in (
            ("started", repr(report.stat().st_mtime)),
            ("argv", json.dumps([os.fsdecode(report.name)])),
            ("cwd", os.fsdecode(report.parent)),
        ):
            writer.meta(key, value)
        add_report_file(writer, report, 1, sysroot=sysroot)
    except OSError as error:
        raise UserError(f"cannot open {report}", error.strerror or str(error), "check the file") from error
    finally:
        writer.close()


def add_report_file(
    writer: SessionWriter, report: Path, number: int, *, name: str = "", sysroot: str | None = None
) -> None:
    """Add what the file says as report ``number``, the next in this session; ``name``: what it is called where not by its path.

    Raises UserError, OSError.
    """
    rows = collect(CollectRequest(report=number, checker="", mode="", dump=str(report), sysroot=sysroot))
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
        for _, alike in groupby(rows, type):
            writer.add_all(alike)
