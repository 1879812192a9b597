"""The collector over real dumps of real programs, and over what hostile ones could leave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from memtui_profiler.collect.collect import collect
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.collect.worker import BatchDecoder, encode
from memtui_profiler.errors import UserError
from memtui_profiler.helper_process import helper_command
from memtui_profiler.session.reader import unpack_stack
from memtui_profiler.session.rows import (
    Leak,
    LeakFrame,
    ModuleRow,
    ReportEnd,
    ReportNote,
    Row,
    SourceLine,
    Symbol,
    SymbolsEnd,
)
from tests.fixtures.leaky import build

ROOT = Path(__file__).resolve().parents[3]
RECORDED = ROOT / "tests" / "fixtures" / "heap" / "basic.draconian.heap"
TCMALLOC = "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4"

R = TypeVar("R", bound=Row)


def checked(program: Path, folder: Path, *arguments: str, mode: str = "draconian") -> CollectRequest:
    """Run ``program`` under the checker, and ask for what it left."""
    environment = {
        **os.environ,
        "HEAPCHECK": mode,
        "HEAP_CHECK_DUMP_DIRECTORY": str(folder),
        "LD_PRELOAD": TCMALLOC,
        "PPROF_PATH": "/dev/null/none",
        "TCMALLOC_STACKTRACE_METHOD": "libgcc",
    }
    log = folder / "stderr.log"
    with log.open("wb") as out:
        subprocess.run([program, *arguments], env=environment, stdout=out, stderr=out, check=False, timeout=60)
    dump = next(iter(folder.glob("*.heap")), None)
    return CollectRequest(7, "heapcheck", mode, dump=str(dump) if dump else None, log=str(log))


def only(kind: type[R], rows: Iterable[object]) -> list[R]:
    return [row for row in rows if isinstance(row, kind)]


def by_line(rows: Sequence[Row]) -> Counter[tuple[str, int]]:
    """(objects, bytes) summed by each source line that a leak's stack runs through."""
    lines = {s.frame: f"{s.file}:{s.line}" for s in only(Symbol, rows) if s.line}
    found: Counter[tuple[str, int]] = Counter()
    for leak in only(Leak, rows):
        for place in {lines[n] for n in unpack_stack(leak.stack) if n in lines}:
            found[place, 0] += leak.objects
            found[place, 1] += leak.size_bytes
    return found


PROGRAMS = ["basic", "no_pie", "optimized", "separate_debug", "shared_library", "templates", "threads", "deep"]


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_every_planted_line_is_named_with_its_sums(name: str, tmp_path: Path) -> None:
    program = build(name)
    rows = list(collect(checked(program.path, tmp_path)))
    sums = by_line(rows)
    for leak in program.leaks:
        place = f"{leak.file}:{leak.line}"
        assert (sums[place, 0], sums[place, 1]) == (leak.objects, leak.bytes)


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_totals_and_order_are_those_of_the_dump(tmp_path: Path) -> None:
    request = checked(build("basic").path, tmp_path)
    rows = list(collect(request))
    assert request.dump
    header = Path(request.dump).read_text().split("\n", 1)[0].split()
    (end,) = only(ReportEnd, rows)
    assert (end.total_objects, end.total_bytes, end.status) == (int(header[2][:-1]), int(header[3]), "complete")
    leaks = only(Leak, rows)
    assert sum(leak.size_bytes for leak in leaks) == end.total_bytes
    assert [leak.size_bytes for leak in leaks] == sorted((leak.size_bytes for leak in leaks), reverse=True)
    assert {leak.kind for leak in leaks} == {"not-freed"}
    kinds = list(dict.fromkeys(type(row) for row in rows if not isinstance(row, ReportNote)))
    assert kinds == [ModuleRow, LeakFrame, Leak, ReportEnd, Symbol, SourceLine, SymbolsEnd]
    assert {row.report for row in only(Leak, rows)} == {7}
    assert all(module.build_id for module in only(ModuleRow, rows))


@pytest.mark.heap_checker
def test_allocator_frames_are_gone_from_the_leaf_end(tmp_path: Path) -> None:
    rows = list(collect(checked(build("basic").path, tmp_path)))
    modules = {m.ordinal: m.path for m in only(ModuleRow, rows)}
    frames = {f.ordinal: f for f in only(LeakFrame, rows)}
    for leak in only(Leak, rows):
        stack = unpack_stack(leak.stack)
        module = frames[stack[0]].module if stack else None
        assert module is None or "tcmalloc" not in modules[module]


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_what_the_libraries_keep_for_themselves_is_told_apart(tmp_path: Path) -> None:
    program = build("basic")
    rows = list(collect(checked(program.path, tmp_path)))
    (note,) = [row.text for row in only(ReportNote, rows) if "system libraries" in row.text]
    (end,) = only(ReportEnd, rows)
    planted_bytes, planted = sum(leak.bytes for leak in program.leaks), sum(leak.objects for leak in program.leaks)
    own = f"{end.total_bytes - planted_bytes} bytes in {end.total_objects - planted} objects"
    assert note.startswith(own)


@pytest.mark.heap_checker
def test_normal_mode_finds_unreachable_blocks(tmp_path: Path) -> None:
    rows = list(collect(checked(build("basic").path, tmp_path, mode="normal")))
    assert {leak.kind for leak in only(Leak, rows)} == {"unreachable"}


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_an_unloaded_plugin_is_named_from_earlier_maps(tmp_path: Path) -> None:
    program = build("plugin")
    kept, unloaded = tmp_path / "kept", tmp_path / "unloaded"
    kept.mkdir()
    unloaded.mkdir()
    # setarch -R: the same addresses twice, so that one run's dump is the other's earlier maps.
    runs = [checked(Path("/usr/bin/setarch"), kept, "-R", str(program.path), "keep")]
    runs.append(checked(Path("/usr/bin/setarch"), unloaded, "-R", str(program.path)))
    dumps = [max(folder.glob("plugin.*.heap")) for folder in (kept, unloaded)]
    maps = tuple(dumps[0].read_text().split("MAPPED_LIBRARIES:\n")[1].splitlines())
    alone = list(collect(CollectRequest(1, "heapcheck", "draconian", dump=str(dumps[1]))))
    assert any("unloaded library" in note.text for note in only(ReportNote, alone))
    rows = list(collect(CollectRequest(1, "heapcheck", "draconian", dump=str(dumps[1]), extra_maps=maps)))
    sums = by_line(rows)
    for leak in program.leaks:
        assert sums[f"{leak.file}:{leak.line}", 0] == leak.objects
    assert any("libleaky.so was unloaded" in note.text for note in only(ReportNote, rows))


def test_a_program_deleted_meanwhile_stays_unnamed_and_is_said(tmp_path: Path) -> None:
    dump = tmp_path / "gone.heap"
    dump.write_bytes(RECORDED.read_bytes().replace(b"/basic\n", b"/basic (deleted)\n"))
    rows = list(collect(CollectRequest(1, "heapcheck", "draconian", dump=str(dump))))
    assert any("basic was deleted or replaced" in note.text for note in only(ReportNote, rows))
    (end,) = only(ReportEnd, rows)
    assert (end.total_bytes, end.status) == (100_926, "complete")


def test_a_cut_dump_is_truncated_and_keeps_what_it_has(tmp_path: Path) -> None:
    dump = tmp_path / "cut.heap"
    dump.write_bytes(RECORDED.read_bytes()[:2000])
    rows = list(collect(CollectRequest(1, "heapcheck", "draconian", dump=str(dump))))
    (end,) = only(ReportEnd, rows)
    assert end.status == "truncated"
    assert 0 < end.total_bytes == sum(leak.size_bytes for leak in only(Leak, rows))
    assert any("the dump is cut" in note.text for note in only(ReportNote, rows))


def test_hostile_paths_reach_the_session_clean(tmp_path: Path) -> None:
    dump = tmp_path / "hostile.heap"
    dump.write_bytes(
        b"heap profile: 1: 1 [1: 1] @ heapprofile\n1: 1 [1: 1] @ 0x1800 0x10\n\nMAPPED_LIBRARIES:\n"
        b"1000-2000 r-xp 00000000 08:01 5 /srv/\x1b]0;owned\x07\xff\xe2\x80\xaeevil\n"
    )
    rows = list(collect(CollectRequest(1, "heapcheck", "normal", dump=str(dump))))
    (module,) = only(ModuleRow, rows)
    assert module.path == "/srv/\ufffdevil"
    assert all(note.text.isprintable() for note in only(ReportNote, rows))


def test_counts_beyond_sqlites_are_clamped(tmp_path: Path) -> None:
    dump = tmp_path / "large.heap"
    line = b"999999999999999999: 999999999999999999 [1: 1] @ 0x10\n"
    dump.write_bytes(b"heap profile: 1: 1 [1: 1] @ heapprofile\n" + line * 100)
    rows = list(collect(CollectRequest(1, "heapcheck", "normal", dump=str(dump))))
    assert [leak.size_bytes for leak in only(Leak, rows)] == [2**63 - 1]


@pytest.mark.heap_checker
def test_no_leaks_is_a_complete_report_with_the_caveat(tmp_path: Path) -> None:
    request = checked(build("no_leak").path, tmp_path, mode="normal")
    assert request.dump is None
    rows = list(collect(request))
    (end,) = only(ReportEnd, rows)
    assert (end.status, end.total_objects) == ("complete", 0)
    assert any("no proof" in note.text for note in only(ReportNote, rows))


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_without_a_dump_the_log_is_the_report(tmp_path: Path) -> None:
    request = checked(build("basic").path, tmp_path)
    rows = list(collect(CollectRequest(1, "heapcheck", "draconian", log=request.log)))
    assert only(Leak, rows)[0].objects == 100
    assert only(ReportEnd, rows)[0].total_objects == 118


@pytest.mark.heap_checker
def test_a_dump_that_is_gone_is_said_and_the_log_stands_in(tmp_path: Path) -> None:
    request = checked(build("basic").path, tmp_path)
    rows = list(collect(CollectRequest(1, "heapcheck", "draconian", dump=str(tmp_path / "none"), log=request.log)))
    assert "cannot be read" in only(ReportNote, rows)[0].text
    assert only(Leak, rows)[0].objects == 100


def test_neither_dump_nor_log_is_an_error_in_words(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.heap"
    os.mkfifo(fifo)
    for dump in (str(fifo), str(tmp_path / "none"), "/etc/passwd", None):
        with pytest.raises(UserError):
            list(collect(CollectRequest(1, "heapcheck", "normal", dump=dump)))


def test_a_request_survives_json() -> None:
    request = CollectRequest(
        3, "heapcheck", "as-is", 5, ("./a", "\udcff"), "/d", None, "/proc/5/root", ("1-2 /\udcfe",)
    )
    assert CollectRequest.from_json(request.to_json()) == request


def worker(request: str) -> subprocess.CompletedProcess[bytes]:
    command = helper_command("memtui_profiler.collect.worker", "memtui-collector")
    return subprocess.run(command, input=request.encode(), capture_output=True, check=False, timeout=60)


@pytest.mark.heap_checker
def test_the_worker_sends_the_rows_of_collect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = checked(build("basic").path, tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of the worker"))  # names from a cache come in another order
    done = worker(request.to_json())
    assert (done.returncode, done.stderr) == (0, b"")
    decoder = BatchDecoder()
    rows: list[Row | UserError] = []
    for start in range(0, len(done.stdout), 1000):
        rows += decoder.feed(done.stdout[start : start + 1000])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of collect"))
    assert rows == list(collect(request))


def test_the_workers_failure_is_words_at_the_end(tmp_path: Path) -> None:
    shutil.copy("/etc/hostname", tmp_path / "x.heap")
    done = worker(CollectRequest(1, "heapcheck", "normal", dump=str(tmp_path / "x.heap")).to_json())
    (failure,) = BatchDecoder().feed(done.stdout)
    assert isinstance(failure, UserError)
    assert (failure.what, done.returncode, done.stderr) == ("no leak report", 1, b"")
    assert "cannot be read: line 1" in failure.why


def test_batches_are_bounded_and_break_at_the_reports_end() -> None:
    notes: list[Row] = [ReportNote(report=1, text=str(n)) for n in range(1200)]
    end = ReportEnd(at_s=0.0, report=1, status="complete", total_bytes=1, total_objects=1)
    batches = list(encode([*notes, end, notes[0]]))
    decoded = [BatchDecoder().feed(batch) for batch in batches]
    assert max(map(len, decoded)) <= 500
    assert [row for rows in decoded for row in rows] == [*notes, end, notes[0]]
    assert end in decoded[-2]


@pytest.mark.parametrize(
    "junk", [b"\xff\xff\xff\xff", b"\x02\x00\x00\x00zz", b"\x05\x00\x00\x00" + b"\xe9\x01\x00\x00\x00"]
)
def test_bytes_that_are_no_batches_are_refused(junk: bytes) -> None:
    with pytest.raises(ValueError):
        BatchDecoder().feed(junk + b"\0" * 8)


def test_the_request_is_plain_json() -> None:
    assert json.loads(CollectRequest(1, "heapcheck", "normal").to_json())["extra_maps"] == []
