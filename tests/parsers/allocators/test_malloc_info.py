"""glibc's malloc_info: a text of glibc 2.36 with three arenas, and what is no such text."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.allocators.malloc_info import MAX_DEPTH, MAX_SIZE_CLASSES, parse_malloc_info
from memtui_parsers.allocators.stats import AllocatorDetail, Arena, SizeClass
from memtui_parsers.errors import ParseError

SAMPLE = (Path(__file__).resolve().parents[2] / "fixtures" / "allocators" / "malloc_info-2.36.xml").read_bytes()
BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE malloc [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<malloc version="1"><heap nr="&c;"></heap></malloc>
"""


def test_arenas_and_totals_are_those_of_mallinfo2() -> None:
    """Beside the text the same process printed mallinfo2: arena 3416064, fsmblks 2784, uordblks 1371984, fordblks 2044080,

    hblkhd 10489856. The free chunk at each arena's top is counted once too often with its flag bits: a byte each.
    """
    info = parse_malloc_info(SAMPLE)
    assert info.whole
    assert info.arenas == (
        Arena("main", 1081344, 712511),
        Arena("arena 1", 995328, 660223),
        Arena("arena 2", 1339392, 671343),
    )
    assert (info.system_bytes, info.fast_bytes, info.mapped_bytes) == (3416064, 2784, 10489856)
    assert info.free_bytes == 2044080 - 3
    assert info.system_bytes - info.free_bytes == 1371984 + 3


def test_sizes_are_without_flag_bits_and_added_up_over_arenas() -> None:
    info = parse_malloc_info(SAMPLE)
    classes = {c.size_bytes: c.free_objects for c in info.size_classes}
    # 48 and 64 are fast bins of two arenas, and 48 a small bin of the third as well; 1064 is the mean of a large bin.
    assert (classes[32], classes[48], classes[64], classes[1064]) == (5, 1 + 8 + 3, 1 + 5, 2)
    assert [c.size_bytes for c in info.size_classes] == sorted(classes)
    # All but the arenas' tops, of which the main one's is 90032 (keepcost).
    in_bins = sum(c.free_bytes for c in info.size_classes)
    assert 90032 < info.free_bytes - in_bins < 100000
    assert info.detail == AllocatorDetail(size_classes=info.size_classes, arenas=info.arenas)


def test_a_text_that_is_cut_gives_the_arenas_that_were_whole() -> None:
    ends = [end for end in range(len(SAMPLE)) if SAMPLE[:end].endswith(b"</heap>")]
    for length in range(len(b'<malloc version="1">'), len(SAMPLE) - len(b"</malloc>\n") + 1):
        info = parse_malloc_info(SAMPLE[:length])
        arenas = sum(end <= length for end in ends)
        assert not info.whole
        assert [a.name for a in info.arenas] == ["main", "arena 1", "arena 2"][:arenas]
        assert info.free_bytes == sum(a.free_bytes for a in info.arenas)


def test_a_bomb_of_entities_is_refused_before_it_can_grow() -> None:
    with pytest.raises(ParseError) as caught:
        parse_malloc_info(BOMB)
    assert caught.value.reason == "a DOCTYPE has no place here"
    assert caught.value.line == 2
    assert caught.value.excerpt.startswith("<!DOCTYPE malloc")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b"", 0, "this is not what malloc_info writes"),
        (b"<html><heap nr='0'/></html>", 0, "this is not what malloc_info writes"),
        (b"hello\n<malloc/>", 1, "this is no XML"),
        (b'<malloc version="1">\n<heap nr="0">\n</malloc>', 3, "this is no XML"),
        (b'<malloc version="1">\n<heap nr="&who;">', 2, "this is no XML"),
        (b'<malloc version="1">\n<heap nr="\xff">', 2, "this is no XML"),
        (b'<malloc version="1">' + b"<a>" * MAX_DEPTH, 1, "elements in elements without an end"),
    ],
    ids=["nothing", "html", "text", "unclosed", "entity", "bytes", "depth"],
)
def test_what_it_is_not(text: bytes, line: int, reason: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_malloc_info(text)
    assert (caught.value.reason, caught.value.line) == (reason, line)


def test_numbers_that_are_none_count_as_nothing() -> None:
    text = (
        b'<malloc version="2"><heap nr="x"><sizes><size from="1" to="2" total="-5" count="1"/><size total="9" count="0"/>'
        b'<size total="99999999999999999999999" count="1"/><size/><new from="1"/></sizes>'
        b'<total type="rest" count="9" size="5"/><system type="current" size="1e9"/></heap></malloc>'
    )
    info = parse_malloc_info(text)
    assert (info.size_classes, info.arenas, info.whole) == ((), (Arena("main", 0, 0),), True)


def test_free_never_exceeds_what_an_arena_has() -> None:
    text = b'<malloc><heap nr="4"><total type="rest" count="1" size="500"/><system type="current" size="300"/></heap></malloc>'
    assert parse_malloc_info(text).arenas == (Arena("arena 4", 300, 300),)


def test_a_declared_encoding_changes_nothing() -> None:
    declared = b'<?xml version="1.0" encoding="utf-16"?>\n' + SAMPLE
    assert parse_malloc_info(declared) == parse_malloc_info(SAMPLE)


@given(st.binary(max_size=400), st.integers(0, len(SAMPLE)))
def test_any_bytes_anywhere(data: bytes, at: int) -> None:
    try:
        info = parse_malloc_info(SAMPLE[:at] + data + SAMPLE[at:])
    except ParseError:
        return
    assert all(0 <= a.free_bytes <= a.system_bytes < 1 << 63 for a in info.arenas)
    assert all(0 < c.size_bytes < 1 << 63 for c in info.size_classes)


@pytest.mark.parametrize(
    "hostile",
    [
        b"<heap nr='0'>" + b"".join(b"<size total='%d' count='1'/>" % (8 * n) for n in range(1, 200_000)) + b"</heap>",
        b"<heap nr='0'><total/><system/></heap>" * 200_000,
        b"<heap nr='" + b"9" * 5_000_000 + b"'/>",
        b"<heap " + b" ".join(b"a%d='1'" % n for n in range(200_000)) + b"/>",
        b"<!-- " + b"-" * 1_000,
        b" " * (20 << 20),
    ],
    ids=["sizes", "heaps", "long attribute", "attributes", "comment", "blanks"],
)
def test_hostile_texts_cost_little(hostile: bytes) -> None:
    began = time.process_time()
    try:
        info = parse_malloc_info(b"<malloc>" + hostile)
    except ParseError:
        info = None
    assert time.process_time() - began < 5
    assert info is None or (len(info.size_classes) <= MAX_SIZE_CLASSES and not info.whole)


def test_a_size_class_is_the_mean_of_a_bin_of_several_sizes() -> None:
    text = b"<malloc><heap nr='0'><unsorted from='145' to='9953' total='657174' count='134'/></heap></malloc>"
    assert parse_malloc_info(text).size_classes == (SizeClass(4904, 134),)
