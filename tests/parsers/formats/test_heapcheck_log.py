from __future__ import annotations

import io
import itertools
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.formats import heapcheck_log
from memtui_parsers.formats.heapcheck_log import (
    HeapcheckLog,
    LoggedLeak,
    dump_pid,
    parse_heapcheck_log,
    report_from_log,
)
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus
from tests.fixtures.leaky import build
from tests.fixtures.report_files import stream_of

LEAKS = b"""WARNING: Perftools heap leak checker is active -- Performance may suffer
listening on 9000
Have memory regions w/o callers: might report false leaks
Leak check _main_ detected leaks of 1100 bytes in 12 objects
The 2 largest leaks:
*** WARNING: Cannot convert addresses to symbols in output below.
Leak of 1000 bytes in 10 objects allocated from:
\t@ 559f4bff0177 open_session(Conn&)
noise from another thread
\t@ 559f4bff01a8\x20
Leak of 100 bytes in 2 objects allocated from:
\t@ 7ffa97a5f149\x20


pprof /srv/rpc server/rpc_server "/tmp/d/rpc_server.4343._main_-end.heap" --inuse_objects --lines --heapcheck  --gv

Exiting with error code (instead of crashing) because of whole-program memory leaks
"""


def parse(text: bytes) -> HeapcheckLog:
    return parse_heapcheck_log(io.BytesIO(text))


def test_leaks_are_read_between_the_targets_own_lines() -> None:
    log = parse(LEAKS)
    (check,) = log.checks
    assert log.active and not log.turned_off
    assert (check.name, check.leaked_bytes, check.leaked_objects) == ("_main_", 1100, 12)
    assert check.leaks == (
        LoggedLeak(1000, 10, ((0x559F4BFF0177, "open_session(Conn&)"), (0x559F4BFF01A8, "")), whole=False),
        LoggedLeak(100, 2, ((0x7FFA97A5F149, ""),)),
    )
    assert log.dumps == ("/tmp/d/rpc_server.4343._main_-end.heap",)
    assert [n for n in log.notes if "mapped by code" in n]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"Thread finding failed with -1 errno=1\n", "errno 1; containers often forbid ptrace"),
        (b"Could not find thread stacks. Will likely report false leak positives.", "threads were not found"),
        (b"Thread stacks not found for 3 threads. Will likely", "stacks of 3 threads"),
        (b"Not looking for thread stacks; objects reachable", "not searched"),
        (b"prompt> Memory region for stack at 0x7f00 not found. Will", "thread's stack"),
        (b"Failed dumping filtered heap profile to /full/x.heap\n", "could not write its dump /full/x.heap"),
    ],
)
def test_warnings_become_words(line: bytes, words: str) -> None:
    (note,) = parse(line).notes
    assert words in note


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"Someone is ptrace()ing us; will turn itself off\nTurning perftools heap leak checking off\n", "tracer held"),
        (b"Can't run under Valgrind; will turn itself off\n", "valgrind"),
        (b"Unsupported heap_check flag: noraml\n", "mode noraml"),
        (b"Canceling the automatic at-exit whole-program memory leak check\n", "program itself cancelled"),
    ],
)
def test_a_checker_that_gives_up_is_never_no_leaks(line: bytes, words: str) -> None:
    log = parse(b"WARNING: Perftools heap leak checker is active -- Performance may suffer\n" + line)
    assert words in log.turned_off
    report = report_from_log(log)
    assert report.status is ReportStatus.NOT_RUN
    assert words in report.notes[0]


def test_no_leaks_carries_the_checkers_own_caveat() -> None:
    report = report_from_log(
        parse(
            b'No leaks found for check "_main_" (but no 100% guarantee that there aren\'t any): '
            b"found 12 reachable heap objects of 345 bytes\n"
        )
    )
    assert (report.status, report.total_bytes, report.leaks) == (ReportStatus.COMPLETE, 0, ())
    assert "345 bytes in 12 objects" in report.notes[0] and "no proof" in report.notes[0]


def test_a_check_made_again_takes_the_place_of_its_last_verdict() -> None:
    again = LEAKS.replace(b"1100 bytes in 12", b"100 bytes in 2").replace(b"1000 bytes in 10", b"100 bytes in 2")
    (check,) = parse(LEAKS + again).checks
    assert (check.leaked_bytes, len(check.leaks)) == (100, 2)


def test_a_saved_log_is_a_report() -> None:
    report = report_from_log(parse(LEAKS))
    assert (report.status, report.total_bytes, report.total_objects, report.pid) == (
        ReportStatus.COMPLETE,
        1100,
        12,
        4343,
    )
    assert [(r.size_bytes, r.objects, r.kind) for r in report.leaks] == [
        (1000, 10, LeakKind.UNREACHABLE),
        (100, 2, LeakKind.UNREACHABLE),
    ]
    assert report.leaks[0].stack[0].function == "open_session(Conn&)"
    assert report.leaks[0].stack[0].module is None


def test_a_log_that_lists_only_the_largest_says_where_the_rest_is() -> None:
    report = report_from_log(parse(LEAKS.replace(b"1100 bytes in 12", b"9900 bytes in 99")))
    assert report.status is ReportStatus.TRUNCATED
    assert "/tmp/d/rpc_server.4343._main_-end.heap" in report.notes[0]
    assert report.total_bytes == 9900


def test_a_log_without_the_checker_is_refused() -> None:
    with pytest.raises(ParseError):
        report_from_log(parse(b"hello\nworld\n"))


def test_the_check_that_never_ran() -> None:
    report = report_from_log(parse(LEAKS.splitlines(keepends=True)[0]))
    assert (report.status, report.notes) == (
        ReportStatus.NOT_RUN,
        ("The checker was active, but its check at exit never ran",),
    )


def test_hostile_output_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heapcheck_log, "MAX_LEAKS", 3)

    def chunks() -> Iterator[bytes]:
        for n in range(3000):
            yield b"Leak check c%d detected leaks of 5 bytes in 5 objects\n" % n
            yield b"Leak of 1 bytes in 1 objects allocated from:\n" * 2 + b"\t@ abc f\n" * 300
            yield b'pprof x "/d/%d.heap" --inuse_objects\nUnsupported heap_check flag: %d\n' % (n, n)
            yield b"Failed dumping filtered heap profile to %d\n" % n

    log = parse_heapcheck_log(stream_of(chunks()))
    assert len(log.checks) == heapcheck_log.MAX_CHECKS
    assert sum(len(c.leaks) for c in log.checks) == 3
    assert max(len(leak.frames) for c in log.checks for leak in c.leaks) == heapcheck_log.MAX_FRAMES
    assert (len(log.dumps), len(log.notes)) == (heapcheck_log.MAX_DUMPS, heapcheck_log.MAX_NOTES)


def test_a_flood_costs_little() -> None:
    flood = b"[00042] relay: 911 requests, 17 sessions open @ 10.0.0.1\n" * 100_000
    began = time.process_time()
    parse(flood)
    assert time.process_time() - began < 3.0


PIECES = st.lists(
    st.sampled_from([*LEAKS.splitlines(keepends=True), b"noise", b"\r", b"\n", b"\t@ f00 x\n"]), max_size=30
)


@given(PIECES.map(b"".join), st.lists(st.integers(0, 2000), max_size=20))
def test_any_chunking_gives_the_same(text: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(c for c in cuts if c < len(text)), len(text)]
    chunks = (text[start:end] for start, end in itertools.pairwise(edges) if start < end)
    assert parse_heapcheck_log(stream_of(chunks)) == parse(text)


@given(st.binary(max_size=300) | PIECES.map(b"".join))
def test_any_log_is_a_report_or_a_parse_error(text: bytes) -> None:
    try:
        assert isinstance(report_from_log(parse(text)), LeakReport)
    except ParseError as error:
        assert error.reason


@pytest.mark.parametrize(
    ("path", "pid"),
    [("/a/b.17._main_-end.heap", 17), ("my.prog.18.a.b-end.heap", 18), ("p.0001.heap", None), ("x", None)],
)
def test_the_pid_is_in_the_dumps_name(path: str, pid: int | None) -> None:
    assert dump_pid(path) == pid


@pytest.mark.parametrize("mode", ["normal", "draconian"])
@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_a_real_checkers_log(mode: str, tmp_path: Path) -> None:
    program = build("basic")
    environment = {
        "HEAPCHECK": mode,
        "HEAP_CHECK_DUMP_DIRECTORY": str(tmp_path),
        "HEAP_CHECK_MAX_LEAKS": "1000",
        "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4",
        "PPROF_PATH": "/bin/true",
        "TCMALLOC_STACKTRACE_METHOD": "libgcc",
    }
    done = subprocess.run([str(program.path)], env=environment, capture_output=True, check=False, timeout=60)
    log = parse(done.stderr)
    (check,) = log.checks
    (dump,) = tmp_path.glob("*.heap")
    header = dump.read_bytes().split(b"\n", 1)[0].split()
    assert log.active and log.dumps == (str(dump),)
    assert (check.leaked_objects, check.leaked_bytes) == (int(header[2].rstrip(b":")), int(header[3]))
    assert log.draconian is (mode == "draconian")
    report = report_from_log(log)
    assert sum(r.size_bytes for r in report.leaks) == report.total_bytes == check.leaked_bytes


def test_long_lines_without_spaces_take_no_time() -> None:
    began = time.process_time()
    log = parse_heapcheck_log(io.BytesIO((b"/" * 4000 + b"\n") * 500))
    assert time.process_time() - began < 4.0
    assert log.dumps == ()
