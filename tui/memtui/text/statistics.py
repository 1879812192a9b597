"""Statistics that an allocator has printed, as lines of text and as JSON, with what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator

from memtui.display.figures import percent
from memtui.display.glyphs import Glyphs
from memtui_parsers.allocators.stats import PrintedStatistics
from memtui_parsers.clean_text import clean
from memtui_profiler.allocators import allocator_of
from memtui_profiler.allocators.kind import PartNames
from memtui_profiler.diagnosis.printed import diagnose_printed, whole_words
from memtui_profiler.words import size_words

SCHEMA = "memtui-allocator/1"
CLASSES = 8
_NAME_COLUMNS, _SIZE_COLUMNS = 28, 12


def statistics_lines(printed: PrintedStatistics, name: str, glyphs: Glyphs) -> Iterator[str]:
    """Return the verdicts with their evidence, the parts, and where the free objects are. ``name``: of the file."""
    in_all = printed.rss_bytes or printed.heap_bytes
    what = "RSS" if printed.rss_bytes else "in all"
    head = f"{size_words(in_all)} {what}, {clean(printed.allocator)} ({clean(printed.writer)}, {clean(name, 200)})"
    yield glyphs.plain(head)
    for diagnosis in diagnose_printed(printed):
        yield glyphs.plain(f"{diagnosis.word.lower()}: {diagnosis.sentence}")
        yield from (glyphs.plain(f"    {clean(line)}") for line in diagnosis.evidence)
    yield ""
    yield from (glyphs.plain(line) for line in _parts(printed, in_all))
    yield from (glyphs.plain(line) for line in _detail(printed))


def parts_of(printed: PrintedStatistics) -> list[tuple[str, int]]:
    """Return the parts of the memory by this allocator's own names; what is outside it where RSS is known."""
    kind, stats = allocator_of(printed.allocator), printed.stats
    names, general = kind.part_names if kind is not None else PartNames(), PartNames()
    parts = [
        ("in use" if printed.in_use_known else "in use or free", "", stats.in_use_bytes),
        (names.free, general.free, stats.free_bytes),
        (names.central, general.central, stats.central_bytes),
        (names.transfer, general.transfer, stats.transfer_bytes),
        (names.thread, general.thread, stats.thread_bytes),
        (names.metadata, general.metadata, stats.metadata_bytes),
    ]
    shown = [(name or other, size) for name, other, size in parts if size or name == parts[0][0]]
    if printed.rss_bytes:
        rest = "outside the heap" if printed.free_known else "free in it, or outside"
        shown.append((rest, max(0, printed.rss_bytes - printed.heap_bytes)))
    return shown


def _parts(printed: PrintedStatistics, in_all: int) -> Iterator[str]:
    yield f"{'':{_NAME_COLUMNS}}{'bytes':>{_SIZE_COLUMNS}}  of {whole_words(printed)}"
    for name, size in parts_of(printed):
        yield f"{name:{_NAME_COLUMNS}}{size_words(size):>{_SIZE_COLUMNS}}  {percent(size / in_all) if in_all else percent(0)}"
    if printed.stats.released_bytes:
        words = "address space alone, no memory"
        yield f"{'given back to the kernel':{_NAME_COLUMNS}}{size_words(printed.stats.released_bytes):>{_SIZE_COLUMNS}}  {words}"


def _detail(printed: PrintedStatistics) -> Iterator[str]:
    classes = sorted(printed.detail.size_classes, key=lambda one: one.free_bytes, reverse=True)[:CLASSES]
    if classes:
        yield ""
        yield "free objects by size, the most bytes first"
        for one in classes:
            yield f"{one.size_bytes:>10} B x {one.free_objects:<12}{size_words(one.free_bytes):>{_SIZE_COLUMNS}}"
    arenas = sorted(printed.detail.arenas, key=lambda arena: arena.free_bytes, reverse=True)[:CLASSES]
    if arenas:
        yield ""
        yield "arenas, the most free first"
        for arena in arenas:
            free, system = size_words(arena.free_bytes), size_words(arena.system_bytes)
            yield f"{clean(arena.name, 40):{_NAME_COLUMNS}}{free:>{_SIZE_COLUMNS}}  free of {system}"


def statistics_json(printed: PrintedStatistics, name: str, version: str) -> str:
    """Return the document that SESSION-FORMAT.md describes."""
    stats, detail = printed.stats, printed.detail
    document = {
        "schema": SCHEMA,
        "memtui": version,
        "file": name,
        "allocator": printed.allocator,
        "writer": printed.writer,
        "rss_bytes": printed.rss_bytes,
        "heap_bytes": printed.heap_bytes,
        "figures": {
            "in_use_bytes": stats.in_use_bytes if printed.in_use_known else None,
            "committed_bytes": None if printed.in_use_known else stats.in_use_bytes,
            "free_bytes": stats.free_bytes,
            "central_bytes": stats.central_bytes,
            "transfer_bytes": stats.transfer_bytes,
            "thread_bytes": stats.thread_bytes,
            "metadata_bytes": stats.metadata_bytes,
            "released_bytes": stats.released_bytes,
        },
        "verdicts": [
            {"verdict": one.word.lower(), "sentence": one.sentence, "evidence": list(one.evidence)}
            for one in diagnose_printed(printed)
        ],
        "size_classes": [{"bytes": c.size_bytes, "free_objects": c.free_objects} for c in detail.size_classes],
        "spans": [
            {"pages": s.pages, "spans": s.spans, "free_bytes": s.free_bytes, "returned_bytes": s.returned_bytes}
            for s in detail.spans
        ],
        "arenas": [{"name": a.name, "system_bytes": a.system_bytes, "free_bytes": a.free_bytes} for a in detail.arenas],
        "notes": list(printed.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
