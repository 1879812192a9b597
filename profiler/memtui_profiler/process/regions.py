"""What a process has mapped, in groups (heap, thread stacks, heaps of runtimes, each file, shared memory), and what is resident.

psutil's memory_maps() is not used: it holds the whole file at once (60 MB where a process has 65,530 mappings) with no end in
time, and leaves out huge pages and guards. Reading takes the kernel some 15 ms per GiB and 10 us per mapping; the lock on the
mappings is held for some of them at a time (a read returns one page of text).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

from memtui_parsers.procfs.maps import DELETED
from memtui_parsers.procfs.smaps import ResidentMapping, memory_devices, resident_mappings, stack_pointer
from memtui_profiler.process.foreign_memory import ReadMemory, memory_of
from memtui_profiler.process.runtimes import Runtime, runtime_of
from memtui_profiler.region_kinds import RegionKind

PROC = Path("/proc")
DEADLINE_S = 30.0
MAX_REGIONS = 24
# A thread that waits shows where its stack is; some are enough to know what a stack looks like in this process.
THREADS_LOOKED_AT = 64
_CHUNK_BYTES = 1 << 16
_MOUNTINFO_BYTES = 1 << 20
_LEAST_STACK_BYTES, _MOST_STACK_BYTES = 16 << 10, 1 << 30  # PTHREAD_STACK_MIN; beyond the second nobody goes
_MOST_GUARD_BYTES = 1 << 20
_ARENA_BYTES = 64 << 20  # glibc reserves its arenas so, and aligned to it (malloc/arena.c, HEAP_MAX_SIZE)
_ARENA_HEADS = (0x20, 0x30)  # sizeof(heap_info), before glibc 2.35 and since
_SHARED_NAMES = ("/memfd:", "/dev/shm/", "/SYSV", "/dev/zero", "[anon_shmem:")


@dataclass(frozen=True, slots=True)
class Region:
    """A group of mappings. Sizes in bytes: of address space, and of what is resident. ``name`` is not cleaned."""

    kind: RegionKind
    name: str
    mappings: int = 0
    size_bytes: int = 0
    rss_bytes: int = 0
    pss_bytes: int = 0
    swap_bytes: int = 0
    dirty_bytes: int = 0
    huge_bytes: int = 0

    def plus(self, other: Region) -> Region:
        """The sum of both, under this kind and name."""
        return Region(
            self.kind,
            self.name,
            self.mappings + other.mappings,
            self.size_bytes + other.size_bytes,
            self.rss_bytes + other.rss_bytes,
            self.pss_bytes + other.pss_bytes,
            self.swap_bytes + other.swap_bytes,
            self.dirty_bytes + other.dirty_bytes,
            self.huge_bytes + other.huge_bytes,
        )


@dataclass(frozen=True, slots=True)
class RegionLook:
    """``regions``: the largest first, at most MAX_REGIONS; ``whole`` is their sum. ``cost_s``: how long it took to read."""

    whole: Region
    regions: tuple[Region, ...]
    threads: int
    cost_s: float


class _Heaps(NamedTuple):
    """``arenas``: the start addresses of glibc's."""

    arenas: frozenset[int]
    runtime: Runtime | None


def look_at_regions(pid: int, *, proc: Path = PROC, deadline_s: float = DEADLINE_S) -> RegionLook:
    """Read what ``pid`` has mapped. Raises OSError: also when it is gone, shows nothing, or takes longer than ``deadline_s``."""
    began_s = time.monotonic()
    folder = proc / str(pid)
    threads = _thread_ids(folder)
    try:
        program = os.path.basename(os.readlink(folder / "exe").removesuffix(DELETED))
    except OSError:
        program = ""
    with open(folder / "smaps", "rb", buffering=0) as stream:
        entries = list(resident_mappings(_chunks(stream.fileno(), began_s + deadline_s)))
    if not entries:
        raise ProcessLookupError(f"process {pid} shows no mappings")
    with memory_of(folder) as read:
        heaps = _Heaps(_arenas(entries, read), runtime_of(program, entries, read))
        grouped = _grouped(entries, _stacks(entries, heaps.arenas, folder, threads), heaps, _devices(folder))
    stacks = grouped.get((RegionKind.STACKS, ""))
    if stacks is not None and any(entry.has_guards for entry in entries):
        # The kernel joins stacks whose guards are no mappings of their own.
        grouped[RegionKind.STACKS, ""] = replace(stacks, mappings=max(stacks.mappings, len(threads) - 1))
    whole, regions = _largest(grouped.values())
    return RegionLook(whole, regions, len(threads), time.monotonic() - began_s)


def _chunks(descriptor: int, until_s: float) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        yield chunk
        if time.monotonic() > until_s:
            raise TimeoutError("its mappings take too long to read")


def _thread_ids(folder: Path) -> list[str]:
    with os.scandir(folder / "task") as entries:
        return [entry.name for entry in entries]


def _devices(folder: Path) -> frozenset[tuple[int, int]]:
    try:
        with open(folder / "mountinfo", encoding="utf-8", errors="replace") as stream:
            return memory_devices(stream.read(_MOUNTINFO_BYTES))
    except OSError:
        return frozenset()


def _is_plain(entry: ResidentMapping) -> bool:
    """Private anonymous memory that can be read and written, and that nobody has named."""
    return entry.mapping.permissions == "rw-p" and not entry.mapping.path and not entry.mapping.inode


def _size(entry: ResidentMapping) -> int:
    return entry.mapping.end - entry.mapping.start


def _stacks(entries: list[ResidentMapping], arenas: frozenset[int], folder: Path, threads: list[str]) -> frozenset[int]:
    """The start addresses of the stacks of threads.

    A stack is plain memory behind a guard: a small mapping without any rights, or pages that madvise(2) has made guards. Other
    memory looks so, too, so a thread that waits must have its stack pointer in one of this size; where the kernel shows no
    stack pointer (ptrace(2) is not allowed) the looks have to do.
    """
    if len(threads) <= 1:
        return frozenset()
    found = []
    for guard, entry in pairwise(entries):
        size, guard_size = _size(entry), _size(guard)
        guarded = (
            guard.mapping.permissions == "---p"
            and not guard.mapping.path
            and guard.mapping.end == entry.mapping.start
            and guard_size <= min(size, _MOST_GUARD_BYTES)
            and _LEAST_STACK_BYTES <= size <= _MOST_STACK_BYTES
            and entry.mapping.start not in arenas
        )
        if _is_plain(entry) and (guarded or entry.has_guards):
            found.append(entry)
    pointers = [pointer for tid in threads[-THREADS_LOOKED_AT:] if (pointer := _stack_pointer(folder, tid)) is not None]
    if pointers:
        sure = [entry for entry in found if any(entry.mapping.start <= p < entry.mapping.end for p in pointers)]
        sizes = {_size(entry) for entry in sure}
        # Stacks with guards within are joined to mappings of any size.
        found = [entry for entry in found if _size(entry) in sizes or (sure and entry.has_guards)]
    return frozenset(entry.mapping.start for entry in found)


def _stack_pointer(folder: Path, tid: str) -> int | None:
    try:
        return stack_pointer((folder / "task" / tid / "syscall").read_text("ascii", "replace"))
    except OSError:
        return None


def _grouped(
    entries: list[ResidentMapping],
    stacks: frozenset[int],
    heaps: _Heaps,
    memory_devices: frozenset[tuple[int, int]],
) -> dict[tuple[RegionKind, str], Region]:
    grouped: dict[tuple[RegionKind, str], Region] = {}
    for entry in entries:
        if not entry.rss_bytes and not entry.swap_bytes and not _counts_empty(entry, stacks):
            continue
        key = _kind(entry, stacks, heaps, memory_devices)
        one = Region(*key, 1, _size(entry), *entry[2:7])
        before = grouped.get(key)
        grouped[key] = one if before is None else before.plus(one)
    return grouped


def _counts_empty(entry: ResidentMapping, stacks: frozenset[int]) -> bool:
    """Whether it is of a group although nothing of it is resident: a mapping without rights is reserved, and no memory."""
    return entry.mapping.start in stacks or entry.mapping.permissions[:3] != "---"


def _kind(
    entry: ResidentMapping,
    stacks: frozenset[int],
    heaps: _Heaps,
    memory_devices: frozenset[tuple[int, int]],
) -> tuple[RegionKind, str]:
    mapping = entry.mapping
    path = mapping.path
    if mapping.start in stacks or path.startswith(("[stack:", "[anon: glibc: pthread stack", "[anon:stack_and_tls")):
        return RegionKind.STACKS, ""
    if path.startswith(_SHARED_NAMES) or (mapping.inode and entry.device in memory_devices):
        return RegionKind.SHARED, _shared_name(path)
    if path == "[heap]":
        return RegionKind.HEAP, ""
    if path.startswith("[anon:"):
        return RegionKind.ANONYMOUS, path[len("[anon:") : -1].strip().rstrip("0123456789 :-")
    if path.startswith("[v"):
        return RegionKind.ANONYMOUS, "the kernel's pages"  # [vdso], [vvar], [vsyscall]
    if path.startswith("["):
        return RegionKind.ANONYMOUS, "main stack" if path == "[stack]" else path.strip("[]")
    if path:
        return RegionKind.FILE, path.removesuffix(DELETED)
    if heaps.runtime is not None and (name := heaps.runtime.name_of(entry)):
        return RegionKind.RUNTIME, name
    if mapping.start in heaps.arenas:
        return RegionKind.HEAP, "arenas"
    return RegionKind.ANONYMOUS, ""


def _shared_name(path: str) -> str:
    name = path.removesuffix(DELETED)
    return "" if name == "/dev/zero" else name


def _arenas(entries: list[ResidentMapping], read: ReadMemory) -> frozenset[int]:
    return frozenset(
        entry.mapping.start
        for entry, following in zip_longest(entries, entries[1:])
        if _is_plain(entry) and not entry.mapping.start % _ARENA_BYTES and _is_arena(entry, following, read)
    )


def _is_arena(entry: ResidentMapping, following: ResidentMapping | None, read: ReadMemory) -> bool:
    """Whether it is the used part of an arena of glibc's: the rest of the 64 MiB is reserved behind it.

    mimalloc and others map memory of that size and alignment, too. glibc's begins with the address of the arena's head, which
    lies behind the same words in this part of the arena or in the first (heap_info of malloc/arena.c).
    """
    mapping = entry.mapping
    rest = following.mapping if following is not None else mapping
    reserved = rest.permissions == "---p" and not rest.path and rest.start == mapping.end
    full = _size(entry) == _ARENA_BYTES
    if not full and not (reserved and rest.end == mapping.start + _ARENA_BYTES):
        return False
    head = read(mapping.start, 8)
    return int.from_bytes(head, "little") % _ARENA_BYTES in _ARENA_HEADS if head else not full


def _largest(regions: Iterable[Region]) -> tuple[Region, tuple[Region, ...]]:
    """The sum, and the regions: the largest first, those beyond MAX_REGIONS together in one."""
    by_size = sorted(regions, key=lambda region: (region.rss_bytes, region.swap_bytes), reverse=True)
    whole = other = Region(RegionKind.ALL, "")
    for region in by_size:
        whole = whole.plus(region)
    for region in by_size[MAX_REGIONS:]:
        other = other.plus(region)
    kept = by_size[:MAX_REGIONS]
    if other.mappings:
        kept.append(replace(other, kind=RegionKind.OTHER))
    return whole, tuple(kept)
