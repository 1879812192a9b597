"""pprof's protocol buffers: what Go 1.19 and `go tool pprof` really wrote, and messages built field by field."""

from __future__ import annotations

import io
import re
from collections import Counter

import pytest

from memtui_parsers.errors import ParseError
from memtui_parsers.formats.gperftools_heap import parse_heap
from memtui_parsers.formats.pprof import profile as pprof
from memtui_parsers.formats.pprof.profile import PprofProfile, parse_pprof
from memtui_parsers.formats.pprof.protobuf_wire import MAX_FIELD_BYTES, packed, signed
from memtui_parsers.values import LeakKind, Module, ReportStatus
from tests.fixtures.heap_entries import entries_of
from tests.fixtures.report_files import sample


def parse(data: bytes) -> PprofProfile:
    return parse_pprof(io.BytesIO(data))


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def text(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def message(*words: str, samples: bytes, more: bytes = b"", types: tuple[int, ...] = (1, 2)) -> bytes:
    """A profile whose strings are '', then ``words``; each type's unit is the word behind its name."""
    strings = b"".join(text(6, word.encode()) for word in ("", *words))
    return b"".join(text(1, number(1, t) + number(2, t + 1)) for t in types) + samples + more + strings


def one(values: list[int], locations: list[int] = []) -> bytes:  # noqa: B006  # never changed
    return text(2, text(1, b"".join(map(varint, locations))) + text(2, b"".join(map(varint, values))))


def test_a_go_profile_sums_what_go_itself_says() -> None:
    report, _ = parse(sample("pprof-go.pb.gz"))
    raw = sample("pprof-go.txt").decode()
    rows = [list(map(int, row)) for row in re.findall(r"^ +(\d+) +(\d+) +(\d+) +(\d+): ", raw, re.MULTILINE)]
    assert rows
    assert (report.total_objects, report.total_bytes) == (sum(row[2] for row in rows), sum(row[3] for row in rows))
    assert (report.checker, report.status, report.started is not None) == ("pprof", ReportStatus.COMPLETE, True)
    largest = report.leaks[0]
    assert (largest.size_bytes, largest.objects, largest.kind) == (409_600, 100, LeakKind.IN_USE)
    names = [(frame.function, frame.inlined) for frame in largest.stack]
    assert names[:2] == [("main.openSession", True), ("main.main", False)]
    leaf = largest.stack[0]
    assert (
        leaf.line is not None and "func openSession" in sample("sources/heap.go").decode().splitlines()[leaf.line - 1]
    )


def test_a_native_profile_has_the_stacks_and_mappings_of_the_heap_it_was_made_of() -> None:
    report, mappings = parse(sample("pprof-native.pb.gz"))
    heap = parse_heap(io.BytesIO(sample("pprof-native.heap")))
    expected = Counter({entry.addresses: entry.inuse_bytes for entry in entries_of(heap)})
    assert Counter({tuple(f.address for f in r.stack): r.size_bytes for r in report.leaks}) == expected
    assert heap.header is not None
    assert report.total_bytes == heap.header.inuse_bytes and report.total_objects == heap.header.inuse_objects
    starts = {mapping.start for mapping in heap.mappings if mapping.executable}
    assert mappings and all(mapping.start in starts for mapping in mappings)


WORDS = ("inuse_objects", "count", "inuse_space", "bytes")


def test_values_are_told_by_their_names_and_what_is_in_use_comes_first() -> None:
    words = ("alloc_objects", "count", "alloc_space", "bytes", "inuse_space", "bytes")
    report, _ = parse(message(*words, samples=one([9, 900, 70]) + one([1, 100, 0]), types=(1, 3, 5)))
    assert (report.total_bytes, report.total_objects) == (70, 0)
    assert report.notes == (
        "This profile counts several things: inuse_space is shown, --sample-type NAME shows another (alloc_space)",
    )
    report, _ = parse(message(*words[:4], samples=one([9, 900]), types=(1, 3)))
    assert (report.total_bytes, report.total_objects) == (900, 9)
    assert "freed or not" in report.notes[0] and report.leaks[0].kind is LeakKind.ALLOCATED
    report, _ = parse(message("objects", "count", "space", "bytes", samples=one([3, 30]), types=(1, 3)))
    assert (report.total_bytes, report.total_objects) == (30, 3)


def test_a_profile_of_cpu_time_is_refused() -> None:
    with pytest.raises(ParseError, match="not one of memory"):
        parse(message("samples", "count", "cpu", "nanoseconds", samples=one([1, 2]), types=(1, 3)))


def test_functions_lines_mappings_and_linkage_names() -> None:
    words = (*WORDS, "f(int)", "_Z1fi", "/src/a.cpp", "/srv/prog", "ab12cd34", "plain")
    location = number(1, 7) + number(2, 1) + number(3, 0x1234)
    location += text(4, number(1, 2) + number(2, 41)) + text(4, number(1, 1) + number(2, 88))
    functions = text(5, number(1, 1) + number(2, 5) + number(3, 6) + number(4, 7)) + text(
        5, number(1, 2) + number(2, 10) + number(3, 10)
    )
    mapping = text(
        3, number(1, 1) + number(2, 0x1000) + number(3, 0x2000) + number(4, 0x1000) + number(5, 8) + number(6, 9)
    )
    report, mappings = parse(
        message(*words, samples=one([1, 16], [7]), more=text(4, location) + functions + mapping, types=(1, 3))
    )
    inner, outer = report.leaks[0].stack
    assert (inner.function, inner.line, inner.inlined, inner.linkage_name) == ("plain", 41, True, None)
    assert (outer.function, outer.linkage_name, outer.file, outer.line) == ("f(int)", "_Z1fi", "/src/a.cpp", 88)
    assert outer.module == Module("/srv/prog", "ab12cd34") and outer.address == 0x1235 and not outer.inlined
    assert [(m.start, m.end, m.offset, m.path) for m in mappings] == [(0x1000, 0x2000, 0x1000, "/srv/prog")]
    assert report.argv == ("/srv/prog",)


def test_a_sampled_profile_says_that_it_estimates() -> None:
    more = text(11, number(1, 3) + number(2, 4)) + number(12, 524_288)
    report, _ = parse(message(*WORDS, samples=one([1, 2]), more=more, types=(1, 3)))
    assert report.notes == (
        "Sampled about once in 524288 bytes: the figures are estimates",
        "1 stack rests on fewer than 10 samples, of 1 in all: such figures are rough",
    )
    assert (report.leaks[0].samples, report.leaks[0].few_samples) == (1, True)


def test_how_many_samples_an_estimate_rests_on_follows_from_the_period() -> None:
    more = text(11, number(1, 3) + number(2, 4)) + number(12, 524_288)
    more += text(4, number(1, 1) + number(3, 16)) + text(4, number(1, 2) + number(3, 32))
    # 400 blocks of 1 KiB were sampled once in 512 on average; each of 20 blocks of 8 MiB surely was.
    values = one([512 * 400, 1024 * 512 * 400], [1]) + one([20, 20 << 23], [2])
    report, _ = parse(message(*WORDS, samples=values, more=more, types=(1, 3)))
    assert [leak.samples for leak in report.leaks] == [400, 20]
    assert not any("rough" in note for note in report.notes)


def test_a_difference_of_two_profiles_lists_what_has_grown_and_tells_what_has_shrunk() -> None:
    report, _ = parse(message(*WORDS, samples=one([2, 70], [1]) + one([-3, -500], [2]), types=(1, 3)))
    assert [(leak.kind, leak.size_bytes, leak.objects) for leak in report.leaks] == [(LeakKind.GROWTH, 70, 2)]
    assert (
        "1 stacks that have shrunk, by 500 bytes in all, are not; the profiles differ by -430 bytes" in report.notes[-1]
    )


@pytest.mark.parametrize("less", [20, 25])
def test_a_file_that_is_cut_keeps_its_figures(less: int) -> None:
    whole = message(*WORDS, samples=one([1, 16], [7]) * 3, types=(1, 3))
    report, _ = parse(whole[:-less])
    assert (report.total_bytes, report.total_objects, report.status) == (48, 3, ReportStatus.TRUNCATED)
    assert "ends in the middle" in report.notes[0] and "taken for bytes in use" in report.notes[1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x0a",
        b"hello world",
        b"\xff" * 100,
        b"\x0a\xff\xff\xff\xff\x7f",
        text(6, b"x"),
        b"\x0b\x0c",
        varint(1 << 70 >> 6) * 20,
    ],
)
def test_what_is_no_profile_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse(data)


def test_hostile_messages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pprof, "MAX_STACKS", 2)
    report, _ = parse(message(*WORDS, samples=b"".join(one([1, 8], [n]) for n in range(10)), types=(1, 3)))
    assert (report.total_bytes, report.total_objects) == (80, 10)
    assert any("counted without their frames" in note for note in report.notes)
    deep = text(4, number(1, 1) + b"".join(text(4, number(1, n)) for n in range(10_000)))
    report, _ = parse(message(*WORDS, samples=one([1, 8], [1] * 10_000), more=deep, types=(1, 3)))
    assert len(report.leaks[0].stack) == 512
    with pytest.raises(ParseError, match="16 MiB"):
        parse(varint(2 << 3 | 2) + varint(MAX_FIELD_BYTES + 1))


def test_numbers_as_the_wire_has_them() -> None:
    assert packed(b"\x01\x02") == [1, 2] and packed(b"\x80\x01\x05") == [128, 5] and packed(9) == [9]
    assert signed((1 << 64) - 1) == -1 and signed(5) == 5
    with pytest.raises(ParseError):
        packed(b"\x80")
    with pytest.raises(ParseError):
        packed(b"\xff" * 11)


def test_names_are_clean() -> None:
    words = (*WORDS, "f\x1b[31m\u202e")
    more = text(4, number(1, 1) + text(4, number(1, 1))) + text(5, number(1, 1) + number(2, 5))
    report, _ = parse(message(*words, samples=one([1, 8], [1]), more=more, types=(1, 3)))
    assert report.leaks[0].stack[0].function == "f"


def test_headers_alone_and_calls_that_are_not_there_are_told() -> None:
    with pytest.raises(ParseError, match="without samples"):
        parse(message(*WORDS, samples=b"", types=(1, 3)))
    report, _ = parse(message(*WORDS, samples=one([1, 8], [9]) + one([0, 0], [3]), types=(1, 3)))
    assert report.total_bytes == 8 and "1 stacks lack calls: the file does not say what these are" in report.notes
    with pytest.raises(ParseError, match="inuse_space is 0 in all its samples"):
        parse(message(*WORDS, samples=one([0, 0]), types=(1, 3)))
