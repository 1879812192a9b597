"""Sorted ranges of addresses, and what of some is not in others."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

# (start, end, whether its pages are a file's or shared)
Range = tuple[int, int, bool]


def minus(left: Iterable[Range], right: Sequence[Range]) -> list[Range]:
    """What of the sorted ranges ``left`` is not in the sorted ranges ``right``."""
    found: list[Range] = []
    at = 0
    for start, end, shared in left:
        while at < len(right) and right[at][1] <= start:
            at += 1
        look = at
        while look < len(right) and right[look][0] < end:
            if right[look][0] > start:
                found.append((start, right[look][0], shared))
            start = max(start, right[look][1])
            look += 1
        if start < end:
            found.append((start, end, shared))
    return found


def size_of(ranges: Iterable[Range]) -> int:
    """Bytes."""
    return sum(end - start for start, end, _ in ranges)


class RangeIndex:
    """Finds the range that overlaps a page."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self._ranges = ranges
        self._starts = [start for start, _, _ in ranges]

    def overlapping(self, start: int, end: int) -> Range | None:
        """The last range that overlaps [start, end); None where there is none."""
        at = bisect_right(self._starts, end - 1) - 1
        if at < 0 or self._ranges[at][1] <= start:
            return None
        return self._ranges[at]
