"""The graph as a grid of cells: a pure function of the series, the user's view and the size.

A column of the past looks the same in every later grid of the same window, so that the widget has few cells to repaint.
"""

from __future__ import annotations

from dataclasses import dataclass

from memtui.display.glyphs import glyphs_for
from memtui.viewer.graph import axes, overlay
from memtui.viewer.graph.axes import GUTTER
from memtui.viewer.graph.canvas import Grid, Ink, blank, write
from memtui.viewer.graph.ghost import draw_ghost, ghost_points
from memtui.viewer.graph.plot import draw_bands
from memtui.viewer.graph.state import GraphState
from memtui.viewer.graph.window import View, Window, window
from memtui_profiler.session.series import Point

WAITING = "waiting for the first sample"
SMALLEST_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Scene:
    """What a window shows. ``points`` and ``ghost`` have a point or None for each of its columns."""

    state: GraphState
    view: View
    window: Window
    points: tuple[Point | None, ...]
    ghost: tuple[Point | None, ...]

    @property
    def peak_bytes(self) -> int:
        return max((p.rss_bytes for p in (*self.points, *self.ghost) if p is not None), default=0)

    @property
    def limits(self) -> tuple[int, ...]:
        return tuple(limit.limit_bytes for limit in self.state.limits)


def scene_of(state: GraphState, view: View, width: int) -> Scene:
    """Return what ``view`` shows of the series on a graph ``width`` columns wide, with its scale."""
    columns = max(SMALLEST_COLUMNS, width - GUTTER)
    shown = window(view, state.now_s, columns)
    past = min(columns, shown.head - shown.first + 1)
    points = state.series.points(shown.level, shown.first, past)
    if view.held_s is not None:
        points = [None if p is not None and p.at_s > view.held_s else p for p in points]
    ghost = ghost_points(state.series, state.runs, shown) if view.ghost else [None] * columns
    return Scene(state, view, shown, tuple(points), tuple(ghost))


def cells(scene: Scene, ceiling: int, width: int, height: int, *, textured: bool = False) -> Grid:
    """Draw ``scene`` on ``height`` rows of ``width`` cells; the scale ends at ``ceiling`` bytes, the last row is the time axis.

    ``textured``: bands are told apart by characters, for a screen without colours; ASCII is always so.
    """
    state, view, shown = scene.state, scene.view, scene.window
    glyphs = glyphs_for(ascii=state.ascii)
    textured = textured or state.ascii
    rows = height - 1
    if rows < 1 or width < GUTTER + SMALLEST_COLUMNS:
        return blank(width, height)
    grid = blank(width, height)
    until_s = view.until_s(state.now_s)
    wall_s = state.wall_origin_s + state.utc_offset_s
    marks = axes.marks_by_column(state.marks, shown, until_s)

    solid = draw_bands(grid, GUTTER, rows, scene.points, ceiling, glyphs, textured=textured)
    overlay.draw_marks(grid, solid, marks, glyphs, textured=textured)
    overlay.draw_limits(grid, solid, state.limits, ceiling, glyphs)
    overlay.draw_mark_labels(grid, solid, marks, glyphs)
    overlay.draw_band_names(grid, solid, _named_between(scene), state.allocator, textured=textured)
    draw_ghost(grid, GUTTER, solid, scene.ghost, ceiling, glyphs, textured=textured)
    ghost_name = state.runs[-2].name if len(state.runs) > 1 else ""
    overlay.draw_ghost_name(grid, scene.ghost, rows, ceiling, ghost_name, glyphs)
    axes.draw_scale(grid, rows, ceiling, glyphs)
    axes.draw_time_axis(grid, rows, shown, wall_s, marks, _head(scene), glyphs)
    if state.series.last is None and width >= GUTTER + len(WAITING):
        write(grid, rows // 2, GUTTER + (width - GUTTER - len(WAITING)) // 2, WAITING, Ink.LABEL)
    paused = view.held_s is not None and state.live
    if view.cross_s is not None and 0 <= (column := shown.column(view.cross_s)) < shown.columns:
        overlay.draw_crosshair(grid, solid, column, glyphs, textured=textured)
        point = scene.points[column] if column < len(scene.points) else None
        text = overlay.readout(axes.wall_label(wall_s + view.cross_s, 1), point, marks.get(column, ()))
        row = 1 if paused and rows > 1 else 0
        overlay.draw_notice(grid, row, text, Ink.READOUT, glyphs, at_left=column >= shown.columns // 2)
    if paused:
        overlay.draw_notice(grid, 0, overlay.paused(state.now_s - until_s), Ink.NOTICE, glyphs)
    return grid


def _named_between(scene: Scene) -> tuple[int, int]:
    """The columns among which the names of bands are placed: whole label steps, so that names seldom move."""
    step, first, head = scene.window.label_columns, scene.window.first, scene.window.head
    if not scene.state.live:
        return 0, len(scene.points)
    return -first % step, head // step * step - first


def _head(scene: Scene) -> str:
    if not scene.state.live:
        return "end"
    return "now" if scene.view.held_s is None else "paused"
