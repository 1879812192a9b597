"""Which times and sizes the graph shows. Pure: a view in, a view or a window out.

Columns are counted from the session's second 0, so that a window moves by whole columns and none changes when it moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from memtui_profiler.session.series import LEVELS, WIDTHS_S, column_of

DEFAULT_LEVEL = WIDTHS_S.index(1.0)
HEAD_ROOM = 12  # columns kept free to the right of the present, for '▲now' and the window's length
WHOLE_ROOM = 4  # the same for the whole session, without the window's length
SLOWEST_SCROLL_S = 15.0  # windows that would jump more often than this scroll instead

# The distance of the time labels for each width of a column: whole columns, with room for a label between them.
LABEL_STEPS_S = (5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 259200)

LOWEST_CEILING = 1 << 20


@dataclass(frozen=True, slots=True)
class View:
    """The part of the session that the user looks at.

    ``held_s`` None: the window follows the present; else nothing later than this is drawn, and ``first`` is the window's
    first column. ``level``: the index of the columns' width. ``whole``: the level changes so that the whole session is
    shown. ``cross_s``: the time of the crosshair. ``ghost``: whether it is drawn.
    """

    level: int = DEFAULT_LEVEL
    whole: bool = False
    held_s: float | None = None
    first: int = 0
    cross_s: float | None = None
    ghost: bool = True

    def until_s(self, now_s: float) -> float:
        """Return the newest time that is drawn: the present, or where the view is held."""
        return now_s if self.held_s is None else self.held_s


@dataclass(frozen=True, slots=True)
class Window:
    """What is on screen: ``columns`` columns of ``width_s`` seconds from column ``first`` on; ``head``: that of the present."""

    level: int
    first: int
    columns: int
    head: int

    @property
    def width_s(self) -> float:
        return WIDTHS_S[self.level]

    @property
    def label_columns(self) -> int:
        return int(LABEL_STEPS_S[self.level] / self.width_s)

    @property
    def seconds(self) -> float:
        return self.columns * self.width_s

    def column(self, at_s: float) -> int:
        """Return the column of a time on the screen; less than 0, or ``columns`` and more, where it is not on it."""
        return column_of(at_s, self.width_s) - self.first


def usable(columns: int) -> int:
    """Return how many columns data may fill before the window moves."""
    return max(1, columns - HEAD_ROOM, columns * 3 // 4)


def jump_columns(level: int, columns: int) -> int:
    """Return by how many columns a full window moves: about a quarter of it in whole label steps, or 1 if that came too often."""
    step = int(LABEL_STEPS_S[level] / WIDTHS_S[level])
    jump = step * max(1, round(columns / 4 / step))
    if jump >= usable(columns) or jump * WIDTHS_S[level] < SLOWEST_SCROLL_S:
        return 1
    return jump


def _following_first(level: int, head: int, columns: int) -> int:
    """The first column while the present is followed; it depends on no earlier size or pause."""
    jump = jump_columns(level, columns)
    over = head - usable(columns) + 1
    return max(0, -(-over // jump) * jump)


def whole_level(now_s: float, columns: int) -> int:
    """Return the level with the narrowest columns on which the whole session fits."""
    room = max(1, columns - WHOLE_ROOM)
    fits = (level for level in range(LEVELS) if column_of(now_s, WIDTHS_S[level]) < room)
    return next(fits, LEVELS - 1)


def window(view: View, now_s: float, columns: int) -> Window:
    """Return the window that a view shows now, on ``columns`` columns."""
    until_s = view.until_s(now_s)
    level = whole_level(until_s, columns) if view.whole else view.level
    head = column_of(until_s, WIDTHS_S[level])
    if view.whole and head < columns:
        return Window(level, 0, columns, head)
    if view.held_s is None:
        return Window(level, _following_first(level, head, columns), columns, head)
    return Window(level, max(0, min(view.first, head)), columns, head)


def hold(view: View, now_s: float, columns: int) -> View:
    """Return the view that stays where the window is now."""
    if view.held_s is not None:
        return view
    shown = window(view, now_s, columns)
    return replace(view, held_s=now_s, whole=False, level=shown.level, first=shown.first)


def follow(view: View) -> View:
    """Return the view that follows the present."""
    return replace(view, held_s=None, whole=False, cross_s=None)


def show_whole(view: View) -> View:
    """Return the view of the whole session."""
    return replace(view, whole=True, held_s=None)


def zoom(view: View, steps: int, now_s: float, columns: int) -> View:
    """Return the view with columns ``steps`` levels wider (negative: narrower), around the crosshair or the present."""
    shown = window(view, now_s, columns)
    level = min(max(shown.level + steps, 0), LEVELS - 1)
    zoomed = replace(view, level=level, whole=False)
    if view.held_s is None:
        return zoomed
    head = shown.head - shown.first
    anchor = head if view.cross_s is None else shown.column(view.cross_s)
    if not 0 <= anchor < columns:
        anchor = columns // 2
    at_s = (shown.first + anchor) * shown.width_s
    return replace(zoomed, first=max(0, column_of(at_s, WIDTHS_S[level]) - anchor))


def pan(view: View, columns_right: int, now_s: float, columns: int) -> View:
    """Return the view moved by columns; it does not follow the present any more."""
    held = hold(replace(view, whole=False, level=window(view, now_s, columns).level), now_s, columns)
    shown = window(held, now_s, columns)
    last_first = max(0, shown.head - usable(columns) + 1)
    first = shown.first + columns_right
    return replace(held, first=max(0, min(first, max(shown.first, last_first))))


def reveal(view: View, at_s: float, now_s: float, columns: int) -> View:
    """Return the view with the crosshair on a time, moved only if that is not in the window."""
    view = replace(view, cross_s=at_s)
    shown = window(view, now_s, columns)
    column = shown.column(at_s)
    if column < 0:
        return pan(view, column - columns // 8, now_s, columns)
    if column >= columns:
        return pan(view, column - columns + 1 + columns // 8, now_s, columns)
    return view


def move_crosshair(view: View, steps: int, now_s: float, columns: int) -> View:
    """Return the view with the crosshair moved by columns; the first step puts it on the newest one."""
    shown = window(view, now_s, columns)
    if view.cross_s is None:
        column = min(shown.head, shown.first + columns - 1)
    else:
        column = min(max(column_of(view.cross_s, shown.width_s) + steps, 0), shown.head)
    # The middle of the column, as a time at its edge could be rounded to the one before.
    return reveal(view, (column + 0.5) * shown.width_s, now_s, columns)


def ceiling_for(peak_bytes: int, limits: tuple[int, ...]) -> int:
    """Return the top of the scale: the next of 1, 2, 5, 10 ... in a binary unit, or a limit between the peak and that."""
    unit = LOWEST_CEILING
    while True:
        for step in (1, 2, 5, 10, 20, 50, 100, 200, 500):
            if step * unit >= peak_bytes:
                near = [limit for limit in limits if max(peak_bytes, step * unit // 2) <= limit <= step * unit]
                return min(near, default=step * unit)
        unit <<= 10


def next_ceiling(old: int, peak_bytes: int, limits: tuple[int, ...], *, jumped: bool) -> int:
    """Return the new top of the scale: it rises at once, and falls only when the window jumps and all is drawn anyway."""
    new = ceiling_for(peak_bytes, limits)
    return new if jumped or new > old else old
