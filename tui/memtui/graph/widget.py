"""The graph on the screen: a row of narrow slices, of which only the cells that changed are sent to the terminal.

Textual sends a dirty region from the left edge of its widget on, so the narrower the widget the less travels: ten columns
took 0.7 to 1.2 kB/s at 110x16 and 4 Hz where one wide widget took 15 to 18.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from memtui.graph.axes import GUTTER
from memtui.graph.canvas import Grid, Ink
from memtui.graph.cells import SMALLEST_COLUMNS, cells, look_at
from memtui.graph.state import GraphState
from memtui.graph.window import (
    View,
    Window,
    follow,
    hold,
    move_crosshair,
    next_ceiling,
    pan,
    reveal,
    show_whole,
    zoom,
)

SLICE_COLUMNS = 10


class GraphSlice(Widget):
    """Ten columns of the graph."""

    DEFAULT_CSS = """
    GraphSlice { width: 10; height: 1fr; }
    """

    can_focus = False

    def __init__(self, graph: MemoryGraph, left: int) -> None:
        super().__init__()
        self._graph = graph
        self._left = left

    def render_line(self, y: int) -> Strip:
        return self._graph.strip(y, self._left, self.size.width)

    def repaint(self, before: Grid, after: Grid) -> None:
        """Mark the cells that differ; one region a row, as what lies between two of them is sent anyway."""
        dirty = []
        left, right = self._left, self._left + self.size.width
        for y, (old, new) in enumerate(zip(before, after, strict=True)):
            if old[left:right] != new[left:right]:
                changed = [x for x in range(left, min(right, len(new))) if old[x] != new[x]]
                dirty.append(Region(changed[0] - left, y, changed[-1] - changed[0] + 1, 1))
        if dirty:
            self.refresh(*dirty)


class MemoryGraph(Widget, can_focus=True):
    """RSS over time. show() gives it what is known; its actions move the reader's view, which is its only state of its own.

    Its colours are the variables of memtui.theme, so an application around it gives them defaults.
    """

    DEFAULT_CSS = """
    MemoryGraph { layout: horizontal; overflow: hidden hidden; height: 1fr; }
    MemoryGraph > .graph--in-use { color: $mem-in-use; }
    MemoryGraph > .graph--kept { color: $mem-kept; }
    MemoryGraph > .graph--outside { color: $mem-outside; }
    MemoryGraph > .graph--anon { color: $mem-anon; }
    MemoryGraph > .graph--file { color: $mem-file; }
    MemoryGraph > .graph--on-band { color: $background; }
    MemoryGraph > .graph--ghost { color: $mem-ghost; }
    MemoryGraph > .graph--limit { color: $mem-limit; }
    MemoryGraph > .graph--mark { color: $mem-mark; }
    MemoryGraph > .graph--axis { color: $faint; }
    MemoryGraph > .graph--label { color: $muted; }
    MemoryGraph > .graph--now { color: $foreground; text-style: bold; }
    MemoryGraph > .graph--crosshair { color: $foreground; }
    MemoryGraph > .graph--readout { color: $foreground; background: $panel; }
    MemoryGraph > .graph--notice { color: $background; background: $warning; text-style: bold; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {ink.value for ink in Ink if ink is not Ink.NONE}

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._state: GraphState | None = None
        self._view = View()
        self._shown: Window | None = None
        self._ceiling = 0
        self._grid: Grid = []
        self._styles_of: dict[tuple[Ink, Ink], Style] = {}

    @property
    def view(self) -> View:
        """How the reader looks at the session now."""
        return self._view

    @property
    def shown(self) -> Window | None:
        """The times on screen; None before anything has been drawn."""
        return self._shown

    @property
    def grid(self) -> Grid:
        """The cells as last drawn."""
        return self._grid

    def show(self, state: GraphState) -> None:
        """Draw ``state``; of what is on screen already only the cells that differ are sent."""
        if self._state is None and not state.live:
            # A finished session is looked at as a whole: nothing comes that would be worth waiting for.
            self._view = show_whole(self._view)
        self._state = state
        self._draw()

    def strip(self, y: int, left: int, width: int) -> Strip:
        """``width`` cells of row ``y`` from column ``left`` on, as runs of one style."""
        row = self._grid[y][left : left + width] if y < len(self._grid) else []
        runs = groupby(row, key=lambda cell: (cell.ink, cell.ground))
        segments = [Segment("".join(cell.char for cell in run), self._style(*inks)) for inks, run in runs]
        return Strip(segments, len(row)).adjust_cell_length(width)

    def action_zoom_in(self) -> None:
        self._zoom(-1)

    def action_zoom_out(self) -> None:
        self._zoom(1)

    def action_pan_left(self) -> None:
        self._pan(-1)

    def action_pan_right(self) -> None:
        self._pan(1)

    def action_crosshair_left(self) -> None:
        self._move_crosshair(-1)

    def action_crosshair_right(self) -> None:
        self._move_crosshair(1)

    def action_crosshair_off(self) -> None:
        self._look(replace(self._view, cross_s=None))

    def action_previous_mark(self) -> None:
        self._to_mark(-1)

    def action_next_mark(self) -> None:
        self._to_mark(1)

    def action_toggle_pause(self) -> None:
        if self._view.held_s is not None:
            self.action_follow()
        elif self._state is not None:
            self._look(hold(self._view, self._state.now_s, self._columns))

    def action_follow(self) -> None:
        self._look(follow(self._view))

    def action_whole_session(self) -> None:
        self._look(show_whole(self._view))

    def action_toggle_ghost(self) -> None:
        self._look(replace(self._view, ghost=not self._view.ghost))

    def on_resize(self) -> None:
        """Textual tells a widget its new size before it is painted."""
        slices = list(self.query(GraphSlice))
        needed = -(-self.size.width // SLICE_COLUMNS)
        for extra in slices[needed:]:
            extra.remove()
        if needed > len(slices):
            self.mount_all(GraphSlice(self, n * SLICE_COLUMNS) for n in range(len(slices), needed))
        self._draw()

    def on_click(self, event: events.Click) -> None:
        """The crosshair goes where the mouse points; the brackets of the window's length zoom."""
        x, y = event.screen_x - self.content_region.x, event.screen_y - self.content_region.y
        if not (0 <= y < len(self._grid) and 0 <= x < len(self._grid[y])) or self._shown is None or self._state is None:
            return
        event.stop()
        if y == len(self._grid) - 1 and self._grid[y][x].char in "[]":
            self._zoom(1 if self._grid[y][x].char == "[" else -1)
        elif x >= GUTTER:
            column = min(self._shown.first + x - GUTTER, self._shown.head)
            self._look(replace(self._view, cross_s=(column + 0.5) * self._shown.width_s))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._zoom(-1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._zoom(1)

    def notify_style_update(self) -> None:
        """The theme has changed, and every colour with it."""
        super().notify_style_update()
        self._styles_of = {}
        for part in self.query(GraphSlice):
            part.refresh()

    @property
    def _columns(self) -> int:
        return max(SMALLEST_COLUMNS, self.size.width - GUTTER)

    def _zoom(self, steps: int) -> None:
        if self._state is not None:
            self._look(zoom(self._view, steps, self._state.now_s, self._columns))

    def _pan(self, direction: int) -> None:
        if self._state is not None and self._shown is not None:
            steps = direction * min(self._shown.label_columns, max(1, self._columns // 4))
            self._look(pan(self._view, steps, self._state.now_s, self._columns))

    def _move_crosshair(self, steps: int) -> None:
        if self._state is not None:
            self._look(move_crosshair(self._view, steps, self._state.now_s, self._columns))

    def _to_mark(self, direction: int) -> None:
        """Put the crosshair on the nearest mark in another column at that side."""
        if self._state is None or self._shown is None:
            return
        shown = self._shown
        until_s = self._state.now_s if self._view.held_s is None else self._view.held_s
        from_s = until_s + shown.width_s if self._view.cross_s is None else self._view.cross_s
        here = shown.column(from_s)
        beyond = [
            m.at_s for m in self._state.marks if m.at_s <= until_s and (shown.column(m.at_s) - here) * direction > 0
        ]
        if beyond:
            at_s = min(beyond) if direction > 0 else max(beyond)
            self._look(reveal(self._view, at_s, self._state.now_s, self._columns))

    def _look(self, view: View) -> None:
        self._view = view
        self._draw()

    def _draw(self) -> None:
        width, height = self.size
        if self._state is None or not width or not height:
            return
        scene = look_at(self._state, self._view, width)
        jumped = self._shown is None or _jumped(self._shown, scene.window)
        self._ceiling = next_ceiling(self._ceiling, scene.peak_bytes, scene.limits, jumped=jumped)
        self._shown = scene.window
        before, self._grid = self._grid, cells(scene, self._ceiling, width, height, textured=self.app.no_color)
        same_size = len(before) == height and len(before[0]) == width
        for part in self.query(GraphSlice):
            if same_size:
                part.repaint(before, self._grid)
            else:
                part.refresh()

    def _style(self, ink: Ink, ground: Ink) -> Style:
        """No more than is seen, as every colour is some 20 bytes: blank cells have a ground alone."""
        if (ink, ground) not in self._styles_of:
            seen = self.rich_style if ink is Ink.NONE else self._component(ink)
            bgcolor = seen.bgcolor if ground is Ink.NONE else self._component(ground).color
            color = None if ink is Ink.NONE else seen.color
            self._styles_of[ink, ground] = Style(color=color, bgcolor=bgcolor, bold=seen.bold or None)
        return self._styles_of[ink, ground]

    def _component(self, ink: Ink) -> Style:
        return self.get_component_rich_style(ink.value)


def _jumped(before: Window, now: Window) -> bool:
    """Whether everything is drawn anew; a window that scrolls by a column counts at each label step."""
    if (before.level, before.columns) != (now.level, now.columns):
        return True
    return before.first // before.label_columns != now.first // now.label_columns
