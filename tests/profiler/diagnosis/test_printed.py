"""What one printed answer of an allocator says, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memtui_parsers.allocators.stats import AllocatorDetail, AllocatorStats, PrintedStatistics, SizeClass
from memtui_profiler.diagnosis.printed import diagnose_printed

MIB = 1 << 20


def of(*sizes_mib: int, **more: object) -> PrintedStatistics:
    """In use, free pages, central, transfer, threads, metadata."""
    stats = AllocatorStats(*(size * MIB for size in (*sizes_mib, 0, 0)[: max(2, len(sizes_mib))]))
    return replace(PrintedStatistics("tcmalloc", "gperftools' tcmalloc", stats), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        (of(90, 5), ["in use"]),
        (of(30, 70), ["retention"]),
        (of(30, 10, 60), ["fragmentation"]),
        (of(20, 45, 35), ["retention", "fragmentation"]),
        (of(20, 35, 45), ["fragmentation", "retention"]),
        (of(20, 5, rss_bytes=100 * MIB), ["outside the heap"]),
        (of(90, 5, rss_bytes=100 * MIB), ["in use"]),
        (of(40, free_known=False, rss_bytes=100 * MIB), ["cannot tell"]),
        (of(95, free_known=False, rss_bytes=100 * MIB), ["in use"]),
        (of(100, in_use_known=False), ["cannot tell"]),
        (of(30, 70, free_is_whole=False), ["cannot tell"]),
        (of(0), ["in use"]),
    ],
)
def test_the_largest_part_is_the_verdict(printed: PrintedStatistics, words: list[str]) -> None:
    assert [diagnosis.word.lower() for diagnosis in diagnose_printed(printed)] == words


def test_what_would_return_free_pages_is_said_by_the_allocators_own_name() -> None:
    (found,) = diagnose_printed(of(30, 70))
    assert found.sentence == "70 % of its memory is free memory tcmalloc keeps: 70.0 MiB" and found.action is None
    assert found.evidence[0].startswith("MallocExtension::ReleaseFreeMemory() returns it")
    (found,) = diagnose_printed(replace(of(30, 70), allocator="jemalloc", rss_bytes=100 * MIB))
    assert "of RSS" in found.sentence and found.evidence[0].startswith("a purge of all arenas")
    (found,) = diagnose_printed(replace(of(30, 70), allocator="an allocator of another time"))
    assert "returns" not in found.evidence[0]


def test_caches_of_threads_are_bounded_by_a_variable_and_pieces_by_nothing() -> None:
    (caches,) = diagnose_printed(of(30, 0, 5, 0, 65))
    assert "in the threads' caches" in caches.sentence and "TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES" in caches.evidence[1]
    pieces = of(30, 0, 70)
    assert "size classes" not in " ".join(diagnose_printed(pieces)[0].evidence)
    pieces = replace(pieces, detail=AllocatorDetail(size_classes=(SizeClass(48, 1000),)))
    assert "size classes" in " ".join(diagnose_printed(pieces)[0].evidence)
