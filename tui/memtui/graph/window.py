"""Which times and sizes the graph shows. Pure: a view in, a view or a window out.

Columns are counted from the session's second 0, so that a window moves by whole columns and nothing in it ever shimmers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from memtui_profiler.series import LEVELS, WIDTHS_S, column_of

DEFAULT_LEVEL = WIDTHS_S.index(1.0)
HEAD_ROOM = 12  # columns kept free at the right of the head: for '▲now' and the window's length
WHOLE_ROOM = 4  # the same where all is shown: the width matters more than the length's label
SLOWEST_SCROLL_S = 15.0  # windows that would jump more often than this scroll instead

# The distance of the time labels for each width of the ladder: always whole columns, and room for the label between them.
LABEL_STEPS_S = (5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 259200)

LOWEST_CEILING = 1 << 20


@dataclass(frozen=True, slots=True)
class View:
    """How the reader looks at the session.

    ``held_s`` None: the present is followed; else nothing later than this is drawn, and ``first`` is the window's first
    column. ``whole``: the level widens as the session grows. ``cross_s`` is the crosshair's time.
    """

    level: int = DEFAULT_LEVEL
    whole: bool = False
    held_s: float | None = None
    first: int = 0
    cross_s: float | None = None
    ghost: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    """What is on screen: ``columns`` columns of ``width_s`` seconds from column ``first`` on; ``head`` is the present's."""

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
        """Where a time is on screen; outside 0 .. columns when it is not."""
        return column_of(at_s, self.width_s) - self.first


def usable(columns: int) -> int:
    """How many columns data may fill before the window moves on."""
    return max(1, columns - HEAD_ROOM, columns * 3 // 4)


def _label_columns(level: int) -> int:
    return int(LABEL_STEPS_S[level] / WIDTHS_S[level])


def jump_columns(level: int, columns: int) -> int:
    """How far a full window jumps: whole label steps, about a quarter of it; 1 where that would come too often."""
    step = _label_columns(level)
    jump = step * max(1, round(columns / 4 / step))
    if jump >= usable(columns) or jump * WIDTHS_S[level] < SLOWEST_SCROLL_S:
        return 1
    return jump


def _following_first(level: int, head: int, columns: int) -> int:
    """The first column while the present is followed: of the head alone, so that a resize or a pause leaves no trace."""
    jump = jump_columns(level, columns)
    over = head - usable(columns) + 1
    return max(0, -(-over // jump) * jump)


def whole_level(now_s: float, columns: int) -> int:
    """The narrowest level on which the whole session fits."""
    room = max(1, columns - WHOLE_ROOM)
    fits = (level for level in range(LEVELS) if column_of(now_s, WIDTHS_S[level]) < room)
    return next(fits, LEVELS - 1)


def window(view: View, now_s: float, columns: int) -> Window:
    """The window a view shows now, on ``columns`` columns."""
    until_s = now_s if view.held_s is None else view.held_s
    level = whole_level(until_s, columns) if view.whole else view.level
    head = column_of(until_s, WIDTHS_S[level])
    if view.whole and head < columns:
        return Window(level, 0, columns, head)
    if view.held_s is None:
        return Window(level, _following_first(level, head, columns), columns, head)
    return Window(level, max(0, min(view.first, head)), columns, head)


def hold(view: View, now_s: float, columns: int) -> View:
    """Stop following: the window stands where it is."""
    if view.held_s is not None:
        return view
    shown = window(view, now_s, columns)
    return replace(view, held_s=now_s, whole=False, level=shown.level, first=shown.first)


def follow(view: View) -> View:
    return replace(view, held_s=None, whole=False, cross_s=None)


def show_whole(view: View) -> View:
    return replace(view, whole=True, held_s=None)


def zoom(view: View, steps: int, now_s: float, columns: int) -> View:
    """Go ``steps`` widths along the ladder (negative: closer), about the crosshair, or the head while that is in sight."""
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
    """Move the window; that holds it, as one that follows would move back."""
    held = hold(replace(view, whole=False, level=window(view, now_s, columns).level), now_s, columns)
    shown = window(held, now_s, columns)
    last_first = max(0, shown.head - usable(columns) + 1)
    first = shown.first + columns_right
    return replace(held, first=max(0, min(first, max(shown.first, last_first))))


def reveal(view: View, at_s: float, now_s: float, columns: int) -> View:
    """Put the crosshair on a time, and move the window just so far that it is in sight."""
    view = replace(view, cross_s=at_s)
    shown = window(view, now_s, columns)
    column = shown.column(at_s)
    if column < 0:
        return pan(view, column - columns // 8, now_s, columns)
    if column >= columns:
        return pan(view, column - columns + 1 + columns // 8, now_s, columns)
    return view


def move_crosshair(view: View, steps: int, now_s: float, columns: int) -> View:
    """Move the crosshair by columns; the first step sets it on the newest one. It stays between the start and the head."""
    shown = window(view, now_s, columns)
    if view.cross_s is None:
        column = min(shown.head, shown.first + columns - 1)
    else:
        column = min(max(column_of(view.cross_s, shown.width_s) + steps, 0), shown.head)
    # The middle of the column: at its edge a rounding could read the one before.
    return reveal(view, (column + 0.5) * shown.width_s, now_s, columns)


def ceiling_for(peak_bytes: int, limits: tuple[int, ...]) -> int:
    """The top of the scale: the next rung of 1, 2, 5, 10 ... of a binary unit, or a limit that stands lower than that rung."""
    unit = LOWEST_CEILING
    while True:
        for rung in (1, 2, 5, 10, 20, 50, 100, 200, 500):
            if rung * unit >= peak_bytes:
                near = [limit for limit in limits if max(peak_bytes, rung * unit // 2) <= limit <= rung * unit]
                return min(near, default=rung * unit)
        unit <<= 10


def next_ceiling(old: int, peak_bytes: int, limits: tuple[int, ...], *, jumped: bool) -> int:
    """The scale rises at once and falls only at jumps, where everything is drawn anew anyway."""
    wanted = ceiling_for(peak_bytes, limits)
    return wanted if jumped or wanted > old else old
