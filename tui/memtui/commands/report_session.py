"""A session made from a bare report, so that a file and a recording are shown by the same code."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from memtui_parsers.heapcheck_log import parse_heapcheck_log
from memtui_profiler.collect import HEAPPROFILE, collect
from memtui_profiler.collect_request import CollectRequest
from memtui_profiler.errors import UserError
from memtui_profiler.session.rows import ReportRow
from memtui_profiler.session.writer import SessionWriter

CHECKER = "heapcheck"
# What a leak check writes ends so (FACTS.md, "Heap checker"); any other .heap file is a snapshot of what is in use.
LEAK_DUMP_END = "-end.heap"


def write_report_session(folder: Path, report: Path, *, is_log: bool) -> None:
    """Write a session to ``folder`` that holds the one report. Raises UserError when it cannot be read."""
    writer = SessionWriter(folder, wal=False)
    try:
        for key, value in (
            ("started", repr(report.stat().st_mtime)),
            ("argv", json.dumps([os.fsdecode(report.name)])),
            ("cwd", os.fsdecode(report.parent)),
        ):
            writer.meta(key, value)
        add_report_file(writer, report, is_log=is_log)
    except OSError as error:
        raise UserError(f"cannot open {report}", error.strerror or str(error), "check the file") from error
    finally:
        writer.close()


def add_report_file(writer: SessionWriter, report: Path, *, is_log: bool, name: str = "") -> None:
    """Add what the file says as a report; ``name``: what it is called where not by its path. Raises UserError, OSError."""
    request = _log_request(report) if is_log else _heap_request(report)
    identifier = writer.add(
        ReportRow(
            at_s=0.0,
            run=None,
            pid=None,
            checker=request.checker,
            mode=request.mode,
            origin="file",
            path=name or request.dump or request.log or "",
        )
    )
    for row in collect(replace(request, report=identifier)):
        writer.add(row)


def _heap_request(report: Path) -> CollectRequest:
    checker = CHECKER if report.name.endswith(LEAK_DUMP_END) else HEAPPROFILE
    return CollectRequest(report=0, checker=checker, mode="", dump=str(report))


def _log_request(report: Path) -> CollectRequest:
    """With the dump that the log speaks of, if it is still there: it holds every leak, and what names them."""
    with open(report, "rb") as stream:
        log = parse_heapcheck_log(stream)
    mode = "draconian" if log.draconian else ""
    dump = next((found for named in reversed(log.dumps) if (found := _dump_beside(report, named))), None)
    return CollectRequest(
        report=0,
        checker=CHECKER,
        mode=mode,
        argv=(log.program,) if log.program else (),
        dump=None if dump is None else str(dump),
        log=str(report),
    )


def _dump_beside(report: Path, named: str) -> Path | None:
    for path in (report.parent / Path(named).name, Path(named)):
        if path.is_absolute() and path.is_file():
            return path
    return None
