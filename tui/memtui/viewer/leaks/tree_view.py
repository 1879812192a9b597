"""The trees of callers and callees as a widget: opened node by node, drawn row by row in columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.worker import Worker, WorkerState

from memtui.display.figures import percent
from memtui.display.glyphs import UNICODE, Glyphs
from memtui.reports.changes import signed
from memtui.reports.names import shorten
from memtui.reports.table import Order
from memtui.reports.tree import Node, Tree, TreeRows, hottest_path, single_chain
from memtui.viewer.leaks.leak_rows import (
    BYTES,
    DELTA,
    Columns,
    LeakRows,
    fitting_columns,
    header_pieces,
    location_text,
    row_pieces,
    share_pieces,
)
from memtui.viewer.leaks.summary import nothing_shown
from memtui.viewer.leaks.work import cancellable
from memtui.viewer.widgets.line import Piece, fit, padded
from memtui_profiler.words import size_words

_FUNCTION_WISHED = 24
# Levels that would be indented by more than this part of the function's column show their number.
_INDENT_PART = 2
_INLINED = " inlined"


def tree_columns(tree: Tree, width: int) -> Columns:
    """Return the columns that fit in ``width`` cells, the least needed left out first."""
    wanted = {
        "bytes": BYTES,
        "percent": 7,
        "bar": 7 if width < 110 else 12,
        "delta": DELTA if tree.table.difference is not None else 0,
        "objects": max(7, len(f"{max(tree.table.total_objects, 0):,}")),
        "function": 0,
        "location": min(max(tree.table.widest_location, 8), 15 if width < 96 else 24),
    }
    leaving = ("percent", "bar", "objects", "location", "delta")
    return fitting_columns(width, wanted, [(name, _FUNCTION_WISHED) for name in leaving])


# The column that an order marks; all others mark that of the bytes.
_MARKED = {
    Order.OBJECTS: "objects",
    Order.AVERAGE: "objects",
    Order.CHANGE: "delta",
    Order.FUNCTION: "function",
    Order.LOCATION: "function",
}


def tree_header(tree: Tree, layout: Columns, glyphs: Glyphs) -> list[Piece]:
    """Return the titles of the columns."""
    titles = {
        "bytes": "BYTES",
        "percent": "SHARE",
        "bar": "" if layout.widths["percent"] else "SHARE",
        "delta": glyphs.plain("±"),
        "objects": "OBJECTS" if tree.table.report.growth is None else "SAMPLES",
        "function": tree.direction.value.upper(),
        "location": "LOCATION",
    }
    return header_pieces(layout, titles, (_MARKED.get(tree.order, "bytes"),), glyphs)


def tree_row(rows: TreeRows, row: int, layout: Columns, glyphs: Glyphs, *, cursor: bool) -> list[Piece]:
    """Return one row, exactly ``layout.width`` cells."""
    tree, node = rows.tree, rows.rows[row]
    total_bytes = tree.table.total_bytes
    share = node.size_bytes / total_bytes if total_bytes > 0 else 0.0

    def draw(name: str, width: int) -> list[Piece]:
        if name == "bytes":
            return [(size_words(node.size_bytes).rjust(width), "bytes")]
        if name == "percent":
            return [(percent(share).rjust(width), "share")]
        if name == "bar":
            return share_pieces(share, 0, width, glyphs)
        if name == "delta":
            change = "grown" if node.delta_bytes > 0 else "shrunk" if node.delta_bytes < 0 else "same"
            return [(("=" if node.delta_bytes == 0 else signed(node.delta_bytes)).rjust(width), change)]
        if name == "objects":
            return [(glyphs.count(node.objects).rjust(width), "objects")]
        if name == "function":
            return _function(rows, node, width, glyphs)
        return [(location_text(tree.location(node), width, glyphs), "location")]

    return row_pieces(layout, draw, glyphs, cursor=cursor)


def _function(rows: TreeRows, node: Node, width: int, glyphs: Glyphs) -> list[Piece]:
    tree = rows.tree
    indent = 2 * (node.depth - 1)
    if indent > width // _INDENT_PART:
        number = f"{glyphs.ellipsis}{node.depth} "
        lead: Piece = (number.rjust(min(max(width // _INDENT_PART, len(number)), width)), "runtime")
    else:
        lead = (" " * indent, "")
    mark = " " if tree.ends(node) else glyphs.opened if rows.is_open(node) else glyphs.closed
    inlined = node.function >= 0 and tree.table.functions.all[node.function].inlined
    tail = _INLINED if inlined else ""
    room = max(0, width - cell_len(lead[0]) - 2 - len(tail))
    name = fit(glyphs.plain(shorten(tree.name(node), room)), room, glyphs.ellipsis)
    part = "runtime" if tree.is_library(node) or _is_reachable(tree, node) else "function"
    used = cell_len(name) + len(tail)
    pieces: list[Piece] = [lead, (f"{mark} ", "branch"), (name, part), (tail, "inlined")]
    pieces.append((" " * max(0, width - cell_len(lead[0]) - 2 - used), ""))
    if width - cell_len(lead[0]) - 2 - used < 0:
        return [(padded(glyphs, "".join(text for text, _ in pieces), width), part)]
    return pieces


def _is_reachable(tree: Tree, node: Node) -> bool:
    """Return whether all of a node is still reachable, where other leaks are lost."""
    table = tree.table
    return all(table.is_aside(table.record(index)) for index in node.records[:64])


# A node of so few records grows at once: 2 ms. Larger ones grow in a worker.
AT_ONCE = 2048


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Grown:
    """Nodes that have grown, each the parent of the next. ``to_end``: the cursor goes to the last of them."""

    tree: Tree
    nodes: list[Node]
    to_end: bool


class TreeView(LeakRows):
    """The nodes of a tree that are shown; Opened is posted for one that ends, all others open in place."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "expand", "open", show=False, id="tree.open"),
        Binding("left", "collapse", "close", show=False, id="tree.close"),
        Binding("asterisk", "hottest", "hottest path", show=False, id="tree.hottest"),
    ]

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self.rows: TreeRows | None = None
        self._layout: Columns | None = None
        # Whether the newest click was on the node under the cursor.
        self._was_clicked = False

    # What is shown

    @property
    def node(self) -> Node | None:
        """The node under the cursor."""
        if self.rows is None or not self.rows.rows:
            return None
        return self.rows.rows[min(self.cursor, len(self.rows.rows) - 1)]

    def show(self, rows: TreeRows, node: Node | None = None) -> None:
        """Replace everything; the cursor goes to ``node``, or to the first row."""
        self.rows = rows
        self.renew(rows.rows.index(node) if node is not None and node in rows.rows else 0)

    def clear(self) -> None:
        self.rows = None
        self.renew(0)

    # LeakRows

    @property
    def row_count(self) -> int:
        return 0 if self.rows is None else len(self.rows.rows)

    def measured(self, width: int) -> None:
        if self.rows is not None:
            self._layout = tree_columns(self.rows.tree, width)

    def draw_header(self, width: int) -> list[Piece]:
        if self.rows is None or self._layout is None:
            return []
        return tree_header(self.rows.tree, self._layout, self._glyphs)

    @property
    def hint(self) -> str:
        return nothing_shown(self.rows.tree.table) if self.rows is not None and not self.rows.rows else ""

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> list[Piece]:
        if self.rows is None or self._layout is None:
            return []
        return tree_row(self.rows, row, self._layout, self._glyphs, cursor=on_cursor)

    # Opening and closing

    def action_select(self) -> None:
        rows, node = self.rows, self.node
        if rows is not None and node is not None and rows.tree.ends(node):
            self.post_message(self.Opened())
        elif rows is not None and node is not None and rows.is_open(node):
            self._close(self.cursor)
        else:
            self.action_expand()

    def action_expand(self) -> None:
        """Open the node, or step into it where it is open."""
        rows, node = self.rows, self.node
        if rows is None or node is None:
            return
        if rows.is_open(node):
            self.go(self.cursor + 1)
        else:
            self._grow(node, single_chain, to_end=False)

    def action_collapse(self) -> None:
        """Close the node, or go to the one above it where it is closed."""
        rows, node = self.rows, self.node
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
        assert self.rows is not None
        self.rows.close(row)
        self.renew(row)

    def _grow(self, node: Node, choose: Callable[..., list[Node]], *, to_end: bool) -> None:
        assert self.rows is not None
        tree = self.rows.tree
        if len(node.records) <= AT_ONCE:
            self._take(Grown(tree, choose(tree, node), to_end))
            return

        work = cancellable(lambda cancelled: Grown(tree, choose(tree, node, cancelled), to_end))
        self.run_worker(work, name="leak branch", group="leak-branch", thread=True, exclusive=True)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if isinstance(event.worker.result, Grown) and event.state is WorkerState.SUCCESS:
            event.stop()
            self._take(event.worker.result)

    def _take(self, grown: Grown) -> None:
        rows, here = self.rows, self.node
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
            self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        """Open the node under the cursor, or close it; LeakRows moves the cursor and opens a node on a double click."""
        row = self.scroll_offset.y + event.y - 1
        if event.chain == 1:
            self._was_clicked = event.y > 0 and row == self.cursor and row < self.row_count
            if self._was_clicked:
                self.action_select()
        elif self._was_clicked:
            event.prevent_default()  # the first click has opened it
