"""The stacked bar of RSS and the small bars of a table, in colours or, where there are none, in textures."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from memtui.heap.breakdown import Part, Role
from memtui.leaks.look import Look
from memtui.widgets.line import Part as Run

COLOURS = {
    Role.IN_USE: "$mem-in-use",
    Role.FREE: "$mem-kept",
    Role.CACHED: "$mem-cached",
    Role.METADATA: "$mem-metadata",
    Role.OUTSIDE: "$mem-outside",
    Role.ANON: "$mem-anon",
    Role.FILE: "$mem-file",
    Role.SHARED: "$mem-outside",
}
# The graph's own for its bands, so that the eye can go from one to the other.
TEXTURES = {
    Role.IN_USE: "#",
    Role.FREE: "=",
    Role.CACHED: "+",
    Role.METADATA: "-",
    Role.OUTSIDE: ".",
    Role.ANON: "#",
    Role.FILE: "=",
    Role.SHARED: ".",
}
# A part smaller than this share of RSS gets no cell where there is none to spare.
SEEN_FROM = 0.004


def share_words(size_bytes: int, whole_bytes: int) -> str:
    """``68 %``; something is never written as nothing, and less than all never as all."""
    if whole_bytes <= 0 or size_bytes <= 0:
        return "0 %"
    percent = 100 * size_bytes / whole_bytes
    if percent < 0.5:
        return "<1 %"
    return f"{min(99, round(percent)) if size_bytes < whole_bytes else 100} %"


def cells_of(sizes: Sequence[int], width: int) -> list[int]:
    """How many of ``width`` cells each size gets; together exactly all, and what matters at least one."""
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
    """RSS from end to end, each part in its colour with its name and share where they fit."""
    whole = sum(part.size_bytes for part in parts)
    runs: list[Run] = []
    for part, count in zip(parts, cells_of([part.size_bytes for part in parts], width), strict=True):
        # A texture must be seen at both sides of the words, a colour is seen behind them.
        words = _words(part, whole, count - 4 if textured else count) if named else ""
        colour = COLOURS[part.role]
        if textured:
            fill = TEXTURES[part.role]
            left = (count - len(words)) // 2
            runs.append((f"{fill * left}{words}{fill * (count - left - len(words))}", colour))
        else:
            runs.append((words.center(count), f"bold $background on {colour}"))
    return Content.assemble(*runs)


def _words(part: Part, whole: int, room: int) -> str:
    share = share_words(part.size_bytes, whole)
    for words in (f" {part.name} {share} ", f" {part.name} ", f" {share} "):
        if len(words) <= room:
            return words
    return ""


def small_bar(share: float, width: int, colour: str, look: Look) -> Content:
    bar = look.bar(share, width) if share > 0 else ""
    return Content.assemble((bar, colour), " " * (width - len(bar)))
