"""What each allocator calls the parts of its memory, and what can become of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """Names of AllocatorStats' parts; '' for one that this allocator does not have, which is shown only if it is not 0."""

    free: str
    central: str
    transfer: str
    thread: str
    metadata: str
    released: str


TCMALLOC = Terms(
    free="page heap free",
    central="central cache",
    transfer="transfer cache",
    thread="thread caches",
    metadata="metadata",
    released="given back to the kernel",
)
GLIBC = Terms(
    free="free in the arenas",
    central="small chunks",
    transfer="",
    thread="",
    metadata="",
    released="given back to the kernel",
)
JEMALLOC = Terms(
    free="dirty pages",
    central="part-used slabs",
    transfer="",
    thread="thread caches",
    metadata="metadata",
    released="retained",
)
ANY = Terms(
    free="free pages",
    central="central cache",
    transfer="transfer cache",
    thread="thread caches",
    metadata="metadata",
    released="given back to the kernel",
)


def terms_of(allocator: str) -> Terms:
    """By the first word of its name: 'glibc malloc', 'tcmalloc 2.10 preloaded'."""
    name = next(iter(allocator.split()), "")
    return {"tcmalloc": TCMALLOC, "glibc": GLIBC, "jemalloc": JEMALLOC}.get(name, ANY)
