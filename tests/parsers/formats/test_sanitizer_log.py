"""What LeakSanitizer and AddressSanitizer of gcc 12 really wrote, and clang's forms of the same."""

from __future__ import annotations

import io
import re

import pytest

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.sanitizer_log import Step, parse_lsan_log, read_step
from memtui_parsers.values import LeakKind, LeakReport, ReportStatus
from tests.fixtures.report_files import sample, stream_of


def parse(text: bytes | str, pid: int | None = None) -> LeakReport:
    return parse_lsan_log(io.BytesIO(text.encode() if isinstance(text, str) else text), pid=pid)


def log(*leaks: str, pid: int = 5, total: tuple[int, int] = (8, 1)) -> str:
    head = f"=====\n=={pid}==ERROR: LeakSanitizer: detected memory leaks\n\n"
    return f"{head}{''.join(leaks)}SUMMARY: LeakSanitizer: {total[0]} byte(s) leaked in {total[1]} allocation(s).\n"


def leak(*frames: str, size: int = 8, kind: str = "Direct") -> str:
    steps = "".join(f"    #{n} 0x{0x1000 + n:x} {text}\n" for n, text in enumerate(("in malloc (/l.so+0x1)", *frames)))
    return f"{kind} leak of {size} byte(s) in 1 object(s) allocated from:\n{steps}\n"


@pytest.mark.parametrize(
    "name", ["lsan-names", "lsan-offsets", "lsan-stripped", "asan-leaks", "asan-colours", "lsan-live"]
)
def test_totals_are_those_of_its_own_summary(name: str) -> None:
    text = sample(f"{name}.log").decode()
    size, objects = map(int, re.findall(r"(\d+) byte\(s\) leaked in (\d+) allocation", text)[-1])
    report = parse(text)
    assert (report.status, report.checker) == (ReportStatus.COMPLETE, "lsan")
    assert (report.total_bytes, report.total_objects) == (size, objects)
    assert sum(record.size_bytes for record in report.leaks) == size
    assert sum(record.objects for record in report.leaks) == objects
    assert f"=={report.pid}==" in text


def test_direct_and_indirect_leaks_are_told_apart() -> None:
    report = parse(sample("asan-leaks.log"))
    assert [(record.kind, record.size_bytes, record.objects) for record in report.leaks] == [
        (LeakKind.INDIRECT, 256, 4),
        (LeakKind.DIRECT, 64, 1),
        (LeakKind.DIRECT, 33, 1),
    ]
    leaf = report.leaks[1].stack[0]
    assert (leaf.function, leaf.file) == ("make_chain()", "/tmp/memtui-reports/sources/chain.cpp")
    assert leaf.line is not None and "new Node()" in sample("sources/chain.cpp").decode().splitlines()[leaf.line - 1]


def test_inlined_calls_are_marked() -> None:
    for record in parse(sample("lsan-names.log")).leaks:
        found = [(frame.function, frame.inlined) for frame in record.stack[:4]]
        assert found == [("make_peer", True), ("parse_peer", True), ("accept_peers", False), ("main", False)]


def test_without_names_offsets_are_those_of_return_addresses() -> None:
    text = sample("lsan-offsets.log").decode()
    (first, *_) = re.findall(r"#1 0x([0-9a-f]+)  \((.+)\+0x([0-9a-f]+)\)", text)
    frame = parse(text).leaks[0].stack[0]
    assert frame.module is not None
    assert (frame.address, frame.module.path, frame.offset) == (int(first[0], 16) + 1, first[1], int(first[2], 16) + 1)
    assert frame.function is None


def test_of_several_reports_the_last_whole_one_counts() -> None:
    report = parse(sample("lsan-live.log"))
    assert report.total_bytes == 640
    assert report.notes == (
        "The log holds 3 reports: this is the last",
        "33 bytes in 1 leaks are suppressed by known_leak",
    )
    cut = parse(log(leak("in f /a.c:1")) + log(leak("in g /a.c:2", size=9)).partition("SUMMARY")[0])
    assert cut.total_bytes == 8 and cut.status is ReportStatus.COMPLETE
    assert cut.notes == ("Behind this report stands another one, which is cut",)


def test_a_process_is_told_from_its_children() -> None:
    text = log(leak("in f /a.c:1"), pid=5) + log(leak("in g /a.c:2", size=9), pid=6, total=(9, 1))
    assert (parse(text, 5).total_bytes, parse(text, 6).total_bytes, parse(text).total_bytes) == (8, 9, 9)
    with pytest.raises(ParseError):
        parse(text, 7)


def test_a_report_that_lists_only_the_largest_says_so() -> None:
    report = parse(sample("asan-largest.log"))
    assert (report.status, report.total_bytes, report.total_objects) == (ReportStatus.TRUNCATED, 353, 6)
    assert [record.size_bytes for record in report.leaks] == [64]
    assert "289 bytes in 5 objects more" in report.notes[0]


def test_a_log_that_is_cut_gives_what_it_lists() -> None:
    report = parse(sample("asan-leaks.log").partition(b"Indirect")[0])
    assert (report.status, report.total_bytes) == (ReportStatus.TRUNCATED, 97)
    assert report.notes == ("The log ends before LeakSanitizer had told all that it found",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lsan-traced", "--cap-add=SYS_PTRACE"),
        ("asan-fault", "heap-buffer-overflow"),
        ("asan-not-first", "LD_PRELOAD"),
    ],
)
def test_a_check_that_did_not_run_says_why(name: str, words: str) -> None:
    report = parse(sample(f"{name}.log"))
    assert (report.status, report.leaks) == (ReportStatus.NOT_RUN, ())
    assert len(report.notes) == 1 and words in report.notes[0]


def test_a_check_that_failed_after_one_that_did_not_is_said_behind_it() -> None:
    report = parse(log(leak("in f /a.c:1")) + sample("lsan-traced.log").decode())
    assert report.total_bytes == 8 and report.notes[0].startswith("After this report: LeakSanitizer could not stop")


def test_no_leaks_leaves_no_report_but_a_trace() -> None:
    none = parse(sample("lsan-none.log"))
    assert (none.status, none.total_bytes, none.notes) == (ReportStatus.COMPLETE, 0, ())
    pid = int(re.findall(r"Processing thread (\d+)", sample("lsan-none.log").decode())[0])
    assert parse(sample("lsan-none.log"), pid).status is ReportStatus.COMPLETE
    with pytest.raises(ParseError):
        parse(sample("lsan-all-suppressed.log"), pid)
    suppressed = parse(sample("lsan-all-suppressed.log"))
    assert suppressed.notes == ("353 bytes in 6 leaks are suppressed by *",)


@pytest.mark.parametrize("text", ["", "hello\n" * 10, "Direct leak of 5 byte(s) in 1 object(s) allocated from:\n"])
def test_a_log_without_a_sanitizers_word_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse(text)


def test_the_same_stack_is_summed_and_a_programs_own_words_between_are_passed_over() -> None:
    words = leak("in f /a.c:1").replace("    #1", "request done\n    #1")
    report = parse(log(leak("in f /a.c:1"), words, total=(16, 2)))
    assert [(record.size_bytes, record.objects, len(record.stack)) for record in report.leaks] == [(16, 2, 1)]


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("in main (/srv/prog+0x1249)", Step("main", "/srv/prog", 0x124A)),
        ("in f(int) (/srv/a (b)/prog+0x1f) (BuildId: 3f1c)", Step("f(int)", "/srv/a (b)/prog", 0x20, "3f1c")),
        ("(/srv/prog+0x10) (BuildId: ab)", Step("", "/srv/prog", 0x11, "ab")),
        ("(linux-vdso.so.1+0x10)", Step("", "linux-vdso.so.1", 0x11)),
        ("in g (prog+0x10)", Step("g", "prog", 0x11)),
        ("(<unknown module>)", Step()),
        ("in jitted (<unknown module>)", Step("jitted")),
        ("in open_session(int) /srv/server.cpp:88:5", Step("open_session(int)", file="/srv/server.cpp", line=88)),
        ("in operator new(unsigned long) ../../l.cpp:248", Step("operator new(unsigned long)", file="../../l.cpp", line=248)),
        ("in A::operator()(B&) const /my dir/a.cpp:3", Step("A::operator()(B&) const", file="/my dir/a.cpp", line=3)),
        ("in operator/(A const&, int) /a.c:9", Step("operator/(A const&, int)", file="/a.c", line=9)),
        ("in f /a.c", Step("f", file="/a.c")),
        ("in f a.c:7", Step("f", file="a.c", line=7)),
        ("in void f<A, (B)1>(A const&)", Step("void f<A, (B)1>(A const&)")),
        ("in f", Step("f")),
        ("nonsense", Step()),
    ],
)  # fmt: skip
def test_each_form_of_a_frame(text: str, step: Step) -> None:
    assert read_step(text) == step


def test_hostile_lines_are_bounded_and_clean() -> None:
    deep = leak(*(f"in f{n} /a.c:{n}" for n in range(10_000)))
    escapes = leak("in f\x1b]0;x\x07g\x00 /tmp/\u202ea.c:1")
    endless = leak("in " + "(" * 1_000_000 + " /" * 1_000_000)
    report = parse(log(deep, escapes, endless, total=(24, 3)))
    assert report.total_bytes == 24
    assert max(len(record.stack) for record in report.leaks) == 512
    for record in report.leaks:
        for frame in record.stack:
            assert (frame.function or "").isprintable() and len(frame.function or "") <= 4096
            assert (frame.file or "").isprintable()


def test_a_line_without_end_holds_no_memory() -> None:
    with pytest.raises(ParseError):
        parse_lsan_log(stream_of(b"x" * (1 << 20) for _ in range(200)))


def _report_of(pid: int, size: int) -> bytes:
    return (
        sample("lsan-plain.log")
        .replace(b"4711", b"%d" % pid)
        .replace(b"4000 byte", b"%d byte" % size)
        .replace(b"4096", b"%d" % (size + 96))
    )


def test_of_several_processes_the_one_that_leaked_most_is_shown() -> None:
    log = _report_of(1, 10) + _report_of(2, 9000) + _report_of(3, 20) + _report_of(2, 8000)
    report = parse_lsan_log(io.BytesIO(log))
    assert (report.pid, report.total_bytes) == (2, 8096), "the last of that process"
    assert report.notes == (
        "The log holds 2 reports: this is the last",
        "The log holds 3 processes: this is pid 2; pid 1: 106 bytes, pid 3: 116 bytes",
    )
    assert parse_lsan_log(io.BytesIO(log), pid=3).total_bytes == 116


def test_processes_of_one_number_are_told_apart_by_their_addresses() -> None:
    """As in the log of several containers, each of whose first process is 1."""
    first, moved = _report_of(1, 8000), re.sub(rb"0x[0-9a-f]+ in", rb"0x7e0000001000 in", _report_of(1, 10))
    for log in (first + moved + moved, moved + first + first):
        report = parse_lsan_log(io.BytesIO(log))
        assert report.notes[-1] == "The log holds 2 processes: this is pid 1; another pid 1: 106 bytes"
        assert report.total_bytes == 8096
    assert report.notes[0] == "The log holds 2 reports of this process: this is the last"


def test_lines_of_a_stack_that_make_no_sense_are_told() -> None:
    log = sample("lsan-plain.log").replace(b"    #1 0x5a1000 in", b"    #1 in")
    report = parse_lsan_log(io.BytesIO(log))
    assert report.status is ReportStatus.TRUNCATED and "1 line makes no sense" in report.notes[-1]
