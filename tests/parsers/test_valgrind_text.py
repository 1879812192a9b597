"""Memcheck's text, as vgdb gives it and as logs have it."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.valgrind_text import MAX_LINE_BYTES, ValgrindTextParser, parse_valgrind_text
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus

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
==42==    definitely lost: 32 bytes in 1 blocks
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


def test_a_text_that_ends_early_gives_what_was_whole() -> None:
    report = parsed(ANSWER[: ANSWER.index(b"==42== 64 bytes")])
    assert report.status is ReportStatus.TRUNCATED
    assert report.total_bytes == 288 + 32
    assert report.notes


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
    evil = ANSWER.replace(b"allocate_dtv", b"\x1b[31m" + b"x" * (4 * MAX_LINE_BYTES) + b"\0")
    report = parsed(evil)
    assert not any("\x1b" in (frame.function or "") for leak in report.leaks for frame in leak.stack)
    assert report.total_objects == 1004


@given(st.lists(st.integers(min_value=0, max_value=len(ANSWER)), max_size=8))
def test_any_chunking_gives_the_same_answer(cuts: list[int]) -> None:
    parser = ValgrindTextParser()
    places = [0, *sorted(cuts), len(ANSWER)]
    for start, end in itertools.pairwise(places):
        parser.feed(ANSWER[start:end])
    assert parser.finish() == parsed(ANSWER)


@given(st.lists(st.sampled_from([*ANSWER.splitlines(keepends=True), b"==42==\n", b"\xff\0\n", b"==42==    at 0x"])))
def test_lines_in_any_order_never_crash(lines: list[bytes]) -> None:
    try:
        report = parsed(b"".join(lines))
    except ParseError:
        return
    assert report.total_bytes >= 0
