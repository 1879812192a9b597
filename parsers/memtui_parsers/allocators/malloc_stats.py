"""Parses what glibc's malloc_stats(3) writes to stderr: for each arena, and in all, bytes of the system and in use.

glibc prints these figures as unsigned int, so those beyond 4 GiB are wrong in every version (malloc.c, __malloc_stats).
"""

from __future__ import annotations

import re

from memtui_parsers.allocators.stats import AllocatorDetail, AllocatorStats, Arena, PrintedStatistics, size_from
from memtui_parsers.errors import ParseError

NAME = "glibc malloc"
MAX_ARENAS = 8192

_ARENA = re.compile(r"\s*Arena (\d{1,6}):\s*$")
_TOTAL = re.compile(r"\s*Total \(incl\. mmap\):\s*$")
_FIGURE = re.compile(r"\s*(system bytes|in use bytes|max mmap bytes)\s*=\s*(\d{1,20})\s*$")
_IN_32_BITS = "malloc_stats counts in 32 bits: where a figure is beyond 4 GiB all are wrong, malloc_info's are right"
_NOT_TOLD = (
    "malloc_stats does not tell whole free pages, which malloc_trim(0) returns, from free pieces between blocks, which stay;"
    " nor what it has returned already"
)


def parse_malloc_stats(lines: list[str]) -> PrintedStatistics:
    """Parse the last answer in the text. Raises ParseError when it has no arena."""
    arenas: dict[int, dict[str, int]] = {}
    total: dict[str, int] = {}
    place: dict[str, int] | None = None
    for line in lines:
        if arena := _ARENA.match(line):
            number = int(arena[1])
            if number == 0 or (total and number in arenas):
                arenas, total = {}, {}
            place = arenas.setdefault(number, {}) if len(arenas) < MAX_ARENAS else None
        elif _TOTAL.match(line):
            place = total
        elif place is not None and (figure := _FIGURE.match(line)):
            place.setdefault(figure[1], size_from(figure[2]))
    if not arenas:
        raise ParseError("malloc_stats' figures lack the arenas")
    own = tuple(_arena(number, figures) for number, figures in arenas.items())
    free = sum(arena.free_bytes for arena in own)
    in_use = total.get("in use bytes")
    if in_use is None:
        in_use = sum(arena.system_bytes - arena.free_bytes for arena in own)
    notes = [_NOT_TOLD, _IN_32_BITS, *([] if total else ["the text is cut: it has no total"])]
    return PrintedStatistics(
        NAME,
        "glibc's malloc_stats",
        AllocatorStats(in_use_bytes=in_use, free_bytes=free),
        AllocatorDetail(arenas=own),
        free_is_whole=False,
        notes=tuple(notes),
    )


def _arena(number: int, figures: dict[str, int]) -> Arena:
    system = figures.get("system bytes", 0)
    used = min(figures.get("in use bytes", 0), system)
    return Arena("main" if number == 0 else f"arena {number}", system, system - used)
