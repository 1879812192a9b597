"""Parses the memory figures of Redis, and of Valkey and KeyDB: INFO memory, and MEMORY STATS as redis-cli prints it.

Where its allocator is jemalloc the figures named allocator_* are jemalloc's own; with any other malloc Redis repeats its
own counter and RSS in their place, so that active and resident are one figure (zmalloc.c, zmalloc_get_allocator_info).
MEMORY STATS does not name the allocator.
"""

from __future__ import annotations

import re

from memtui_parsers.allocators.stats import AllocatorStats, PrintedStatistics, size_from
from memtui_parsers.errors import ParseError

_INFO = re.compile(
    r"\s*(used_memory(?:_rss)?|allocator_(?:allocated|active|resident|muzzy)|mem_allocator):(\S{1,80})\s*$"
)
# ``1) "total.allocated"`` and ``2) (integer) 123`` on a terminal, the bare words into a pipe.
_KEY = re.compile(
    r'\s*(?:\d{1,4}\) )?"?(total\.allocated|allocator[.-](?:allocated|active|resident)|rss-overhead\.bytes)"?\s*$'
)
_VALUE = re.compile(r"\s*(?:\d{1,4}\) )?(?:\(integer\) )?(-?\d{1,20})\s*$")
_NAMES = {
    "total.allocated": "used_memory",
    "allocator.allocated": "allocator_allocated",
    "allocator.active": "allocator_active",
    "allocator.resident": "allocator_resident",
}
_OF_PROCESS = "figures of Redis about its process: dataset and buffers alike are in use"


def parse_redis_memory(lines: list[str]) -> PrintedStatistics:
    """Parse the last figures in the text. Raises ParseError when what is in use is missing."""
    figures: dict[str, int] = {}
    allocator, writer, key = "", "Redis' INFO memory", ""
    for line in lines:
        if info := _INFO.match(line):
            if info[1] == "mem_allocator":
                allocator = info[2]
            elif info[2].isdecimal():
                figures[info[1]] = size_from(info[2])
        elif name := _KEY.match(line):
            key = name[1].replace("allocator-", "allocator.")
        elif key and (value := _VALUE.match(line)):
            figures[_NAMES.get(key, key)] = size_from(value[1])
            key, writer = "", "Redis' MEMORY STATS"
        else:
            key = ""
    if "used_memory" not in figures:
        raise ParseError("Redis' figures lack the memory in use")
    return _statistics(figures, allocator, writer)


def _statistics(figures: dict[str, int], allocator: str, writer: str) -> PrintedStatistics:
    used, rss = figures["used_memory"], figures.get("used_memory_rss")
    allocated, active = figures.get("allocator_allocated"), figures.get("allocator_active")
    resident = figures.get("allocator_resident")
    if rss is None and resident is not None and "rss-overhead.bytes" in figures:
        rss = max(0, resident + figures["rss-overhead.bytes"])
    name = allocator.partition("-")[0] if allocator else ""
    is_jemalloc = name == "jemalloc" or (not name and active != resident)
    if allocated is None or active is None or resident is None or not is_jemalloc:
        return PrintedStatistics(
            "glibc malloc" if name == "libc" else name,
            writer,
            AllocatorStats(in_use_bytes=used, free_bytes=0),
            rss_bytes=rss,
            free_known=False,
            notes=(_OF_PROCESS, f"{allocator or 'its allocator'} gives Redis no figures of what is free"),
        )
    return PrintedStatistics(
        "jemalloc",
        writer,
        AllocatorStats(
            in_use_bytes=allocated,
            free_bytes=max(0, resident - active),
            central_bytes=max(0, active - allocated),
        ),
        rss_bytes=rss,
        notes=(_OF_PROCESS, "jemalloc's own metadata is within its free pages here"),
    )
