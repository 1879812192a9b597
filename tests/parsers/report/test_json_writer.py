from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.report.difference import difference
from memtui_parsers.report.json_reader import SCHEMA
from memtui_parsers.report.json_writer import json_of, json_of_difference, to_json
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
from tests.fixtures.report_files import from_json

REPORT = LeakReport(
    checker="heapcheck",
    mode="draconian",
    status=ReportStatus.COMPLETE,
    argv=("./rpc_server",),
    pid=4343,
    started="2026-11-23T10:00:00Z",
    run=RunFacts(exit_code=1, seconds=12.3),
    total_bytes=417962,
    total_objects=200,
    notes=("thread stacks not found: some of these may be reachable",),
    leaks=(
        LeakRecord(
            "9f2c000000000000",
            412800,
            100,
            LeakKind.UNREACHABLE,
            (
                Frame(
                    0x55825CEEB249,
                    Module("/srv/rpc_server", "ab12"),
                    0x1249,
                    "open_session(int)",
                    "_Z12open_sessioni",
                    "server.cpp",
                    11,
                ),
                Frame(0x7F00),
            ),
        ),
    ),
)


def test_the_contract_word_for_word() -> None:
    document = json.loads(to_json(REPORT, "0.1.0"))
    stack = document["leaks"][0].pop("stack")
    assert document == {
        "schema": "memtui-report/1",
        "memtui": "0.1.0",
        "started": "2026-11-23T10:00:00Z",
        "status": "complete",
        "checker": "heapcheck",
        "mode": "draconian",
        "target": {"argv": ["./rpc_server"], "pid": 4343},
        "run": {"exit_code": 1, "signal": None, "oom_killed": False, "seconds": 12.3},
        "total": {"bytes": 417962, "objects": 200},
        "notes": ["thread stacks not found: some of these may be reachable"],
        "leaks": [{"id": "9f2c000000000000", "bytes": 412800, "objects": 100, "kind": "unreachable"}],
        "errors": [],
    }
    assert (
        stack[0].items()
        >= {
            "address": "0x55825ceeb249",
            "module": "/srv/rpc_server",
            "offset": "0x1249",
            "function": "open_session(int)",
            "file": "server.cpp",
            "line": 11,
            "inlined": False,
        }.items()
    )
    assert stack[1].items() >= dict.fromkeys(("module", "offset", "function", "file", "line")).items()


def test_a_field_that_came_later_is_passed_over() -> None:
    document = json.loads(to_json(REPORT, "9.0"))
    document["colour"] = document["leaks"][0]["age"] = document["leaks"][0]["stack"][0]["column"] = 1
    assert from_json(json.dumps(document)) == REPORT


def test_bytes_that_are_no_text_leave_valid_json() -> None:
    to_json(LeakReport("heapcheck", "normal", ReportStatus.NOT_RUN, argv=("./\udcff",)), "1").encode()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"schema": "memtui-report/1"}', '{"schema": "other"}', "[" * 100_000, b"\xff\xfe\x00"],
)
def test_what_is_no_report_is_refused(text: str | bytes) -> None:
    with pytest.raises(ParseError):
        from_json(text)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("status",), "great"),
        (("total", "bytes"), "1"),
        (("total", "bytes"), True),
        (("leaks", 0, "kind"), "lost"),
        (("leaks", 0, "stack", 0, "address"), 17),
        (("leaks", 0, "stack", 0, "address"), "0x" + "f" * 17),
        (("leaks",), 3),
        (("target",), []),
    ],
)
def test_a_wrong_value_is_refused(path: Sequence[str | int], value: object) -> None:
    document: Any = json.loads(to_json(REPORT, "1"))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(ParseError):
        from_json(json.dumps(document))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.integers(0, 2**63 - 1)
FRAMES = st.builds(
    Frame,
    address=st.integers(0, 2**64 - 1),
    module=st.none() | st.builds(Module, TEXT, TEXT),
    offset=st.none() | st.integers(0, 2**64 - 1),
    function=st.none() | TEXT,
    linkage_name=st.none() | TEXT,
    file=st.none() | TEXT,
    line=st.none() | st.integers(0, 10**7),
    inlined=st.booleans(),
)
REPORTS = st.builds(
    LeakReport,
    checker=TEXT,
    mode=TEXT,
    status=st.sampled_from(ReportStatus),
    argv=st.lists(TEXT, max_size=3).map(tuple),
    pid=st.none() | NUMBER,
    started=st.none() | TEXT,
    run=st.builds(
        RunFacts,
        st.none() | st.integers(0, 255),
        st.none() | TEXT,
        st.booleans(),
        st.none() | st.integers(0, 10**9).map(lambda n: round(n / 1000, 3)),
    ),
    total_bytes=NUMBER,
    total_objects=NUMBER,
    notes=st.lists(TEXT, max_size=3).map(tuple),
    leaks=st.lists(
        st.builds(LeakRecord, TEXT, NUMBER, NUMBER, st.sampled_from(LeakKind), st.lists(FRAMES, max_size=4).map(tuple)),
        max_size=4,
    ).map(tuple),
    errors=st.lists(
        st.builds(
            CheckerError,
            TEXT,
            TEXT,
            st.lists(FRAMES, max_size=2).map(tuple),
            st.lists(st.builds(ErrorDetail, TEXT, st.lists(FRAMES, max_size=2).map(tuple)), max_size=2).map(tuple),
            NUMBER,
        ),
        max_size=2,
    ).map(tuple),
)


@given(REPORTS)
def test_what_is_written_is_read_back(report: LeakReport) -> None:
    assert from_json(to_json(report, "0.1.0")) == report


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["leaks", "stack", "run"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(json.loads(to_json(REPORT, "1")))), JSON))
def test_mangled_reports_raise_nothing_but_parse_errors(changes: dict[str, object]) -> None:
    document = {**json.loads(to_json(REPORT, "1")), **changes, "schema": SCHEMA}
    try:
        from_json(json.dumps(document))
    except ParseError as error:
        assert error.reason


def test_a_comparison_is_a_report_with_deltas() -> None:
    (leak,) = REPORT.leaks
    gone = replace(leak, leak_id="0000", size_bytes=5162, objects=3)
    old = replace(
        REPORT, leaks=(replace(leak, size_bytes=400_000, objects=90), gone), total_bytes=405_162, notes=("x",)
    )
    found = difference(old, replace(REPORT, total_bytes=412_800))
    text = "".join(json_of_difference(found, "0.1.0"))
    document = json.loads(text)
    assert document["delta"] == {"bytes": 7_638, "objects": 7}
    assert [(entry["id"], entry["bytes"], entry["delta"]) for entry in document["leaks"]] == [
        (leak.leak_id, 412_800, {"bytes": 12_800, "objects": 10, "state": "grown"}),
        ("0000", 0, {"bytes": -5_162, "objects": -3, "state": "gone"}),
    ]
    assert document["compared"]["total"] == {"bytes": 405_162, "objects": 200}
    assert set(document["compared"]) == {"started", "status", "checker", "mode", "target", "run", "total"}
    assert from_json(text) == replace(found.joined(), notes=(*REPORT.notes, *found.notes))
    assert "delta" not in to_json(REPORT, "0.1.0")


@given(REPORTS, REPORTS)
def test_any_comparison_can_be_read_as_a_report(old: LeakReport, new: LeakReport) -> None:
    found = difference(old, new)
    read = from_json("".join(json_of_difference(found, "0.1.0")))
    assert read.leaks == found.joined().leaks


def test_two_hundred_thousand_leaks_are_written_in_seconds() -> None:
    frames = [Frame(n, Module("/m", ""), n, f"f{n}", None, "a.cpp", n) for n in range(1000)]
    leaks = tuple(
        LeakRecord(f"{n:016x}", 64, 1, LeakKind.NOT_FREED, tuple(frames[(n + k) % 1000] for k in range(5)))
        for n in range(200_000)
    )
    began = time.process_time()
    text = to_json(LeakReport("heapcheck", "draconian", ReportStatus.COMPLETE, leaks=leaks), "1")
    assert time.process_time() - began < 8.0
    assert text.count('"id"') == 200_000


def test_a_large_report_is_written_without_ever_being_one_text() -> None:
    frames = tuple(Frame(n, function=f"function_{n}", file="/src/a.cpp", line=n) for n in range(100))
    leaks = tuple(LeakRecord(f"{n:016x}", 8, 1, LeakKind.IN_USE, frames[n % 50 :]) for n in range(2000))
    report = LeakReport("memcheck", "", ReportStatus.COMPLETE, leaks=leaks)
    tracemalloc.start()
    try:
        size = sum(map(len, json_of(report, "0")))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 10_000_000 and peak_bytes < size / 20
