"""The callers and callees trees and the icicle's boxes: sums, order, opening, geometry."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from memtui.display.glyphs import ASCII, UNICODE
from memtui.reports.icicle import Box, Icicle, icicle
from memtui.reports.pattern import match_pattern
from memtui.reports.search import search
from memtui.reports.table import Cancelled, LeakTable, Order, build_table
from memtui.reports.tree import Direction, Node, Tree, TreeRows, hottest_path, reopened, single_chain
from memtui.viewer.leaks.icicle_lines import Colouring, Lighting, hue_of, part_of, row_pieces
from memtui.viewer.leaks.tree_view import tree_columns, tree_header, tree_row
from tests.fixtures.leak_reports import large_report, sample_report
from tests.tui.reports.test_groups import leak_lists, report_of

TABLE: LeakTable = build_table(sample_report())
MANY: LeakTable = build_table(large_report(3000))


def tree_of(table: LeakTable, direction: Direction, order: Order = Order.BYTES) -> Tree:
    return Tree(table, table.by_size, direction, order)


def everything(tree: Tree, node: Node) -> Iterator[Node]:
    yield node
    for child in tree.grow(node):
        yield from everything(tree, child)


def names(rows: TreeRows) -> list[str]:
    return [f"{'  ' * (node.depth - 1)}{rows.tree.name(node)}" for node in rows.rows]


@given(leak_lists, st.sampled_from(list(Direction)), st.sampled_from(list(Order)))
def test_children_add_up_to_their_parent(
    leaks: list[tuple[int, int, tuple[int, ...]]], direction: Direction, order: Order
) -> None:
    table = build_table(report_of(*leaks))
    tree = tree_of(table, direction, order)
    assert tree.root.size_bytes == sum(size for size, _, _ in leaks)
    for node in everything(tree, tree.root):
        children = tree.grow(node)
        assert sum(len(child.records) for child in children) == (len(node.records) if children else 0)
        if children:
            assert sum(child.size_bytes for child in children) == node.size_bytes
            assert sum(child.objects for child in children) == node.objects
        for record in node.records:
            frame = tree.frame(node, record)
            assert frame is None or table.functions.of_frame(frame).name == tree.name(node)
        # Largest first, as everywhere: the first is the one whose stack is shown.
        sizes = [table.record(record).size_bytes for record in node.records]
        assert sizes == sorted(sizes, reverse=True)


@given(leak_lists)
def test_both_trees_hold_every_stack(leaks: list[tuple[int, int, tuple[int, ...]]]) -> None:
    table = build_table(report_of(*leaks))
    for direction in Direction:
        tree = tree_of(table, direction)
        ends: dict[int, list[str]] = {}
        for node in everything(tree, tree.root):
            if not tree.grow(node):
                for record in node.records:
                    ends[record] = [tree.name(step) for step in node.path() if step.function >= 0]
        for record, leak in enumerate(table.report.leaks):
            stack = [table.functions.of_frame(frame).name for frame in leak.stack]
            assert ends[record] == (stack if direction is Direction.CALLERS else stack[::-1])


def test_who_calls_what_allocates() -> None:
    tree = tree_of(TABLE, Direction.CALLERS)
    tree.grow(tree.root)
    rows = TreeRows(tree)
    assert [tree.name(node) for node in rows.rows][::4] == ["open_session(Conn&)", "libssl.so.3+0x3f12c"]
    for node in single_chain(tree, rows.rows[0]):
        rows.open(rows.rows.index(node))
    # The chain ends where the program does: the runtime above it has to be asked for.
    assert names(rows)[:4] == [
        "open_session(Conn&)",
        "  handle_rpc(int)",
        "    worker(Queue&)",
        "      void std::__invoke_impl<void, void (*)(Queue&)>(std::__invoke_other)",
    ]
    rows.close(0)
    assert len(rows.rows) == 5 and rows.parent_row(0) is None


def test_the_hottest_path_ends_in_the_largest_leak() -> None:
    tree = tree_of(TABLE, Direction.CALLEES)
    path = hottest_path(tree, tree.root)
    assert tree.name(path[-1]) == "open_session(Conn&)"
    rows = TreeRows(tree)
    rows.open_all(path)
    again = Tree(TABLE, TABLE.by_size, Direction.CALLEES)
    again.grow(again.root)
    reopen = TreeRows(again)
    reopen.open_all(reopened(again, rows.opened()))
    assert names(reopen) == names(rows)
    leaf = rows.rows.index(path[-1])
    assert rows.parent_row(leaf) == rows.rows.index(path[-2])


def test_a_place_is_a_line_where_there_is_one() -> None:
    tree = tree_of(TABLE, Direction.CALLEES)
    found = {tree.name(node): tree.location(node) for node in everything(tree, tree.root)}
    assert found["handle_rpc(int)"] == "server.cpp:131" and found["clone3"] == "libc.so.6"


def test_growing_stops_when_cancelled_and_leaves_nothing_half_done() -> None:
    tree = tree_of(MANY, Direction.CALLERS)
    with pytest.raises(Cancelled):
        tree.grow(tree.root, lambda: True)
    assert tree.root.children is None and len(tree.grow(tree.root)) > 1000


@pytest.mark.parametrize("direction", list(Direction))
def test_every_row_and_header_fills_its_width_exactly(direction: Direction) -> None:
    for table in (TABLE, MANY, build_table(sample_report(), against=sample_report())):
        tree = tree_of(table, direction)
        rows = TreeRows(tree)
        rows.open_all(hottest_path(tree, tree.root))
        for width in (*range(20, 140, 9), 72, 80):
            layout = tree_columns(tree, width)
            for look in (UNICODE, ASCII):
                header = tree_header(tree, layout, look)
                assert sum(cell_len(text) for text, _ in header) == width
                for row in range(min(24, len(rows.rows))):
                    pieces = tree_row(rows, row, layout, look, cursor=row == 0)
                    assert sum(cell_len(text) for text, _ in pieces) == width, (width, row)
                    assert not look.ascii or all(text.isascii() for text, _ in pieces)


# The icicle


def boxes(shown: Icicle) -> list[Box]:
    return [box for row in shown.rows for box in row]


def overlaps_nothing(shown: Icicle) -> bool:
    return all(a.end <= b.start for row in shown.rows for a, b in pairwise(row))


@given(leak_lists, st.integers(1, 150))
@settings(deadline=None)
def test_boxes_lie_below_their_callers_as_wide_as_their_bytes(
    leaks: list[tuple[int, int, tuple[int, ...]]], columns: int
) -> None:
    tree = tree_of(build_table(report_of(*leaks)), Direction.CALLEES)
    shown = icicle(tree, tree.root, columns)
    assert shown.rows[0][0].width == 2 * columns and overlaps_nothing(shown)
    for depth, row in enumerate(shown.rows):
        for index, box in enumerate(row):
            assert 0 <= box.start < box.end <= 2 * columns
            over = shown.above_of(depth, index)
            assert (over is None) is (depth == 0)
            if not box.merged and tree.root.size_bytes:
                exact = 2 * columns * box.size_bytes / max(1, tree.root.size_bytes)
                assert abs(box.width - exact) <= 1 + depth
        for look in (UNICODE, ASCII):
            for outlined in (False, True):
                pieces = row_pieces(shown, depth, Lighting(selected=(depth, 0), outlined=outlined), look)
                assert sum(cell_len(text) for text, _ in pieces) == columns


def test_what_is_too_narrow_is_merged_and_said() -> None:
    # Most of a large report's leaks hang on frames of their own: none is wide enough.
    tree = tree_of(MANY, Direction.CALLEES)
    shown = icicle(tree, tree.root, 100)
    merged = [box for box in boxes(shown) if box.merged]
    assert merged and all(box.size_bytes < tree.root.size_bytes for box in merged)
    counted = sum(box.merged for box in shown.rows[1]) + sum(not box.merged for box in shown.rows[1])
    assert counted == len(shown.rows[0][0].node.children or ()) or len(shown.rows[1]) == 1


def test_runtime_frames_in_a_row_are_one_box() -> None:
    tree = tree_of(TABLE, Direction.CALLEES)
    shown = icicle(tree, tree.root, 100)
    folded = shown.rows[1][0]
    assert folded.folded == 4 and tree.name(folded.node).startswith("void std::__invoke_impl")
    words = "".join(text for text, _ in row_pieces(shown, 1, Lighting(), UNICODE))
    assert "… 4 runtime frames" in words
    # A node inside the fold is found at it.
    assert shown.find(folded.node.path()[0]) == (1, 0)


def test_walking_and_zooming() -> None:
    tree = tree_of(TABLE, Direction.CALLEES)
    shown = icicle(tree, tree.root, 100)
    down = shown.below(1, 0)
    assert down == (2, 0) and tree.name(shown.rows[2][0].node) == "worker(Queue&)"
    assert shown.above_of(2, 0) == (1, 0)
    assert shown.at(2, 10) == (2, 0) and shown.at(99, 0) is None
    inner = icicle(tree, shown.rows[3][0].node, 100)
    assert tree.name(inner.zoomed) == "handle_rpc(int)" and inner.rows[0][0].width == 200
    assert tree.name(inner.above[-1]) == "worker(Queue&)" and inner.above[0] is tree.root


def test_a_search_lights_functions_and_tells_their_share() -> None:
    found = search(TABLE, TABLE.by_size, "handle", match_pattern)
    assert [TABLE.functions.all[n].name for n in found.functions] == ["handle_rpc(int)"]
    assert found.records == 3 and found.summary(TABLE.total_bytes) == "1 function, 42.5 MiB, 99.5 %"
    assert search(TABLE, TABLE.by_size, "re:(", match_pattern).error.startswith("no pattern")
    assert search(TABLE, TABLE.by_size, "", match_pattern).functions == frozenset()
    only = search(TABLE, TABLE.by_size, "fn:worker fn:decode", match_pattern)
    assert only.records == 1 and len(only.functions) == 2


def test_colours_follow_names_and_changes() -> None:
    assert hue_of("relay::codec") == hue_of("relay::codec") and 0 <= hue_of("") < 8
    report = sample_report()
    less = report.leaks[0].__class__(report.leaks[0].leak_id, 1000, 1, report.leaks[0].kind, report.leaks[0].stack)
    table = build_table(report, against=report.__class__("h", "d", report.status, leaks=(less, *report.leaks[1:])))
    tree = tree_of(table, Direction.CALLEES)
    path = hottest_path(tree, tree.root)
    assert part_of(tree, path[-1], Colouring.CHANGE) == "grown"
    assert (
        part_of(tree, path[1], Colouring.LIBRARY) == "runtime" and part_of(tree, tree.root, Colouring.CHANGE) == "root"
    )
    assert part_of(tree, path[-1], Colouring.LIBRARY) == f"hue-{hue_of('rpc_server')}"
