"""What other tools wrote, as rows of a session and back: frames, errors, names, and what may be wrong about them."""

from __future__ import annotations

import gzip
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from memtui_parsers.elf.facts import read_elf_facts
from memtui_parsers.formats.sanitizer_log import parse_lsan_log
from memtui_parsers.formats.valgrind.xml import parse_valgrind_xml
from memtui_parsers.report.json_writer import to_json
from memtui_parsers.values import (
    CheckerError,
    ErrorDetail,
    Frame,
    LeakKind,
    LeakRecord,
    LeakReport,
    Module,
    ReportStatus,
    RunFacts,
)
from memtui_profiler.collect.collect import collect
from memtui_profiler.collect.parsed import parsed_rows
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.collect.worker import BatchDecoder, encode
from memtui_profiler.errors import UserError
from memtui_profiler.session.reader import SessionReader, unpack_stack
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import (
    CheckerErrorRow,
    Leak,
    LeakFrame,
    ModuleRow,
    ReportEnd,
    ReportFacts,
    ReportNote,
    ReportRow,
    Row,
    SourceLine,
    Symbol,
)
from memtui_profiler.session.writer import DATABASE, SessionWriter
from tests.fixtures.leaky import build
from tests.fixtures.report_files import REPORTS, sample
from tests.parsers.formats.pprof.test_profile import message, number, one, text

R = TypeVar("R", bound=Row)
PROGRAM = Module("/srv/prog", "ab12")
STACK = (
    Frame(0x10, PROGRAM, 0x10, "inner", None, "a.h", 3, inlined=True),
    Frame(0x10, PROGRAM, 0x10, "outer(int)", "_Z5outeri", "a.cpp", 9),
    Frame(0x20, PROGRAM, 0x20, "main", None, "a.cpp", 20),
)


# Compilers spell its linkage name differently.
ACCEPT_PEERS = "(anonymous namespace)::accept_peers(int)"


def report_of(**more: object) -> LeakReport:
    leak = LeakRecord("x", 16, 2, LeakKind.DEFINITELY_LOST, STACK)
    report = LeakReport("memcheck", "", ReportStatus.COMPLETE, total_bytes=16, total_objects=2, leaks=(leak,))
    return replace(report, **more)  # type: ignore[arg-type]


def only(kind: type[R], rows: Sequence[Row]) -> list[R]:
    return [row for row in rows if isinstance(row, kind)]


def rows_of(report: LeakReport, checker: str = "") -> list[Row]:
    return list(parsed_rows(CollectRequest(1, checker, ""), report))


def loaded(folder: Path, rows: Iterator[Row] | Sequence[Row], checker: str = "memcheck") -> LeakReport:
    """Written to a session and read from it."""
    writer = SessionWriter(folder, wal=False)
    number = writer.add(ReportRow(0.0, None, None, checker, "", "file", "x"))
    assert number == 1
    for row in rows:
        writer.add(row)
    writer.close()
    with closing(SessionReader(folder / DATABASE)) as reader:
        return load_report(reader, 1)


def opened(folder: Path, path: Path) -> LeakReport:
    return loaded(folder, collect(CollectRequest(1, "", "", dump=str(path))), checker="")


def test_a_chain_of_inlined_calls_is_one_frame_with_many_names(tmp_path: Path) -> None:
    rows = rows_of(report_of())
    assert [(frame.address, frame.module, frame.offset) for frame in only(LeakFrame, rows)] == [
        ("0x10", 0, "0x10"),
        ("0x20", 0, "0x20"),
    ]
    assert [(row.frame, row.depth, row.function, row.inlined) for row in only(Symbol, rows)] == [
        (0, 0, "inner", 1),
        (0, 1, "outer(int)", 0),
        (1, 0, "main", 0),
    ]
    assert list(unpack_stack(only(Leak, rows)[0].stack)) == [0, 1]
    assert loaded(tmp_path, rows).leaks[0].stack == STACK


def test_errors_come_back_with_their_details(tmp_path: Path) -> None:
    error = CheckerError(
        "InvalidRead", "Invalid read of size 1", STACK, (ErrorDetail("freed", STACK[2:]), ErrorDetail("x")), 7
    )
    other = CheckerError("UninitValue", "Use of uninitialised value", STACK[2:])
    rows = rows_of(report_of(errors=(error, other)))
    assert [(row.ordinal, row.times) for row in only(CheckerErrorRow, rows)] == [(0, 7), (1, 1)]
    assert len(only(LeakFrame, rows)) == 2  # shared with the leaks
    assert loaded(tmp_path, rows).errors == (error, other)


def test_rows_pass_a_workers_pipe() -> None:
    rows = rows_of(report_of(errors=(CheckerError("K", "w", STACK),)))
    decoder = BatchDecoder()
    assert [row for batch in encode(rows) for row in decoder.feed(batch)] == rows


def test_linkage_names_are_made_readable_and_kept(tmp_path: Path) -> None:
    frame = Frame(0x10, PROGRAM, None, None, "_ZN3net7Session4openEi", "a.cpp", 5)
    (leak,) = loaded(tmp_path, rows_of(report_of(leaks=(LeakRecord("x", 1, 1, LeakKind.DIRECT, (frame,)),)))).leaks
    assert leak.stack[0] == replace(frame, function="net::Session::open(int)")


def test_hostile_texts_and_numbers_are_clean_and_fit(tmp_path: Path) -> None:
    frame = Frame(1, Module("/a\x1b]0;x\x07", "\x9b"), 2, "f\u202eg\x00", "_Z1\x1b[m", "/x\ny", 1 << 80)
    hostile = report_of(
        leaks=(LeakRecord("x", 1 << 80, 1 << 70, LeakKind.DIRECT, (frame,)),),
        errors=(CheckerError("K\x1b[1m", "w\r", (frame,), (ErrorDetail("d\x07", ()),), 1 << 70),),
        total_bytes=1 << 90,
        notes=("n\x1b[2J",),
    )
    report = loaded(tmp_path, rows_of(hostile))
    texts = [report.notes[0], report.errors[0].kind, report.errors[0].what, report.errors[0].details[0].what]
    for step in report.leaks[0].stack:
        texts += [
            text for text in (step.function, step.linkage_name, step.file, step.module and step.module.path) if text
        ]
    assert all(text.isprintable() for text in texts) and "".join(texts).isascii()
    assert report.leaks[0].size_bytes == report.total_bytes == (1 << 63) - 1


def test_a_bare_file_says_first_what_it_is() -> None:
    first, *rest = collect(CollectRequest(1, "", "", dump=str(REPORTS / "memcheck-segfault.xml")))
    assert isinstance(first, ReportFacts)
    assert (first.checker, first.argv) == ("memcheck", '["./segfault"]')
    assert only(ReportEnd, rest)[0].total_bytes == 10
    for name, checker in (
        ("pprof-native.heap", "heapprofile"),
        ("go-heap.txt", "Go heap profile"),
        ("jeprof-raw.prof", "jemalloc heap profile"),
        ("lsan-names.log", "lsan"),
        ("pprof-go.pb.gz", "pprof"),
    ):
        facts = next(collect(CollectRequest(1, "", "", dump=str(REPORTS / name))))
        assert isinstance(facts, ReportFacts) and facts.checker == checker


@pytest.mark.parametrize("name", ["memcheck-faults.xml", "memcheck-inlined.xml", "asan-leaks.log", "lsan-names.log"])
def test_a_session_holds_what_the_parser_found(name: str, tmp_path: Path) -> None:
    parse = parse_valgrind_xml if name.endswith(".xml") else parse_lsan_log
    parsed = parse(io.BytesIO(sample(name)))
    report = opened(tmp_path, REPORTS / name)
    assert (report.total_bytes, report.notes, report.status) == (parsed.total_bytes, parsed.notes, parsed.status)
    ids = [(record.leak_id, record.kind, record.size_bytes, record.objects) for record in parsed.leaks]
    assert [(r.leak_id, r.kind, r.size_bytes, r.objects) for r in report.leaks] == ids
    assert [(e.kind, e.count, len(e.details)) for e in report.errors] == [
        (e.kind, e.count, len(e.details)) for e in parsed.errors
    ]
    assert [[f.inlined for f in r.stack] for r in report.leaks] == [[f.inlined for f in r.stack] for r in parsed.leaks]


def test_a_report_in_json_comes_back_as_it_was(tmp_path: Path) -> None:
    run = RunFacts(exit_code=1, signal=None, oom_killed=False, seconds=12.5)
    report = report_of(
        pid=7, argv=("./prog", "a b"), started="2026-11-23T10:00:00Z", run=run, notes=("a note",),
        errors=(CheckerError("InvalidRead", "w", STACK, (ErrorDetail("d", STACK[2:]),), 3),),
    )  # fmt: skip
    path = tmp_path / "report.json"
    path.write_text(to_json(report, "0.1.0"))
    folder = tmp_path / "session"
    folder.mkdir()
    back = opened(folder, path)
    ids = [record.leak_id for record in back.leaks]
    assert replace(back, checker="memcheck", pid=7, leaks=tuple(replace(r, leak_id="x") for r in back.leaks)) == report
    assert len(ids) == 1 and len(ids[0]) == 16


def test_raw_offsets_are_named_from_the_file_that_ran(tmp_path: Path) -> None:
    program = build("inlined")
    log = sample("lsan-offsets.log").decode().replace("/tmp/memtui-reports/inlined", str(program.path))
    offsets = frame_offsets(program.path)
    for old, new in zip(("0x1191", "0x105d", "0x1067"), offsets, strict=True):
        log = log.replace(f"{old})", f"{new})")
    path = tmp_path / "lsan.log"
    path.write_text(log)
    session = tmp_path / "session"
    session.mkdir()
    report = opened(session, path)
    names = [[frame.function for frame in record.stack if not frame.inlined][:2] for record in report.leaks]
    assert names == [[ACCEPT_PEERS, "main"]] * 2
    module = report.leaks[0].stack[-2].module
    assert module is not None and module.build_id  # of the file that named it
    assert not any("newer" in note for note in report.notes)
    os.utime(path, (1, 1))
    again = tmp_path / "again"
    again.mkdir()
    assert any("inlined is newer than this report" in note for note in opened(again, path).notes)


def test_a_file_without_code_at_the_addresses_names_nothing(tmp_path: Path) -> None:
    program = build("inlined")
    log = sample("lsan-offsets.log").decode().replace("/tmp/memtui-reports/inlined", str(program.path))
    path = tmp_path / "lsan.log"
    path.write_text(log.replace("0x1191)", "0x7191)"))
    session = tmp_path / "session"
    session.mkdir()
    report = opened(session, path)
    why = "no names from inlined: the file has changed since it was loaded: it has no code at some of the addresses"
    assert why in report.notes
    own = [f for leak in report.leaks for f in leak.stack if f.module and f.module.path == str(program.path)]
    assert own and not any(frame.function or frame.module is None or frame.module.build_id for frame in own)


@pytest.mark.parametrize("changed", [True, False])
def test_mappings_that_know_their_build_refuse_another(tmp_path: Path, changed: bool) -> None:
    """A pprof profile of addresses alone: both builds are named where they differ, and a file that is gone is said."""
    program = build("inlined").path
    with program.open("rb") as stream:
        identity = read_elf_facts(stream).build_id
    ran = "ab" * 20 if changed else identity
    words = ("objects", "count", "space", "bytes", str(program), ran, "/gone/lib.so")
    call = 0x400000 + file_offset(program, int(frame_offsets(program)[0], 16))
    more = text(3, number(1, 1) + number(2, 0x400000) + number(3, 0x480000) + number(5, 5) + number(6, 6))
    more += text(3, number(1, 2) + number(2, 0x700000) + number(3, 0x780000) + number(5, 7))
    more += text(4, number(1, 1) + number(2, 1) + number(3, call))
    more += text(4, number(1, 2) + number(2, 2) + number(3, 0x700010))
    path = tmp_path / "profile"
    path.write_bytes(message(*words, samples=one([1, 8], [1, 2]), more=more, types=(1, 3)))
    report = opened(tmp_path, path)
    assert "no names from lib.so: No such file or directory" in report.notes
    names = [frame.function for frame in report.leaks[0].stack if not frame.inlined]
    assert names == [None if changed else ACCEPT_PEERS, None]
    why = f"the file has changed since it was loaded (build-id {identity[:12]}, what ran had {ran[:12]})"
    assert (f"no names from inlined: {why}" in report.notes) == changed


def file_offset(program: Path, address: int) -> int:
    """Where the code at a virtual address of the program is in its file."""
    with program.open("rb") as stream:
        segments = read_elf_facts(stream).segments
    return next(address - s.vaddr + s.offset for s in segments if s.vaddr <= address < s.vaddr + s.file_size)


def frame_offsets(program: Path) -> tuple[str, str, str]:
    """Where accept_peers() calls operator new, and main() calls it and invite_peers(), one byte before the return address."""
    import re
    import subprocess

    text = subprocess.run(["objdump", "-d", str(program)], capture_output=True, text=True, check=True).stdout
    calls: dict[str, list[int]] = {}
    within = ""
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if title := re.match(r"[0-9a-f]+ <(.+)>:", line):
            within = title[1]
        elif "call " in line and (after := re.match(r"\s+([0-9a-f]+):", following)):
            calls.setdefault(within, []).append(int(after[1], 16) - 1)
    (accept,) = [name for name in calls if "accept_peers" in name and "cold" not in name]
    first, second = calls["main"][:2]
    return hex(calls[accept][0]), hex(first), hex(second)


def test_a_pprof_profile_without_names_gets_them_by_its_mappings(tmp_path: Path) -> None:
    """The same addresses as the .heap it was made of: so the same stacks and names as from that."""
    both = []
    for name in ("pprof-native.pb.gz", "pprof-native.heap"):
        folder = tmp_path / name
        folder.mkdir()
        report = opened(folder, REPORTS / name)
        both.append([(r.size_bytes, r.objects, [f.address for f in r.stack]) for r in report.leaks])
    assert both[0] == both[1] and both[0]


def test_mappings_seen_in_the_run_place_what_the_report_does_not(tmp_path: Path) -> None:
    libc = "/lib/x86_64-linux-gnu/libc.so.6"
    line = f"7f0000000000-7f0000200000 r-xp 00000000 08:01 5 {libc}"
    report = report_of(
        leaks=(LeakRecord("x", 1, 1, LeakKind.DIRECT, (Frame(0x7F0000000100, function="f"), Frame(0x99))),)
    )
    rows = list(parsed_rows(CollectRequest(1, "memcheck", "", extra_maps=(line, "no line of maps")), report))
    assert [row.path for row in only(ModuleRow, rows)] == [libc]
    assert [frame.module for frame in only(LeakFrame, rows)] == [0, None]


def test_a_chain_is_the_files_whole_or_the_reports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    libc = "/lib/x86_64-linux-gnu/libc.so.6"
    line = f"7f0000000000-7f0000200000 r-xp 00000000 08:01 5 {libc}"
    chain = Frame(0x7F0000000100, function="in", inlined=True), Frame(0x7F0000000100, function="out")
    report = report_of(leaks=(LeakRecord("x", 1, 1, LeakKind.DIRECT, chain),))
    request = CollectRequest(1, "memcheck", "", extra_maps=(line,))

    def functions(*answers: Symbol) -> list[str | None]:
        monkeypatch.setattr("memtui_profiler.collect.parsed.symbolize", lambda *_args, **_more: iter(answers))
        folder = tmp_path / str(len(answers))
        folder.mkdir()
        (leak,) = loaded(folder, list(parsed_rows(request, report))).leaks
        return [frame.function for frame in leak.stack]

    name_alone = Symbol(1, 0, 0, "ns::out()", "out", None, None, 0)
    outer = Symbol(1, 0, 2, "ns::out()", "out", None, None, 0)  # made by a compiler that gave it no line
    middle = Symbol(1, 0, 1, "ns::middle()", "middle", "/a.cpp", 4, 1)
    inner = Symbol(1, 0, 0, "ns::in()", "in", "/a.cpp", 3, 1)
    assert functions(name_alone, outer, middle, inner) == ["ns::in()", "ns::middle()", "ns::out()"]
    assert functions(name_alone) == ["in", "out"]


def test_source_lines_around_named_frames_come_along(tmp_path: Path) -> None:
    source = tmp_path / "a.cpp"
    source.write_text("".join(f"line {n}\n" for n in range(1, 40)))
    frame = Frame(0x10, PROGRAM, None, "f", None, str(source), 20)
    rows = rows_of(report_of(leaks=(LeakRecord("x", 1, 1, LeakKind.DIRECT, (frame,)),)))
    assert [(row.line, row.text) for row in only(SourceLine, rows)][4] == (20, "line 20")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/bin/true", "a program"),
        ("heaptrack-summary.txt", "neither"),
        ("/dev/null", "not a regular file"),
        ("none", "No such file"),
    ],
)
def test_what_cannot_be_opened_is_said_in_words(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        list(collect(CollectRequest(1, "", "", dump=str(REPORTS / name))))


def test_a_file_that_gzip_packed_and_somebody_cut(tmp_path: Path) -> None:
    packed = gzip.compress(sample("memcheck-faults.xml"))
    path = tmp_path / "x"
    path.write_bytes(packed[:-300])
    report = opened(tmp_path, path)
    assert report.status is not ReportStatus.COMPLETE
    assert "the compressed file ends in the middle" in report.notes
    heap = tmp_path / "y.heap.gz"
    heap.write_bytes(gzip.compress(sample("pprof-native.heap")))
    folder = tmp_path / "s"
    folder.mkdir()
    assert opened(folder, heap).total_bytes == 11_072


def test_checkers_that_ran_are_read_from_what_they_left(tmp_path: Path) -> None:
    dump, log = tmp_path / "memcheck.5.xml", tmp_path / "stderr.log"
    shutil.copy(REPORTS / "memcheck-segfault.xml", dump)
    rows = list(collect(CollectRequest(1, "memcheck", "memcheck", dump=str(dump), log=str(log))))
    assert not only(ReportFacts, rows) and only(ReportEnd, rows)[0].total_bytes == 10
    log.write_bytes(b"words of the program\n" + sample("lsan-live.log"))
    rows = list(collect(CollectRequest(1, "lsan", "lsan", pid=1, dump=str(tmp_path / "gone"), log=str(log))))
    assert only(ReportEnd, rows)[0].total_bytes == 640
    log.write_bytes(b"words of the program\n")
    dump.write_bytes(b"")
    with pytest.raises(UserError, match=r"memcheck\.5\.xml: empty"):
        list(collect(CollectRequest(1, "memcheck", "memcheck", dump=str(dump), log=str(log))))
    with pytest.raises(UserError, match="lsan left nothing"):
        list(collect(CollectRequest(1, "lsan", "lsan")))


def test_notes_are_said_once() -> None:
    rows = rows_of(report_of(notes=("a", "a", "b")))
    assert [note.text for note in only(ReportNote, rows)][:2] == ["a", "b"]
