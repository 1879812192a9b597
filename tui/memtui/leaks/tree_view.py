"""The callers and callees trees: opened node by node, drawn row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.worker import Worker, WorkerState, get_current_worker

from memtui.leaks.columns import Piece
from memtui.leaks.cursor_view import CursorView
from memtui.leaks.model import Cancelled
from memtui.leaks.summary import nothing_shown
from memtui.leaks.tree import Node, Tree, TreeRows, hottest_path, single_chain
from memtui.leaks.tree_lines import TreeColumns, ends, tree_columns, tree_header, tree_row

# A node of so few records grows at once: 2 ms. Larger ones grow in a worker.
AT_ONCE = 2048


class Grown:
    """Nodes that have grown, each the parent of the next. ``to_end``: the cursor goes to the last of them."""

    def __init__(self, tree: Tree, nodes: list[Node], to_end: bool) -> None:
        self.tree = tree
        self.nodes = nodes
        self.to_end = to_end


class TreeView(CursorView):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "expand", "open", show=False, id="tree.open"),
        Binding("left", "collapse", "close", show=False, id="tree.close"),
        Binding("asterisk", "hottest", "hottest path", show=False, id="tree.hottest"),
    ]

    class Moved(Message):
        """Another node is under the cursor."""

    class Opened(Message):
        """The user opened a node below which there is nothing."""

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(ascii=ascii, id=id)
        self._rows: TreeRows | None = None
        self._layout: TreeColumns | None = None

    # What is shown

    @property
    def rows(self) -> TreeRows | None:
        return self._rows

    @property
    def node(self) -> Node | None:
        """The one under the cursor."""
        if self._rows is None or not self._rows.rows:
            return None
        return self._rows.rows[min(self.cursor, len(self._rows.rows) - 1)]

    def show(self, rows: TreeRows, node: Node | None = None) -> None:
        """Replace everything; the cursor goes to ``node``, or to the first row."""
        self._rows = rows
        self.renew(rows.rows.index(node) if node is not None and node in rows.rows else 0)

    def clear(self) -> None:
        self._rows = None
        self.renew(0)

    # CursorView

    @property
    def row_count(self) -> int:
        return 0 if self._rows is None else len(self._rows.rows)

    def measured(self, width: int) -> None:
        if self._rows is not None:
            self._layout = tree_columns(self._rows.tree, width)

    def draw_header(self, width: int) -> list[Piece]:
        if self._rows is None or self._layout is None:
            return []
        return tree_header(self._rows.tree, self._layout, self._look)

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> list[Piece] | None:
        if self._rows is None or self._layout is None:
            return None
        if row >= len(self._rows.rows):
            words = nothing_shown(self._rows.tree.table)
            return [("   ", ""), (self._look.cut(words, width - 3), "hint")] if row == 0 else None
        return tree_row(self._rows, row, self._layout, self._look, cursor=on_cursor)

    def cursor_moved(self) -> None:
        self.post_message(self.Moved())

    # Opening and closing

    def action_select(self) -> None:
        rows, node = self._rows, self.node
        if rows is not None and node is not None and ends(rows.tree, node):
            self.post_message(self.Opened())
        elif rows is not None and node is not None and rows.is_open(node):
            self._close(self.cursor)
        else:
            self.action_expand()

    def action_expand(self) -> None:
        """Open the node, or step into it where it is open."""
        rows, node = self._rows, self.node
        if rows is None or node is None:
            return
        if rows.is_open(node):
            self.go(self.cursor + 1)
        else:
            self._grow(node, single_chain, to_end=False)

    def action_collapse(self) -> None:
        """Close the node, or go to the one above it where it is closed."""
        rows, node = self._rows, self.node
        if rows is None or node is None:
            return
        if rows.is_open(node):
            self._close(self.cursor)
        elif (parent := rows.parent_row(self.cursor)) is not None:
            self.go(parent)

    def action_hottest(self) -> None:
        node = self.node
        if node is not None:
            self._grow(node, hottest_path, to_end=True)

    def _close(self, row: int) -> None:
        assert self._rows is not None
        self._rows.close(row)
        self.renew(row)

    def _grow(self, node: Node, choose: Callable[..., list[Node]], *, to_end: bool) -> None:
        assert self._rows is not None
        tree = self._rows.tree
        if len(node.records) <= AT_ONCE:
            self._take(Grown(tree, choose(tree, node), to_end))
            return

        def work() -> Grown | None:
            worker = get_current_worker()
            try:
                return Grown(tree, choose(tree, node, lambda: worker.is_cancelled), to_end)
            except Cancelled:
                return None

        self.run_worker(work, name="leak branch", group="leak-branch", thread=True, exclusive=True)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if isinstance(event.worker.result, Grown) and event.state is WorkerState.SUCCESS:
            event.stop()
            self._take(event.worker.result)

    def _take(self, grown: Grown) -> None:
        rows, here = self._rows, self.node
        if rows is None or rows.tree is not grown.tree:
            return
        at = next((row for row, node in enumerate(rows.rows) if node is grown.nodes[0]), None)
        if at is None:
            return
        for node in grown.nodes:
            at = rows.rows.index(node, at)
            rows.open(at)
        wanted = at if grown.to_end or here is None else rows.rows.index(here)
        before = self.cursor
        self.renew(wanted)
        if wanted != before:
            self.cursor_moved()

    def on_click(self, event: events.Click) -> None:
        if self._rows is None or event.y == 0:
            return
        row = self.scroll_offset.y + event.y - 1
        if row < self.row_count and event.chain == 1 and row == self.cursor:
            self.action_select()
        else:
            super().on_click(event)
