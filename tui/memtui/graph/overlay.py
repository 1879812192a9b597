"""What is written over the bands: limits, the lines of marks, names inside bands, the ghost's name, the crosshair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from memtui.figures import clock, prose, tight
from memtui.graph.axes import GUTTER
from memtui.graph.canvas import EMPTY, Cell, Charset, Grid, Ink, is_free, shown_text, write
from memtui.graph.plot import INKS, Solid
from memtui.graph.state import Band, Limit, Mark, bands
from memtui_profiler.series import Point

SHORT_NAMES = {
    Band.IN_USE: "in use",
    Band.KEPT: "kept",
    Band.OUTSIDE: "outside",
    Band.ANON: "anon",
    Band.FILE: "file",
}


def band_name(band: Band, allocator: str) -> str:
    return f"kept by {allocator}" if band is Band.KEPT and allocator else band.value


def draw_limits(grid: Grid, solid: Solid, limits: Sequence[Limit], ceiling: int, look: Charset) -> None:
    """A dashed line with its name where a limit lies on the scale; a note at the top right for one above it."""
    rows = len(solid)
    columns = len(grid[0]) - GUTTER
    for limit in limits:
        name = shown_text(f"{limit.name} {prose(limit.limit_bytes).replace('.0 ', ' ')}", look.ascii)
        if limit.limit_bytes > ceiling:
            text = f"{look.above} {name}"
            if is_free(grid, 0, GUTTER + columns - len(text) - 1, len(text)):
                write(grid, 0, GUTTER + columns - len(text) - 1, text, Ink.LIMIT)
            continue
        row = rows - 1 - min(rows - 1, max(0, round(limit.limit_bytes * rows / ceiling - 0.5)))
        text = f" {name} "
        begin = (columns - len(text)) // 2
        for column in range(columns):
            inside = 0 <= column - begin < len(text) <= columns
            crossed = inside and grid[row][GUTTER + column].char == look.mark
            if solid[row][column] is None or crossed:
                write(grid, row, GUTTER + column, text[column - begin] if inside else look.dash, Ink.LIMIT)


def draw_marks(grid: Grid, solid: Solid, columns: Iterable[int], look: Charset, *, textured: bool) -> None:
    """A line from the axis to the top; over a band it keeps the band's colour. ``solid`` has these cells as taken after."""
    for column in columns:
        _line(grid, solid, column, look.mark, Ink.MARK, look, textured=textured)


def draw_mark_labels(grid: Grid, solid: Solid, marks: Mapping[int, Sequence[Mark]], look: Charset) -> None:
    """What a mark has to say beside its line, high up: at its right, or its left, or nowhere. The ghost runs round it."""
    rows = range(1, max(2, len(solid) // 2))
    for column, here in marks.items():
        text = next((shown_text(mark.label, look.ascii) for mark in reversed(here) if mark.label), "")
        if not text:
            continue
        right, left = GUTTER + column + 2, GUTTER + column - 1 - len(text)
        for row, begin in ((row, begin) for begin in (right, left) for row in rows):
            if begin > GUTTER and _only_lines(grid, row, begin - 1, len(text) + 2, look):
                write(grid, row, begin, text, Ink.MARK)
                taken = slice(begin - GUTTER - 1, begin - GUTTER + len(text) + 1)
                solid[row][taken] = [False] * len(solid[row][taken])
                break


def _only_lines(grid: Grid, row: int, column: int, length: int, look: Charset) -> bool:
    """Whether nothing but the lines of other marks stands there, which may be interrupted."""
    cells = grid[row][column : column + length] if row < len(grid) else []
    return len(cells) == length and all(cell in (EMPTY, Cell(look.mark, Ink.MARK, Ink.NONE)) for cell in cells)


def draw_crosshair(grid: Grid, solid: Solid, column: int, look: Charset, *, textured: bool) -> None:
    _line(grid, solid, column, look.cross, Ink.CROSS, look, textured=textured)


def _line(grid: Grid, solid: Solid, column: int, char: str, ink: Ink, look: Charset, *, textured: bool) -> None:
    for row, line in enumerate(solid):
        cell = grid[row][GUTTER + column]
        ground = Ink.NONE
        if line[column] is not None and not textured:
            # A partly filled cell loses its edge to the line, and takes the colour of the larger part as its ground.
            ground = cell.ink if cell.char in look.blocks[4:] else cell.ground
        grid[row][GUTTER + column] = Cell(char, ink, ground)
        line[column] = False


def draw_band_names(grid: Grid, solid: Solid, between: tuple[int, int], allocator: str, *, textured: bool) -> None:
    """Each band's name inside it, in the middle of its best place among the columns ``between``, where it fits with room."""
    for band in Band:
        text = f" {band_name(band, allocator)} "
        place = _place(solid, band, len(text) + 2, between)
        if place is None:
            continue
        row, begin, length = place
        column = GUTTER + begin + (length - len(text)) // 2
        if textured:
            write(grid, row, column, text, INKS[band])
        else:
            write(grid, row, column, text, Ink.ON_BAND, INKS[band])


def _place(solid: Solid, band: Band, needed: int, between: tuple[int, int]) -> tuple[int, int, int] | None:
    """Row, first column and length of the run of whole cells where a name of ``needed`` columns looks best."""
    runs: list[tuple[int, int, int]] = []
    for row, line in enumerate(solid):
        begin, until = between[0], min(between[1], len(line))
        while begin < until:
            end = begin
            while end < until and line[end] is band:
                end += 1
            if end - begin >= needed:
                runs.append((row, begin, end - begin))
            begin = max(end, begin + 1)
    if not runs:
        return None
    rows = [row for row, _, _ in runs]
    middle = (min(rows) + max(rows)) / 2
    # Room at both ends is worth less than a place in the middle, which reads as the name of the whole band.
    return max(runs, key=lambda run: (min(run[2] - needed, 6) - 2 * abs(run[0] - middle), run[2]))


def draw_ghost_name(
    grid: Grid, points: Sequence[Point | None], rows: int, ceiling: int, name: str, look: Charset
) -> None:
    """The ghost's name under the right end of its line, over it or behind it, where nothing else stands."""
    text = shown_text(name, look.ascii)
    last = max((column for column, point in enumerate(points) if point is not None), default=None)
    point = None if last is None else points[last]
    if last is None or point is None or not text:
        return
    height = rows - 1 - min(rows - 1, point.rss_bytes * rows // ceiling)
    before, behind = GUTTER + last - len(text), GUTTER + last + 2
    places = [(height + below, before) for below in (1, -1, 2, -2, 3)] + [(height, behind)]
    for row, column in places:
        if row < rows and is_free(grid, row, column - 1, len(text) + 2):
            write(grid, row, column, text, Ink.GHOST)
            return


def readout(wall: str, point: Point | None, marks: Sequence[Mark]) -> str:
    """What the crosshair reads: the time, the sizes at fixed places, and what happened there."""
    if point is None:
        sizes = "no process"
    else:
        parts = "".join(f"  {SHORT_NAMES[band]} {tight(size):>5}" for band, size in bands(point))
        sizes = f"RSS {tight(point.rss_bytes):>5}{parts}"
    return f" {wall}  {sizes} " + "".join(f"· {mark.text} " for mark in marks)


def paused(behind_s: float) -> str:
    text = clock(behind_s)
    return f" PAUSED {text.removeprefix('00:')} behind · end follows "


def draw_notice(grid: Grid, row: int, text: str, ink: Ink, look: Charset, *, at_left: bool = False) -> None:
    """One line over everything, at the right end of a row or at its left."""
    text = shown_text(text, look.ascii)
    width = len(grid[0]) - GUTTER
    if len(text) > width:
        text = text[: width - 1] + " "
    write(grid, row, GUTTER if at_left else len(grid[0]) - len(text), text, ink)
