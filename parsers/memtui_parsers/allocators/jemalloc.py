"""Parses what jemalloc's malloc_stats_print writes, as text and as JSON (its option J); versions 3 to 5.

``allocated`` counts what lies in the caches of threads; here that is taken out again. Pages that are resident and neither
active nor metadata are dirty or muzzy: a purge gives them back.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from memtui_parsers.allocators.stats import (
    MOST_BYTES,
    AllocatorDetail,
    AllocatorStats,
    PrintedStatistics,
    SizeClass,
    size_from,
)
from memtui_parsers.errors import ParseError

NAME = "jemalloc"
WRITER = "jemalloc's malloc_stats_print"
MAX_BINS = 2048

_FIGURE = re.compile(r"\b(allocated|active|metadata|resident|mapped|retained): (\d{1,20})", re.IGNORECASE)
_TOTALS = re.compile(r"\s*Allocated: \d{1,20}, active: ")
_ARENAS = re.compile(r"\s*(Merged arenas stats|arenas\[\d{1,10}\]):")
# ``jemalloc.resident 123``, ``│ jemalloc.resident │ 1.2e9 │``, ``jemalloc_resident_bytes{instance="a"} 123``.
METRIC = re.compile(
    r"jemalloc[._](allocated|active|metadata|resident|mapped|retained)(?:_bytes)?(?:\{[^}]{0,200}\})?[\s\"':=,|\u2502]{1,60}"
    r"(\d{1,19}(?:\.\d{1,9})?(?:e\+?\d{1,2})?)(?![\w.])",
    re.IGNORECASE,
)
_TCACHE = re.compile(r"\s*tcache(?:_bytes)?:\s+(\d{1,20})\s*$")


class _Arenas:
    """What is free in the caches of threads and in bins: of the merged arenas, else of the one that there is."""

    def __init__(self) -> None:
        self._merged = False
        self._tcache_bytes = 0
        self._free: Counter[int] = Counter()
        self._counts = True

    def begin(self, *, merged: bool) -> None:
        """Another section begins."""
        self._counts = merged or not self._merged
        if merged:
            self._merged, self._tcache_bytes = True, 0
            self._free.clear()

    def add(self, free: SizeClass | None) -> None:
        if self._counts and free is not None and (free.size_bytes in self._free or len(self._free) < MAX_BINS):
            self._free[free.size_bytes] += free.free_objects

    def add_cached(self, size_bytes: int) -> None:
        if self._counts:
            self._tcache_bytes += size_bytes

    def statistics(self, figures: Mapping[str, int]) -> PrintedStatistics:
        bins = [SizeClass(size_bytes, min(count, MOST_BYTES)) for size_bytes, count in sorted(self._free.items())]
        return _statistics(figures, self._tcache_bytes, bins)


def parse_jemalloc_text(lines: list[str]) -> PrintedStatistics:
    """Parse the text. Raises ParseError when its line of totals is missing."""
    figures: dict[str, int] = {}
    arenas, header = _Arenas(), list[str]()
    for line in lines:
        if _TOTALS.match(line):
            figures = {name.lower(): size_from(digits) for name, digits in _FIGURE.findall(line)}
            arenas = _Arenas()
        elif section := _ARENAS.match(line):
            arenas.begin(merged=section[1].startswith("Merged"))
            header = []
        elif found := _TCACHE.match(line):
            arenas.add_cached(size_from(found[1]))
        elif line.lstrip().startswith("bins:"):
            header = line.split()[1:]
        elif header:
            words = line.split()
            if len(words) >= len(header) and words[0].isdecimal():
                arenas.add(_free_regions(dict(zip(header, words, strict=False))))
            elif not (words and words[0].startswith("---")):
                header = []
    if not {"allocated", "active"} <= figures.keys():
        raise ParseError("jemalloc's statistics lack the line that begins with Allocated: it was built without them")
    return arenas.statistics(figures)


def _free_regions(row: Mapping[str, str | int]) -> SizeClass | None:
    """A size class of which regions are free, from a row of the table of bins; None for one that has none."""
    try:
        size_bytes, used, to_a_slab = int(row["size"]), int(row["curregs"]), int(row["regs"])
        slabs = int(row.get("curslabs") or row.get("curruns") or 0)
    except (KeyError, ValueError):
        return None
    free = slabs * to_a_slab - used
    return SizeClass(size_bytes, free) if 0 < free <= MOST_BYTES and 0 < size_bytes <= MOST_BYTES else None


def parse_jemalloc_json(lines: list[str]) -> PrintedStatistics:
    """Parse the last document in the text. Raises ParseError for what is none, or has no totals."""
    text = "\n".join(lines)
    begins = [found.start() for found in re.finditer(r'\{\s*"jemalloc"\s*:', text)]
    try:
        document, _ = json.JSONDecoder().raw_decode(text, begins[-1] if begins else 0)
    except (ValueError, RecursionError) as error:
        raise ParseError("jemalloc's JSON is damaged or cut") from error
    whole = _object(document, "jemalloc")
    figures = {
        name: value
        for name, value in _object(whole, "stats").items()
        if type(value) is int and 0 <= value <= MOST_BYTES
    }
    if not {"allocated", "active"} <= figures.keys():
        raise ParseError("jemalloc's JSON has no totals: it was built without statistics")
    arenas, sections = _Arenas(), _object(whole, "stats.arenas")
    sizes = _object(whole, "arenas").get("bin")
    for name in sections:
        section = _object(sections, name)
        if name == "destroyed" or not section:
            continue
        arenas.begin(merged=name == "merged")
        cached, counts = section.get("tcache_bytes"), section.get("bins")
        arenas.add_cached(cached if type(cached) is int and 0 <= cached <= MOST_BYTES else 0)
        if not isinstance(sizes, list) or not isinstance(counts, list):
            continue
        for size, count in zip(sizes, counts, strict=False):
            if isinstance(size, dict) and isinstance(count, dict):
                row = {"size": size.get("size"), "regs": size.get("nregs"), **count}
                arenas.add(_free_regions({key: value for key, value in row.items() if type(value) is int}))
    return arenas.statistics(figures)


def parse_jemalloc_metrics(lines: list[str]) -> PrintedStatistics:
    """Parse jemalloc's totals as servers list them with their metrics: ClickHouse's system.asynchronous_metrics, Prometheus.

    Raises ParseError when allocated or active is missing.
    """
    figures: dict[str, int] = {}
    for line in lines:
        if found := METRIC.search(line):
            figures[found[1].lower()] = min(int(float(found[2])), MOST_BYTES)
    if not {"allocated", "active"} <= figures.keys():
        raise ParseError("these metrics lack jemalloc's bytes allocated or active")
    return replace(_statistics(figures, 0, []), writer="jemalloc's totals among a server's metrics")


def _object(value: Any, name: str) -> dict[str, Any]:
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def _statistics(figures: Mapping[str, int], tcache_bytes: int, bins: list[SizeClass]) -> PrintedStatistics:
    allocated, active, metadata = figures["allocated"], figures["active"], figures.get("metadata", 0)
    cached = min(tcache_bytes, allocated)
    resident = figures.get("resident")
    note = "this version does not say how much is resident: free pages are not counted"
    return PrintedStatistics(
        NAME,
        WRITER,
        AllocatorStats(
            in_use_bytes=allocated - cached,
            free_bytes=0 if resident is None else max(0, resident - active - metadata),
            central_bytes=max(0, active - allocated),
            thread_bytes=cached,
            metadata_bytes=metadata,
            released_bytes=figures.get("retained", 0),
        ),
        AllocatorDetail(size_classes=tuple(bins)),
        notes=(note,) if resident is None else (),
    )
