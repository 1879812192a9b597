"""Pasted statistics of allocators: each writer's text, what logs put before it, what is cut, hostile or another's."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.allocators.stats import AllocatorStats, PrintedStatistics
from memtui_parsers.errors import ParseError
from memtui_parsers.formats.allocator_statistics import parse_printed
from memtui_parsers.formats.sniff import FileKind, sniff

STATISTICS = Path(__file__).parents[2] / "fixtures" / "statistics"

GOOGLES = """\
------------------------------------------------
MALLOC:     1000000000 (  953.7 MiB) Bytes in use by application
MALLOC: +    600000000 (  572.2 MiB) Bytes in page heap freelist
MALLOC: +     20000000 (   19.1 MiB) Bytes in central cache freelist
MALLOC: +     30000000 (   28.6 MiB) Bytes in per-CPU cache freelist
MALLOC: +      4000000 (    3.8 MiB) Bytes in Sharded cache freelist
MALLOC: +      5000000 (    4.8 MiB) Bytes in transfer cache freelist
MALLOC: +       100000 (    0.1 MiB) Bytes in thread cache freelists
MALLOC: +      7000000 (    6.7 MiB) Bytes in malloc metadata
MALLOC: +       200000 (    0.2 MiB) Bytes in malloc metadata Arena unallocated
MALLOC: +       300000 (    0.3 MiB) Bytes in malloc metadata Arena unavailable
MALLOC:   ------------
MALLOC: =   1666600000 ( 1589.4 MiB) Actual memory used (physical + swap)
MALLOC: +     50000000 (   47.7 MiB) Bytes released to OS (aka unmapped)
MALLOC:   ------------
"""
# jemalloc 4's, with fewer columns and the cache of threads under another name; and 3's, which has neither it nor RSS.
_BINS = (
    "bins: size ind allocated nmalloc ndalloc nrequests curregs curruns regs pgs util nfills nflushes newruns reruns"
)
JEMALLOC_4 = f"""\
___ Begin jemalloc statistics ___
Version: 4.2.1-0-g3de0353352
Allocated: 70000, active: 90112, metadata: 1000, resident: 120000, mapped: 200000, retained: 5000
Merged arenas stats:
tcache:                    4000
{_BINS}
                  16   1         1600          100            0          100          100   1  256   1 0.390  1  0  1  0
                 ---
                  64   4          640           20           10           20           10   2   64   1 0.078  1  0  1  0
arenas[0]:
tcache:                    9999
{_BINS}
                  16   1         1600          100            0          100          100   9  256   1 0.390  1  0  1  0
--- End jemalloc statistics ---
"""
JEMALLOC_3 = "___ Begin jemalloc statistics ___\nAllocated: 70000, active: 90112, mapped: 200000\n"
LIBC_REDIS = """\
used_memory:1000
used_memory_rss:9000
allocator_allocated:1000
allocator_active:9000
allocator_resident:9000
mem_allocator:libc
"""
MALLOC_STATS = """\
Arena 0:
system bytes     =     135168
in use bytes     =      75552
Arena 1:
system bytes     =    1000000
in use bytes     =     100000
Total (incl. mmap):
system bytes     =    2135168
in use bytes     =    1175552
max mmap regions =          1
max mmap bytes   =    1000000
"""


def parse(text: str | bytes) -> PrintedStatistics:
    return parse_printed(io.BytesIO(text.encode() if isinstance(text, str) else text))


def kind_of(text: str | bytes) -> FileKind:
    return sniff(io.BytesIO(text.encode() if isinstance(text, str) else text)).kind


def fixture(name: str) -> str:
    return (STATISTICS / name).read_text()


CLICKHOUSE = """\
┌─metric──────────────┬───────value─┐
│ jemalloc.active     │ 90112       │
│ jemalloc.allocated  │ 70000       │
│ jemalloc.metadata   │ 1000        │
│ jemalloc.resident   │ 120000      │
│ jemalloc.retained   │ 5000        │
└─────────────────────┴─────────────┘
"""
PROMETHEUS = """\
# TYPE jemalloc_allocated_bytes gauge
jemalloc_allocated_bytes{instance="a:1"} 7e+04
jemalloc_active_bytes{instance="a:1"} 90112
jemalloc_metadata_bytes{instance="a:1"} 1000
jemalloc_resident_bytes{instance="a:1"} 1.2e+05
jemalloc_retained_bytes{instance="a:1"} 5000
"""
MONGODB = '"tcmalloc" : { "formattedString" : "' + GOOGLES.replace("\n", "\\n") + '" }\n'

TEXTS = {
    "clickhouse": CLICKHOUSE,
    "prometheus": PROMETHEUS,
    "gperftools": fixture("gperftools.txt"),
    "google": GOOGLES,
    "jemalloc 4": JEMALLOC_4,
    "jemalloc 3": JEMALLOC_3,
    "redis": fixture("redis-info.txt"),
    "redis, MEMORY STATS": fixture("redis-memory-stats.txt"),
    "redis with libc": LIBC_REDIS,
    "mimalloc": fixture("mimalloc.txt"),
    "malloc_stats": MALLOC_STATS,
}
EXPECTED = {
    "clickhouse": ("jemalloc", AllocatorStats(70000, 28888, 20112, 0, 0, 1000, 5000), None),
    "prometheus": ("jemalloc", AllocatorStats(70000, 28888, 20112, 0, 0, 1000, 5000), None),
    "gperftools": ("tcmalloc", AllocatorStats(34655352, 67354624, 66131304, 14378496, 5175328, 3276800, 0), None),
    "google": (
        "Google's own tcmalloc",
        AllocatorStats(1000000000, 600000000, 20000000, 9000000, 30100000, 7500000, 50000000),
        None,
    ),
    "jemalloc 4": ("jemalloc", AllocatorStats(66000, 120000 - 90112 - 1000, 20112, 0, 4000, 1000, 5000), None),
    "jemalloc 3": ("jemalloc", AllocatorStats(70000, 0, 20112), None),
    "redis": ("jemalloc", AllocatorStats(12413536, 5328896, 30909856), 54505472),
    "redis, MEMORY STATS": ("jemalloc", AllocatorStats(12445744, 5316608, 30918608), 48680960 + 5824512 + 0),
    "redis with libc": ("glibc malloc", AllocatorStats(1000, 0), 9000),
    "mimalloc": (
        "mimalloc",
        AllocatorStats(int(138.9 * (1 << 20)), 0, released_bytes=int(160.0 * (1 << 20)) - int(138.9 * (1 << 20))),
        int(188.8 * (1 << 20)),
    ),
    "malloc_stats": ("glibc malloc", AllocatorStats(1175552, 59616 + 900000), None),
}


@pytest.mark.parametrize("name", TEXTS)
def test_each_writers_figures(name: str) -> None:
    assert kind_of(TEXTS[name]) is FileKind.STATISTICS
    parsed = parse(TEXTS[name])
    assert (parsed.allocator, parsed.stats, parsed.rss_bytes) == EXPECTED[name]


@pytest.mark.parametrize(
    "prefix", ["2026-11-30T21:01:29.123456Z ", "Nov 30 21:01:29 host app[812]: ", "web-1  | ", "> ", "    "]
)
@pytest.mark.parametrize("name", TEXTS)
def test_what_a_log_puts_before_each_line_changes_nothing(name: str, prefix: str) -> None:
    text = "\r\n".join(prefix + line for line in ("starting", *TEXTS[name].splitlines(), "done"))
    assert kind_of(text) is FileKind.STATISTICS
    assert parse(text) == parse(TEXTS[name])


@pytest.mark.parametrize("name", TEXTS)
def test_of_several_answers_the_last_counts(name: str) -> None:
    fewer = {"gperftools": ("34655352", "555"), "google": ("1000000000", "555")}.get(name)
    before = TEXTS[name].replace(*fewer) if fewer else TEXTS[name]
    assert parse(f"{before}\nthe program says something\n{TEXTS[name]}") == parse(TEXTS[name])


def test_a_text_that_is_quoted_in_one_line() -> None:
    assert parse(MONGODB).stats == EXPECTED["google"][1]
    assert kind_of(MONGODB) is FileKind.STATISTICS
    quoted = '"' + JEMALLOC_4.replace("\n", "\\r\\n") + '"'
    assert parse(quoted).stats == EXPECTED["jemalloc 4"][1]


def test_free_regions_of_the_merged_arenas_alone() -> None:
    classes = parse(JEMALLOC_4).detail.size_classes
    assert [(one.size_bytes, one.free_objects) for one in classes] == [(16, 156), (64, 118)]


def test_what_is_not_told_is_said() -> None:
    assert not parse(TEXTS["mimalloc"]).in_use_known
    assert not parse(LIBC_REDIS).free_known
    assert not parse(MALLOC_STATS).free_is_whole and "32 bits" in " ".join(parse(MALLOC_STATS).notes)
    assert "resident" in parse(JEMALLOC_3).notes[0]
    counted = fixture("mimalloc.txt").replace(
        "     reset:", "malloc req:   10.0 MiB   20.0 MiB   12.0 MiB    8.0 MiB\n     reset:"
    )
    parsed = parse(counted)
    assert parsed.in_use_known and parsed.stats.in_use_bytes == 8 << 20


def test_a_database_and_its_allocator_in_one_paste_complete_each_other() -> None:
    parsed = parse(f"{fixture('redis-info.txt')}\n{JEMALLOC_4}")
    assert parsed.stats == EXPECTED["jemalloc 4"][1] and parsed.rss_bytes == 54505472


def test_statistics_in_the_log_of_a_checker_do_not_hide_its_report() -> None:
    log = f"{GOOGLES}\n==12==ERROR: LeakSanitizer: detected memory leaks\n"
    assert kind_of(log) is FileKind.LSAN_LOG
    assert kind_of(f"{'x' * (3 << 20)}\n{GOOGLES}") is FileKind.STATISTICS


@pytest.mark.parametrize(
    "text",
    [
        "MALLOC: 12 (0.0 MiB) Bytes in use by application\n",
        '{"jemalloc": {"version": "5"}}',
        '{"jemalloc": {"stats": {"allocated": 1',
        '{"jemalloc": ' + "[" * 100_000,
        "<malloc version='1'><!DOCTYPE x>",
        "___ Begin jemalloc statistics ___\nno figures\n",
        "used_memory:x\n",
        "nothing of the kind\n",
    ],
)
def test_without_figures_there_is_an_error_and_never_an_answer_of_nothing(text: str) -> None:
    with pytest.raises(ParseError):
        parse(text)


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_damaged_texts_are_refused_or_read(name: str, data: st.DataObject) -> None:
    text = TEXTS[name][:4000]
    at = data.draw(st.integers(0, len(text)))
    broken = text[:at] + data.draw(st.text(st.sampled_from("0123456789:-(),\n MALOCabc"), max_size=20)) + text[at + 3 :]
    try:
        parsed = parse(broken)
    except ParseError:
        return
    assert all(size >= 0 for size in (parsed.heap_bytes, parsed.stats.released_bytes))


def test_json_keeps_only_numbers_that_are_sizes() -> None:
    document = {
        "jemalloc": {
            "stats": {"allocated": 5, "active": 9, "metadata": True, "resident": "9", "retained": -4},
            "stats.arenas": {"merged": {"tcache_bytes": 2, "bins": [{"curslabs": 1, "curregs": 1}, 7]}},
            "arenas": {"bin": [{"size": 8, "nregs": 4}, {"size": 16}]},
        }
    }
    parsed = parse(json.dumps(document))
    assert parsed.stats == AllocatorStats(3, 0, 4, 0, 2)
    assert [(one.size_bytes, one.free_objects) for one in parsed.detail.size_classes] == [(8, 3)]


@pytest.mark.parametrize(
    "unit",
    ["MALLOC: 1 ", " ", "- ", "peak total ", "jemalloc.active ", "used_memory:", "a.allocated", "committed: 1.0 MiB "],
)
@pytest.mark.parametrize("name", ["mimalloc", "gperftools"])
def test_hostile_lines_take_no_time(name: str, unit: str) -> None:
    line = unit * ((1 << 19) // len(unit))
    began = time.process_time()
    assert parse(f"{TEXTS[name]}\n{line}\n" + f"{line[:5000]}\n" * 200).stats == EXPECTED[name][1]
    assert time.process_time() - began < 8


def test_memory_stats_of_a_redis_without_jemalloc_does_not_read_as_jemallocs() -> None:
    """There Redis repeats its RSS for what is active and resident, and names no allocator."""
    figures = {
        "total.allocated": 1000,
        "allocator.allocated": 1000,
        "allocator.active": 9000,
        "allocator.resident": 9000,
    }
    parsed = parse("".join(f"{key}\n{value}\n" for key, value in {**figures, "rss-overhead.bytes": 500}.items()))
    assert (parsed.allocator, parsed.stats, parsed.rss_bytes) == ("", AllocatorStats(1000, 0), 9500)
    assert not parsed.free_known


def test_jemallocs_json_with_values_of_other_types_and_nested_without_end() -> None:
    nested: list[object] = []
    for _ in range(900):
        nested = [nested]
    bins = [{"curregs": nested, "curslabs": 1}, {"curregs": 4, "curslabs": 1}]
    document = {
        "jemalloc": {
            "arenas": {"bin": [{"size": 8, "nregs": 9}, {"size": "16", "nregs": 9}]},
            "stats": {"allocated": 3, "active": 7},
            "stats.arenas": {"merged": {"bins": bins}},
        }
    }
    assert parse(json.dumps(document)).detail.size_classes == ()


def test_of_two_answers_with_the_figures_last_the_spans_are_not_added_up() -> None:
    """gperftools 1.7 and older write the figures behind the details."""
    details = "class   1 [        8 bytes ] :       16 objs;   0.0 MB;   0.0 cum MB\n     1 pages *      1 spans ~    0.0 MB\n"
    figures = "".join(
        f"MALLOC:  {size} (    0.0 MB) {words}\n"
        for size, words in (
            (100, "Bytes in use by application"), (8192, "Bytes free in page heap"), (128, "Bytes free in central cache"),
            (0, "Bytes free in transfer cache"), (0, "Bytes free in thread caches"), (64, "Metadata allocated"),
        )
    )  # fmt: skip
    parsed = parse((details + figures) * 2)
    assert (len(parsed.detail.size_classes), len(parsed.detail.spans)) == (1, 1)
