from __future__ import annotations

import io
import math
import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.formats import gperftools_heap
from memtui_parsers.formats.gperftools_heap import parse_heap
from memtui_parsers.values import HeapEntry, HeapProfile
from tests.fixtures.gperftools import reference_pprof
from tests.fixtures.heap_entries import entries_of
from tests.fixtures.leaky import build

SAMPLES = Path(__file__).resolve().parents[2] / "fixtures" / "heap"
MAPS = b"\nMAPPED_LIBRARIES:\n55825ceeb000-55825ceec000 r-xp 00001000 08:01 393232   /srv/rpc server\n"


def parse(text: bytes) -> HeapProfile:
    return parse_heap(io.BytesIO(text))


def dump(
    *entries: bytes, header: bytes = b"     3:      300 [     3:      300] @ heapprofile", tail: bytes = MAPS
) -> bytes:
    return b"heap profile: " + header + b"\n" + b"".join(e + b"\n" for e in entries) + tail


def test_a_line_per_object_is_added_up_by_stack_largest_first() -> None:
    one = b"     1:      100 [     1:      100] @ 0x000055825ceeb249 0x7f00"
    other = b"     1:      150 [     2:      250] @ 0x7f10"
    profile = parse(dump(one, other, one, header=b"3: 350 [4: 450] @ heapprofile"))
    assert entries_of(profile) == (
        HeapEntry(2, 200, 2, 200, (0x55825CEEB249, 0x7F00)),
        HeapEntry(1, 150, 2, 250, (0x7F10,)),
    )
    assert profile.header == HeapEntry(3, 350, 4, 450, ())
    assert [m.path for m in profile.mappings] == ["/srv/rpc server"]
    assert profile.notes == ()
    assert profile.whole


@pytest.mark.parametrize(
    ("word", "kind", "period"),
    [
        (b"heapprofile", "heapprofile", 0),
        (b"heap_v2/524288", "heap_v2", 524288),
        (b"heapz_v2/1", "heapz_v2", 1),
        (b"heapz_v2", "heapz_v2", 131072),
        (b"heap/1048576", "heap", 524288),
        (b"heap", "heap", 131072),
        (b"growth", "growth", 0),
        (b"growthz/4096", "growthz", 0),
        (b"fragmentationz", "fragmentationz", 0),
        (b"heapprofile/4096", "heapprofile", 0),
        (b" heapprofile", "heapprofile", 0),
    ],
)
def test_every_header_that_gperftools_writes(word: bytes, kind: str, period: int) -> None:
    profile = parse(dump(header=b"0: 0 [0: 0] @" + word))
    assert (profile.kind, profile.period, entries_of(profile)) == (kind, period, ())


def test_a_stack_may_be_empty() -> None:
    assert entries_of(parse(dump(b"3: 300 [3: 300] @ "))) == (HeapEntry(3, 300, 3, 300, ()),)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n\n",
        b"MZ\x90\x00",
        b"heap profile: many",
        b"\x1f\x8b\x08\x00",
        b"x" * (1 << 20),
        b"<?xml version='1.0'?>",
    ],
)
def test_what_is_no_heap_profile_is_refused_in_words(text: bytes) -> None:
    with pytest.raises(ParseError) as raised:
        parse(text)
    assert raised.value.reason


def test_a_cut_file_gives_what_was_whole_and_says_what_is_missing() -> None:
    whole = dump(b"1: 100 [1: 100] @ 0x10 0x20", b"2: 200 [2: 200] @ 0x30 0x40")
    cut = parse(whole[: whole.index(b"0x40") + 3])
    assert entries_of(cut) == (HeapEntry(1, 100, 1, 100, (0x10, 0x20)),)
    assert not cut.whole
    assert cut.notes[0] == "the dump is cut: 200 bytes in 2 objects that its header counts are missing"
    assert "libraries" in cut.notes[1]


def test_lines_that_make_no_sense_are_named_and_passed_over() -> None:
    bad = (
        b"1: 1 [1: 1] @ 0xzz",
        b"-1: -1 [1: 1] @ 0x10",
        b"\xff\xfe",
        b"1: 1 [1: 1] @ -0x1",
        b"1: 1 [1: 1] @ 0x" + b"f" * 17,
    )
    profile = parse(dump(*bad, b"3: 300 [3: 300] @ 0x10"))
    assert entries_of(profile) == (HeapEntry(3, 300, 3, 300, (0x10,)),)
    assert profile.notes == ("5 lines make no sense, the first is line 2: '1: 1 [1: 1] @ 0xzz'",)
    assert not profile.whole


def test_hostile_sizes_are_bounded_and_totals_stay_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gperftools_heap, "MAX_STACKS", 2)
    deep = b" ".join(b"0x%x" % n for n in range(300))
    profile = parse(
        dump(b"1: 1 [1: 1] @ 0x1", b"1: 1 [1: 1] @ " + deep, *(b"1: 1 [1: 1] @ 0x%x" % n for n in range(9, 12)))
    )
    assert sum(e.inuse_objects for e in entries_of(profile)) == 5
    assert [len(e.addresses) for e in entries_of(profile)] == [0, 1, gperftools_heap.MAX_DEPTH]
    assert any("counted without their frames" in n for n in profile.notes)
    assert any("deeper than 256" in n for n in profile.notes)


def test_an_endless_line_is_not_held() -> None:
    profile = parse(dump(b"1: 1 [1: 1] @ " + b"0x1 " * 3_000_000, b"3: 300 [3: 300] @ 0x10"))
    assert entries_of(profile) == (HeapEntry(3, 300, 3, 300, (0x10,)),)


def test_what_samples_stand_for_is_estimated_line_by_line() -> None:
    small, large = b"10: 10240 [20: 20480] @ 0x10", b"1: 1048576 [1: 1048576] @ 0x10"
    second = parse(dump(small, large, header=b"11: 1058816 [21: 1069056] @ heap_v2/524288"))
    factors = [1 / (1 - math.exp(-size / 524288)) for size in (1024, 1048576)]
    assert entries_of(second) == (
        HeapEntry(
            round(10 * factors[0] + factors[1]),
            round(10240 * factors[0] + 1048576 * factors[1]),
            round(20 * factors[0] + factors[1]),
            round(20480 * factors[0] + 1048576 * factors[1]),
            (0x10,),
        ),
    )
    assert second.whole
    assert second.notes == ("one sample was taken in 524288 bytes: bytes and objects are estimates",)
    first = parse(dump(small, large, header=b"11: 1058816 [21: 1069056] @ heap/524288"))
    assert entries_of(first)[0].inuse_bytes == 10 * 524288 // 2 + 1048576


@pytest.mark.parametrize(("header", "period"), [(b"3: 300 [3: 300]", 131072), (b"3: 300 [4: 400]", 0)])
def test_a_header_without_a_kind_is_of_samples_when_nothing_was_freed(header: bytes, period: int) -> None:
    profile = parse(dump(b"3: 300 [3: 300] @ 0x10", header=header))
    assert (profile.kind, profile.period, entries_of(profile)[0].inuse_objects) == (
        "",
        period,
        3 if not period else 3932,
    )


JEMALLOC = b"""heap_v2/16384
  t*: 51: 60000 [0: 0]
  t0: 1: 10000 [0: 0]
  t1: 50: 50000 [0: 0]
@ 0x10 0x20
  t*: 50: 50000 [60: 60000]
  t1: 50: 50000 [60: 60000]
@ 0x30
  t*: 1: 10000 [0: 0]
  t0: 1: 10000 [0: 0]
"""


def test_jemallocs_profile_counts_each_stack_once_over_all_threads() -> None:
    profile = parse(JEMALLOC + MAPS)
    factors = [1 / (1 - math.exp(-size / 16384)) for size in (1000, 10000)]
    assert [(e.addresses, e.inuse_objects, e.inuse_bytes) for e in entries_of(profile)] == [
        ((0x10, 0x20), round(50 * factors[0]), round(50000 * factors[0])),
        ((0x30,), round(factors[1]), round(10000 * factors[1])),
    ]
    assert entries_of(profile)[0].allocated_objects == round(60 * factors[0])
    assert (profile.kind, profile.period, profile.header, profile.whole) == ("heap_v2", 16384, None, True)
    assert len(profile.mappings) == 1 and len(profile.notes) == 1


@pytest.mark.parametrize("end", [len(JEMALLOC), len(JEMALLOC) - 5, JEMALLOC.index(b"@ 0x30") + 4])
def test_a_cut_profile_of_jemallocs_says_so(end: int) -> None:
    profile = parse(JEMALLOC[:end])
    assert not profile.whole and profile.notes[0] in (
        "the dump is cut before its end",
        "the dump ends in the middle of a line",
    )
    assert entries_of(profile)[0].addresses == (0x10, 0x20)


ENTRY = st.builds(
    HeapEntry,
    st.integers(0, 10**9),
    st.integers(0, 10**15),
    st.integers(0, 10**9),
    st.integers(0, 10**15),
    st.lists(st.integers(0, 2**64 - 1), max_size=40).map(tuple),
)


@given(st.lists(ENTRY, max_size=20, unique_by=lambda e: e.addresses), st.integers(1, 3))
def test_what_is_written_is_read_back(entries: list[HeapEntry], times: int) -> None:
    lines = [
        b"%6d: %8d [%6d: %8d] @ %s"
        % (
            e.inuse_objects,
            e.inuse_bytes,
            e.allocated_objects,
            e.allocated_bytes,
            b" ".join(b"0x%08x" % a for a in e.addresses),
        )
        for e in entries
    ] * times
    total = b"%d: %d [0: 0] @ heapprofile" % (
        times * sum(e.inuse_objects for e in entries),
        times * sum(e.inuse_bytes for e in entries),
    )
    profile = parse(dump(*lines, header=total))
    assert {e.addresses: e.inuse_bytes for e in entries_of(profile)} == {
        e.addresses: times * e.inuse_bytes for e in entries
    }
    assert profile.whole and profile.notes == ()
    assert [e.inuse_bytes for e in entries_of(profile)] == sorted(
        (e.inuse_bytes for e in entries_of(profile)), reverse=True
    )


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 60))
def test_mutated_dumps_raise_nothing_but_parse_errors(noise: bytes, at: int, removed: int) -> None:
    whole = dump(b"1: 100 [1: 100] @ 0x10 0x20", b"2: 200 [2: 200] @ 0x30 0x40")
    text = whole[:at] + noise + whole[at + removed :]
    try:
        profile = parse(text)
    except ParseError:
        return
    assert all(0 <= a < 1 << 64 for e in entries_of(profile) for a in e.addresses)


@given(st.integers(0, 400), st.integers(1, 50))
def test_reading_in_small_pieces_gives_the_same(at: int, size: int) -> None:
    class Drip(io.BytesIO):
        def read(self, count: int | None = -1, /) -> bytes:
            return super().read(size)

    text = dump(b"1: 100 [1: 100] @ 0x10 0x20", b"2: 200 [2: 200] @ 0x30 0x40")[at:] or b"x"
    try:
        expected = parse(text)
    except ParseError:
        with pytest.raises(ParseError):
            parse_heap(Drip(text))
        return
    assert parse_heap(Drip(text)) == expected


def google_pprof_total(program: Path, path: Path, measure: str) -> int:
    command = [reference_pprof(), "--text", "--show_bytes", measure, str(program), str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    matched = re.match(r"Total: (\d+)", shown)
    assert matched
    return int(matched[1])


def test_a_real_heap_profile_has_google_pprofs_totals(tmp_path: Path) -> None:
    program = build("basic")
    environment = {
        **os.environ,
        "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4",
        "HEAPPROFILE": str(tmp_path / "p"),
        "TCMALLOC_STACKTRACE_METHOD": "libgcc",
    }
    subprocess.run([str(program.path)], env=environment, capture_output=True, check=True, timeout=60)
    path = max(tmp_path.glob("p.*.heap"))
    with path.open("rb") as stream:
        profile = parse_heap(stream)
    assert profile.whole
    assert profile.header is not None
    assert profile.header.inuse_bytes == google_pprof_total(program.path, path, "--inuse_space")
    assert profile.header.inuse_objects == google_pprof_total(program.path, path, "--inuse_objects")
    assert profile.header.allocated_bytes == google_pprof_total(program.path, path, "--alloc_space")


def test_a_recorded_leak_dump() -> None:
    with (SAMPLES / "basic.draconian.heap").open("rb") as stream:
        profile = parse_heap(stream)
    assert profile.header == HeapEntry(118, 100_926, 118, 100_926, ())
    assert [(e.inuse_objects, e.inuse_bytes) for e in entries_of(profile)[:2]] == [(100, 100_000), (1, 344)]
    assert len(entries_of(profile)[0].addresses) == 5
    assert profile.whole and profile.notes == ()
