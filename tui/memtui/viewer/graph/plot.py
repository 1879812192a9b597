"""The stacked bands: a column of cells for each column of time, with edges in eighths of a cell."""

from __future__ import annotations

from collections.abc import Sequence

from memtui.display.glyphs import Glyphs
from memtui.viewer.graph.canvas import Cell, Grid, Ink
from memtui.viewer.widgets.bands import TEXTURES, Band, bands
from memtui_profiler.session.series import Point

INKS = {
    Band.IN_USE: Ink.IN_USE,
    Band.KEPT: Ink.KEPT,
    Band.OUTSIDE: Ink.OUTSIDE,
    Band.ANON: Ink.ANON,
    Band.FILE: Ink.FILE,
}

# For each row from the top and each column: the band that fills the cell; False: partly filled or drawn over, None: empty.
Solid = list[list[Band | bool | None]]


def eighths(parts: Sequence[tuple[Band, int]], ceiling: int, rows: int) -> list[tuple[Band, int]]:
    """Return the upper edge of each band in eighths of a cell above the axis; the last is that of RSS."""
    edges, total = [], 0
    for band, size in parts:
        total += size
        edge = min(rows * 8, (total * rows * 16 + ceiling) // (2 * ceiling))
        edges.append((band, edge))
    if total > 0 and edges[-1][1] == 0:
        # RSS above 0 is always visible, with the colour of its largest part.
        largest = max(range(len(parts)), key=lambda n: parts[n][1])
        edges = [(band, 1 if n >= largest else 0) for n, (band, _) in enumerate(edges)]
    return edges


def cell_of(edges: Sequence[tuple[Band, int]], row: int, glyphs: Glyphs, textured: bool) -> tuple[Cell, Band | bool]:
    """Return the cell ``row`` rows above the axis, with the band that fills it, else False.

    A cell has one edge: that of RSS, or the one between the two largest bands in it.
    """
    low, high = row * 8, row * 8 + 8
    inside: list[tuple[int, Band]] = []
    below = 0
    for band, edge in edges:
        share = min(edge, high) - max(below, low)
        if share > 0:
            inside.append((share, band))
        below = edge
    largest = max(inside)[1] if len(inside) > 1 else inside[0][1]
    if below < high:
        char = glyphs.eighths_up[below - low]
        if char == "#":
            char = TEXTURES[largest]
        return Cell(char, INKS[largest], Ink.NONE), False
    whole: Band | bool = largest if len(inside) == 1 else False
    if textured:
        return Cell(TEXTURES[largest], INKS[largest], Ink.NONE), whole
    if whole:
        return Cell(" ", Ink.NONE, INKS[largest]), whole
    smallest = min(inside) if len(inside) > 2 else None
    (lower_share, lower), (upper_share, upper) = (part for part in inside if part is not smallest)
    part = min(7, max(1, round(8 * lower_share / (lower_share + upper_share))))
    return Cell(glyphs.eighths_up[part], INKS[lower], INKS[upper]), False


def draw_bands(
    grid: Grid, left: int, rows: int, points: Sequence[Point | None], ceiling: int, glyphs: Glyphs, *, textured: bool
) -> Solid:
    """Draw the bands of ``points`` into ``grid`` from column ``left`` on; return what fills its cells."""
    columns = len(grid[0]) - left
    solid: Solid = [[None] * columns for _ in range(rows)]
    for column, point in enumerate(points[:columns]):
        if point is None:
            continue
        edges = eighths(bands(point), ceiling, rows)
        for row in range(-(-edges[-1][1] // 8)):
            cell, whole = cell_of(edges, row, glyphs, textured)
            grid[rows - 1 - row][left + column] = cell
            solid[rows - 1 - row][column] = whole
    return solid
