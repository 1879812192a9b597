"""What gperftools writes of itself: texts of Debian's 2.10, and the wording of other versions."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.allocators.stats import AllocatorDetail, AllocatorStats, SizeClass, SpanList
from memtui_parsers.allocators.tcmalloc import MAX_SIZE_CLASSES, MAX_SPAN_LISTS, parse_tcmalloc_stats
from memtui_parsers.errors import ParseError

SAMPLES = Path(__file__).resolve().parents[2] / "fixtures" / "allocators"
TOTALS = (SAMPLES / "tcmalloc-2.10-totals.txt").read_bytes()
DETAIL = (SAMPLES / "tcmalloc-2.10-detail.txt").read_bytes()
# The MALLOC: lines as gperftools up to 1.7 had them, after everything else; MB where later versions write MiB.
OLD = b"""\
------------------------------------------------
Size class breakdown
------------------------------------------------
class   1 [        8 bytes ] :      500 objs;   0.0 MB;   0.0 cum MB
class  12 [      208 bytes ] :       40 objs;   0.0 MB;   0.0 cum MB
------------------------------------------------
PageHeap: 2 sizes;    1.5 MB free;    0.5 MB unmapped
------------------------------------------------
     3 pages *     10 spans ~    0.1 MB;    0.1 MB cum; unmapped:    0.0 MB;    0.0 MB cum
    64 pages *      2 spans ~    0.5 MB;    0.6 MB cum; unmapped:    0.2 MB;    0.2 MB cum
Normal large spans:
   [    300 pages ]    1.2 MB
Unmapped large spans:
>255   large *      1 spans ~    1.2 MB;    1.8 MB cum; unmapped:    0.0 MB;    0.2 MB cum
------------------------------------------------
SysAllocator: 1.0 MB
------------------------------------------------
MALLOC:      4194304 (    4.0 MB) Heap size
MALLOC:      1000000 (    1.0 MB) Bytes in use by application
MALLOC:      1573000 (    1.5 MB) Bytes free in page heap
MALLOC:       524288 (    0.5 MB) Bytes unmapped in page heap
MALLOC:       300000 (    0.3 MB) Bytes free in central cache
MALLOC:        20000 (    0.0 MB) Bytes free in transfer cache
MALLOC:        50000 (    0.0 MB) Bytes free in thread caches
MALLOC:           17              Spans in use
MALLOC:            3              Thread heaps in use
MALLOC:       700000 (    0.7 MB) Metadata allocated
MALLOC:         4096              Tcmalloc page size
------------------------------------------------
"""


def test_the_totals_are_exact() -> None:
    found = parse_tcmalloc_stats(TOTALS)
    assert found.stats == AllocatorStats(
        in_use_bytes=27826120,
        free_bytes=32497664,
        central_bytes=25752240,
        transfer_bytes=6801408,
        thread_bytes=2977160,
        metadata_bytes=2752512,
        released_bytes=0,
    )
    # "Actual memory used (physical + swap)"
    assert found.stats.in_use_bytes + found.stats.kept_bytes == 98607104
    assert found.detail == AllocatorDetail()


def test_size_classes_and_spans_add_up_to_the_totals() -> None:
    found = parse_tcmalloc_stats(DETAIL)
    stats, detail = found.stats, found.detail
    assert stats.released_bytes == 13836288
    assert len(detail.size_classes) == 51
    assert detail.size_classes[0] == SizeClass(8, 993)
    assert detail.size_classes[-1] == SizeClass(253952, 1)
    # 2.035 MiB is what the text calls overhead: the ends of spans that no object of their class fits into.
    overhead_bytes = stats.cached_bytes - sum(c.free_bytes for c in detail.size_classes)
    assert overhead_bytes == pytest.approx(2.035 * 2**20, abs=600)
    assert detail.spans[:4] == (
        SpanList(5, 1, 40960, 0),
        SpanList(69, 1, 0, 69 * 8192),
        SpanList(88, 1, 0, 88 * 8192),
        SpanList(104, 1, 0, 104 * 8192),
    )
    assert (detail.spans[4].pages, detail.spans[4].spans) == (0, 10)
    assert sum(s.free_bytes for s in detail.spans) == pytest.approx(stats.free_bytes, abs=0.11 * 2**20)
    assert sum(s.returned_bytes for s in detail.spans) == pytest.approx(stats.released_bytes, abs=0.11 * 2**20)


def test_old_wording_and_the_totals_last() -> None:
    found = parse_tcmalloc_stats(OLD)
    assert found.stats == AllocatorStats(1000000, 1573000, 300000, 20000, 50000, 700000, 524288)
    assert found.detail.size_classes == (SizeClass(8, 500), SizeClass(208, 40))
    # 0.2 MB of two spans of 0.25 MB: one of them.
    assert found.detail.spans[:2] == (SpanList(3, 10, 122880, 0), SpanList(64, 2, 262144, 262144))
    assert found.detail.spans[2].free_bytes == pytest.approx(1.2 * 2**20, abs=1)


def test_more_words_and_lines_than_we_know() -> None:
    text = (
        b"NOTE:  SMALL MEMORY MODEL IS IN USE, PERFORMANCE MAY SUFFER.\n"
        + TOTALS.replace(b"Bytes in page heap freelist", b"Bytes in the page heap freelist, of which 3 huge")
        .replace(b">128 ", b">=128 ")
        .replace(b"MALLOC:           8192", b"MALLOC: +         77 (    0.0 MiB) Bytes in a cache to come\nMALLOC:   8192")
    )  # fmt: skip
    assert parse_tcmalloc_stats(text) == parse_tcmalloc_stats(TOTALS)


def test_a_list_without_unmapped_and_without_a_page_size() -> None:
    lines = DETAIL.replace(b"MALLOC:           8192              Tcmalloc page size\n", b"")
    lines += b"     2 pages *      3 spans ~    1.5 MiB;    9.9 MiB cum\n"
    assert parse_tcmalloc_stats(lines).detail.spans[-1] == SpanList(2, 3, 1572864, 0)


def test_what_follows_a_zero_byte_is_of_an_earlier_call() -> None:
    assert parse_tcmalloc_stats(TOTALS + b"\0" + DETAIL) == parse_tcmalloc_stats(TOTALS)


def test_a_figure_that_fell_below_zero_counts_as_none() -> None:
    text = TOTALS.replace(b"27826120", str((1 << 64) - 4096).encode())
    assert parse_tcmalloc_stats(text).stats.in_use_bytes == 0


@pytest.mark.parametrize(
    ("words", "lacks"),
    [
        (b"Bytes in use by application", "bytes in use"),
        (b"Bytes in page heap freelist", "bytes in the page heap"),
        (b"Bytes in central cache freelist", "bytes in the central cache"),
        (b"Bytes in thread cache freelists", "bytes in the thread caches"),
        (b"Bytes in malloc metadata", "bytes of metadata"),
    ],
)
def test_a_missing_figure_is_named(words: bytes, lacks: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_tcmalloc_stats(TOTALS.replace(words, b"Bytes of another kind"))
    assert caught.value.reason == f"tcmalloc's figures lack the {lacks}"
    assert (caught.value.line, caught.value.excerpt[:14]) == (19, "Bytes released")


def test_nothing_and_something_else() -> None:
    for text in (b"", b"\0" * 100, b"hello", b"MALLOC:\n"):
        with pytest.raises(ParseError, match="lack the bytes in use"):
            parse_tcmalloc_stats(text)


def test_a_text_that_is_cut_gives_what_was_whole_of_it() -> None:
    whole = parse_tcmalloc_stats(DETAIL)
    first = DETAIL.index(b"Bytes in malloc metadata\n") + len(b"Bytes in malloc metadata\n")
    for length in range(len(DETAIL)):
        if length < first:
            with pytest.raises(ParseError):
                parse_tcmalloc_stats(DETAIL[:length])
            continue
        found = parse_tcmalloc_stats(DETAIL[:length])
        assert found.stats.in_use_bytes == whole.stats.in_use_bytes
        assert found.detail.size_classes == whole.detail.size_classes[: len(found.detail.size_classes)]
        assert found.detail.spans == whole.detail.spans[: len(found.detail.spans)]


_LINES = st.sampled_from([*DETAIL.splitlines(), *OLD.splitlines()])
_DIGITS = st.integers(0, 10**24).map(lambda number: str(number).encode())


@given(st.binary(max_size=2000))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_tcmalloc_stats(data)


@given(st.lists(st.tuples(_LINES, _DIGITS, st.integers(0, 60)), max_size=60))
def test_lines_with_other_numbers_in_any_order(lines: list[tuple[bytes, bytes, int]]) -> None:
    text = b"\n".join(line[:at] + digits + line[at:] for line, digits, at in lines) + b"\n"
    try:
        found = parse_tcmalloc_stats(TOTALS + text)
    except ParseError:
        return
    sizes = [*(c.size_bytes for c in found.detail.size_classes), *(c.free_objects for c in found.detail.size_classes)]
    for spans in found.detail.spans:
        sizes += (spans.free_bytes, spans.returned_bytes, spans.spans, spans.free_bytes + spans.returned_bytes)
    assert all(0 <= size < 1 << 63 for size in sizes)


@pytest.mark.parametrize(
    "hostile",
    [
        b"MALLOC:" + b" " * (1 << 20),
        b"MALLOC: " + b"9" * (1 << 20),
        b"MALLOC: 1 (" + b" " * (1 << 20),
        b"class  1 [" + b" " * (1 << 20),
        b" " * (1 << 20) + b"pages",
        b"1 pages * 1 spans ~ 1 MiB;" + b"unmapped: " * 100_000,
        b"class   1 [        8 bytes ] :      993 objs\n" * 30_000,
        b"     5 pages *      1 spans ~    0.0 MiB\n" * 30_000,
        b"MALLOC: 1 x\n" * 100_000,
        b"\n" * (1 << 22),
    ],
    ids=["blanks", "digits", "bracket", "class", "blanks before", "unmapped", "classes", "spans", "figures", "lines"],
)
def test_hostile_texts_cost_little(hostile: bytes) -> None:
    began = time.process_time()
    found = parse_tcmalloc_stats(TOTALS + hostile + b"\n")
    assert time.process_time() - began < 2
    assert len(found.detail.size_classes) <= MAX_SIZE_CLASSES
    assert len(found.detail.spans) <= MAX_SPAN_LISTS
