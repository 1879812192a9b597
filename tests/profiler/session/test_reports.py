"""load_report() over sessions that the real writer wrote."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from memtui_parsers.values import LeakKind, ReportStatus, RunFacts
from memtui_profiler.collect.collect import collect
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.errors import UserError
from memtui_profiler.session.reader import SessionReader, pack_stack
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import (
    Leak,
    LeakFrame,
    ModuleRow,
    ReportEnd,
    ReportNote,
    ReportRow,
    Row,
    Run,
    RunEnd,
    Symbol,
)
from memtui_profiler.session.writer import DATABASE, SessionWriter

RECORDED = Path(__file__).resolve().parents[2] / "fixtures" / "heap" / "basic.draconian.heap"
REPORT = ReportRow(at_s=9.0, run=1, pid=4343, checker="heapcheck", mode="draconian", origin="exit", path="x.heap")
RUN = Run(
    at_s=2.0,
    pid=4343,
    executable="/srv/rpc_server",
    argv='["./rpc_server", "-p", "9"]',
    cwd="/srv",
    mode="draconian",
    release_rate=None,
    allocator="tcmalloc",
    environment="{}",
    environment_names="[]",
)


def session(folder: Path, rows: Iterable[Row]) -> SessionReader:
    writer = SessionWriter(folder)
    writer.meta("started", "1795428000.0")
    for row in rows:
        writer.add(row)
    writer.commit()
    writer.close()
    return SessionReader(folder / DATABASE)


def frame(ordinal: int, module: int | None = 0) -> LeakFrame:
    offset = None if module is None else hex(0x100 + ordinal)
    return LeakFrame(
        report=1, ordinal=ordinal, address=hex(0xFFFF_F000_0000_0000 + ordinal), module=module, offset=offset
    )


def symbol(of: int, depth: int, name: str, line: int | None = None, *, inlined: bool = False) -> Symbol:
    return Symbol(
        report=1,
        frame=of,
        depth=depth,
        function=name,
        linkage_name=f"_Z{name}",
        file=line and "a.cpp",  # type: ignore[arg-type]
        line=line,
        inlined=int(inlined),
    )


def leak(size: int, *stack: int) -> Leak:
    return Leak(report=1, size_bytes=size, objects=2, kind="not-freed", stack=pack_stack(list(stack)))


MODULE = ModuleRow(report=1, ordinal=0, path="/srv/rpc_server", build_id="ab")


def test_a_report_with_the_names_so_far(tmp_path: Path) -> None:
    reader = session(
        tmp_path,
        [
            RUN,
            REPORT,
            MODULE,
            frame(0),
            frame(1, None),
            leak(100, 0, 1),
            leak(50, 1),
            ReportNote(report=1, text="a note"),
            ReportEnd(at_s=9.5, report=1, status="complete", total_bytes=150, total_objects=4),
            symbol(0, 0, "grow"),
            symbol(0, 0, "grow", 88),
            RunEnd(at_s=8.5, run=1, exit_code=1, signal=None, oom_killed=0),
        ],
    )
    report = load_report(reader, 1)
    assert (report.checker, report.mode, report.status, report.pid) == (
        "heapcheck",
        "draconian",
        ReportStatus.COMPLETE,
        4343,
    )
    assert (report.argv, report.started) == (("./rpc_server", "-p", "9"), "2026-11-23T10:00:02Z")
    assert report.run == RunFacts(exit_code=1, signal=None, oom_killed=False, seconds=6.5)
    assert (report.total_bytes, report.total_objects, report.notes) == (150, 4, ("a note",))
    first, second = report.leaks
    assert (first.size_bytes, first.objects, first.kind) == (100, 2, LeakKind.NOT_FREED)
    named, bare = first.stack
    assert (named.address, named.offset, named.function, named.file, named.line) == (
        0xFFFF_F000_0000_0000,
        0x100,
        "grow",
        "a.cpp",
        88,
    )
    assert named.module is not None and (named.module.path, named.module.build_id) == ("/srv/rpc_server", "ab")
    assert (bare.module, bare.offset, bare.function) == (None, None, None)
    assert second.stack[0] is bare
    assert first.leak_id != second.leak_id


def test_inlined_calls_stand_innermost_first(tmp_path: Path) -> None:
    rows: list[Row] = [REPORT, MODULE, frame(0), frame(1), leak(1, 0, 1)]
    rows += [symbol(0, 1, "outer", 20), symbol(0, 0, "inner", 10, inlined=True), symbol(1, 0, "main", 30)]
    (record,) = load_report(session(tmp_path, rows), 1).leaks
    assert [(f.function, f.line, f.inlined) for f in record.stack] == [
        ("inner", 10, True),
        ("outer", 20, False),
        ("main", 30, False),
    ]


def test_a_report_without_an_end_is_truncated_and_adds_up_what_is_there(tmp_path: Path) -> None:
    report = load_report(session(tmp_path, [REPORT, MODULE, frame(0), leak(70, 0), leak(30)]), 1)
    assert (report.status, report.total_bytes, report.total_objects) == (ReportStatus.TRUNCATED, 100, 4)
    assert report.leaks[1].stack == ()
    assert report.run == RunFacts()


def test_what_the_collector_yields_comes_back_whole(tmp_path: Path) -> None:
    rows = list(collect(CollectRequest(1, "heapcheck", "draconian", dump=str(RECORDED))))
    report = load_report(session(tmp_path, [REPORT, *rows]), 1)
    assert (report.total_bytes, report.total_objects) == (100_926, 118)
    assert [r.size_bytes for r in report.leaks] == sorted((r.size_bytes for r in report.leaks), reverse=True)
    assert sum(r.objects for r in report.leaks) == 118
    assert len({(r.leak_id, r.kind) for r in report.leaks}) == len(report.leaks)


def test_no_such_report(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no report 3"):
        load_report(session(tmp_path, [REPORT]), 3)


@pytest.mark.parametrize(
    "row",
    [
        Leak(report=1, size_bytes=1, objects=1, kind="lost", stack=b""),
        Leak(report=1, size_bytes=1, objects=1, kind="growth", stack=b"\1\2\3"),
        LeakFrame(report=1, ordinal=0, address="zz", module=None, offset=None),
        LeakFrame(report=1, ordinal=1 << 40, address="0x1", module=None, offset=None),
        ReportEnd(at_s=0, report=1, status="odd", total_bytes=0, total_objects=0),
    ],
)
def test_damaged_rows_are_an_error_in_words(tmp_path: Path, row: Row) -> None:
    with pytest.raises(UserError, match="damaged"):
        load_report(session(tmp_path, [REPORT, row]), 1)


def test_two_hundred_thousand_records_load_in_seconds(tmp_path: Path) -> None:
    dice = random.Random(5)
    stacks = [pack_stack(dice.choices(range(20_000), k=16)) for _ in range(200_000)]
    writer = SessionWriter(tmp_path)
    writer.add_all([REPORT])
    writer.add_all([MODULE])
    writer.add_all(frame(n) for n in range(20_000))
    writer.add_all(symbol(n, 0, f"f{n}", n + 1) for n in range(20_000))
    writer.add_all(Leak(report=1, size_bytes=64, objects=1, kind="not-freed", stack=stack) for stack in stacks)
    writer.close()
    reader = SessionReader(tmp_path / DATABASE)
    began = time.process_time()
    report = load_report(reader, 1)
    spent_s = time.process_time() - began
    assert len(report.leaks) == 200_000
    assert spent_s < 6.0, f"{spent_s:.1f} s"
