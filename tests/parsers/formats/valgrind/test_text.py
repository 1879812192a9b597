"""Memcheck's text, as vgdb gives it and as logs have it."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.valgrind.text import MAX_LINE_CHARS, parse_valgrind_text
from memtui_parsers.formats.valgrind.xml import parse_valgrind_xml
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus
from tests.fixtures.report_files import sample, stream_of

ANSWER = b"""\
==42== 288 bytes in 1 blocks are possibly lost in loss record 1 of 4
==42==    at 0x48465EF: calloc (in /usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so)
==42==    by 0x4010CB2: calloc (rtld-malloc.h:44)
==42==    by 0x4010CB2: allocate_dtv (dl-tls.c:401)
==42==    by 0x109472: main (server.cpp:65)
==42==
==42== 96 (+0) (32 (+0) direct, 64 (+0) indirect) bytes in 1 (+0) blocks are definitely lost in loss record 2 of 4
==42==    at 0x4841F2F: _Znwm (in /usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so)
==42==    by 0x1092E3: _ZN1a12open_sessionEi (server.cpp:23)
==42==
==42== 64 bytes in 2 blocks are indirectly lost in loss record 3 of 4
==42==    at 0x4841F2F: _Znwm (in /usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so)
==42==    by 0x1092F3: ??? (in /srv/my (odd) server)
==42==
==42== 12,345 bytes in 1,000 blocks are still reachable in loss record 4 of 4
==42==    at 0x4841F2F: _Znwm (in /usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so)
==42==    by 0x2: ???
==42==
==42== LEAK SUMMARY:
==42==    definitely lost: 32 (+0) bytes in 1 (+0) blocks
==42==    indirectly lost: 64 bytes in 2 blocks
==42==      possibly lost: 288 bytes in 1 blocks
==42==    still reachable: 12,345 bytes in 1,000 blocks
==42==         suppressed: 0 bytes in 0 blocks
"""


def parsed(text: bytes) -> LeakReport:
    return parse_valgrind_text(io.BytesIO(text))


def test_an_answer_of_vgdb() -> None:
    report = parsed(ANSWER)
    assert report.status is ReportStatus.COMPLETE
    assert (report.checker, report.pid, report.notes) == ("memcheck", 42, ())
    found = {leak.kind: (leak.size_bytes, leak.objects) for leak in report.leaks}
    assert found == {
        LeakKind.POSSIBLY_LOST: (288, 1),
        LeakKind.DEFINITELY_LOST: (32, 1),
        LeakKind.INDIRECTLY_LOST: (64, 2),
        LeakKind.STILL_REACHABLE: (12_345, 1000),
    }
    assert report.total_bytes == sum(size for size, _ in found.values())


def test_frames_lose_the_allocator_and_mark_what_was_inlined() -> None:
    by_kind = {leak.kind: leak.stack for leak in parsed(ANSWER).leaks}
    (session,) = by_kind[LeakKind.DEFINITELY_LOST]
    assert (session.linkage_name, session.file, session.line) == ("_ZN1a12open_sessionEi", "server.cpp", 23)
    assert session.address == 0x1092E4, "a return address, as everywhere"
    inlined, physical, main = by_kind[LeakKind.POSSIBLY_LOST]
    assert (inlined.function, inlined.inlined, physical.function, physical.inlined) == (
        "calloc",
        True,
        "allocate_dtv",
        False,
    )
    assert main.function == "main"
    (odd,) = by_kind[LeakKind.INDIRECTLY_LOST]
    assert odd.function is None
    assert odd.module is not None and odd.module.path == "/srv/my (odd) server"


def test_a_later_check_counts_anew() -> None:
    later = ANSWER.replace(b"12,345 bytes in 1,000", b"20,000 (+7,655) bytes in 2,000 (+1,000)")
    report = parsed(ANSWER + later)
    assert report.total_bytes == 288 + 32 + 64 + 20_000
    assert report.notes == ("The text holds 2 leak checks: this is the last",)
    cut = parsed(ANSWER + later[: later.index(b"==42== 64 bytes")])
    assert (cut.status, cut.total_bytes) == (ReportStatus.COMPLETE, 288 + 32 + 64 + 12_345), "the last whole one"
    assert cut.notes == ("Behind this check stands another one, which is cut",)


def test_a_text_that_ends_early_gives_what_was_whole() -> None:
    report = parsed(ANSWER[: ANSWER.index(b"==42== 64 bytes")])
    assert report.status is ReportStatus.TRUNCATED
    assert report.total_bytes == 288 + 32 + 64, "of the blocks that hang on the lost one, the record tells the bytes"
    assert report.notes


def test_a_summary_that_is_cut_is_no_whole_one() -> None:
    report = parsed(ANSWER[: ANSWER.index(b"==42==         suppressed")])
    assert (report.status, report.total_bytes) == (ReportStatus.TRUNCATED, 288 + 32 + 64 + 12_345)


def test_the_summary_alone_is_a_report() -> None:
    """What valgrind writes by default."""
    report = parsed(sample("memcheck-summary.txt"))
    assert {leak.kind: (leak.size_bytes, leak.objects) for leak in report.leaks} == {
        LeakKind.DEFINITELY_LOST: (5000, 1),
        LeakKind.STILL_REACHABLE: (472, 1),
    }
    assert (report.status, report.argv, report.total_bytes) == (ReportStatus.COMPLETE, ("./l",), 5472)
    assert "Rerun with --leak-check=full" in report.notes[0]


def test_the_spelling_before_valgrind_3_6() -> None:
    """Of 3.5's print_malloc_stats and print_results: dots at the ends, and no HEAP SUMMARY."""
    lines = [
        "Memcheck, a memory error detector.",
        "malloc/free: in use at exit: 5,472 bytes in 2 blocks.",
        "searching for pointers to 2 not-freed blocks.",
        "LEAK SUMMARY:",
        "   definitely lost: 5,000 bytes in 1 blocks.",
        "     possibly lost: 0 bytes in 0 blocks.",
        "   still reachable: 472 bytes in 1 blocks.",
        "        suppressed: 0 bytes in 0 blocks.",
        "Rerun with --leak-check=full to see details of leaked memory.",
    ]
    text = "".join(f"==7== {line}\n" for line in lines).encode()
    report = parsed(text)
    assert (report.status, report.total_bytes, report.total_objects) == (ReportStatus.COMPLETE, 5472, 2)
    unchecked = parsed(text[: text.index(b"==7== LEAK")])
    assert unchecked.status is ReportStatus.NOT_RUN and "5472 bytes in 2 blocks" in unchecked.notes[0]


def test_nothing_but_headers_is_no_check() -> None:
    head = sample("memcheck-summary.txt").partition(b"==18684== HEAP SUMMARY")[0]
    report = parsed(head)
    assert report.status is ReportStatus.NOT_RUN and "killed, or still runs" in report.notes[0]
    unchecked = sample("memcheck-summary.txt").partition(b"==18684== LEAK SUMMARY")[0]
    report = parsed(unchecked)
    assert report.status is ReportStatus.NOT_RUN and "5472 bytes in 2 blocks were in use at the end" in report.notes[0]


def test_a_sum_that_makes_no_sense_is_told() -> None:
    report = parsed(
        ANSWER.replace(b"12,345 bytes in 1,000 blocks\n==42==         supp", b"12 345 bytes\n==42==         supp")
    )
    assert report.status is ReportStatus.TRUNCATED
    assert any("1 line makes no sense" in note and "12 345" in note for note in report.notes)


def test_processes_are_told_apart_although_their_lines_mix() -> None:
    other = ANSWER.replace(b"==42==", b"==43==").replace(b" 32 ", b" 9,032 ")
    mixed = b"".join(itertools.chain(*zip(ANSWER.splitlines(True), other.splitlines(True), strict=True)))
    report = parsed(mixed)
    assert (report.pid, report.total_bytes) == (43, 9032 + 64 + 288 + 12_345)
    assert "this is pid 43; pid 42: 384 bytes in 4 blocks lost" in report.notes[-1]
    assert parse_valgrind_text(io.BytesIO(mixed), pid=42).total_bytes == parsed(ANSWER).total_bytes


def test_a_repeated_record_counts_once() -> None:
    """valgrind -s repeats its errors; the answer to block_list is a record with its blocks."""
    record = ANSWER[ANSWER.index(b"==42== 96") : ANSWER.index(b"==42== 64")]
    blocks = record.replace(b"==42==\n", b"==42== 0x4A401E0[32]\n==42==   0x4A40430[64] indirect loss record 3\n")
    again = ANSWER + b"==42==\n==42== 1 errors in context 1 of 2:\n" + record + blocks
    assert parsed(again) == parsed(ANSWER)


def test_other_errors_have_their_stacks_and_counts() -> None:
    """As the XML of the same run has them."""
    text, xml = parsed(sample("memcheck-faults.txt")), parse_valgrind_xml(io.BytesIO(sample("memcheck-faults.xml")))
    assert [(e.kind, e.what) for e in text.errors] == [(e.kind, e.what) for e in xml.errors]
    assert [[f.line for f in e.stack] for e in text.errors] == [[f.line for f in e.stack] for e in xml.errors]
    assert [len(e.details) for e in text.errors] == [len(e.details) for e in xml.errors]


@pytest.mark.parametrize(
    "mark", ["\x1b[0m==42==", "==00:00:00:01.069 42==", "> ==42==", "2024-03-01T10:11:12.1Z ==42=="]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_stands_before_a_line_changes_nothing(mark: str, end: str) -> None:
    text = ANSWER.decode().replace("==42==", mark).replace("\n", end).encode()
    assert parsed(text) == parsed(ANSWER)


def test_nothing_lost() -> None:
    report = parsed(
        b"==7== Memcheck, a memory error detector\n==7== All heap blocks were freed -- no leaks are possible\n"
    )
    assert (report.status, report.total_bytes, report.leaks) == (ReportStatus.COMPLETE, 0, ())


@pytest.mark.parametrize("text", [b"", b"hello\n" * 30_000, b"==1== hello\n"])
def test_what_is_no_text_of_valgrind(text: bytes) -> None:
    with pytest.raises(ParseError):
        parsed(text)


def test_hostile_names_are_clean_and_lines_bounded() -> None:
    evil = ANSWER.replace(b"allocate_dtv", b"\x1b[31m" + b"x" * (4 * MAX_LINE_CHARS) + b"\0")
    report = parsed(evil)
    assert not any("\x1b" in (frame.function or "") for leak in report.leaks for frame in leak.stack)
    assert report.total_objects == 1004


@given(st.lists(st.integers(min_value=0, max_value=len(ANSWER)), max_size=8))
def test_any_chunking_gives_the_same_answer(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(ANSWER)]
    chunks = (ANSWER[start:end] for start, end in itertools.pairwise(places) if start < end)
    assert parse_valgrind_text(stream_of(chunks)) == parsed(ANSWER)


@given(st.lists(st.sampled_from([*ANSWER.splitlines(keepends=True), b"==42==\n", b"\xff\0\n", b"==42==    at 0x"])))
def test_lines_in_any_order_never_crash(lines: list[bytes]) -> None:
    try:
        report = parsed(b"".join(lines))
    except ParseError:
        return
    assert report.total_bytes >= 0
