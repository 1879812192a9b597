"""A tree of callees as boxes, each as wide as its bytes: the root at the top, the callees below. Pure geometry.

Positions are in half cells: a box's last half cell is the gap to the next, so that the narrowest box is one cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from memtui.reports.table import never
from memtui.reports.tree import HERE, ROOT, Node, Tree

HALVES = 2
NARROWEST = HALVES
MOST_ROWS = 256


class Box(NamedTuple):
    """A box over [start, end) in half cells for ``node``, or for the runtime's ``folded`` frames of which it is the innermost.

    ``merged`` above 0: it stands for so many children of ``node`` that are too narrow to draw, of ``size_bytes`` together.
    """

    node: Node
    start: int
    end: int
    size_bytes: int
    folded: int = 1
    merged: int = 0

    @property
    def width(self) -> int:
        return self.end - self.start

    @property
    def nodes(self) -> list[Node]:
        """The node, or those that are folded, the outermost first."""
        return self.node.path()[-self.folded :] if self.folded > 1 else [self.node]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Icicle:
    """Rows of boxes from left to right, ``columns`` cells wide.

    ``zoomed`` is the node of the first row, which fills the width; ``above`` are the nodes on the way to it.
    """

    tree: Tree
    zoomed: Node
    above: tuple[Node, ...]
    rows: tuple[tuple[Box, ...], ...]
    columns: int

    def find(self, node: Node) -> tuple[int, int] | None:
        """Return (row, index in it) of the box that a node is drawn or folded in, None where it is not drawn."""
        for depth, row in enumerate(self.rows):
            for index, box in enumerate(row):
                if not box.merged and node in box.nodes:
                    return depth, index
        return None

    def at(self, row: int, column: int) -> tuple[int, int] | None:
        """Return (row, index) of the box at a cell, None where there is no box."""
        if not 0 <= row < len(self.rows):
            return None
        half = column * HALVES
        boxes = enumerate(self.rows[row])
        return next(((row, index) for index, box in boxes if box.start <= half < box.end), None)

    def below(self, row: int, index: int) -> tuple[int, int] | None:
        """Return (row, index) of the widest box below this one, None where there is none."""
        box = self.rows[row][index]
        if box.merged or row + 1 >= len(self.rows):
            return None
        hanging = [(n, b) for n, b in enumerate(self.rows[row + 1]) if box.start <= b.start and b.end <= box.end]
        if not hanging:
            return None
        widest = max(hanging, key=lambda item: (item[1].merged == 0, item[1].width, -item[0]))
        return row + 1, widest[0]

    def above_of(self, row: int, index: int) -> tuple[int, int] | None:
        """Return (row, index) of the box above this one, None in the first row."""
        if row == 0:
            return None
        box = self.rows[row][index]
        boxes = enumerate(self.rows[row - 1])
        return next(((row - 1, n) for n, over in boxes if over.start <= box.start and box.end <= over.end), None)


def icicle(tree: Tree, zoomed: Node, columns: int, cancelled: Callable[[], bool] = never) -> Icicle:
    """Return the boxes of ``zoomed`` and the nodes below it. Grows the nodes that are wide enough to be seen; raises Cancelled."""
    width = max(1, columns) * HALVES
    first = _box(tree, zoomed, 0, width, cancelled)
    rows: list[tuple[Box, ...]] = [(first,)]
    while len(rows) < MOST_ROWS:
        below: list[Box] = []
        for box in rows[-1]:
            if not box.merged:
                below += _children(tree, box, cancelled)
        if not below:
            break
        rows.append(tuple(below))
    above = (tree.root, *zoomed.path())[:-1] if zoomed.function != ROOT else ()
    return Icicle(tree, zoomed, above, tuple(rows), columns)


def _children(tree: Tree, box: Box, cancelled: Callable[[], bool]) -> list[Box]:
    """Return the boxes of a node's children, the widest first; bytes that the node allocated itself leave their width free."""
    node = box.node
    children = [child for child in tree.grow(node, cancelled) if child.function != HERE and child.size_bytes > 0]
    if not children:
        return []
    children.sort(key=lambda child: -child.size_bytes)
    boxes: list[Box] = []
    narrow: list[Node] = []
    begun = 0
    for child in children:
        start = box.start + box.width * begun // node.size_bytes
        end = box.start + box.width * (begun + child.size_bytes) // node.size_bytes
        if end - start < NARROWEST:
            narrow.append(child)
            continue
        begun += child.size_bytes
        boxes.append(_box(tree, child, start, end, cancelled))
    if narrow:
        size_bytes = sum(child.size_bytes for child in narrow)
        start = box.start + box.width * begun // node.size_bytes
        end = min(box.end, max(box.start + box.width * (begun + size_bytes) // node.size_bytes, start + NARROWEST))
        if end - start >= NARROWEST or not boxes:
            boxes.append(Box(node, start, max(end, min(start + 1, box.end)), size_bytes, merged=len(narrow)))
    return [drawn for drawn in boxes if drawn.end > drawn.start]


def _box(tree: Tree, node: Node, start: int, end: int, cancelled: Callable[[], bool]) -> Box:
    """Return a node's box; runtime frames that follow each other are folded into one box."""
    folded = 1
    inner = node
    while tree.is_library(inner) and inner.function != ROOT:
        children = tree.grow(inner, cancelled)
        if len(children) != 1 or not tree.is_library(children[0]) or children[0].function == HERE:
            break
        inner = children[0]
        folded += 1
    return Box(inner, start, end, node.size_bytes, folded)
