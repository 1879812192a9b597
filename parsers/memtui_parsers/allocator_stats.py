"""What an allocator says of its own memory, in words that hold for all of them.

The parts of one process at one moment. They add up to what the allocator holds of the process's memory, but for pages of
``in_use_bytes`` and ``free_bytes`` that were never touched: those are counted here and are in no RSS.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SizeClass:
    """Small objects of one size that lie free inside the allocator; ``size_bytes`` each."""

    size_bytes: int
    free_objects: int

    @property
    def free_bytes(self) -> int:
        return self.size_bytes * self.free_objects


@dataclass(frozen=True, slots=True)
class SpanList:
    """Free runs of ``pages`` pages each (the allocator's pages, not the kernel's); 0: longer than the lists go.

    ``free_bytes`` are still resident, ``returned_bytes`` the kernel has back.
    """

    pages: int
    spans: int
    free_bytes: int
    returned_bytes: int


@dataclass(frozen=True, slots=True)
class Arena:
    """One of several heaps that threads are spread over (glibc's arenas): what it took from the system, what of it is free."""

    name: str
    system_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class AllocatorStats:
    """Bytes. ``in_use_bytes``: allocated by the application and not freed.

    ``free_bytes``: whole free pages, what a release can give back (tcmalloc's page heap, jemalloc's dirty pages). In
    ``central_bytes``, ``transfer_bytes`` and ``thread_bytes`` lie free objects on partly used pages, which no release can
    give back. ``metadata_bytes``: the allocator's own. ``released_bytes``: address space whose pages the kernel has back.
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
        """Free, but in objects on partly used pages: fragmentation."""
        return self.central_bytes + self.transfer_bytes + self.thread_bytes

    @property
    def kept_bytes(self) -> int:
        """All that the allocator holds and the application does not use."""
        return self.free_bytes + self.cached_bytes + self.metadata_bytes


@dataclass(frozen=True, slots=True)
class AllocatorDetail:
    """What is too much for every second: free objects by size class, free spans by length, arenas. Empty where there is none."""

    size_classes: tuple[SizeClass, ...] = ()
    spans: tuple[SpanList, ...] = ()
    arenas: tuple[Arena, ...] = ()
