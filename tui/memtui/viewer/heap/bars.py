"""The stacked bar of RSS and the small bars of a table, in colours, or with textures where there are no colours."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from memtui.display.glyphs import Glyphs
from memtui.viewer.heap.breakdown import Part, Role
from memtui.viewer.widgets import bands
from memtui.viewer.widgets.bands import Band
from memtui.viewer.widgets.line import Part as Run

# A part that is a band of the graph looks as it does there.
_BANDS = {
    Role.IN_USE: Band.IN_USE,
    Role.FREE: Band.KEPT,
    Role.OUTSIDE: Band.OUTSIDE,
    Role.ANON: Band.ANON,
    Role.FILE: Band.FILE,
    Role.SHARED: Band.OUTSIDE,
}
COLOURS = {Role.CACHED: "$mem-cached", Role.METADATA: "$mem-metadata"} | {
    role: bands.COLOURS[band] for role, band in _BANDS.items()
}
TEXTURES = {Role.CACHED: "+", Role.METADATA: "-"} | {role: bands.TEXTURES[band] for role, band in _BANDS.items()}
# A part with a smaller share of RSS gets a cell only if one is left over.
SEEN_FROM = 0.004


def share_words(size_bytes: int, whole_bytes: int) -> str:
    """Return a share as ``68 %``; 0 % and 100 % are written only where they are exact."""
    if whole_bytes <= 0 or size_bytes <= 0:
        return "0 %"
    percent = 100 * size_bytes / whole_bytes
    if percent < 0.5:
        return "<1 %"
    return f"{min(99, round(percent)) if size_bytes < whole_bytes else 100} %"


def cells_of(sizes: Sequence[int], width: int) -> list[int]:
    """Return how many of ``width`` cells each size gets: all cells are used, and a size from SEEN_FROM on gets at least one."""
    whole = sum(sizes)
    if whole <= 0 or width <= 0:
        return [0] * len(sizes)
    cells = [size * width // whole for size in sizes]
    cells = [1 if count == 0 and size / whole >= SEEN_FROM else count for count, size in zip(cells, sizes, strict=True)]
    by_loss = sorted(range(len(sizes)), key=lambda n: sizes[n] * width / whole - cells[n], reverse=True)
    for n in by_loss:
        if sum(cells) < width:
            cells[n] += 1
    while sum(cells) > width:
        cells[cells.index(max(cells))] -= 1
    return cells


def stacked_bar(parts: Sequence[Part], width: int, *, textured: bool, named: bool = True) -> Content:
    """Return a bar of ``width`` cells, each part in its colour, with its name and share where they fit."""
    whole = sum(part.size_bytes for part in parts)
    runs: list[Run] = []
    for part, count in zip(parts, cells_of([part.size_bytes for part in parts], width), strict=True):
        # A texture must be visible at both sides of the label; a colour is visible behind it.
        label = _label(part, whole, count - 4 if textured else count) if named else ""
        colour = COLOURS[part.role]
        if textured:
            fill = TEXTURES[part.role]
            runs.append((f"{label:{fill}^{count}}", colour))
        else:
            runs.append((label.center(count), f"bold $background on {colour}"))
    return Content.assemble(*runs)


def _label(part: Part, whole: int, room: int) -> str:
    share = share_words(part.size_bytes, whole)
    forms = (f" {part.name} {share} ", f" {part.name} ", f" {share} ")
    return next((form for form in forms if len(form) <= room), "")


def small_bar(share: float, width: int, colour: str, glyphs: Glyphs) -> Content:
    """Return ``share`` (0 to 1) as a bar, padded to ``width`` cells."""
    bar = glyphs.share_bar(share, width) if share > 0 else ""
    return Content.assemble((bar, colour), " " * (width - len(bar)))
