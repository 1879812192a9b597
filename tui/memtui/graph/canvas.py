"""The grid of cells that the graph is drawn on, and the two character sets it is drawn with."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from memtui.charset import glyphs_for


class Ink(str, Enum):
    """A colour of the graph; the value is the component class that sets it. NONE is the ground."""

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
    char: str
    ink: Ink
    ground: Ink


Grid = list[list[Cell]]
EMPTY = Cell(" ", Ink.NONE, Ink.NONE)


@dataclass(frozen=True, slots=True)
class Charset:
    """``blocks`` are a cell's eighths from none to seven, bottom up."""

    ascii: bool
    blocks: str
    dash: str
    mark: str
    cross: str
    head: str
    above: str
    axis: str
    tick: str
    axis_top: str
    corner: str
    rule: str


UNICODE = Charset(False, " ▁▂▃▄▅▆▇", "╌", "┊", "│", "▲", "↑", "│", "┤", "┬", "└", "─")
ASCII = Charset(True, " ___####", "-", ":", "|", "^", "^", "|", "+", "+", "+", "-")


def charset_for(ascii: bool) -> Charset:
    return ASCII if ascii else UNICODE


def shown_text(text: str, ascii: bool) -> str:
    """``text`` with one column for each character: what the terminal would act on, or draw wider or on top, becomes '?'."""
    text = glyphs_for(ascii=ascii).plain(text)
    return "".join(c if c.isprintable() and _narrow(c) else "?" for c in text)


def _narrow(char: str) -> bool:
    return char.isascii() or (unicodedata.east_asian_width(char) not in "WF" and not unicodedata.combining(char))


def blank(width: int, height: int) -> Grid:
    return [[EMPTY] * width for _ in range(height)]


def write(grid: Grid, row: int, column: int, text: str, ink: Ink, ground: Ink = Ink.NONE) -> None:
    """Write over what is there; what does not fit is cut."""
    if not 0 <= row < len(grid):
        return
    line = grid[row]
    for offset, char in enumerate(text):
        if 0 <= column + offset < len(line):
            line[column + offset] = Cell(char, ink, ground)


def is_free(grid: Grid, row: int, column: int, length: int) -> bool:
    """Whether ``length`` cells from ``column`` on lie in the grid and nothing has been drawn there."""
    if not (0 <= row < len(grid) and column >= 0 and column + length <= len(grid[row])):
        return False
    return all(cell == EMPTY for cell in grid[row][column : column + length])
