"""Turns what a checker left into the rows of a report. Runs in a worker process, or where a bare file is opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.heapcheck_log import dump_pid, parse_heapcheck_log
from memtui_parsers.sniff import FileKind
from memtui_parsers.values import LeakReport, ReportStatus
from memtui_profiler.collect_heap import DRACONIAN, HEAPPROFILE, collect_heap
from memtui_profiler.collect_parsed import parsed_rows
from memtui_profiler.collect_request import CollectRequest
from memtui_profiler.errors import UserError
from memtui_profiler.report_files import ParsedFile, open_report, parse_report_file, refusal, sniff_file
from memtui_profiler.session.rows import ReportFacts, Row

__all__ = ["HEAPPROFILE", "collect"]

HEAPCHECK = "heapcheck"
LSAN = "lsan"
# What a leak check writes ends so (FACTS.md, "Heap checker"); any other .heap file is a snapshot of what is in use.
LEAK_DUMP_END = ("-end.heap", "-end.heap.gz")


def collect(request: CollectRequest) -> Iterator[Row]:
    """Rows of report ``request.report``: modules, frames, leaks (largest first), notes and the end; then names as they come.

    With no checker named ``request.dump`` is a bare file, and what it is its contents tell: the first row is then a ReportFacts.
    Times are 0.0, the recorder fills them in. Raises UserError when what is there cannot be read as what it should be.
    """
    if not request.checker:
        yield from _bare(replace(request, bare=True))
    elif request.checker in (HEAPCHECK, HEAPPROFILE):
        yield from collect_heap(request)
    else:
        yield from _of_checker(request)


def _of_checker(request: CollectRequest) -> Iterator[Row]:
    """memcheck's and LeakSanitizer's: the file they wrote, or their words among the program's own."""
    troubles: list[str] = []
    for path in (request.dump, request.log):
        if path is None:
            continue
        try:
            parsed = _read(path, request)
        except (OSError, ParseError, UserError) as error:
            why = error.why if isinstance(error, UserError) else getattr(error, "strerror", None) or str(error)
            troubles.append(f"{clean(Path(path).name)}: {why}")
            continue
        yield from parsed_rows(request, parsed.report, parsed.mappings)
        return
    why = "; ".join(troubles) or f"{request.checker} left nothing"
    raise UserError("no leak report", why, "run the check again")


def _read(path: str, request: CollectRequest) -> ParsedFile:
    sniffed = sniff_file(path)
    if error := refusal(clean(path), sniffed):
        raise error
    if path == request.log and request.pid is not None and sniffed.kind is FileKind.LSAN_LOG:
        # Children write to the same place; one in a container knows itself by another number.
        try:
            return parse_report_file(path, sniffed.kind, pid=request.pid)
        except ParseError:
            pass
    return parse_report_file(path, sniffed.kind)


def _bare(request: CollectRequest) -> Iterator[Row]:
    path = request.dump or ""
    name = clean(path)
    try:
        sniffed = sniff_file(path)
        if error := refusal(name, sniffed):
            raise error
        if sniffed.kind is FileKind.HEAP:
            checker = HEAPCHECK if path.endswith(LEAK_DUMP_END) else HEAPPROFILE
            yield _facts(request.report, LeakReport(checker, request.mode, ReportStatus.COMPLETE))
            yield from collect_heap(replace(request, checker=checker))
        elif sniffed.kind is FileKind.HEAPCHECK_LOG:
            yield from _bare_log(request, path)
        else:
            parsed = parse_report_file(path, sniffed.kind)
            yield _facts(request.report, parsed.report)
            yield from parsed_rows(request, parsed.report, parsed.mappings)
    except OSError as error:
        raise UserError(f"cannot open {name}", error.strerror or str(error), "check the file") from error
    except ParseError as error:
        raise UserError(
            f"cannot open {name}", str(error), "give memtui the whole file as the checker wrote it"
        ) from error


def _bare_log(request: CollectRequest, path: str) -> Iterator[Row]:
    """With the dump that the log speaks of, if it is still there: it holds every leak, and what names them."""
    with open_report(path) as file:
        log = parse_heapcheck_log(file.stream)
    mode = DRACONIAN if log.draconian else ""
    argv = (log.program,) if log.program else ()
    pid = dump_pid(log.dumps[-1]) if log.dumps else None
    yield _facts(request.report, LeakReport(HEAPCHECK, mode, ReportStatus.COMPLETE, argv=argv, pid=pid))
    dump = next((found for named in reversed(log.dumps) if (found := _dump_beside(Path(path), named))), None)
    yield from collect_heap(replace(request, checker=HEAPCHECK, mode=mode, argv=argv, dump=dump, log=path))


def _dump_beside(log: Path, named: str) -> str | None:
    for path in (log.absolute().parent / Path(named).name, Path(named)):
        if path.is_absolute() and path.is_file():
            return str(path)
    return None


def _facts(report: int, of: LeakReport) -> ReportFacts:
    run = of.run
    return ReportFacts(
        report=report,
        checker=clean(of.checker),
        mode=clean(of.mode),
        pid=of.pid if of.pid is not None and 0 < of.pid < 1 << 31 else None,
        argv=json.dumps([clean(word) for word in of.argv]),
        started=None if of.started is None else clean(of.started),
        exit_code=run.exit_code if run.exit_code is not None and abs(run.exit_code) < 1 << 31 else None,
        signal=None if run.signal is None else clean(run.signal),
        oom_killed=int(run.oom_killed),
        seconds=run.seconds,
    )
