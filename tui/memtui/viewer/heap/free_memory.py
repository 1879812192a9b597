"""Where the free memory lies inside the allocator: by size class, by length of span, or by arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from memtui.display.figures import brief, count
from memtui.display.glyphs import Glyphs
from memtui.viewer.heap.bars import small_bar
from memtui.viewer.widgets.line import columns, fit
from memtui_parsers.allocators.stats import AllocatorDetail, Arena, SizeClass, SpanList
from memtui_profiler.words import size_words

LABEL_COLUMNS = 10
BYTES_COLUMNS = 9
ASIDE_COLUMNS = 12
SHORTEST_BAR = 6


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a block. ``aside``: a further figure, shown where there is room."""

    label: str
    size_bytes: int
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A title with the total at its right, and entries in the order of their kind."""

    title: str
    colour: str
    entries: tuple[Entry, ...]

    def lines(self, rows: int, width: int, glyphs: Glyphs) -> list[Content]:
        """Return the title and the ``rows`` largest entries, in their order."""
        by_size = sorted(range(len(self.entries)), key=lambda n: self.entries[n].size_bytes, reverse=True)
        kept = [self.entries[n] for n in sorted(by_size[: max(0, rows)])]
        most = max((entry.size_bytes for entry in kept), default=1)
        total = size_words(sum(entry.size_bytes for entry in self.entries))
        if columns(self.title + total) + 2 > width:
            total = ""
        gap = " " * max(1, width - columns(self.title + total) - 1)
        title = Content.assemble((f" {self.title}", "$muted"), gap, (total, "$muted"))
        return [title, *(self._row(entry, most, width, glyphs) for entry in kept)]

    def _row(self, entry: Entry, most: int, width: int, glyphs: Glyphs) -> Content:
        spare = width - LABEL_COLUMNS - BYTES_COLUMNS - 2
        aside = spare - ASIDE_COLUMNS >= 2 * SHORTEST_BAR
        bar = max(0, spare - (ASIDE_COLUMNS if aside else 0))
        return Content.assemble(
            (f" {fit(glyphs.plain(entry.label), LABEL_COLUMNS, glyphs.ellipsis):>{LABEL_COLUMNS}} ", "$foreground"),
            small_bar(entry.size_bytes / most, bar, self.colour, glyphs),
            (f"{brief(entry.size_bytes):>{BYTES_COLUMNS}}", "$strong"),
            (f"{glyphs.plain(entry.aside):>{ASIDE_COLUMNS}}" if aside else "", "$muted"),
        )


def blocks(detail: AllocatorDetail) -> tuple[Block, ...]:
    """Return at most two blocks, made of the details that this allocator gives."""
    all_blocks = (_arenas(detail.arenas), _classes(detail.size_classes), _spans(detail.spans))
    return tuple(block for block in all_blocks if block.entries)[:2]


def _classes(classes: Sequence[SizeClass]) -> Block:
    entries = tuple(
        Entry(brief(each.size_bytes), each.free_bytes, f"× {count(each.free_objects, ' ')}")
        for each in sorted(classes, key=lambda each: each.free_bytes, reverse=True)
        if each.free_bytes
    )
    return Block("FREE OBJECTS BY SIZE", "$mem-cached", entries)


def _spans(spans: Sequence[SpanList]) -> Block:
    """Runs of pages grouped by powers of two, the shortest first, to show whether free memory is in one piece."""
    by_length: dict[int, list[SpanList]] = {}
    for each in spans:
        by_length.setdefault(each.pages.bit_length() if each.pages else 1 << 10, []).append(each)
    entries = tuple(
        Entry(_length_words(length), size, f"× {count(sum(each.spans for each in by_length[length]), ' ')}")
        for length in sorted(by_length)
        if (size := sum(each.free_bytes for each in by_length[length]))
    )
    return Block("FREE SPANS BY PAGES", "$mem-kept", entries)


def _length_words(bits: int) -> str:
    """The lengths in pages that are numbers of so many bits."""
    if bits > 64:
        return "longer"
    low, high = 1 << (bits - 1), (1 << bits) - 1
    return str(low) if low == high else f"{low}-{high}"


def _arenas(arenas: Sequence[Arena]) -> Block:
    entries = tuple(
        Entry(each.name, each.free_bytes, f"of {brief(each.system_bytes)}")
        for each in sorted(arenas, key=lambda each: each.free_bytes, reverse=True)
        if each.free_bytes
    )
    return Block("FREE IN ARENAS", "$mem-kept", entries)
