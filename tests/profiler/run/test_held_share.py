from __future__ import annotations

from memtui_profiler.allocators import tcmalloc
from memtui_profiler.checkers import heapcheck, lsan, memcheck
from memtui_profiler.checkers.base import Checker
from memtui_profiler.run.held_share import HeldShare, HeldShareWatch
from memtui_profiler.session.rows import AllocatorSample, Sample

MIB = 1 << 20


def figures(held_mib: int, allocator: str = tcmalloc.NAME) -> AllocatorSample:
    return AllocatorSample(0.0, 1, allocator, held_mib * MIB, 0, 0, 0, 0, 0, 0, None, 0.0)


def share(checker: Checker, *steps: tuple[int, AllocatorSample | None]) -> HeldShare:
    """``steps``: MiB of anonymous memory, and the newest figures at that sample."""
    watch = HeldShareWatch(checker)
    for anonymous_mib, newest in steps:
        in_use = None if newest is None else newest.in_use_bytes
        sample = Sample(0.0, 1, (anonymous_mib + 3) * MIB, 3 * MIB, in_use_bytes=in_use, kept_bytes=0)
        watch.take(sample, newest)
    return watch.share


def test_the_share_is_of_the_moment_at_which_the_allocator_told_it() -> None:
    early, late = figures(2), figures(3)
    steps = [(10, None), (10, None), (10, early), (60, early), (60, early), (60, late), (40, late)]
    assert share(heapcheck.CHECKER, *steps) == HeldShare(3 * MIB, 60 * MIB)


def test_memory_that_comes_or_goes_around_the_figures_is_not_held_against_them() -> None:
    """Figures are a moment old when they arrive: malloc may have given 50 MiB since, or given them back before."""
    told = figures(5)
    assert share(heapcheck.CHECKER, (10, None), (10, None), (60, told)) == HeldShare(None, 60 * MIB)
    assert share(heapcheck.CHECKER, (60, None), (60, None), (10, told)) == HeldShare(None, 60 * MIB)


def test_figures_of_another_malloc_and_memory_of_the_checker_tell_nothing() -> None:
    steps = [(60, None), (60, None), (60, figures(2, "another malloc"))]
    assert share(heapcheck.CHECKER, *steps) == HeldShare(None, 60 * MIB)
    assert share(lsan.CHECKER, *steps) == HeldShare(None, 60 * MIB)
    assert share(memcheck.CHECKER, *steps) == HeldShare()
