"""The ghost: the RSS of the run before at the same age, as a thin line that never hides the present run."""

from __future__ import annotations

from collections.abc import Sequence

from memtui.display.glyphs import Glyphs
from memtui.viewer.graph.canvas import Cell, Grid, Ink
from memtui.viewer.graph.plot import INKS, Solid
from memtui.viewer.graph.state import RunSpan
from memtui.viewer.graph.window import Window
from memtui.viewer.widgets.bands import TEXTURES
from memtui_profiler.session.series import Point, Series, column_of

# Dot bits of a braille cell, from its bottom row up, left and right (Unicode 15, "Braille Patterns").
_DOTS = ((0x40, 0x80), (0x04, 0x20), (0x02, 0x10), (0x01, 0x08))


def ghost_points(series: Series, runs: Sequence[RunSpan], window: Window) -> list[Point | None]:
    """Return for each column of the window the sample of the run before at the same age, or None.

    The ghost of the newest run extends to the window's right edge, that of an older one to the begin of the next run.
    """
    points: list[Point | None] = [None] * window.columns
    for before, run, following in zip(runs, runs[1:], [*runs[2:], None], strict=False):
        begin = column_of(run.begin_s, window.width_s)
        end = window.first + window.columns
        if following is not None:
            end = min(end, column_of(following.begin_s, window.width_s))
        first = max(begin, window.first)
        if first >= end:
            continue
        age = begin - column_of(before.begin_s, window.width_s)
        for offset, point in enumerate(series.points(window.level, first - age, end - first)):
            if point is not None and point.run == before.number:
                points[first - window.first + offset] = point
    return points


def draw_ghost(
    grid: Grid, left: int, solid: Solid, points: Sequence[Point | None], ceiling: int, glyphs: Glyphs, *, textured: bool
) -> None:
    """Draw the ghost into cells that are empty or filled with one band."""
    rows = len(solid)
    # The line is the topmost dot of what a band of that height would fill.
    heights = [None if p is None else max(0.0, p.rss_bytes * rows * 4 / ceiling - 0.5) for p in points]
    for column, here in enumerate(heights):
        if here is None:
            continue
        following = heights[column + 1] if column + 1 < len(heights) else None
        middle = here if following is None else (here + following) / 2
        previous = heights[column - 1] if column else None
        start = here if previous is None else (here + previous) / 2
        # The left dots lead from the column before to this height, the right dots towards the next column.
        for row, bits in _dots(start, here, middle, rows).items():
            filled = solid[row][column]
            if isinstance(filled, bool):
                continue
            plain = TEXTURES[filled] if filled and textured else " "
            if grid[row][left + column].char != plain:
                continue
            ground = INKS[filled] if filled and not textured else Ink.NONE
            grid[row][left + column] = Cell(glyphs.dots(bits), Ink.GHOST, ground)


def _dots(start: float, here: float, middle: float, rows: int) -> dict[int, int]:
    """The dots of one column by row from the top, for a line from ``start`` over ``here`` to ``middle`` (in dots)."""
    bits_by_row: dict[int, int] = {}
    for side, (begin, end) in enumerate(((start, here), (here, middle))):
        low, high = int(begin), int(end)
        climb = range(low + 1, high + 1) if high > low else range(high, low) if high < low else (low,)
        for dot in climb:
            level = min(max(dot, 0), rows * 4 - 1)
            row = rows - 1 - level // 4
            bits_by_row[row] = bits_by_row.get(row, 0) | _DOTS[level % 4][side]
    return bits_by_row
