"""DHAT's profiles, as valgrind 3.19 wrote one, and others of the same format."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.valgrind.dhat import parse_dhat
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus
from tests.fixtures.report_files import sample

POINT = {"tb": 90, "tbk": 9, "tl": 1, "mb": 50, "mbk": 5, "gb": 40, "gbk": 4, "eb": 10, "ebk": 1, "fs": [1, 2]}
FRAMES = [
    "[root]",
    "0x48: malloc (in /usr/libexec/valgrind/vgpreload_dhat-amd64-linux.so)",
    "0x10: a::f (src/main.rs:5:9)",
]


def parsed(points: list[Any], column: str = "", **header: Any) -> LeakReport:
    fields = {
        "dhatFileVersion": 2,
        "mode": "heap",
        "verb": "Allocated",
        "bklt": True,
        "cmd": "./a b",
        "pid": 7,
        **header,
    }
    text = json.dumps({**fields, "pps": points, "ftbl": FRAMES})
    return parse_dhat(io.BytesIO(text.encode()), column)


def test_a_real_profile() -> None:
    report = parse_dhat(io.BytesIO(sample("dhat.json")))
    assert (report.total_bytes, report.total_objects, report.status) == (25_684, 19, ReportStatus.COMPLETE)
    largest = report.leaks[0]
    assert (largest.size_bytes, largest.objects, largest.kind) == (20_000, 1, LeakKind.IN_USE)
    (main,) = largest.stack
    assert (main.function, main.file, main.line) == ("main", "losses.c", 28), "without DHAT's own malloc"


@pytest.mark.parametrize(
    ("column", "size", "objects", "kind"),
    [
        ("", 40, 4, LeakKind.IN_USE),
        ("t-gmax", 40, 4, LeakKind.IN_USE),
        ("t-end", 10, 1, LeakKind.IN_USE),
        ("total", 90, 9, LeakKind.ALLOCATED),
    ],
)
def test_the_column_is_chosen_and_said(column: str, size: int, objects: int, kind: LeakKind) -> None:
    report = parsed([POINT], column)
    (record,) = report.leaks
    assert (record.size_bytes, record.objects, record.kind) == (size, objects, kind)
    assert (record.stack[0].function, record.stack[0].line) == ("a::f", 5), "as the crate dhat writes a place"
    assert f"(--sample-type {' or '.join(('t-gmax', 't-end', 'total'))})" in report.notes[0]
    assert all(f"{figure} bytes" in report.notes[0] for figure in {40, 10, 90} - {size})


def test_without_lifetimes_only_what_was_allocated_is_known() -> None:
    report = parsed([{"tb": 90, "tbk": 9, "fs": [1, 2]}], bklt=False)
    assert [(record.size_bytes, record.kind) for record in report.leaks] == [(90, LeakKind.ALLOCATED)]


def test_damage_is_told() -> None:
    report = parsed([POINT, {"tb": 1}, "x", {**POINT, "fs": [99]}])
    assert report.status is ReportStatus.TRUNCATED and report.total_bytes == 80
    assert "2 lines make no sense" in report.notes[-1]
    text = sample("dhat.json")
    cut = parse_dhat(io.BytesIO(text[: text.index(b'"ftbl"')]))
    assert (cut.status, cut.total_bytes) == (ReportStatus.TRUNCATED, 25_684)


@pytest.mark.parametrize(
    ("header", "reason"),
    [({"dhatFileVersion": 3}, "version 3"), ({"mode": "copy"}, "no heap"), ({"mode": "ad-hoc"}, "no heap")],
)
def test_what_is_not_read_is_refused_in_words(header: dict[str, Any], reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        parsed([POINT], **header)
    with pytest.raises(ParseError, match="choose t-gmax"):
        parsed([POINT], "nonsense")
