from __future__ import annotations

import io
import re

import pytest

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.folded_stacks import parse_folded_stacks
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus
from tests.fixtures.report_files import sample


def parse(text: bytes | str) -> LeakReport:
    return parse_folded_stacks(io.BytesIO(text.encode() if isinstance(text, str) else text))


def test_heaptracks_leaks_sum_up_to_its_own_total() -> None:
    report = parse(sample("heaptrack-leaked.txt"))
    (total,) = re.findall(r"total memory leaked: (\d+)B", sample("heaptrack-summary.txt").decode())
    assert report.total_bytes == int(total) == sum(record.size_bytes for record in report.leaks)
    assert {record.kind for record in report.leaks} == {LeakKind.IN_USE}
    leaf, root = report.leaks[0].stack
    assert (leaf.function, leaf.file, root.function) == ("make_chain()", "chain.cpp", "main")
    assert "taken for bytes" in report.notes[0]


def test_stacks_are_turned_leaf_first_and_summed() -> None:
    report = parse("main;f(int);g<A, B> (x) 10\nmain;f(int);g<A, B> (x) 5\n\n# a comment\nmain 3\nmain;zero 0\n")
    found = [(record.size_bytes, [frame.function for frame in record.stack]) for record in report.leaks]
    assert found == [(15, ["g<A, B> (x)", "f(int)", "main"]), (3, ["main"])]
    assert (report.total_objects, report.status) == (0, ReportStatus.COMPLETE)


def test_frames_without_a_name_are_addresses() -> None:
    (record,) = parse("main (a.cpp);0x7f00 (rtld.c);0x10; 8\n").leaks
    assert [(frame.address, frame.function, frame.file) for frame in record.stack] == [
        (0x10, None, None),
        (0x7F00, None, "rtld.c"),
        (0, "main", "a.cpp"),
    ]


def test_lines_that_make_no_sense_are_counted_and_named() -> None:
    report = parse("main;a 5\nwords alone\nmain;b many\n")
    assert report.total_bytes == 5
    assert report.notes[-1] == "2 lines make no sense, the first is line 2: 'words alone'"
    with pytest.raises(ParseError) as raised:
        parse("words alone\n")
    assert (raised.value.line, raised.value.excerpt) == (1, "words alone")


def test_a_last_line_without_end_may_be_cut() -> None:
    report = parse("main;a 5\nmain;b 1")
    assert report.status is ReportStatus.TRUNCATED and "may be cut" in report.notes[-1]


def test_hostile_lines_are_bounded_and_clean() -> None:
    deep = ";".join(f"f{n}" for n in range(10_000))
    endless = "x" * 3_000_000
    report = parse(f"{deep} 5\n{endless} 7\nmain;a\x1b]0;x\x07b\x00 9\n")
    assert {len(record.stack) for record in report.leaks} == {512, 2}
    assert report.total_bytes == 14
    assert all((frame.function or "").isprintable() for record in report.leaks for frame in record.stack)
