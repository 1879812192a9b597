"""Knows the arenas of CPython's object allocator by the headers of their pools (Include/internal/pycore_obmalloc.h).

Their size alone does not tell: jemalloc, as in pyarrow or duckdb, maps multiples of 1 MiB as well. An arena has its first pool at
its first address that is a multiple of a pool's size; it is used before all others, and keeps its header when it is empty.
"""

from __future__ import annotations

from struct import Struct

from memtui_parsers.values import Mapping
from memtui_profiler.process.foreign_memory import ReadMemory

# (arena, pool) in bytes: 3.10 and later, and where an address does not tell its arena (before, and on other machines).
_SIZES = ((1 << 20, 16 << 10), (256 << 10, 4 << 10))
# struct pool_header: ref, freeblock, nextpool, prevpool, and then arenaindex, szidx, nextoffset, maxnextoffset.
_HEADER = Struct("=32x4I")
_CLASSES = 32
_ALIGNMENT = 16


def holds_arenas(read: ReadMemory, mapping: Mapping) -> bool:
    """Whether the mapping is nothing but arenas. The kernel joins those that lie side by side to one mapping.

    False, too, where its memory cannot be read, and where it is joined with other memory.
    """
    return any(_is_all_arenas(read, mapping, arena_bytes, pool_bytes) for arena_bytes, pool_bytes in _SIZES)


def _is_all_arenas(read: ReadMemory, mapping: Mapping, arena_bytes: int, pool_bytes: int) -> bool:
    size = mapping.end - mapping.start
    if not size or size % arena_bytes:
        return False
    first_pool = -(-mapping.start // pool_bytes) * pool_bytes
    return all(_is_pool(read(at, _HEADER.size), pool_bytes) for at in range(first_pool, mapping.end, arena_bytes))


def _is_pool(header: bytes, pool_bytes: int) -> bool:
    if not header:
        return False
    _, size_class, next_offset, last_offset = _HEADER.unpack(header)
    block_bytes = (size_class + 1) * _ALIGNMENT
    return bool(size_class < _CLASSES and last_offset == pool_bytes - block_bytes and next_offset <= pool_bytes)
