"""From pages that are there now and were not, and from the faults that were seen, to bytes by stack. Pure arithmetic.

A page that was there at the start is no growth. A mapping is given no more bytes than it grew by: what nobody was seen to touch
counts for those who touched the rest of the mapping, and where nobody was seen at all, for nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from memtui_parsers.procfs.maps import MappingIndex
from memtui_parsers.values import Mapping
from memtui_profiler.growth.ranges import Range, RangeIndex, minus
from memtui_profiler.growth.touched_pages import Stack, TouchedPage

# Shared memory has a path, too, and is no file: what is in it takes memory until somebody gives it back.
_SHARED_MEMORY = ("/dev/zero", "/memfd:", "/SYSV", "/dev/shm/")
_OF_FILES = -1


@dataclass(frozen=True, slots=True)
class GrowthRow:
    """The growth of one stack. ``seen_bytes`` of its ``bytes`` were seen to be touched, the rest is inferred."""

    stack: Stack
    bytes: float
    seen_bytes: float
    samples: int


@dataclass(frozen=True, slots=True)
class Growth:
    """The growth of a process since the start; files are apart.

    In no row are ``nobodys_bytes``, which nobody was seen to touch, and ``passing_bytes``, which come and go: they are part of
    ``grown_bytes``.
    """

    grown_bytes: int
    nobodys_bytes: float
    passing_bytes: float
    file_bytes: int
    given_back_bytes: int
    rows: tuple[GrowthRow, ...]

    @property
    def kept_bytes(self) -> float:
        """Without what comes and goes."""
        return self.grown_bytes - self.passing_bytes

    @property
    def seen_bytes(self) -> float:
        """What was seen to be touched."""
        return sum(row.seen_bytes for row in self.rows)

    @property
    def samples(self) -> int:
        """On how many samples the rows stand."""
        return sum(row.samples for row in self.rows)


@dataclass(slots=True)
class _Region:
    grown_bytes: float = 0.0
    pages: list[TouchedPage] = field(default_factory=list)

    @property
    def passing_bytes(self) -> float:
        seen = sum(page.bytes for page in self.pages)
        return self.grown_bytes * sum(page.bytes for page in self.pages if page.passing) / seen if seen else 0.0


def growth_of(
    before: Sequence[Range],
    now: Sequence[Range],
    mappings: Iterable[Mapping],
    touched: Iterable[tuple[int, TouchedPage]],
    *,
    unknown: Sequence[tuple[int, int]] = (),
) -> Growth:
    """Growth between two looks at all pages. ``unknown``: mappings that were not looked at, where samples alone count."""
    grown = minus(now, before)
    index = MappingIndex(mappings)
    regions: dict[int, _Region] = defaultdict(_Region)
    for start, end, shared in grown:
        regions[_region(index, start, shared)].grown_bytes += end - start
    ranges = RangeIndex(grown)
    for address, page in touched:
        found = ranges.overlapping(address, address + page.size_bytes)
        if found is not None:
            regions[_region(index, max(address, found[0]), found[2])].pages.append(page)
        elif any(start <= address < end for start, end in unknown):
            region = regions[_region(index, address, shared=False)]
            region.grown_bytes += page.bytes
            region.pages.append(page)
    of_files = regions.pop(_OF_FILES, _Region())
    given_back = sum(end - start for start, end, shared in minus(before, now) if not shared)
    total = round(sum(region.grown_bytes for region in regions.values()))
    nobodys = sum(region.grown_bytes for region in regions.values() if not region.pages)
    passing = sum(region.passing_bytes for region in regions.values())
    return Growth(total, nobodys, passing, round(of_files.grown_bytes), given_back, _rows(regions.values()))


def growth_when_last_seen(touched: Iterable[tuple[int, TouchedPage]]) -> Growth:
    """The growth of a process that has ended, by samples alone."""
    pages = [page for _, page in touched]
    region = _Region(sum(page.bytes for page in pages), pages)
    return Growth(round(region.grown_bytes), 0.0, region.passing_bytes, 0, 0, _rows([region]))


def between(earlier: Growth, later: Growth) -> list[tuple[Stack, float]]:
    """(stack, bytes) of what came since ``earlier``, the most first; negative for what has gone."""
    change: dict[Stack, float] = defaultdict(float)
    for sign, growth in ((-1, earlier), (1, later)):
        for row in growth.rows:
            change[row.stack] += sign * row.bytes
    return sorted(((stack, size) for stack, size in change.items() if size), key=lambda item: -item[1])


def joined(rows: Iterable[GrowthRow], mappings: Iterable[Mapping]) -> list[GrowthRow]:
    """Rows, the largest first; those that differ only in where within a library they were are one.

    A program that calls memset() faults at several instructions of it. Within one file they stay apart: they may be of
    different lines.
    """
    index = MappingIndex(mappings)
    groups: dict[Stack, list[GrowthRow]] = defaultdict(list)
    for row in rows:
        groups[_calls(index, row.stack)].append(row)
    merged = []
    for group in groups.values():
        largest = max(group, key=lambda row: row.bytes)
        size, seen = sum(row.bytes for row in group), sum(row.seen_bytes for row in group)
        merged.append(GrowthRow(largest.stack, size, seen, sum(row.samples for row in group)))
    return sorted(merged, key=lambda row: -row.bytes)


def _calls(index: MappingIndex, stack: Stack) -> Stack:
    """What a stack is known by: where it called a function of another file, not where in that the fault was."""
    if len(stack) < 2:
        return stack
    inner, outer = index.find(stack[0] - 1), index.find(stack[1] - 1)
    if inner is None or outer is None or inner.path == outer.path:
        return stack
    return (0, *stack[1:])


def _region(index: MappingIndex, address: int, shared: bool) -> int:
    """What stands for the mapping of an address: its start; one number for the pages of all files."""
    mapping = index.find(address)
    if mapping is None:  # unmapped since
        return address
    of_file = shared and mapping.path and not mapping.path.startswith(_SHARED_MEMORY)
    return _OF_FILES if of_file else mapping.start


def _rows(regions: Iterable[_Region]) -> tuple[GrowthRow, ...]:
    sums: dict[Stack, list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
    for region in regions:
        seen = sum(page.bytes for page in region.pages)
        if not seen:
            continue
        share = region.grown_bytes / seen
        for page in region.pages:
            if page.passing:
                continue
            row = sums[page.stack]
            row[0] += page.bytes * share
            row[1] += page.bytes * min(1.0, share)
            row[2] += 1
    rows = [GrowthRow(stack, size, seen, int(samples)) for stack, (size, seen, samples) in sums.items()]
    return tuple(sorted(rows, key=lambda row: -row.bytes))
