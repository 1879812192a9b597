"""musl's malloc, which keeps no figures."""

from __future__ import annotations

from memtui_profiler.allocators.kind import AllocatorKind

NAME = "musl malloc"

KINDS = (
    AllocatorKind(
        NAME,
        of_libc=True,
        synonym="NONE",  # its library has no soname, and valgrind knows libc.so alone by itself
        runtime_libraries=("ld-musl-", "libc.musl-"),
        # mallocng's of 1.2.1 on, and the older one's.
        symbols=("__malloc_alloc_meta", "__expand_heap"),
        texts=(b"musl libc (",),  # its loader's, which is the library itself
        refusal="its C library is musl, whose malloc keeps no figures",
        alternative="build it for glibc, or look at it from outside: RSS, files, threads",
        no_rate=("musl's malloc has no release rate", "no release rate here"),
    ),
)
