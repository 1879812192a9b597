from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.viewer.graph.window import (
    HEAD_ROOM,
    LABEL_STEPS_S,
    SLOWEST_SCROLL_S,
    WHOLE_ROOM,
    View,
    ceiling_for,
    follow,
    hold,
    jump_columns,
    move_crosshair,
    next_ceiling,
    pan,
    reveal,
    show_whole,
    usable,
    window,
    zoom,
)
from memtui_profiler.session.series import LEVELS, WIDTHS_S

MIB, GIB = 1 << 20, 1 << 30
levels = st.integers(0, LEVELS - 1)
widths = st.integers(4, 300)
times = st.floats(0, 1e7)


def test_labels_stand_on_whole_columns() -> None:
    assert len(LABEL_STEPS_S) == LEVELS
    for step, width in zip(LABEL_STEPS_S, WIDTHS_S, strict=True):
        assert step % width == 0
        assert step / width >= 10


@given(levels, widths, times)
def test_the_head_is_always_in_sight_while_it_is_followed(level: int, columns: int, now_s: float) -> None:
    shown = window(View(level=level), now_s, columns)
    assert shown.first >= 0
    assert 0 <= shown.head - shown.first < usable(columns)


@given(levels, st.integers(40, 300), times)
def test_a_window_stands_still_then_jumps_by_label_steps_or_scrolls(level: int, columns: int, now_s: float) -> None:
    width = WIDTHS_S[level]
    before = window(View(level=level), now_s, columns)
    after = window(View(level=level), now_s + width, columns)
    moved = after.first - before.first
    jump = jump_columns(level, columns)
    assert moved in {0, jump}
    if jump > 1:
        assert jump % before.label_columns == 0
        assert jump * width >= SLOWEST_SCROLL_S


def test_a_full_window_jumps_by_about_a_quarter() -> None:
    columns = 105
    firsts = [window(View(), float(second), columns).first for second in range(300)]
    assert sorted(set(firsts))[:4] == [0, 30, 60, 90]
    assert firsts.index(30) == usable(columns)


def test_where_jumps_would_come_too_often_it_scrolls_by_a_column() -> None:
    assert jump_columns(0, 105) == 1
    assert window(View(level=0), 30.0, 105).first == 120 - usable(105) + 1


def test_there_is_room_for_the_head_at_the_right() -> None:
    assert usable(105) == 105 - HEAD_ROOM


def test_a_held_window_stands_whatever_the_time() -> None:
    held = hold(View(), 500.0, 105)
    assert window(held, 500.0, 105) == window(held, 900.0, 105) == window(View(), 500.0, 105)
    assert follow(held).held_s is None
    assert hold(held, 900.0, 105) == held


def test_the_whole_session_fits_and_widens_as_it_grows() -> None:
    view = show_whole(View())
    seen = [window(view, float(seconds), 105) for seconds in (10, 100, 1000, 100_000)]
    assert all(shown.first == 0 and shown.head < 105 - WHOLE_ROOM for shown in seen)
    assert [shown.width_s for shown in seen] == [0.25, 1.0, 10.0, 1800.0]


def test_pausing_the_whole_session_keeps_what_is_seen() -> None:
    view = show_whole(View())
    assert window(hold(view, 1000.0, 105), 2000.0, 105) == window(view, 1000.0, 105)


def test_zoom_ends_at_the_ends_of_the_ladder() -> None:
    view = View()
    for _ in range(30):
        view = zoom(view, 1, 500.0, 105)
    assert window(view, 500.0, 105).level == LEVELS - 1
    for _ in range(30):
        view = zoom(view, -1, 500.0, 105)
    assert window(view, 500.0, 105).level == 0


def test_zoom_of_a_held_window_keeps_the_crosshair_in_its_place() -> None:
    view = replace(hold(View(), 1000.0, 105), cross_s=950.5)
    column = window(view, 1000.0, 105).column(950.5)
    zoomed = zoom(view, 1, 1000.0, 105)
    assert window(zoomed, 1000.0, 105).column(950.5) == pytest.approx(column, abs=1)


def test_pan_holds_and_ends_at_the_beginning_and_at_the_head() -> None:
    view = pan(View(), -15, 1000.0, 105)
    following = window(View(), 1000.0, 105)
    assert view.held_s == 1000.0
    assert window(view, 1000.0, 105).first == following.first - 15
    assert window(pan(view, -100_000, 1000.0, 105), 1000.0, 105).first == 0
    right = window(pan(view, 100_000, 1000.0, 105), 1000.0, 105)
    assert right.head - right.first < usable(105)


def test_the_crosshair_starts_at_the_head_and_takes_the_window_along() -> None:
    view = move_crosshair(View(), -1, 1000.0, 105)
    assert view.cross_s == 1000.5
    for _ in range(200):
        view = move_crosshair(view, -1, 1000.0, 105)
    assert view.cross_s == 800.5
    assert 0 <= window(view, 1000.0, 105).column(800.5) < 105
    for _ in range(900):
        view = move_crosshair(view, -1, 1000.0, 105)
    assert view.cross_s == 0.5
    for _ in range(1200):
        view = move_crosshair(view, 1, 1000.0, 105)
    assert view.cross_s == 1000.5


@given(levels, widths, st.floats(0, 1e6), st.floats(0, 1))
def test_what_is_revealed_is_in_sight(level: int, columns: int, now_s: float, part: float) -> None:
    at_s = now_s * part
    shown = window(reveal(View(level=level), at_s, now_s, columns), now_s, columns)
    assert 0 <= shown.column(at_s) < columns


@pytest.mark.parametrize(
    ("peak", "limits", "ceiling"),
    [
        (0, (), MIB),
        (3 * MIB, (), 5 * MIB),
        (5 * MIB, (), 5 * MIB),
        (501 * MIB, (), GIB),
        (int(14.2 * GIB), (), 20 * GIB),
        (int(14.2 * GIB), (16 * GIB,), 16 * GIB),  # a limit just above is a rung of its own
        (3 * GIB, (16 * GIB,), 5 * GIB),  # one far above is not
        (int(14.2 * GIB), (12 * GIB,), 20 * GIB),  # nor one that is passed
        (600 << 50, (), 1 << 60),
        (1 << 70, (), 1 << 70),
    ],
)
def test_the_ceiling_is_a_rung_above_the_peak(peak: int, limits: tuple[int, ...], ceiling: int) -> None:
    assert ceiling_for(peak, limits) == ceiling


def test_the_ceiling_rises_at_once_and_falls_only_at_jumps() -> None:
    assert next_ceiling(5 * GIB, 6 * GIB, (), jumped=False) == 10 * GIB
    assert next_ceiling(10 * GIB, GIB, (), jumped=False) == 10 * GIB
    assert next_ceiling(10 * GIB, GIB, (), jumped=True) == GIB
