"""Reports in JSON, read leak by leak: whole, cut anywhere, and made to hurt."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.valgrind.xml import parse_valgrind_xml
from memtui_parsers.report import json_reader, json_stream
from memtui_parsers.report.json_reader import parse_report_json
from memtui_parsers.report.json_writer import to_json
from memtui_parsers.values import LeakReport, ReportStatus
from tests.fixtures.leak_reports import a_growth_report
from tests.fixtures.report_files import in_pieces, sample

REPORT = parse_valgrind_xml(io.BytesIO(sample("memcheck-faults.xml")))
TEXT = to_json(REPORT, "0.1.0").encode()
ROOT = Path(__file__).resolve().parents[3]


def parse(data: bytes) -> LeakReport:
    return parse_report_json(io.BytesIO(data))


def test_leaks_and_errors_come_back() -> None:
    assert REPORT.leaks and REPORT.errors and REPORT.errors[0].details
    assert parse(TEXT) == REPORT
    assert parse(b"\xef\xbb\xbf" + TEXT) == REPORT


def test_growth_comes_back_with_its_figures() -> None:
    report = a_growth_report()
    text = to_json(report, "0.1.0")
    head = json.loads(text)["growth"]
    assert head["bytes_per_s"] == 1 << 20 and head["outcome"] == "stacks"
    assert parse(text.encode()) == report
    assert "growth" not in json.loads(to_json(REPORT, "0.1.0"))


def test_halves_of_characters_are_replaced() -> None:
    document = json.loads(TEXT)
    frame = document["leaks"][0]["stack"][0]
    frame.update(function="_Z\ud8003foov", module="/srv/\ud800", file="\udc80.c")
    read = parse(json.dumps(document).encode()).leaks[0].stack[0]
    assert (read.function, read.file) == ("_Z\ufffd3foov", "\ufffd.c")
    assert read.module is not None and read.module.path == "/srv/\ufffd"


@given(st.lists(st.integers(1, 400), min_size=1, max_size=8))
def test_how_reads_are_cut_does_not_matter(sizes: list[int]) -> None:
    assert parse_report_json(in_pieces(TEXT, sizes)) == REPORT


def test_any_order_of_the_fields() -> None:
    document = json.loads(TEXT)
    assert parse(json.dumps(dict(reversed(document.items()))).encode()) == REPORT


def test_frames_are_shared_between_stacks() -> None:
    report = parse(TEXT)
    roots = {id(record.stack[-1]) for record in report.leaks if record.stack[-1].function == "main"}
    assert len(roots) < len(report.leaks)


def test_a_report_of_before_errors_has_none() -> None:
    document = json.loads(TEXT)
    del document["errors"]
    assert parse(json.dumps(document).encode()) == replace(REPORT, errors=())


@given(st.integers(0, len(TEXT) - 2))
def test_a_file_that_is_cut_gives_what_was_whole_or_is_refused(length: int) -> None:
    cut = TEXT[:length]
    try:
        report = parse(cut)
    except ParseError as error:
        assert error.reason
        # Where the head is whole there is something to show.
        assert b'"leaks": [' not in cut
    else:
        assert report.status is ReportStatus.TRUNCATED and "ends in the middle" in report.notes[0]
        assert report.leaks == REPORT.leaks[: len(report.leaks)]
        assert report.errors == REPORT.errors[: len(report.errors)]


def test_errors_name_line_and_excerpt() -> None:
    lines = TEXT.decode().splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith('  "total"')]
    lines[at] = '  "total": {"bytes": nothing},'
    with pytest.raises(ParseError) as raised:
        parse("\n".join(lines).encode())
    assert raised.value.line == at + 1 and "nothing" in raised.value.excerpt


@pytest.mark.parametrize(
    "text",
    [
        TEXT + b" more",
        TEXT.replace(b'"leaks": [', b'"leaks": {', 1),
        TEXT.replace(b'"memtui-report/1"', b'"memtui-report/2"'),
        b"\xff" * 100,
        b'{"schema": "memtui-report/1", "leaks": ' + b"[" * 100_000,
        b"[]",
        b"{5: 6}",
        b'{"schema" "x"}',
        b"{" + b",".join(b'"k%d": 1' % n for n in range(5000)) + b"}",
    ],
)
def test_what_is_no_report_is_refused(text: bytes) -> None:
    with pytest.raises(ParseError):
        parse(text)


def test_bounds_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, bound in (
        ("MAX_LEAKS", 2),
        ("MAX_ERRORS", 2),
        ("MAX_STEPS", 5),
        ("MAX_FRAMES", 3),
        ("MAX_FRAME_CHARS", 50),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(json_reader, name, bound)
            with pytest.raises(ParseError):
                parse(TEXT)
    monkeypatch.setattr(json_stream, "MAX_VALUE_CHARS", 100)
    with pytest.raises(ParseError, match="without an end"):
        parse(b'{"schema": "' + b"x" * 1_000_000)


def test_a_large_report_needs_no_more_memory_than_its_leaks(tmp_path: Path) -> None:
    program = """
import sys
from memtui_parsers.report.json_reader import parse_report_json
with open(sys.argv[1], "rb") as stream:
    print(len(parse_report_json(stream).leaks))
print(*[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")])
"""
    document = json.loads(TEXT)
    leak = document["leaks"][0]
    leak["stack"] *= 15
    head, one = TEXT.split(b'"leaks": [', 1)[0], json.dumps(leak).encode()
    path = tmp_path / "large.json"
    with path.open("wb") as out:
        out.write(head + b'"leaks": [' + one)
        for _ in range(10_000):
            out.write(b"," + one)
        out.write(b"]}")
    size = path.stat().st_size
    command = [sys.executable, "-c", program, str(path)]
    environment = {"PYTHONPATH": str(ROOT / "parsers")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found, peak_kb = map(int, done.stdout.split())
    assert found == 10_001 and size > 60_000_000
    assert peak_kb * 1024 < size / 2
