"""Allocators that memtui recognises, so that it can name them, and cannot ask."""

from __future__ import annotations

from memtui_profiler.allocators.kind import AllocatorKind

_PLAIN_MALLOC = "to look for leaks, build the program with the C library's malloc"

KINDS = (
    AllocatorKind(
        "Google's own tcmalloc",
        symbols=("MallocExtension_Internal_GetNumericProperty", "TCMallocInternalMalloc"),
        texts=(b"tcmalloc.per_cpu_caches_active",),  # the name of a property, in its tcmalloc.cc and global_stats.cc
        refusal="its malloc is Google's own tcmalloc, which memtui cannot ask (gperftools' it can)",
        alternative="its MallocExtension::GetStats() and heap profiles, which memtui open reads",
        no_rate=(
            "memtui cannot set Google's own tcmalloc's release rate: SetBackgroundReleaseRate() in the program does",
            "its own tcmalloc has the rate",
        ),
    ),
    AllocatorKind(
        "snmalloc",
        libraries=("libsnmalloc",),
        symbols=("sn_rust_alloc", "sn_malloc"),
        texts=(b"Failed to initialise snmalloc.",),  # ds/pagemap.h
        refusal="its malloc is snmalloc, which keeps no figures that memtui can read",
        alternative=_PLAIN_MALLOC,
        no_rate=("snmalloc has no release rate", "no release rate here"),
    ),
    AllocatorKind("Hoard", libraries=("libhoard",), refusal="its malloc is Hoard, which keeps no figures"),
    AllocatorKind(
        "TBB malloc", libraries=("libtbbmalloc_proxy",), refusal="its malloc is TBB's, which keeps no figures"
    ),
)
