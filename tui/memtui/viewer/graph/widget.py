"""The graph on the screen: a row of narrow slices, of which only the cells that changed are sent to the terminal.

Textual sends a dirty region from the left edge of its widget on, so a narrow widget sends less: slices of ten columns
sent 0.7 to 1.2 kB/s at 110x16 and 4 Hz, one wide widget 15 to 18.
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

from memtui.viewer.graph.axes import GUTTER
from memtui.viewer.graph.canvas import Grid, Ink
from memtui.viewer.graph.cells import SMALLEST_COLUMNS, cells, scene_of
from memtui.viewer.graph.state import GraphState
from memtui.viewer.graph.window import (
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
        """Repaint the cells that differ: one region a row, as the cells between two of them are sent anyway."""
        dirty = []
        left, right = self._left, self._left + self.size.width
        for y, (old, new) in enumerate(zip(before, after, strict=True)):
            if old[left:right] != new[left:right]:
                changed = [x for x in range(left, min(right, len(new))) if old[x] != new[x]]
                dirty.append(Region(changed[0] - left, y, changed[-1] - changed[0] + 1, 1))
        if dirty:
            self.refresh(*dirty)


class MemoryGraph(Widget, can_focus=True):
    """RSS over time. Its actions change the user's ``view``, which is the only state it keeps itself.

    ``shown`` are the times on the screen, None before the first drawing; ``grid`` the cells as last drawn.

    Its colours are the variables of memtui.viewer.theme, for which an application must give defaults.
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

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._state: GraphState | None = None
        self.view = View()
        self.shown: Window | None = None
        self._ceiling = 0
        self.grid: Grid = []
        self._styles_of: dict[tuple[Ink, Ink], Style] = {}

    def show(self, state: GraphState) -> None:
        """Draw ``state``; only the cells that differ from what is on the screen are sent."""
        if self._state is None and not state.live:
            # A finished session is shown as a whole at first.
            self.view = show_whole(self.view)
        self._state = state
        self._draw()

    def strip(self, y: int, left: int, width: int) -> Strip:
        """Return ``width`` cells of row ``y`` from column ``left`` on."""
        row = self.grid[y][left : left + width] if y < len(self.grid) else []
        runs = groupby(row, key=lambda cell: (cell.ink, cell.ground))
        segments = [Segment("".join(cell.char for cell in run), self._style(*inks)) for inks, run in runs]
        return Strip(segments, len(row)).adjust_cell_length(width)

    def action_zoom(self, steps: int) -> None:
        """Show more time (1) or less (-1)."""
        if self._state is not None:
            self._set_view(zoom(self.view, steps, self._state.now_s, self._columns))

    def action_pan(self, direction: int) -> None:
        """Move to earlier times (-1) or later ones (1)."""
        if self._state is not None and self.shown is not None:
            steps = direction * min(self.shown.label_columns, max(1, self._columns // 4))
            self._set_view(pan(self.view, steps, self._state.now_s, self._columns))

    def action_crosshair(self, steps: int) -> None:
        """Move the crosshair by columns."""
        if self._state is not None:
            self._set_view(move_crosshair(self.view, steps, self._state.now_s, self._columns))

    def action_mark(self, direction: int) -> None:
        """Put the crosshair on the nearest mark to the left (-1) or right (1) that is in another column."""
        if self._state is None or self.shown is None:
            return
        shown = self.shown
        until_s = self.view.until_s(self._state.now_s)
        from_s = until_s + shown.width_s if self.view.cross_s is None else self.view.cross_s
        here = shown.column(from_s)
        beyond = [
            m.at_s for m in self._state.marks if m.at_s <= until_s and (shown.column(m.at_s) - here) * direction > 0
        ]
        if beyond:
            at_s = min(beyond) if direction > 0 else max(beyond)
            self._set_view(reveal(self.view, at_s, self._state.now_s, self._columns))

    def action_crosshair_off(self) -> None:
        self._set_view(replace(self.view, cross_s=None))

    def action_toggle_pause(self) -> None:
        if self.view.held_s is not None:
            self.action_follow()
        elif self._state is not None:
            self._set_view(hold(self.view, self._state.now_s, self._columns))

    def action_follow(self) -> None:
        self._set_view(follow(self.view))

    def action_whole_session(self) -> None:
        self._set_view(show_whole(self.view))

    def action_toggle_ghost(self) -> None:
        self._set_view(replace(self.view, ghost=not self.view.ghost))

    def on_resize(self) -> None:
        """Have as many slices as the new width needs."""
        slices = list(self.query(GraphSlice))
        needed = -(-self.size.width // SLICE_COLUMNS)
        for extra in slices[needed:]:
            extra.remove()
        if needed > len(slices):
            self.mount_all(GraphSlice(self, n * SLICE_COLUMNS) for n in range(len(slices), needed))
        self._draw()

    def on_click(self, event: events.Click) -> None:
        """Move the crosshair to the mouse, or zoom at the brackets beside the window's length."""
        x, y = event.screen_x - self.content_region.x, event.screen_y - self.content_region.y
        if not (0 <= y < len(self.grid) and 0 <= x < len(self.grid[y])) or self.shown is None or self._state is None:
            return
        event.stop()
        if y == len(self.grid) - 1 and self.grid[y][x].char in "[]":
            self.action_zoom(1 if self.grid[y][x].char == "[" else -1)
        elif x >= GUTTER:
            column = min(self.shown.first + x - GUTTER, self.shown.head)
            self._set_view(replace(self.view, cross_s=(column + 0.5) * self.shown.width_s))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_zoom(-1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_zoom(1)

    def notify_style_update(self) -> None:
        """Repaint everything, as a theme has other colours."""
        super().notify_style_update()
        self._styles_of = {}
        for part in self.query(GraphSlice):
            part.refresh()

    @property
    def _columns(self) -> int:
        return max(SMALLEST_COLUMNS, self.size.width - GUTTER)

    def _set_view(self, view: View) -> None:
        self.view = view
        self._draw()

    def _draw(self) -> None:
        width, height = self.size
        if self._state is None or not width or not height:
            return
        scene = scene_of(self._state, self.view, width)
        jumped = self.shown is None or _jumped(self.shown, scene.window)
        self._ceiling = next_ceiling(self._ceiling, scene.peak_bytes, scene.limits, jumped=jumped)
        self.shown = scene.window
        before, self.grid = self.grid, cells(scene, self._ceiling, width, height, textured=self.app.no_color)
        same_size = len(before) == height and len(before[0]) == width
        for part in self.query(GraphSlice):
            if same_size:
                part.repaint(before, self.grid)
            else:
                part.refresh()

    def _style(self, ink: Ink, ground: Ink) -> Style:
        """The style of a cell; a blank one has a background only, as each colour takes some 20 bytes."""
        if (ink, ground) not in self._styles_of:
            style = self.rich_style if ink is Ink.NONE else self._component(ink)
            bgcolor = style.bgcolor if ground is Ink.NONE else self._component(ground).color
            color = None if ink is Ink.NONE else style.color
            self._styles_of[ink, ground] = Style(color=color, bgcolor=bgcolor, bold=style.bold or None)
        return self._styles_of[ink, ground]

    def _component(self, ink: Ink) -> Style:
        return self.get_component_rich_style(ink.value)


def _jumped(before: Window, now: Window) -> bool:
    """Whether all columns have moved; while a window scrolls by single columns, at each label step."""
    if (before.level, before.columns) != (now.level, now.columns):
        return True
    return before.first // before.label_columns != now.first // now.label_columns
