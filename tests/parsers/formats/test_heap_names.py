"""Heap profiles in text that name their own addresses: symbolized ones, and Go's."""

from __future__ import annotations

import io
import math

import pytest

from memtui_parsers.errors import ParseError
from memtui_parsers.formats import heap_names
from memtui_parsers.formats.as_written import as_written
from memtui_parsers.formats.gperftools_heap import parse_heap
from memtui_parsers.formats.heap_names import HeapNames
from memtui_parsers.formats.sniff import FileKind, sniff
from memtui_parsers.values import HeapProfile
from tests.fixtures.heap_entries import entries_of
from tests.fixtures.report_files import sample

HEADER = b"heap profile: 3: 300 [3: 300] @ heapprofile\n"


def parse(text: bytes) -> HeapProfile:
    assert sniff(io.BytesIO(text)).kind is FileKind.HEAP
    return parse_heap(io.BytesIO(text))


def functions(profile: HeapProfile, *, entry: int = 0) -> list[list[str | None]]:
    addresses = entries_of(profile)[entry].addresses
    return [[call.function for call in profile.names.get(address, ())] for address in addresses]


def test_what_jeprof_writes_raw_is_read_with_its_names() -> None:
    profile = parse(sample("jeprof-raw.prof"))
    assert round(sum(entry.inuse_bytes for entry in entries_of(profile)) / (1 << 20), 1) == 298.0
    assert functions(profile)[:6] == [
        ["prof_backtrace_impl"], ["je_prof_backtrace"], ["je_prof_tctx_create"], ["je_malloc_default"], ["read_block"], ["main"],
    ]  # fmt: skip
    assert ["copy_string"] in functions(profile, entry=1)
    assert profile.whole and sorted(profile.samples) == [3880, 11852] and profile.mappings


@pytest.mark.parametrize("section", [b"--- heap\n", b"--- profile\n", b"--- growth\r\n", b"\n--- heapz\n\n", b""])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_symbol_sections_of_every_writer(section: bytes, end: bytes) -> None:
    symbols = end.join(
        (
            b"--- symbol",
            b"binary=/srv/my app",
            b"0x000000000000000f outer--inner",
            b"0x20 f(int) const",
            b"0x2f ??",
            b"---",
            b"",
        )
    )
    profile = parse(symbols + section + HEADER + b"3: 300 [3: 300] @ 0x10 0x20 0x30\n")
    assert functions(profile) == [["inner", "outer"], ["f(int) const"], []]
    assert [call.inlined for call in profile.names[0x10]] == [True, False]
    assert profile.notes == ()


def test_mangled_names_are_told_from_functions() -> None:
    profile = parse(b"--- symbol\n0xf _Z1fi\n---\n--- heap\n" + HEADER + b"3: 300 [3: 300] @ 0x10\n")
    assert (profile.names[0x10][0].function, profile.names[0x10][0].linkage_name) == (None, "_Z1fi")


@pytest.mark.parametrize(
    "rest",
    [b"", b"--- profile\n", b"--- profile\n\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0", b"--- contention\ncycles/second=1\n"],
)
def test_a_symbolized_profile_of_no_heap_is_refused(rest: bytes) -> None:
    with pytest.raises(ParseError, match="symbolized profile"):
        parse(b"--- symbol\nbinary=/x\n0x10 f\n---\n" + rest)


def test_go_names_its_stacks_and_is_estimated_as_go_does() -> None:
    profile = parse(sample("go-heap.txt"))
    largest = entries_of(profile)[0]
    assert functions(profile)[:4] == [["main.open1"], ["main.session"], ["main.main"], ["runtime.main"]]
    leaf = profile.names[largest.addresses[0]][0]
    assert (leaf.file, leaf.line) == ("/tmp/pp/heap.go", 6)
    # 29 blocks of 4096 bytes, one byte in 524288 being sampled
    assert largest.inuse_objects == int(29 / -math.expm1(-4096 / 524288)), "go tool pprof cuts to whole numbers"
    assert profile.notes == ("one sample was taken in 524288 bytes: bytes and objects are estimates",)
    assert dict(zip((e.inuse_bytes for e in entries_of(profile)), range(9), strict=False)) and profile.whole


def test_go_calls_at_one_address_are_inlined_there() -> None:
    call = b"#\t0x%x\tmain.%s+0x1\t\t/src/a@v1.2/f.go:%d\n"
    stack = call % (15, b"inner", 3) + call % (15, b"outer", 9) + call % (31, b"main", 20)
    text = b"heap profile: 2: 32 [2: 32] @ heap/2\n" + 2 * (b"1: 16 [1: 16] @ 0x10 0x20\n" + stack + b"\n")
    profile = parse(text + b"\n# runtime.MemStats\n# Alloc = 22686624\n")
    assert functions(profile) == [["main.inner", "main.outer"], ["main.main"]]
    assert profile.names[0x10][1].line == 9 and profile.notes == () and not profile.samples


def test_names_are_bounded_and_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap_names, "MAX_NAMES", 2)
    names = HeapNames()
    assert all(names.take_symbol(b"0x%x f\x1b[31m%d" % (n, n)) for n in range(1, 10))
    assert not names.take_symbol(b"binary=/srv/x") and names.beyond == 7
    assert [call.function for calls in names.at(range(2, 20)).values() for call in calls] == ["f1", "f2"]


@pytest.mark.parametrize(
    ("before", "end"), [("", "\r\n"), ("> ", "\n"), ("2026-11-30T10:00:00Z ", "\n"), ("    ", "\r\n")]
)
def test_names_are_read_through_a_prefix_too(before: str, end: str) -> None:
    lines = [
        "--- symbol",
        "binary=/x",
        "0xf f--g",
        "---",
        "--- heap",
        HEADER.decode().strip(),
        "3: 300 [3: 300] @ 0x10",
    ]
    text = "".join(f"{before}{line}{end}" for line in [*lines, "", "MAPPED_LIBRARIES:"])
    profile = parse_heap(as_written(io.BytesIO(text.encode())))
    assert functions(profile) == [["g", "f"]]
