"""A report as text: what `memtui check` prints, and the plain lines."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from memtui.text.report import leak_lines, report_lines
from memtui_parsers.values import GrowthFacts, GrowthOutcome, LeakKind, LeakReport, ReportStatus
from tests.fixtures.leak_reports import SOURCE, a_growth_report, frame, record, sample_report


def source(file: str, line: int) -> str | None:
    return SOURCE.get(file, {}).get(line)


def lines(report: LeakReport, *, ascii: bool = False) -> list[str]:
    return [line.replace("\N{THIN SPACE}", " ") for line in report_lines(report, source, ascii=ascii)]


def test_the_largest_leak_comes_first_with_its_stack_and_source() -> None:
    assert lines(sample_report())[:11] == [
        "42.7 MiB leaked in 11 130 objects from 5 stacks (heapcheck draconian, ./rpc_server --port 9000, pid 4391)",
        "note: Thread stacks were not found: some of these may still be reachable.",
        "",
        "1. 41.2 MiB in 10 547 objects (not-freed, 96.4 %): open_session(Conn&)",
        "    open_session(Conn&)  /srv/relay/src/server.cpp:88",
        "          88 │ auto *s = new Session(c);",
        "    handle_rpc(int)  /srv/relay/src/server.cpp:131",
        "    worker(Queue&)  /srv/relay/src/pool.cpp:57",
        "    void std::__invoke_impl<void, void (*)(Queue&)>(std::__invoke_other)  /usr/include/c++/12/bits/invoke.h:61",
        "    std::thread::_M_run()  /usr/lib/x86_64-linux-gnu/libstdc++.so.6+0xd44a3",
        "    start_thread  /lib/x86_64-linux-gnu/libc.so.6+0x89134",
    ]


def test_a_report_in_any_order_is_printed_largest_first() -> None:
    report = sample_report()
    assert lines(replace(report, leaks=report.leaks[::-1])) == lines(report)


def test_ascii_text_is_ascii() -> None:
    text = "\n".join(report_lines(sample_report(), source, ascii=True))
    assert text.isascii()
    assert "strdup <- parse_peer" in text and "10 547 objects" in text


def test_reports_without_leaks() -> None:
    none = replace(sample_report(notes=()), leaks=(), total_bytes=0, total_objects=0)
    of = "(heapcheck draconian, ./rpc_server --port 9000, pid 4391)"
    assert lines(none) == [f"no leaks found {of}"]
    not_run = replace(none, status=ReportStatus.NOT_RUN, notes=("Killed by SIGTERM before the check.",))
    assert lines(not_run) == [f"not checked {of}", "note: Killed by SIGTERM before the check."]
    truncated = replace(none, status=ReportStatus.TRUNCATED)
    assert lines(truncated)[0] == f"no result, the report is cut before its first leak {of}"
    assert lines(truncated)[1].startswith("note: The report was cut short")


def test_sums_without_stacks_are_said_to_be_of_no_stacks() -> None:
    report = sample_report(notes=())
    report = replace(report, leaks=tuple(replace(leak, stack=()) for leak in report.leaks[:1]))
    assert lines(report)[0].startswith("42.7 MiB leaked in 11 130 objects (heapcheck")


@pytest.mark.parametrize(
    ("kind", "verb"),
    [(LeakKind.IN_USE, "in use in"), (LeakKind.GROWTH, "grown in"), (LeakKind.ALLOCATED, "allocated in")],
)
def test_what_a_profile_lists_is_not_called_leaked(kind: LeakKind, verb: str) -> None:
    report = sample_report(notes=())
    report = replace(report, leaks=tuple(replace(leak, kind=kind) for leak in report.leaks))
    assert lines(report)[0].startswith(f"42.7 MiB {verb} 11 130 objects from 5 stacks (")


def test_what_is_still_reachable_is_not_called_leaked() -> None:
    report = sample_report(notes=())
    reachable = tuple(replace(leak, kind=LeakKind.STILL_REACHABLE) for leak in report.leaks)
    of = "(heapcheck draconian, ./rpc_server --port 9000, pid 4391)"
    all_reachable = replace(report, leaks=reachable)
    assert lines(all_reachable)[0] == (f"no leaks found, 42.7 MiB still reachable in 11 130 objects from 5 stacks {of}")
    one_lost = replace(report, leaks=(report.leaks[0], *reachable[1:]))
    assert lines(one_lost)[0] == (
        f"41.2 MiB leaked in 10 547 objects, 1.5 MiB still reachable in 583 objects, from 5 stacks {of}"
    )


def test_the_librarys_templates_are_folded_and_the_programs_are_whole() -> None:
    arguments = ", ".join(f"std::chrono::duration<long, std::ratio<1l, {n}l> >" for n in range(9))
    stack = (
        frame(f"std::vector<{arguments}>::resize(unsigned long)", "/usr/include/c++/12/bits/stl_vector.h", 9),
        frame(f"Store<{arguments}>::put(int)", "/srv/store.h", 5),
    )
    report = replace(sample_report(), leaks=(record("x", 8, 1, *stack),))
    (library,) = [line for line in lines(report) if "stl_vector.h:9" in line]
    assert len(library) < 180 and "vector" in library and "resize" in library
    assert f"Store<{arguments}>::put(int)  /srv/store.h:5" in "\n".join(lines(report))


def test_one_of_a_thing_is_singular() -> None:
    report = replace(
        sample_report(notes=()), leaks=(record("1", 16, 1, frame("f", "/a.c", 1)),), total_bytes=16, total_objects=1
    )
    assert lines(report)[0].startswith("16 B leaked in 1 object from 1 stack (")


def test_the_plain_leak_lines() -> None:
    assert leak_lines(sample_report(), most=5) == [
        "leak 41.2 MiB in 10547 objects: open_session(Conn&) server.cpp:88",
        "leak 1.3 MiB in 412 objects: relay::codec::Frame::decode<relay::codec::Hello>(char const*, unsigned long) codec.h:210",
        "leak 212.0 KiB in 53 objects: vector::_M_realloc_insert ← Relay::add_peer(Peer const&) relay.cpp:41",
        "leak 16.4 KiB in 117 objects: strdup ← parse_peer(char const*) peer.cpp:19",
        "leak 4.0 KiB in 1 object: libssl.so.3+0x3f12c",
    ]
    assert leak_lines(replace(sample_report(), leaks=(record("1", 5, 2),)), most=5) == [
        "leak 5 B in 2 objects: (no stack)"
    ]


def test_nothing_hostile_reaches_the_text() -> None:
    hostile = record("1", 5, 1, frame("f\x1b[2J\n\u202eg", "/tmp/\x1b]0;x\x07a\nb.c", 1))
    report = replace(
        sample_report(notes=("\x1b[31mred",)),
        argv=("./a\x1b[1mb\n",),
        leaks=(hostile, record("2", 1, 1, *hostile.stack * 500)),
    )
    printed = lines(report)
    assert not any(char in line for line in printed for char in "\x1b\x07\n\u202e")
    assert len(printed) < 90
    line = leak_lines(report, most=1)[0]
    assert "\n" not in line and "\x1b" not in line


def test_the_text_needs_no_screen() -> None:
    program = "import sys; import memtui.text.report; sys.exit(any(m.split('.')[0] == 'textual' for m in sys.modules))"
    path = ":".join(sys.path)
    assert subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": path}, check=False).returncode == 0


def test_growth_is_told_with_its_rate_and_what_it_rests_on() -> None:
    shown = lines(a_growth_report())
    assert shown[0] == (
        "10.0 MiB grown in 10 s (1.0 MiB/s), 412 samples in 1 stack; RSS 40.9 -> 50.9 MiB, 1.0 MiB given back"
        " (growth, ./rpc_server, pid 4343)"
    )
    assert shown[2:4] == [
        "",
        "1. 9.0 MiB (growth, 90.0 %, 0.9 MiB/s, from about 412 samples): open_session(Conn&)",
    ]
    assert shown[-2:] == [
        "2. 1.0 MiB (growth, 10.0 %, 0.1 MiB/s): (no stack)",
        "    nobody was seen to touch this memory first",
    ]
    assert leak_lines(a_growth_report(), most=1) == ["grown 9.0 MiB: open_session(Conn&) server.cpp:88"]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (GrowthOutcome.NOTHING_GREW, "nothing has grown that stands out in 10 s (10.0 MiB), 412 samples"),
        (GrowthOutcome.CANNOT_TELL, "cannot tell what grew: 10.0 MiB grown in 10 s (1.0 MiB/s), 412 samples"),
    ],
)
def test_growth_that_is_no_answer_says_so_first(outcome: GrowthOutcome, words: str) -> None:
    report = a_growth_report()
    assert isinstance(report.growth, GrowthFacts)
    assert lines(replace(report, growth=replace(report.growth, outcome=outcome)))[0].startswith(words)
