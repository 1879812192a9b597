"""One leak, one name: heapcheck, memcheck and LeakSanitizer run on the same programs, and what memtui makes of their files."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from memtui_parsers.values import LeakRecord, LeakReport
from memtui_profiler.collect.collect import collect
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import ReportRow
from memtui_profiler.session.writer import DATABASE, SessionWriter
from tests.fixtures.leaky import Built, build

TCMALLOC = "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4"
LSAN = "/usr/lib/x86_64-linux-gnu/liblsan.so.0"


def run(*command: str, **environment: str) -> None:
    subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False, timeout=120)


def memcheck(program: Path, folder: Path) -> Path:
    found = folder / "memcheck.xml"
    options = ("--leak-check=full", "--show-leak-kinds=all", "--num-callers=40", "--demangle=no", "--xml=yes")
    run("valgrind", *options, f"--xml-file={found}", str(program))
    return found


def lsan(program: Path, folder: Path) -> Path:
    options = f"symbolize=0:log_path={folder}/lsan:fast_unwind_on_malloc=0:malloc_context_size=40"
    run(str(program), LD_PRELOAD=LSAN, LSAN_OPTIONS=options)
    (found,) = folder.glob("lsan.*")
    return found


def heapcheck(program: Path, folder: Path) -> Path:
    """In the mode that lists everything not freed: a stale pointer can hide a block from normal (FACTS.md)."""
    more = {
        "TCMALLOC_STACKTRACE_METHOD": "libgcc",
        "PPROF_PATH": "/dev/null/none",
        "HEAP_CHECK_DUMP_DIRECTORY": str(folder),
    }
    run(str(program), LD_PRELOAD=TCMALLOC, HEAPCHECK="draconian", **more)
    (found,) = folder.glob("*-end.heap")
    return found


def opened(path: Path, folder: Path) -> LeakReport:
    folder.mkdir()
    writer = SessionWriter(folder, wal=False)
    writer.add(ReportRow(0.0, None, None, "", "", "file", "x"))
    for row in collect(CollectRequest(1, "", "", dump=str(path))):
        writer.add(row)
    writer.close()
    with closing(SessionReader(folder / DATABASE)) as reader:
        return load_report(reader, 1)


def planted(report: LeakReport, program: Built) -> list[LeakRecord]:
    """The records that run through a line where a leak was planted."""
    lines = {(os.path.basename(leak.file), leak.line) for leak in program.leaks}
    return [r for r in report.leaks if any((os.path.basename(f.file or ""), f.line) in lines for f in r.stack)]


@pytest.mark.parametrize(
    "name", ["basic", "optimized", "no_pie", "inlined", "templates", "shared_library", "threads", "deep"]
)
@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_the_same_leak_has_the_same_id_and_sums_whoever_found_it(name: str, tmp_path: Path) -> None:
    program = build(name)
    found = {}
    for checker in (memcheck, lsan, heapcheck):
        folder = tmp_path / checker.__name__
        folder.mkdir()
        report = opened(checker(program.path, folder), folder / "session")
        found[checker.__name__] = Counter({(r.leak_id, r.size_bytes, r.objects): 1 for r in planted(report, program)})
    assert found["memcheck"] == found["lsan"] == found["heapcheck"]
    assert sum(size for _, size, _ in found["memcheck"]) == sum(leak.bytes for leak in program.leaks)
    assert sum(objects for *_, objects in found["memcheck"]) == sum(leak.objects for leak in program.leaks)


def test_totals_are_those_that_lsan_itself_sums_up(tmp_path: Path) -> None:
    log = lsan(build("templates").path, tmp_path)
    size, objects = map(int, re.findall(r"(\d+) byte\(s\) leaked in (\d+) allocation", log.read_text())[0])
    report = opened(log, tmp_path / "session")
    assert (report.total_bytes, report.total_objects) == (size, objects)
