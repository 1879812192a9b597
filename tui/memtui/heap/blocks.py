"""Beside the table: where inside the allocator the free memory lies, by size class, by length of span, or by arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from memtui.charset import Glyphs
from memtui.figures import brief, count, prose
from memtui.heap.bars import small_bar
from memtui.leaks.look import look
from memtui.widgets.line import columns, fit
from memtui_parsers.allocator_stats import AllocatorDetail, Arena, SizeClass, SpanList

LABEL_COLUMNS = 10
BYTES_COLUMNS = 9
ASIDE_COLUMNS = 12
SHORTEST_BAR = 6


@dataclass(frozen=True, slots=True)
class Entry:
    """``aside``: what else there is to say, where there is room."""

    label: str
    size_bytes: int
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A title with a total at its right, and rows in an order of their own."""

    title: str
    total: str
    colour: str
    entries: tuple[Entry, ...]

    def lines(self, rows: int, width: int, glyphs: Glyphs) -> list[Content]:
        """The title and, in their order, the ``rows`` largest entries."""
        by_size = sorted(range(len(self.entries)), key=lambda n: self.entries[n].size_bytes, reverse=True)
        kept = [self.entries[n] for n in sorted(by_size[: max(0, rows)])]
        most = max((entry.size_bytes for entry in kept), default=1)
        total = glyphs.plain(self.total) if columns(self.title + self.total) + 2 <= width else ""
        gap = " " * max(1, width - columns(self.title + total) - 1)
        title = Content.assemble((f" {self.title}", "$muted"), gap, (total, "$muted"))
        return [title, *(self._row(entry, most, width, glyphs) for entry in kept)]

    def _row(self, entry: Entry, most: int, width: int, glyphs: Glyphs) -> Content:
        spare = width - LABEL_COLUMNS - BYTES_COLUMNS - 2
        aside = spare - ASIDE_COLUMNS >= 2 * SHORTEST_BAR
        bar = max(0, spare - (ASIDE_COLUMNS if aside else 0))
        return Content.assemble(
            (f" {fit(glyphs.plain(entry.label), LABEL_COLUMNS, glyphs.ellipsis):>{LABEL_COLUMNS}} ", "$foreground"),
            small_bar(entry.size_bytes / most, bar, self.colour, look(glyphs.ascii)),
            (f"{brief(entry.size_bytes):>{BYTES_COLUMNS}}", "$strong"),
            (f"{glyphs.plain(entry.aside):>{ASIDE_COLUMNS}}" if aside else "", "$muted"),
        )


def blocks(detail: AllocatorDetail) -> tuple[Block, ...]:
    """At most two: what this allocator has told of, the more telling first."""
    found = (_arenas(detail.arenas), _classes(detail.size_classes), _spans(detail.spans))
    return tuple(block for block in found if block is not None and block.entries)[:2]


def _classes(classes: Sequence[SizeClass]) -> Block | None:
    entries = tuple(
        Entry(brief(each.size_bytes), each.free_bytes, f"× {count(each.free_objects, ' ')}")
        for each in sorted(classes, key=lambda each: each.free_bytes, reverse=True)
        if each.free_bytes
    )
    return Block("FREE OBJECTS BY SIZE", _total(entries), "$mem-cached", entries)


def _spans(spans: Sequence[SpanList]) -> Block | None:
    """Runs of pages in steps of two, shortest first, so that one sees whether what is free lies in one piece."""
    found: dict[int, list[SpanList]] = {}
    for each in spans:
        found.setdefault(each.pages.bit_length() if each.pages else 1 << 10, []).append(each)
    entries = tuple(
        Entry(_length(step), size, f"× {count(sum(each.spans for each in found[step]), ' ')}")
        for step in sorted(found)
        if (size := sum(each.free_bytes for each in found[step]))
    )
    return Block("FREE SPANS BY PAGES", _total(entries), "$mem-kept", entries)


def _length(step: int) -> str:
    if step > 64:
        return "longer"
    low, high = 1 << (step - 1), (1 << step) - 1
    return str(low) if low == high else f"{low}-{high}"


def _arenas(arenas: Sequence[Arena]) -> Block | None:
    entries = tuple(
        Entry(each.name, each.free_bytes, f"of {brief(each.system_bytes)}")
        for each in sorted(arenas, key=lambda each: each.free_bytes, reverse=True)
        if each.free_bytes
    )
    return Block("FREE IN ARENAS", _total(entries), "$mem-kept", entries)


def _total(entries: Sequence[Entry]) -> str:
    return prose(sum(entry.size_bytes for entry in entries))
