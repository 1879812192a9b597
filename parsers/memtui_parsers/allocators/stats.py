"""The statistics of an allocator in terms that all allocators share, for one process at one moment.

The parts add up to the allocator's share of the process's memory, except for pages in ``in_use_bytes`` and
``free_bytes`` that were never touched: those are counted here and are not in the RSS.
"""

from __future__ import annotations

from dataclasses import dataclass

# The largest size that a session can hold; every allocator's text may be of a hostile process.
MOST_BYTES = (1 << 63) - 1


def size_from(digits: str | bytes) -> int:
    """Return the number that is written so; 0 for one that is too large for a size."""
    number = int(digits)
    return number if abs(number) <= MOST_BYTES else 0


@dataclass(frozen=True, slots=True)
class SizeClass:
    """Free small objects of one size inside the allocator; ``size_bytes`` is the size of one."""

    size_bytes: int
    free_objects: int

    @property
    def free_bytes(self) -> int:
        return self.size_bytes * self.free_objects


@dataclass(frozen=True, slots=True)
class SpanList:
    """Free spans of ``pages`` pages each (the allocator's pages, not the kernel's); 0: spans too long for a list.

    ``free_bytes`` are resident, ``returned_bytes`` were returned to the kernel.
    """

    pages: int
    spans: int
    free_bytes: int
    returned_bytes: int


@dataclass(frozen=True, slots=True)
class Arena:
    """One of several heaps of a process (glibc's arenas): what it took from the system, and the free part of that."""

    name: str
    system_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class AllocatorStats:
    """Bytes. ``in_use_bytes``: allocated by the application and not freed.

    ``free_bytes``: whole free pages, which a release can return (tcmalloc's page heap, jemalloc's dirty pages).
    ``central_bytes``, ``transfer_bytes`` and ``thread_bytes``: free objects on partly used pages, which no release can
    return. ``metadata_bytes``: the allocator's own. ``released_bytes``: address space whose pages were returned to the
    kernel.
    """

    in_use_bytes: int
    free_bytes: int
    central_bytes: int = 0
    transfer_bytes: int = 0
    thread_bytes: int = 0
    metadata_bytes: int = 0
    released_bytes: int = 0

    @property
    def cached_bytes(self) -> int:
        """Free objects on partly used pages: fragmentation."""
        return self.central_bytes + self.transfer_bytes + self.thread_bytes

    @property
    def kept_bytes(self) -> int:
        """All memory of the allocator that the application does not use."""
        return self.free_bytes + self.cached_bytes + self.metadata_bytes


@dataclass(frozen=True, slots=True)
class AllocatorDetail:
    """Details that are too large for every second: free objects by size class, free spans by length, arenas."""

    size_classes: tuple[SizeClass, ...] = ()
    spans: tuple[SpanList, ...] = ()
    arenas: tuple[Arena, ...] = ()


@dataclass(frozen=True, slots=True)
class PrintedStatistics:
    """One answer of an allocator that a program has printed.

    ``allocator``: by its own name, as 'jemalloc'. ``writer``: who wrote it, for people. ``rss_bytes``: of the process, where the
    text says it. ``in_use_known`` False: ``in_use_bytes`` are all that it has from the kernel. ``free_known`` False: what is free
    in it is not told. ``free_is_whole`` False: of ``free_bytes`` an unknown part lies between blocks, and cannot be returned.
    """

    allocator: str
    writer: str
    stats: AllocatorStats
    detail: AllocatorDetail = AllocatorDetail()
    rss_bytes: int | None = None
    in_use_known: bool = True
    free_known: bool = True
    free_is_whole: bool = True
    notes: tuple[str, ...] = ()

    @property
    def heap_bytes(self) -> int:
        """All memory of the allocator."""
        return self.stats.in_use_bytes + self.stats.kept_bytes
