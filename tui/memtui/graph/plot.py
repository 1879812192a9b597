"""The stacked bands: one column of cells for each column of time, in eighths of a cell."""

from __future__ import annotations

from collections.abc import Sequence

from memtui.graph.canvas import Cell, Charset, Grid, Ink
from memtui.graph.state import Band, bands
from memtui_profiler.series import Point

INKS = {
    Band.IN_USE: Ink.IN_USE,
    Band.KEPT: Ink.KEPT,
    Band.OUTSIDE: Ink.OUTSIDE,
    Band.ANON: Ink.ANON,
    Band.FILE: Ink.FILE,
}
TEXTURES = {Band.IN_USE: "#", Band.KEPT: "=", Band.OUTSIDE: ".", Band.ANON: "#", Band.FILE: "="}

# For each row from the top and each column the band that fills the whole cell; False: partly filled, None: empty.
Solid = list[list[Band | bool | None]]


def eighths(parts: Sequence[tuple[Band, int]], ceiling: int, rows: int) -> list[tuple[Band, int]]:
    """The upper edge of each band in eighths of a cell above the ground; the last one is the RSS edge."""
    edges, total = [], 0
    for band, size in parts:
        total += size
        edge = min(rows * 8, (total * rows * 16 + ceiling) // (2 * ceiling))
        edges.append((band, edge))
    if total > 0 and edges[-1][1] == 0:
        # Something is there, so something is seen; of the largest part, as one eighth has one colour.
        largest = max(range(len(parts)), key=lambda n: parts[n][1])
        edges = [(band, 1 if n >= largest else 0) for n, (band, _) in enumerate(edges)]
    return edges


def cell_of(edges: Sequence[tuple[Band, int]], row: int, look: Charset, textured: bool) -> tuple[Cell, Band | bool]:
    """The cell ``row`` rows above the ground: the RSS edge first, then the border of the two largest bands in it."""
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
        char = look.blocks[below - low]
        if look.ascii and char == "#":
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
    return Cell(look.blocks[part], INKS[lower], INKS[upper]), False


def draw_bands(
    grid: Grid, left: int, rows: int, points: Sequence[Point | None], ceiling: int, look: Charset, *, textured: bool
) -> Solid:
    """Draw the columns into ``grid`` from column ``left`` on; returns which cells they fill, and with what."""
    columns = len(grid[0]) - left
    solid: Solid = [[None] * columns for _ in range(rows)]
    for column, point in enumerate(points[:columns]):
        if point is None:
            continue
        edges = eighths(bands(point), ceiling, rows)
        for row in range(-(-edges[-1][1] // 8)):
            cell, whole = cell_of(edges, row, look, textured)
            grid[rows - 1 - row][left + column] = cell
            solid[rows - 1 - row][column] = whole
    return solid
