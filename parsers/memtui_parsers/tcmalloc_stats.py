"""What gperftools' MallocExtension_GetStats writes: the MALLOC: lines, and with a large buffer size classes and free spans.

The wording is that of gperftools 2.1 to 2.17; 1.7 and older named the same figures otherwise ("Bytes free in page heap").
A line is known by its words and not by its place, for old versions write the MALLOC: lines last. The figures are taken one
after the other while threads go on, so their difference can fall below zero: tcmalloc then writes it as 2^64 less that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from memtui_parsers.allocator_stats import AllocatorDetail, AllocatorStats, SizeClass, SpanList
from memtui_parsers.errors import ParseError

# Far above what it writes: some 130 size classes and 256 span lists, 20 KiB in all.
MAX_TEXT_BYTES = 1 << 20
MAX_SIZE_CLASSES = 2048
MAX_SPAN_LISTS = 2048

_MIB = 1 << 20
_MOST_BYTES = (1 << 63) - 1
_LARGEST_PAGE_BYTES = 1 << 20

_MALLOC = re.compile(
    rb"MALLOC:\s{0,20}[+=]?\s{0,20}(\d{1,20})\s{1,20}(?:\(\s{0,20}[\d.]{1,20} Mi?B\)\s{0,20})?(\S.{0,200})"
)
_SIZE_CLASS = re.compile(rb"class\s{1,20}\d{1,10} \[\s{0,20}(\d{1,20}) bytes \] :\s{0,20}(\d{1,20}) objs\b")
_SPANS = re.compile(
    rb"\s{0,20}(?:(\d{1,10}) pages|>=?\s{0,20}\d{1,10}\s{1,20}large) \*\s{0,20}(\d{1,15}) spans ~\s{0,20}([\d.]{1,20}) Mi?B"
    rb"(?:;.{0,80}unmapped:\s{0,20}([\d.]{1,20}) Mi?B)?"
)
# The first that fits a line's words; "Bytes unmapped in page heap" is what old versions call released.
_FIGURES = (
    ("in_use", re.compile(rb"in use by application")),
    ("released", re.compile(rb"released to OS|unmapped")),
    ("free", re.compile(rb"page heap")),
    ("central", re.compile(rb"central cache")),
    ("transfer", re.compile(rb"transfer cache")),
    ("thread", re.compile(rb"thread caches?")),
    ("metadata", re.compile(rb"[Mm]etadata")),
    ("thread_heaps", re.compile(rb"[Tt]hread heaps")),
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
    """``detail`` is empty for a text of level 1. ``thread_heaps`` and ``page_bytes`` are None where the text has no such line."""

    stats: AllocatorStats
    detail: AllocatorDetail
    thread_heaps: int | None = None
    page_bytes: int | None = None


def parse_tcmalloc_stats(text: bytes) -> TcmallocStats:
    """The text up to its first zero byte. A buffer that was too small gives what was whole of it.

    Raises ParseError when one of the figures that every version has is not in it.
    """
    # What follows the last line end was cut, or is nothing.
    lines = text[:MAX_TEXT_BYTES].partition(b"\0")[0].split(b"\n")[:-1]
    figures: dict[str, int] = {}
    size_classes: list[SizeClass] = []
    span_lines: list[re.Match[bytes]] = []
    for line in lines:
        if matched := _MALLOC.match(line):
            name = next((name for name, words in _FIGURES if words.search(matched[2])), None)
            if name is not None:
                figures.setdefault(name, _natural(matched[1]))
        elif (matched := _SIZE_CLASS.match(line)) and len(size_classes) < MAX_SIZE_CLASSES:
            size_classes.append(SizeClass(_natural(matched[1]), _natural(matched[2])))
        elif (matched := _SPANS.match(line)) and len(span_lines) < MAX_SPAN_LISTS:
            span_lines.append(matched)
    for name, words in _ESSENTIAL.items():
        if name not in figures:
            raise ParseError(
                f"tcmalloc's figures lack the {words}", line=len(lines), excerpt=lines[-1] if lines else text
            )
    page_bytes = figures.get("page_size")
    if page_bytes is not None and not 0 < page_bytes <= _LARGEST_PAGE_BYTES:
        page_bytes = None
    return TcmallocStats(
        AllocatorStats(
            in_use_bytes=figures["in_use"],
            free_bytes=figures["free"],
            central_bytes=figures["central"],
            transfer_bytes=figures.get("transfer", 0),
            thread_bytes=figures["thread"],
            metadata_bytes=figures["metadata"],
            released_bytes=figures.get("released", 0),
        ),
        AllocatorDetail(tuple(size_classes), tuple(_span_list(line, page_bytes) for line in span_lines)),
        figures.get("thread_heaps"),
        page_bytes,
    )


def _natural(digits: bytes) -> int:
    number = int(digits)
    return number if number <= _MOST_BYTES else 0


def _span_list(matched: re.Match[bytes], page_bytes: int | None) -> SpanList:
    """Exact in all but ``returned_bytes`` of lists below 0.1 MiB and of the long spans: the text rounds MiB to one decimal."""
    pages, spans = int(matched[1] or 0), int(matched[2])
    total_bytes, returned_bytes = _mib(matched[3]), _mib(matched[4] or b"0")
    if pages and page_bytes:
        span_bytes = pages * page_bytes
        total_bytes = min(spans * span_bytes, _MOST_BYTES)
        returned_bytes = (returned_bytes + span_bytes // 2) // span_bytes * span_bytes
    returned_bytes = min(returned_bytes, total_bytes)
    return SpanList(pages, spans, total_bytes - returned_bytes, returned_bytes)


def _mib(figure: bytes) -> int:
    try:
        return min(int(float(figure) * _MIB), _MOST_BYTES)
    except ValueError:
        return 0
