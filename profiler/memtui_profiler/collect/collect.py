"""Turns the files a checker left into the rows of a report. Runs in a worker process, or where a bare file is opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.formats.gperftools_heap import heap_writer
from memtui_parsers.formats.heapcheck_log import dump_pid, parse_heapcheck_log
from memtui_parsers.formats.sniff import FileKind
from memtui_parsers.values import LeakReport, ReportStatus
from memtui_profiler.checkers import checker_named, heapcheck, heapprofile
from memtui_profiler.collect.gperftools import collect_heap
from memtui_profiler.collect.guessed_frames import without_guesses
from memtui_profiler.collect.parsed import parsed_rows
from memtui_profiler.collect.report_files import (
    Opened,
    ParsedFile,
    open_report,
    parse_report_file,
    refusal,
    sniff_file,
    tell_nobody,
)
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.collect.seen import with_what_was_seen
from memtui_profiler.errors import UserError
from memtui_profiler.session.rows import ReportFacts, Row

# The name of a leak check's dump ends so (FACTS.md, "Heap checker"); any other .heap file is a snapshot of what is in use.
LEAK_DUMP_END = ("-end.heap", "-end.heap.gz", "-end.heap.zst")


def collect(request: CollectRequest, opened: Opened = tell_nobody) -> Iterator[Row]:
    """Rows of report ``request.report``: modules, frames, leaks (largest first), notes and the end; then names as they are found.

    Without a checker ``request.dump`` is a bare file, its kind is told from its contents, and the first row is a ReportFacts.
    ``opened`` is given a bare file when it is opened. Times are 0.0, the recorder fills them in.
    Raises UserError when the files are not what they should be.
    """
    checker = checker_named(request.checker)
    if not request.checker:
        yield from _bare(replace(request, bare=True), opened)
    elif checker is not None and checker.gperftools:
        yield from with_what_was_seen(request, collect_heap(request))
    else:
        yield from with_what_was_seen(request, _of_checker(request))


def _of_checker(request: CollectRequest) -> Iterator[Row]:
    """Rows of memcheck's or LeakSanitizer's report: of the file they wrote, or else of the program's output."""
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
        yield from parsed_rows(request, _without_guesses(parsed.report, request), parsed.mappings)
        return
    why = "; ".join(troubles) or f"{request.checker} left nothing"
    raise UserError("no leak report", why, "run the check again")


def _without_guesses(report: LeakReport, request: CollectRequest) -> LeakReport:
    checker = checker_named(report.checker)
    if checker is None or not checker.unwinds_by_sections:
        return report
    return without_guesses(report, request.file_finder)


def _read(path: str, request: CollectRequest) -> ParsedFile:
    sniffed = sniff_file(path)
    if error := refusal(clean(path), sniffed):
        raise error
    if path == request.log and request.pid is not None and sniffed.kind is FileKind.LSAN_LOG:
        # Child processes write to the same file; a process in a container may write another pid than we see.
        try:
            return parse_report_file(path, sniffed.kind, pid=request.pid)
        except ParseError:
            pass
    return parse_report_file(path, sniffed.kind)


def _bare(request: CollectRequest, opened: Opened) -> Iterator[Row]:
    path = request.dump or ""
    name = clean(path)
    try:
        sniffed = sniff_file(path)
        if error := refusal(name, sniffed):
            raise error
        if request.sample_type and sniffed.kind not in (FileKind.PPROF, FileKind.DHAT):
            why = f"{sniffed.kind.value}: only profiles of pprof and DHAT have sample types to choose from"
            raise UserError(f"cannot open {name}", why, "leave --sample-type out")
        if sniffed.kind is FileKind.HEAP:
            checker = (heapcheck if path.endswith(LEAK_DUMP_END) else heapprofile).CHECKER.name
            with open_report(path) as file:
                if writer := heap_writer(file.stream):
                    checker = f"{writer} heap profile"
            yield _facts(request.report, LeakReport(checker, request.mode, ReportStatus.COMPLETE))
            yield from collect_heap(replace(request, checker=checker), opened)
        elif sniffed.kind is FileKind.HEAPCHECK_LOG:
            yield from _bare_log(request, path)
        else:
            parsed = parse_report_file(path, sniffed.kind, sample_type=request.sample_type, opened=opened)
            yield _facts(request.report, parsed.report)
            yield from parsed_rows(request, _without_guesses(parsed.report, request), parsed.mappings)
    except OSError as error:
        raise UserError(f"cannot open {name}", error.strerror or str(error), "check the file") from error
    except ParseError as error:
        todo = error.todo or "give memtui the whole file as the checker wrote it"
        raise UserError(f"cannot open {name}", str(error), todo) from error


def _bare_log(request: CollectRequest, path: str) -> Iterator[Row]:
    """Rows of a log, with the dump it names if that is still there: the dump has every leak, and the mappings."""
    with open_report(path) as file:
        log = parse_heapcheck_log(file.stream)
    mode = heapcheck.DRACONIAN if log.draconian else ""
    checker = heapcheck.CHECKER.name
    argv = (log.program,) if log.program else ()
    pid = dump_pid(log.dumps[-1]) if log.dumps else None
    yield _facts(request.report, LeakReport(checker, mode, ReportStatus.COMPLETE, argv=argv, pid=pid))
    dump = next((there for named in reversed(log.dumps) if (there := _dump_beside(Path(path), named))), None)
    yield from collect_heap(replace(request, checker=checker, mode=mode, argv=argv, dump=dump, log=path))


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
