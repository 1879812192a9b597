"""The grid of cells that the graph is drawn on."""

from __future__ import annotations

import unicodedata
from enum import Enum
from typing import NamedTuple

from memtui.display.glyphs import Glyphs


class Ink(str, Enum):
    """A colour of the graph; the value is the component class that sets it. NONE is the background."""

    NONE = ""
    IN_USE = "graph--in-use"
    KEPT = "graph--kept"
    OUTSIDE = "graph--outside"
    ANON = "graph--anon"
    FILE = "graph--file"
    ON_BAND = "graph--on-band"
    GHOST = "graph--ghost"
    LIMIT = "graph--limit"
    MARK = "graph--mark"
    AXIS = "graph--axis"
    LABEL = "graph--label"
    NOW = "graph--now"
    CROSS = "graph--crosshair"
    READOUT = "graph--readout"
    NOTICE = "graph--notice"


class Cell(NamedTuple):
    """A character of the graph with its colour and that of its background."""

    char: str
    ink: Ink
    ground: Ink


Grid = list[list[Cell]]
EMPTY = Cell(" ", Ink.NONE, Ink.NONE)


def shown_text(text: str, glyphs: Glyphs) -> str:
    """Return ``text`` with one column for each character: control, wide and combining characters become '?'."""
    text = glyphs.plain(text)
    return "".join(c if c.isprintable() and _narrow(c) else "?" for c in text)


def _narrow(char: str) -> bool:
    return char.isascii() or (unicodedata.east_asian_width(char) not in "WF" and not unicodedata.combining(char))


def blank(width: int, height: int) -> Grid:
    """Return a grid of empty cells."""
    return [[EMPTY] * width for _ in range(height)]


def write(grid: Grid, row: int, column: int, text: str, ink: Ink, ground: Ink = Ink.NONE) -> None:
    """Overwrite cells with ``text``, which is cut where the grid ends."""
    if not 0 <= row < len(grid):
        return
    line = grid[row]
    for offset, char in enumerate(text):
        if 0 <= column + offset < len(line):
            line[column + offset] = Cell(char, ink, ground)


def is_free(grid: Grid, row: int, column: int, length: int) -> bool:
    """Return whether ``length`` cells from ``column`` on are in the grid and empty."""
    if not (0 <= row < len(grid) and column >= 0 and column + length <= len(grid[row])):
        return False
    return all(cell == EMPTY for cell in grid[row][column : column + length])
