"""What is drawn over the bands: limits, the lines of marks, the names of bands and of the ghost, the crosshair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from memtui.display.figures import clock, tight
from memtui.display.glyphs import Glyphs
from memtui.viewer.graph.axes import GUTTER
from memtui.viewer.graph.canvas import EMPTY, Cell, Grid, Ink, is_free, shown_text, write
from memtui.viewer.graph.plot import INKS, Solid
from memtui.viewer.graph.state import Limit, Mark
from memtui.viewer.widgets.bands import SHORT_NAMES, Band, bands
from memtui_profiler.session.series import Point
from memtui_profiler.words import size_words


def band_name(band: Band, allocator: str) -> str:
    """Return a band's name, ``kept by tcmalloc`` where the allocator is known."""
    return f"kept by {allocator}" if band is Band.KEPT and allocator else band.value


def draw_limits(grid: Grid, solid: Solid, limits: Sequence[Limit], ceiling: int, glyphs: Glyphs) -> None:
    """Draw a dashed line with its name for each limit on the scale, and a note at the top right for a limit above it."""
    rows = len(solid)
    columns = len(grid[0]) - GUTTER
    for limit in limits:
        name = shown_text(f"{limit.name} {size_words(limit.limit_bytes).replace('.0 ', ' ')}", glyphs)
        if limit.limit_bytes > ceiling:
            text = f"{glyphs.beyond} {name}"
            if is_free(grid, 0, GUTTER + columns - len(text) - 1, len(text)):
                write(grid, 0, GUTTER + columns - len(text) - 1, text, Ink.LIMIT)
            continue
        row = rows - 1 - min(rows - 1, max(0, round(limit.limit_bytes * rows / ceiling - 0.5)))
        text = f" {name} "
        begin = (columns - len(text)) // 2
        for column in range(columns):
            inside = 0 <= column - begin < len(text) <= columns
            crossed = inside and grid[row][GUTTER + column].char == glyphs.mark
            if solid[row][column] is None or crossed:
                write(grid, row, GUTTER + column, text[column - begin] if inside else glyphs.limit, Ink.LIMIT)


def draw_marks(grid: Grid, solid: Solid, columns: Iterable[int], glyphs: Glyphs, *, textured: bool) -> None:
    """Draw a line from the axis to the top, on the colours of the bands; ``solid`` gets False for these cells."""
    for column in columns:
        _line(grid, solid, column, glyphs.mark, Ink.MARK, glyphs, textured=textured)


def draw_mark_labels(grid: Grid, solid: Solid, marks: Mapping[int, Sequence[Mark]], glyphs: Glyphs) -> None:
    """Write the labels of marks near the top, to the right or left of their lines, or nowhere; no ghost is drawn there."""
    rows = range(1, max(2, len(solid) // 2))
    for column, here in marks.items():
        text = next((shown_text(mark.label, glyphs) for mark in reversed(here) if mark.label), "")
        if not text:
            continue
        right, left = GUTTER + column + 2, GUTTER + column - 1 - len(text)
        for row, begin in ((row, begin) for begin in (right, left) for row in rows):
            if begin > GUTTER and _only_lines(grid, row, begin - 1, len(text) + 2, glyphs):
                write(grid, row, begin, text, Ink.MARK)
                taken = slice(begin - GUTTER - 1, begin - GUTTER + len(text) + 1)
                solid[row][taken] = [False] * len(solid[row][taken])
                break


def _only_lines(grid: Grid, row: int, column: int, length: int, glyphs: Glyphs) -> bool:
    """Whether these cells are empty or lines of marks, which a label may interrupt."""
    cells = grid[row][column : column + length] if row < len(grid) else []
    return len(cells) == length and all(cell in (EMPTY, Cell(glyphs.mark, Ink.MARK, Ink.NONE)) for cell in cells)


def draw_crosshair(grid: Grid, solid: Solid, column: int, glyphs: Glyphs, *, textured: bool) -> None:
    """Draw a line from the axis to the top where the crosshair is."""
    _line(grid, solid, column, glyphs.vertical, Ink.CROSS, glyphs, textured=textured)


def _line(grid: Grid, solid: Solid, column: int, char: str, ink: Ink, glyphs: Glyphs, *, textured: bool) -> None:
    for row, line in enumerate(solid):
        cell = grid[row][GUTTER + column]
        ground = Ink.NONE
        if line[column] is not None and not textured:
            # The line replaces the edge in a partly filled cell; the larger part gives the background.
            ground = cell.ink if cell.char in glyphs.eighths_up[4:] else cell.ground
        grid[row][GUTTER + column] = Cell(char, ink, ground)
        line[column] = False


def draw_band_names(grid: Grid, solid: Solid, between: tuple[int, int], allocator: str, *, textured: bool) -> None:
    """Write each band's name in its middle, where it fits there between the two columns of ``between``."""
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
    """Row, first column and length of the run of filled cells that is best for a name of ``needed`` columns."""
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
    # A row in the middle of the band matters more than room at both ends of the name.
    return max(runs, key=lambda run: (min(run[2] - needed, 6) - 2 * abs(run[0] - middle), run[2]))


def draw_ghost_name(
    grid: Grid, points: Sequence[Point | None], rows: int, ceiling: int, name: str, glyphs: Glyphs
) -> None:
    """Write the ghost's name below, above or behind the right end of its line, where the cells are empty."""
    text = shown_text(name, glyphs)
    last = max((column for column, point in enumerate(points) if point is not None), default=None)
    point = None if last is None else points[last]
    if last is None or point is None or not text:
        return
    height = rows - 1 - min(rows - 1, point.rss_bytes * rows // ceiling)
    before, behind = GUTTER + last - len(text), GUTTER + last + 2
    places = [(height + rows_below, before) for rows_below in (1, -1, 2, -2, 3)] + [(height, behind)]
    for row, column in places:
        if row < rows and is_free(grid, row, column - 1, len(text) + 2):
            write(grid, row, column, text, Ink.GHOST)
            return


def readout(wall: str, point: Point | None, marks: Sequence[Mark]) -> str:
    """Return the line of the crosshair: the time, the sizes at fixed columns, and the events of its column."""
    if point is None:
        sizes = "no process"
    else:
        parts = "".join(f"  {SHORT_NAMES[band]} {tight(size):>5}" for band, size in bands(point))
        sizes = f"RSS {tight(point.rss_bytes):>5}{parts}"
    return f" {wall}  {sizes} " + "".join(f"· {mark.text} " for mark in marks)


def paused(behind_s: float) -> str:
    """Return the notice of a paused graph that is so many seconds behind the present."""
    text = clock(behind_s)
    return f" PAUSED {text.removeprefix('00:')} behind · end follows "


def draw_notice(grid: Grid, row: int, text: str, ink: Ink, glyphs: Glyphs, *, at_left: bool = False) -> None:
    """Write one line over everything, at the right end of a row or at its left."""
    text = shown_text(text, glyphs)
    width = len(grid[0]) - GUTTER
    if len(text) > width:
        text = text[: width - 1] + " "
    write(grid, row, GUTTER if at_left else len(grid[0]) - len(text), text, ink)
