from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memtui.display.glyphs import UNICODE
from memtui.viewer.graph import axes, overlay
from memtui.viewer.graph.axes import GUTTER, scale_unit, span_label, tick_label, ticks, wall_label
from memtui.viewer.graph.canvas import Grid, Ink, shown_text
from memtui.viewer.graph.cells import cells, scene_of
from memtui.viewer.graph.plot import cell_of, eighths
from memtui.viewer.graph.state import GraphState, Limit, Mark, RunSpan
from memtui.viewer.graph.window import View, ceiling_for, hold
from memtui.viewer.widgets.bands import Band, bands
from memtui_profiler.session.series import Point, Series

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def series_of(*rss: float, run: int = 1, shared: float = 0) -> Series:
    """One sample a second, in GiB."""
    series = Series()
    for second, size in enumerate(rss):
        series.add(Point(float(second), run, int(size * GIB), int(shared * GIB)))
    return series


def state_of(series: Series, **fields: object) -> GraphState:
    now_s = 0.0 if series.last is None else series.last.at_s
    state = GraphState(series=series, now_s=now_s, wall_origin_s=36_000.0)
    return replace(state, **fields)  # type: ignore[arg-type]


def draw(
    state: GraphState,
    width: int = 40,
    height: int = 5,
    view: View | None = None,
    *,
    ceiling: int = 8 * GIB,
    **how: bool,
) -> Grid:
    return cells(scene_of(state, view or View(), width), ceiling, width, height, **how)


def text(grid: Grid) -> list[str]:
    """The cells as characters; a full cell, a space on a ground, as '█'."""
    return [
        "".join("█" if c.char == " " and c.ground is not Ink.NONE else c.char for c in row).rstrip() for row in grid
    ]


def plot(grid: Grid) -> list[str]:
    return [line[GUTTER:] for line in text(grid)[:-1]]


def test_columns_are_drawn_in_eighths() -> None:
    grid = draw(state_of(series_of(0.25, 1, 2, 3, 4.5, 8, 7.75)))
    assert plot(grid) == ["     █▇", "    ▂██", "   ▄███", "▁▄█████"]


def test_the_scale_and_the_time_axis_frame_it() -> None:
    state = state_of(series_of(*[2] * 20), limits=(Limit("cgroup limit", 8 * GIB),))
    assert text(draw(state, 60, 5)) == [
        "  8G┬╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ cgroup limit 8 GiB ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌",
        "    │",
        "  4G┤",
        "    │███anonymous████████",
        "    └10:00:00───────────▲now───────10:00:30───────── 55s [ ]",
    ]


def test_a_spike_of_one_sample_is_seen_on_any_level() -> None:
    spiky = series_of(*[8 if n == 333 else 1 for n in range(2000)])
    for level in range(2, 8):
        assert "█" in plot(draw(state_of(spiky), 600, 5, View(level=level, held_s=1999.0)))[0]


def test_two_bands_share_a_cell_by_two_colours() -> None:
    grid = draw(state_of(series_of(2, shared=1)), height=2, ceiling=2 * GIB)
    assert grid[0][GUTTER] == ("▄", Ink.ANON, Ink.FILE)


def test_the_rss_edge_comes_before_inner_borders() -> None:
    grid = draw(state_of(series_of(1.5, shared=0.5)), height=2, ceiling=2 * GIB)
    assert grid[0][GUTTER] == ("▆", Ink.ANON, Ink.NONE)


def test_of_three_bands_in_a_cell_the_two_largest_are_seen() -> None:
    edges = [(Band.IN_USE, 3), (Band.KEPT, 4), (Band.OUTSIDE, 8)]
    cell, whole = cell_of(edges, 0, UNICODE, textured=False)
    assert (cell.ink, cell.ground, whole) == (Ink.IN_USE, Ink.OUTSIDE, False)
    assert cell.char == "▃"


def test_the_allocators_split_replaces_the_kernels_where_it_is_known() -> None:
    series = Series()
    series.add(Point(0.0, 1, 4 * GIB, GIB, in_use_bytes=GIB, kept_bytes=2 * GIB))
    grid = draw(state_of(series), height=5, ceiling=4 * GIB)
    assert [row[GUTTER].ground for row in grid[:4]] == [Ink.OUTSIDE, Ink.KEPT, Ink.KEPT, Ink.IN_USE]


sizes = st.integers(-10, 1 << 45)


@given(
    sizes, sizes, st.one_of(st.none(), sizes), st.one_of(st.none(), sizes), st.integers(1, 40), st.integers(1, 1 << 46)
)
def test_bands_add_up_to_the_rss_edge(
    rss: int, shared: int, in_use: int | None, kept: int | None, rows: int, ceiling: int
) -> None:
    parts = bands(Point(0.0, 1, rss, shared, in_use, kept))
    assert sum(size for _, size in parts) == max(0, rss)
    assert all(size >= 0 for _, size in parts)
    edges = [edge for _, edge in eighths(parts, ceiling, rows)]
    assert edges == sorted(edges)
    exact = max(0, rss) * rows * 8 / ceiling
    assert edges[-1] <= rows * 8
    assert edges[-1] == rows * 8 or abs(edges[-1] - exact) <= 1
    assert (edges[-1] > 0) == (rss > 0)


samples = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9 * GIB), st.integers(0, GIB)), min_size=1, max_size=80)


def series_from(steps: list[tuple[int, int, int]], until: int) -> tuple[Series, float]:
    series, at_s = Series(), 0.0
    for tenths, rss, shared in steps[:until]:
        at_s += tenths / 10
        series.add(Point(at_s, 1, rss, shared))
    return series, at_s


@given(samples, st.integers(0, 150), st.integers(0, 40), st.booleans(), st.integers(0, 14))
def test_a_grid_has_exactly_its_size(
    steps: list[tuple[int, int, int]], width: int, height: int, ascii: bool, level: int
) -> None:
    series, now_s = series_from(steps, len(steps))
    marks = tuple(Mark(n / 3, "r", "x" * n) for n in range(30))
    runs = (RunSpan(1, 0.0, "run 1"), RunSpan(2, now_s / 2, "run 2"))
    state = state_of(series, now_s=now_s, ascii=ascii, marks=marks, runs=runs, limits=(Limit("l", GIB),))
    view = replace(hold(View(level=level), now_s, max(4, width - 5)), cross_s=now_s / 2)
    grid = draw(replace(state, now_s=now_s + 5), width, height, view)
    assert len(grid) == height
    assert all(len(row) == width for row in grid)
    assert all(len(cell.char) == 1 for row in grid for cell in row)
    if ascii:
        assert all(cell.char.isascii() for row in grid for cell in row)


@given(samples, st.data())
def test_nothing_shimmers_where_the_past_is(steps: list[tuple[int, int, int]], data: st.DataObject) -> None:
    # Two grids of the same window, drawn as the series grows: the columns before the earlier head are the same.
    until = data.draw(st.integers(1, len(steps)))
    early, early_s = series_from(steps, until)
    late, _ = series_from(steps, len(steps))
    first = scene_of(state_of(early), View(level=3), 120)
    second = scene_of(state_of(late), View(level=3), 120)
    assert first.window.first == second.window.first
    past = first.window.head - first.window.first
    step = first.window.label_columns
    before = cells(first, 10 * GIB, 120, 12)
    after = cells(second, 10 * GIB, 120, 12)
    # Names move by whole label steps only, so within one nothing at all differs; a column held open by the next is the head's.
    if first.window.head // step == second.window.head // step:
        settled = min(past, int(early_s // 2) - 1)
        for row in range(11):
            assert before[row][: GUTTER + settled] == after[row][: GUTTER + settled]


def test_no_shimmer_when_the_window_jumps() -> None:
    wave = [1 + (n * 37 % 50) / 10 for n in range(200)]
    before = scene_of(state_of(series_of(*wave[:120])), View(), 110)
    after = scene_of(state_of(series_of(*wave[:140])), View(), 110)
    moved = after.window.first - before.window.first
    assert moved == 30
    assert after.points[: 120 - 60] == before.points[moved:]


def test_an_empty_series_says_what_it_waits_for() -> None:
    lines = text(draw(state_of(Series()), 60, 6))
    assert lines[2].strip("│ ") == "waiting for the first sample"
    assert "▲now" in lines[-1]


def test_one_sample_is_one_column() -> None:
    assert plot(draw(state_of(series_of(8)))) == ["█"] * 4


def test_a_little_is_still_seen() -> None:
    assert plot(draw(state_of(series_of(0.0001))))[-1] == "▁"


def test_a_gap_between_runs_is_empty() -> None:
    series = series_of(4, 4)
    series.add(Point(8.0, 2, 4 * GIB, 0))
    assert plot(draw(state_of(series)))[-1] == "██      █"


def test_huge_values_keep_the_scale_readable() -> None:
    series = Series()
    series.add(Point(0.0, 1, 1 << 62, 0))
    grid = draw(state_of(series), ceiling=ceiling_for(1 << 62, ()))
    assert text(grid)[0].startswith("  5E┬")


def test_what_is_above_the_ceiling_is_cut_there() -> None:
    assert plot(draw(state_of(series_of(100)))) == ["█"] * 4


@pytest.mark.parametrize(
    ("ceiling", "rows", "labels"),
    [
        (16 * GIB, 8, {0: "16G", 2: "12G", 4: "8G", 6: "4G"}),
        (10 * GIB, 15, {0: "10G", 3: "8G", 6: "6G", 9: "4G", 12: "2G"}),
        (5 * GIB, 8, {0: "5G", 4: "2.5G"}),
        (GIB, 15, {0: "1G", 3: "0.8G", 6: "0.6G", 9: "0.4G", 12: "0.2G"}),
        (500 * MIB, 10, {0: "500M", 2: "400M", 4: "300M", 6: "200M", 8: "100M"}),
        (MIB, 1, {0: "1M"}),
        (2 * GIB, 4, {0: "2G", 2: "1G"}),
    ],
)
def test_ticks_are_round_and_lie_on_edges(ceiling: int, rows: int, labels: dict[int, str]) -> None:
    unit = 3 if ceiling >= GIB else 2
    assert {row: tick_label(value, unit) for row, value in ticks(ceiling, rows).items()} == labels


@given(st.integers(1, 1 << 62), st.integers(1, 60))
@example(1048051711, 1)
def test_ticks_never_share_a_row_and_fit_the_gutter(size: int, rows: int) -> None:
    ceiling = ceiling_for(size, (size + 1,))
    found = ticks(ceiling, rows)
    assert found[0] == float(ceiling)
    assert all(0 <= row < rows for row in found)
    assert all(len(tick_label(value, scale_unit(ceiling))) <= GUTTER - 1 for value in found.values())


def test_a_limit_in_the_middle_gives_way_to_the_bands() -> None:
    grid = draw(state_of(series_of(8, 8, 1), limits=(Limit("x", 5 * GIB),)), 25, 9)
    assert plot(grid)[3] == "██╌╌╌ x 5 GiB ╌╌╌╌╌╌"
    assert grid[3][GUTTER + 4].ink is Ink.LIMIT


def test_a_limit_above_the_scale_is_named() -> None:
    assert plot(draw(state_of(series_of(1), limits=(Limit("machine", 64 * GIB),)), 40))[0].endswith("↑ machine 64 GiB")


def test_a_limit_name_never_reaches_the_terminal_raw() -> None:
    assert shown_text("a\x1b[31m\u0301日b\n", UNICODE) == "a?[31m??b?"


def test_what_a_release_gave_back_stands_beside_its_mark() -> None:
    marks = (Mark(9.0, "x", "released 3.0 GiB in 40 ms", "released 3 GiB"), Mark(13.0, "l", "rate 1 -> 7.5"))
    state = state_of(series_of(*[7] * 9, *[1] * 11), now_s=19.0, marks=marks)
    lines = plot(draw(state, 40, 9))
    assert lines[1] == "█████████┊ released 3 GiB", "over the line of another mark, but over nothing else"
    assert lines[2] == "█████████┊   ┊"
    early = plot(draw(state_of(series_of(*[2] * 20), marks=(replace(marks[0], at_s=16.0),), now_s=17.0), 29, 9))
    assert early[1].rstrip() == " released 3 GiB ┊", "at the left where the right has no room"
    crowded = plot(draw(state_of(series_of(*[8] * 20), marks=marks), 29, 9))
    assert not any("released" in line for line in crowded)
    textured = draw(replace(state, ascii=True), 40, 9)
    assert any("released 3 GiB" in "".join(cell.char for cell in row) for row in textured)


def test_the_ghost_runs_round_what_a_mark_says() -> None:
    series, runs = series_of(*[6.5] * 20), (RunSpan(1, 0.0, ""), RunSpan(2, 20.0, ""))
    for second in range(20, 26):
        series.add(Point(float(second), 2, GIB, 0))
    marks = (Mark(22.0, "x", "", "released 3 GiB"),)
    lines = plot(draw(state_of(series, runs=runs, marks=marks, now_s=25.0), 60, 9))
    line = lines[1]
    assert line[20:40] == "⠤⠤┊ released 3 GiB ⠤"


def test_a_mark_is_a_line_and_a_letter() -> None:
    state = state_of(series_of(*[4] * 20), marks=(Mark(4.2, "r", "relaunch"), Mark(30.0, "c", "not yet")))
    grid = draw(state)
    assert [row[GUTTER + 4].char for row in grid] == ["┊", "┊", "┊", "┊", "r"]
    assert grid[3][GUTTER + 4].ground is Ink.ANON
    assert "c" not in text(grid)[-1]


def test_marks_in_one_column_are_counted() -> None:
    marks = tuple(Mark(4 + n / 100, "r", "") for n in range(3))
    assert text(draw(state_of(series_of(*[4] * 20), marks=marks)))[-1][GUTTER + 4] == "3"
    marks = tuple(Mark(4 + n / 100, "r", "") for n in range(12))
    assert text(draw(state_of(series_of(*[4] * 20), marks=marks)))[-1][GUTTER + 4] == "+"


def test_a_letter_takes_the_place_of_a_label_it_would_garble() -> None:
    state = state_of(series_of(*[4] * 30))
    assert "10:00:15" in text(draw(state, 80))[-1]
    axis = text(draw(replace(state, marks=(Mark(17.0, "r", ""),)), 80))[-1]
    assert "10:00:15" not in axis and axis[GUTTER + 17] == "r"


def two_runs(second: list[float]) -> GraphState:
    series = series_of(*[2, 4, 6, 8, 8, 8, 8, 8, 8, 8])
    for n, size in enumerate(second):
        series.add(Point(10.0 + n, 2, int(size * GIB), 0))
    return state_of(series, runs=(RunSpan(1, 0.0, "run 1, rate 1.0"), RunSpan(2, 10.0, "run 2")))


def test_the_ghost_runs_on_beside_and_ahead_of_the_new_run() -> None:
    grid = draw(two_runs([1, 1, 1]), 60, 5)
    ghosts = {x - GUTTER for row in grid for x, cell in enumerate(row) if cell.ink is Ink.GHOST and cell.char > "⠀"}
    assert min(ghosts) == 10 and max(ghosts) == 19
    assert text(grid)[0][GUTTER + 14 : GUTTER + 20] == "⠉" * 6


def test_the_ghost_is_named() -> None:
    assert "run 1, rate 1.0" in "\n".join(text(draw(two_runs([1, 1, 1]), 60, 7)))


def test_the_ghost_is_drawn_on_a_whole_band_but_not_over_an_edge() -> None:
    grid = draw(two_runs([8, 8, 5, 8]), 60, 5)
    cell = grid[3][GUTTER + 10]
    assert cell.ink is Ink.GHOST and cell.ground is Ink.ANON
    assert grid[1][GUTTER + 12].char == "▄"


def test_the_ghost_can_be_hidden() -> None:
    grid = draw(two_runs([1, 1, 1]), 60, 5, View(ghost=False))
    assert not any(cell.ink is Ink.GHOST for row in grid for cell in row)


def test_without_colours_bands_differ_by_their_characters() -> None:
    grid = draw(state_of(series_of(*[8] * 3, shared=4)), textured=True)
    assert plot(grid) == ["===", "===", "###", "###"]
    assert all(cell.ground is Ink.NONE for row in grid for cell in row)


def test_ascii_draws_everything_in_ascii() -> None:
    state = replace(two_runs([1, 1, 1]), ascii=True, marks=(Mark(10.0, "r", ""),), limits=(Limit("limit", 8 * GIB),))
    assert text(draw(state, 60, 5)) == [
        "  8G+---#######:---------- limit 8 GiB ---------------------",
        "    |  ########:''",
        "  4G+ #########:'",
        "    |##########:##",
        "    +10:00:00--r-^now--------------10:00:30--------- 55s [ ]",
    ]


def test_a_band_is_named_where_its_name_fits() -> None:
    grid = draw(state_of(series_of(*[8] * 40), live=False), 60, 10)
    row = next(y for y, line in enumerate(text(grid)) if "anonymous" in line)
    assert 2 <= row <= 6
    cell = grid[row][text(grid)[row].index("anonymous")]
    assert (cell.ink, cell.ground) == (Ink.ON_BAND, Ink.ANON)
    assert "anonymous" not in "".join(text(draw(state_of(series_of(*[8] * 10), live=False), 60, 10)))


def test_the_allocator_is_named_as_the_keeper() -> None:
    assert overlay.band_name(Band.KEPT, "tcmalloc") == "kept by tcmalloc"
    assert overlay.band_name(Band.KEPT, "") == "kept by the allocator"


def test_paused_is_loud() -> None:
    state = state_of(series_of(*[4] * 100))
    view = hold(View(), 58.0, 75)
    grid = draw(state, 80, 9, view)
    assert text(grid)[0].endswith("PAUSED 00:41 behind · end follows")
    assert grid[0][-3].ink is Ink.NOTICE
    assert "▲paused" in text(grid)[-1]
    assert len(plot(grid)[-1]) == 59 - scene_of(state, view, 80).window.first


def test_a_finished_session_is_never_behind() -> None:
    grid = draw(state_of(series_of(*[4] * 100), live=False), 80, 9, hold(View(), 58.0, 75))
    assert "PAUSED" not in "".join(text(grid))
    assert "▲end" in text(draw(state_of(series_of(4, 4), live=False), 80))[-1]


def test_the_crosshair_reads_values_and_events() -> None:
    state = state_of(series_of(*[4] * 20, shared=0.5), marks=(Mark(5.1, "r", "relaunch: rate 1 to 3"),))
    grid = draw(state, 100, 9, View(cross_s=5.5))
    assert text(grid)[0].endswith(" 10:00:05  RSS  4.0G  anon  3.5G  file  512M · relaunch: rate 1 to 3")
    assert [row[GUTTER + 5].char for row in grid[1:-1]] == ["│"] * 7
    assert "no process" in text(draw(state, 100, 9, View(cross_s=25.5)))[0]


def test_the_crosshair_reads_at_the_side_it_is_not_at() -> None:
    state = state_of(series_of(*[4] * 90))
    assert text(draw(state, 100, 9, View(cross_s=80.5)))[0].startswith("  8G┬ 10:01:20")
    assert text(draw(state, 100, 9, View(cross_s=40.5)))[0].endswith("  10:00:40  RSS  4.0G  anon  4.0G  file    0B")


@pytest.mark.parametrize(
    ("wall_s", "step", "label"),
    [(36_000, 15, "10:00:00"), (36_060, 60, "10:01"), (86_400 * 59, 86_400, "Mar 1"), (86_399, 1, "23:59:59")],
)
def test_labels_tell_the_wall_clock(wall_s: int, step: int, label: str) -> None:
    assert wall_label(wall_s, step) == label


def test_labels_stand_at_round_times_of_the_local_clock() -> None:
    state = state_of(series_of(*[4] * 60), wall_origin_s=36_000.0 - 7.3, utc_offset_s=3600 + 1800)
    axis = text(draw(state, 100))[-1]
    assert axis.index("11:30:00") == GUTTER + 7
    assert axis.index("11:30:15") == GUTTER + 22


def test_spans_are_short() -> None:
    assert [span_label(s) for s in (26.25, 105, 180, 7200, 90_000, 900_000)] == [
        "26s",
        "105s",
        "3m",
        "2h",
        "25h",
        "10d",
    ]


def test_a_tiny_graph_is_blank_rather_than_wrong() -> None:
    assert text(draw(state_of(series_of(4)), 6, 3)) == ["", "", ""]
    assert text(draw(state_of(series_of(4)), 40, 1)) == [""]


def test_marks_out_of_sight_are_left_out() -> None:
    window = scene_of(state_of(series_of(*[4] * 200)), View(), 105).window
    assert axes.marks_by_column([Mark(1.0, "r", "")], window, 199.0) == {}
