"""The scale at the left and the time axis at the bottom: labels, ticks, the letters of marks, and the present."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from memtui.display.glyphs import Glyphs
from memtui.viewer.graph.canvas import Grid, Ink, shown_text, write
from memtui.viewer.graph.state import Mark
from memtui.viewer.graph.window import LABEL_STEPS_S, Window

GUTTER = 5  # four columns of label and the axis
_UNITS = "BKMGTPE"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def tick_label(size_bytes: float, unit: int) -> str:
    """Return a size in units of 1024 to the power of ``unit``, in at most four columns: 16G, 2.5G, 0.8G, 500M."""
    figure = size_bytes / 1024**unit
    text = f"{figure:.0f}" if figure >= 10 else f"{figure:.1f}".removesuffix(".0")
    return f"{text}{_UNITS[unit]}"


def scale_unit(ceiling: int) -> int:
    """Return the unit of all labels of a scale: the largest power of 1024 that ``ceiling`` reaches or nearly reaches."""
    unit = max(0, ceiling.bit_length() - 1) // 10
    if ceiling >= 999.5 * (1 << 10 * unit):  # 1000M to 1023M would need a fifth column
        unit += 1
    return min(len(_UNITS) - 1, unit)


def ticks(ceiling: int, rows: int) -> dict[int, float]:
    """Return the values to label, by row from the top; a value lies at the upper edge of its row, or near it.

    Among the round steps with room for their labels it takes the one whose values are nearest to edges of rows, and that has
    about four labels.
    """
    unit = scale_unit(ceiling)
    candidates: list[tuple[float, float]] = []
    base = 1024**unit
    magnitude = 10.0 ** math.floor(math.log10(max(ceiling / base, 1)))
    for mantissa in (0.1, 0.2, 0.25, 0.4, 0.5, 1, 2, 2.5, 4, 5):
        step = mantissa * magnitude * base
        if step >= ceiling or not 2 <= rows * step / ceiling <= max(2, rows / 2):
            continue
        edges = [n * step * rows / ceiling for n in range(1, int(ceiling / step + 1e-9) + 1)]
        error = max(abs(edge - round(edge)) for edge in edges)
        even = abs(ceiling / step - round(ceiling / step)) < 1e-9
        candidates.append((error + (0 if even else 0.5) + abs(len(edges) - 4) / 20, step))
    values: dict[int, float] = {0: float(ceiling)}
    if candidates:
        _, step = min(candidates)
        for n in range(int(ceiling / step), 0, -1):
            row = rows - round(n * step * rows / ceiling)
            if row not in values and row - 1 not in values and row < rows:
                values[row] = n * step
    return values


def draw_scale(grid: Grid, rows: int, ceiling: int, glyphs: Glyphs) -> None:
    """Draw the scale from 0 to ``ceiling`` bytes at the left of ``rows`` rows."""
    unit, values = scale_unit(ceiling), ticks(ceiling, rows)
    for row in range(rows):
        stem = glyphs.vertical if row not in values else glyphs.scale_top if row == 0 else glyphs.scale_tick
        write(grid, row, GUTTER - 1, stem, Ink.AXIS)
        if row in values:
            write(grid, row, 0, tick_label(values[row], unit).rjust(GUTTER - 1), Ink.LABEL)
    write(grid, rows, GUTTER - 1, glyphs.scale_corner, Ink.AXIS)


def wall_label(wall_s: float, step_s: int) -> str:
    """Return the time of day, with seconds where labels are less than a minute apart, or the date where they are days apart."""
    at = time.gmtime(wall_s)
    if step_s >= 86400:
        return f"{_MONTHS[at.tm_mon - 1]} {at.tm_mday}"
    return f"{at.tm_hour:02}:{at.tm_min:02}" + (f":{at.tm_sec:02}" if step_s < 60 else "")


def span_label(seconds: float) -> str:
    """Return the length of a window: ``90s``, ``5m``, ``3h``, ``2d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def marks_by_column(marks: Sequence[Mark], window: Window, until_s: float) -> dict[int, list[Mark]]:
    """Return the marks in the window and not after ``until_s``, by column of the screen."""
    by_column: dict[int, list[Mark]] = {}
    for mark in marks:
        column = window.column(mark.at_s)
        if 0 <= column < window.columns and mark.at_s <= until_s:
            by_column.setdefault(column, []).append(mark)
    return by_column


def draw_time_axis(
    grid: Grid, row: int, window: Window, wall_s: float, marks: Mapping[int, Sequence[Mark]], head: str, glyphs: Glyphs
) -> None:
    """Draw the time axis. ``wall_s``: the local wall clock at the session's second 0; ``head``: the label at the present."""
    columns = window.columns
    write(grid, row, GUTTER, glyphs.rule * columns, Ink.AXIS)
    taken = set(marks)
    head_column = window.head - window.first
    head_text = (glyphs.up + head) if head_column + len(head) < columns else glyphs.up
    if head and 0 <= head_column < columns:
        write(grid, row, GUTTER + head_column, head_text, Ink.NOW)
        taken |= set(range(head_column - 1, head_column + len(head_text) + 1))
    span = f"{span_label(window.seconds)} [ ]"
    if columns >= 30 and taken.isdisjoint(range(columns - len(span) - 1, columns)):
        write(grid, row, GUTTER + columns - len(span) - 1, f" {span}", Ink.LABEL)
        taken |= set(range(columns - len(span) - 2, columns))
    step = LABEL_STEPS_S[window.level]
    begin_s = wall_s + window.first * window.width_s
    for number in range(math.ceil(begin_s / step), int((begin_s + window.seconds) / step) + 1):
        column = window.column(number * step - wall_s)
        text = wall_label(number * step, step)
        if column + len(text) <= columns and taken.isdisjoint(range(column, column + len(text))):
            write(grid, row, GUTTER + column, text, Ink.LABEL)
    for column, here in marks.items():
        letter = here[0].letter[:1] if len(here) == 1 else str(len(here)) if len(here) < 10 else "+"
        write(grid, row, GUTTER + column, shown_text(letter, glyphs), Ink.MARK)
