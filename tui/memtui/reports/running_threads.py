"""Blocks of threads that run: libc keeps the pointer to a thread's own storage inside a block, so valgrind cannot tell."""

from __future__ import annotations

from dataclasses import replace

from memtui_parsers.values import LeakKind, LeakRecord, LeakReport
from memtui_profiler.words import object_words, size_words

# glibc's elf/dl-tls.c; pthread_create calls it, and the block is freed when the thread has ended and was joined.
_ALLOCATES = "_dl_allocate_tls"


def with_running_threads(report: LeakReport, threads: int) -> LeakReport:
    """Return the report with the storage of running threads as reachable, and a note on it.

    ``threads``: how many ran beside the main one. Where there are more such blocks, threads have ended that nobody has joined,
    which is a leak: then nothing is changed.
    """
    of_threads = [leak for leak in report.leaks if leak.kind is LeakKind.POSSIBLY_LOST and _is_storage(leak)]
    objects = sum(leak.objects for leak in of_threads)
    if not 0 < objects <= threads:
        return report
    size = sum(leak.size_bytes for leak in of_threads)
    note = (
        f"{size_words(size)} in {object_words(objects)}: storage of threads that ran, which valgrind calls possibly lost;"
        " counted as still reachable"
    )
    leaks = tuple(replace(leak, kind=LeakKind.STILL_REACHABLE) if leak in of_threads else leak for leak in report.leaks)
    return replace(report, leaks=leaks, notes=(*report.notes, note))


def _is_storage(leak: LeakRecord) -> bool:
    return any(_ALLOCATES in (frame.function, frame.linkage_name) for frame in leak.stack)
