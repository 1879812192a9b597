"""Parses tcmalloc's MallocExtension_GetStats: MALLOC: lines, and with a large buffer size classes and free spans.

It is gperftools' text, and Google's own tcmalloc's, which has a few lines more (global_stats.cc). Of several answers the last
counts.

The words are those of gperftools 2.1 to 2.17, and of 1.7 and older, which name some figures differently ("Bytes free in
page heap"). Lines are told by their words and not by their place, because old versions write the MALLOC: lines last.
tcmalloc takes the figures one after the other while threads run, so a difference can be negative: it is written modulo
2^64.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from memtui_parsers.allocators.stats import MOST_BYTES, AllocatorDetail, AllocatorStats, SizeClass, SpanList, size_from
from memtui_parsers.errors import ParseError

# Far above the size of its text: some 130 size classes and 256 span lists, 20 KiB in all.
MAX_TEXT_BYTES = 1 << 20
MAX_SIZE_CLASSES = 2048
MAX_SPAN_LISTS = 2048

_MIB = 1 << 20
_LARGEST_PAGE_BYTES = 1 << 20

_MALLOC = re.compile(
    rb"MALLOC:\s{0,20}[+=]?\s{0,20}(\d{1,20})\s{1,20}(?:\(\s{0,20}[\d.]{1,20} Mi?B\)\s{0,20})?(\S.{0,200})"
)
_SIZE_CLASS = re.compile(rb"class\s{1,20}\d{1,10} \[\s{0,20}(\d{1,20}) bytes \] :\s{0,20}(\d{1,20}) objs\b")
_SPANS = re.compile(
    rb"\s{0,20}(?:(\d{1,10}) pages|>=?\s{0,20}\d{1,10}\s{1,20}large) \*\s{0,20}(\d{1,15}) spans ~\s{0,20}([\d.]{1,20}) Mi?B"
    rb"(?:;.{0,80}unmapped:\s{0,20}([\d.]{1,20}) Mi?B)?"
)
# The first pattern that a line contains counts; old versions write "Bytes unmapped in page heap" for released ones.
_FIGURES = (
    ("in_use", re.compile(rb"in use by application")),
    ("released", re.compile(rb"released to OS|unmapped")),
    ("free", re.compile(rb"page heap")),
    ("central", re.compile(rb"central cache")),
    ("cpu", re.compile(rb"per-CPU cache")),
    ("sharded", re.compile(rb"Sharded cache")),
    ("transfer", re.compile(rb"transfer cache")),
    ("thread", re.compile(rb"thread caches?")),
    ("metadata", re.compile(rb"[Mm]etadata")),
    ("page_size", re.compile(rb"[Pp]age size")),
)
_ESSENTIAL = {
    "in_use": "bytes in use",
    "free": "bytes in the page heap",
    "central": "bytes in the central cache",
    "thread": "bytes in the thread caches",
    "metadata": "bytes of metadata",
}


@dataclass(frozen=True, slots=True)
class TcmallocStats:
    """``detail`` is empty for a text without size classes and spans, which a small buffer gives.

    ``per_cpu``: it is Google's own tcmalloc, which has caches for each CPU; these count as those of threads.
    """

    stats: AllocatorStats
    detail: AllocatorDetail
    per_cpu: bool = False


def parse_tcmalloc_stats(text: bytes) -> TcmallocStats:
    """Parse the text up to its first zero byte, without an incomplete last line, which a small buffer leaves.

    Raises ParseError when a figure is missing that every version writes.
    """
    lines = text[:MAX_TEXT_BYTES].partition(b"\0")[0].split(b"\n")[:-1]
    figures: dict[str, int] = {}
    size_classes: list[SizeClass] = []
    span_lines: list[re.Match[bytes]] = []
    figures_first = False
    for line in lines:
        if matched := _MALLOC.match(line):
            name = next((name for name, pattern in _FIGURES if pattern.search(matched[2])), None)
            if name == "in_use" and name in figures:  # another answer begins
                figures = {}
                if figures_first:
                    size_classes, span_lines = [], []
            if name == "metadata":  # Google's is in three lines
                figures[name] = figures.get(name, 0) + size_from(matched[1])
            elif name is not None:
                figures.setdefault(name, size_from(matched[1]))
            figures_first = figures_first or not (size_classes or span_lines)
        elif (matched := _SIZE_CLASS.match(line)) and len(size_classes) < MAX_SIZE_CLASSES:
            if size_classes and size_from(matched[1]) <= size_classes[-1].size_bytes:
                size_classes = []
                if not figures_first:
                    span_lines = []
            size_classes.append(SizeClass(size_from(matched[1]), size_from(matched[2])))
        elif (matched := _SPANS.match(line)) and len(span_lines) < MAX_SPAN_LISTS:
            span_lines.append(matched)
    for name, description in _ESSENTIAL.items():
        if name not in figures:
            last_line = lines[-1] if lines else text
            raise ParseError(f"tcmalloc's figures lack the {description}", line=len(lines), excerpt=last_line)
    page_bytes = figures.get("page_size")
    if page_bytes is not None and not 0 < page_bytes <= _LARGEST_PAGE_BYTES:
        page_bytes = None
    return TcmallocStats(
        AllocatorStats(
            in_use_bytes=figures["in_use"],
            free_bytes=figures["free"],
            central_bytes=figures["central"],
            transfer_bytes=min(figures.get("transfer", 0) + figures.get("sharded", 0), MOST_BYTES),
            thread_bytes=min(figures["thread"] + figures.get("cpu", 0), MOST_BYTES),
            metadata_bytes=min(figures["metadata"], MOST_BYTES),
            released_bytes=figures.get("released", 0),
        ),
        AllocatorDetail(tuple(size_classes), tuple(_span_list(line, page_bytes) for line in span_lines)),
        per_cpu="cpu" in figures,
    )


def _span_list(matched: re.Match[bytes], page_bytes: int | None) -> SpanList:
    """Make a span list. The text rounds to 0.1 MiB, which makes long spans and small ``returned_bytes`` inexact."""
    pages, spans = int(matched[1] or 0), int(matched[2])
    total_bytes, returned_bytes = _mib(matched[3]), _mib(matched[4] or b"0")
    if pages and page_bytes:
        span_bytes = pages * page_bytes
        total_bytes = min(spans * span_bytes, MOST_BYTES)
        returned_bytes = (returned_bytes + span_bytes // 2) // span_bytes * span_bytes
    returned_bytes = min(returned_bytes, total_bytes)
    return SpanList(pages, spans, total_bytes - returned_bytes, returned_bytes)


def _mib(figure: bytes) -> int:
    try:
        return min(int(float(figure) * _MIB), MOST_BYTES)
    except ValueError:
        return 0
