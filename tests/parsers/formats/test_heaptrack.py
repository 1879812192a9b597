"""heaptrack's data files, as its documents and sources have them; beside heaptrack itself: tests/integration."""

from __future__ import annotations

import io
import time

import pytest

from memtui_parsers.errors import ParseError
from memtui_parsers.formats import heaptrack
from memtui_parsers.formats.heaptrack import parse_heaptrack
from memtui_parsers.formats.sniff import FileKind, sniff
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus

HEAD = "v 10500 3\nX ./server --port 9000\nI 1000 7a1\n"
TABLES = (
    "s b /srv/server\ns 5 inner\ns 8 /src/a.c\ns 5 outer\ns 4 main\n"
    "i 1010 1 5 3 14\nt 1 0\ni 1020 1 2 3 8 4 3 9\nt 2 1\na 40 2\na 10 1\ni 1030 1\nt 3 1\na 8 3\n"
)


def parse(text: str) -> LeakReport:
    data = text.encode()
    assert sniff(io.BytesIO(data)).kind is FileKind.HEAPTRACK
    return parse_heaptrack(io.BytesIO(data))


def test_what_was_not_freed_by_stack() -> None:
    report = parse(HEAD + TABLES + "+ 0\n+ 1\n+ 0\n- 0\nc 5dc\nR 200\n+ 2\n+ 0\n")
    assert [(leak.size_bytes, leak.objects, leak.kind) for leak in report.leaks] == [
        (128, 2, LeakKind.NOT_FREED), (16, 1, LeakKind.NOT_FREED), (8, 1, LeakKind.NOT_FREED),
    ]  # fmt: skip
    assert (report.total_bytes, report.total_objects, report.status) == (152, 4, ReportStatus.COMPLETE)
    assert (report.argv, report.run.seconds) == (("./server", "--port", "9000"), 1.5)
    calls = [(frame.function, frame.file, frame.line, frame.inlined) for frame in report.leaks[0].stack]
    assert calls == [("inner", "/src/a.c", 8, True), ("outer", "/src/a.c", 9, False), ("main", "/src/a.c", 20, False)]
    unnamed = report.leaks[2].stack[0]
    assert (unnamed.function, unnamed.module and unnamed.module.path, unnamed.address) == (None, "/srv/server", 0x1030)


@pytest.mark.parametrize("head", ["v 10000 1", "v 10100 2", "v 10200"])
def test_strings_had_no_length_before_version_3(head: str) -> None:
    report = parse(f"{head}\nX ./p\ns /srv/my server\ns f(int, char)\ni 1010 1 2\nt 1 0\na 10 1\n+ 0\n")
    frame = report.leaks[0].stack[0]
    assert (frame.function, frame.module and frame.module.path, frame.line) == ("f(int, char)", "/srv/my server", None)


def test_what_makes_no_sense_is_counted_and_told() -> None:
    bad = "+ 99\nq 1\nt zz 1\nt 900 0\na 1\n+\n"
    report = parse(HEAD + TABLES + "+ 1\n" + bad + "+ 1\n")
    assert report.total_bytes == 32
    assert "5 lines make no sense, the first is line 20: 'q 1'" in report.notes
    assert any(note.startswith("1 allocations and frees are left out") for note in report.notes)
    assert report.status is ReportStatus.TRUNCATED


def test_many_lines_that_make_no_sense_take_no_longer_than_others() -> None:
    bad = "".join(f"t 900 {number:x}\n" for number in range(200_000))
    began = time.process_time()
    report = parse(HEAD + TABLES + bad + "+ 1\n")
    assert time.process_time() - began < 10.0
    assert any(note.startswith("200000 lines make no sense, the first is line 18: 't 900 0'") for note in report.notes)


def test_more_frees_than_allocations_are_told() -> None:
    report = parse(HEAD + TABLES + "- 0\n+ 1\n")
    assert report.total_bytes == 16 and any("freed more often than made" in note for note in report.notes)


def test_known_and_embedded_suppressions_are_left_out_as_heaptrack_print_does() -> None:
    report = parse(HEAD + "S leak:^inn*r$\n" + TABLES + "+ 0\n+ 0\n+ 1\n")
    assert (report.total_bytes, report.total_objects) == (16, 1)
    assert any(note.startswith("128 bytes in 2 objects are left out") for note in report.notes)
    report = parse(HEAD + TABLES.replace("s 5 inner", "s 10 tzset_internal.2") + "+ 0\n+ 1\n")
    assert report.total_bytes == 16


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v 10500 3\nx a ./a\nm 1 2\n", "raw recording"),
        ("v 20000 9\nX ./a\n", "version 9"),
        ("v 10000 0\nX ./a\n", "version 0"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_helps(text: str, words: str) -> None:
    with pytest.raises(ParseError, match=words) as raised:
        parse(text)
    assert "heaptrack_" in raised.value.todo


def test_nothing_but_headers_is_said_as_what_it_is() -> None:
    with pytest.raises(ParseError, match="no allocation"):
        parse(HEAD)


def test_hostile_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heaptrack, "MAX_LINES", 3)
    monkeypatch.setattr(heaptrack, "MAX_TEXT_BYTES", 100)
    text = HEAD + TABLES + "".join(f"s a {'x' * 10}\nt 1 1\na 8 1\n" for _ in range(50)) + "+ 0\n"
    report = parse(text + "s 4 main" + "x" * 200_000 + "\n")
    assert report.total_bytes == 64 and any("beyond what memtui holds" in note for note in report.notes)


def test_each_kind_of_allocation_is_counted_where_a_file_has_more_than_are_kept_for_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heaptrack, "MAX_EARLY", 3)
    kinds = "".join(f"a {number + 1:x} 1\n+ {number + 3:x}\n" for number in range(50))
    report = parse(HEAD + TABLES + kinds)
    assert (report.total_bytes, report.total_objects, report.status) == (50 * 51 // 2, 50, ReportStatus.COMPLETE)


def test_a_report_that_lacks_lines_is_not_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heaptrack, "MAX_TEXTS", 5)
    report = parse(HEAD + TABLES + "s 1 x\n" * 9 + "i 1040 1\n" * 9 + "t b 0\na 4 4\n+ 3\n")
    assert (report.total_bytes, report.status) == (4, ReportStatus.TRUNCATED)


def test_a_suppression_of_many_parts_takes_no_longer_than_others() -> None:
    name = "a" * 5000
    began = time.process_time()
    report = parse(HEAD + f"S leak:{'a*' * 400}b\n" + TABLES.replace("s 5 inner", f"s {len(name):x} {name}") + "+ 0\n")
    assert time.process_time() - began < 5.0
    assert report.total_bytes == 64
