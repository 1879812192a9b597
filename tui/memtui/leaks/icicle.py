"""A callees tree as boxes: the root at the top, each as wide as its bytes, its callees below it. Pure geometry.

Positions are in half cells: a box's last half cell is the gap to the next, so that the narrowest box is one cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from memtui.leaks.model import never
from memtui.leaks.tree import HERE, ROOT, Node, Tree

HALVES = 2
NARROWEST = HALVES
MOST_ROWS = 256


class Box(NamedTuple):
    """[start, end) in half cells. ``node`` is the function's; of several ``folded`` frames of the runtime the innermost.

    ``merged`` above 0: so many children of ``node`` that are too narrow to be drawn, of ``size_bytes`` together.
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


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Icicle:
    """``rows`` of boxes from left to right; ``zoomed`` is the node that fills the width, in the first row.

    ``above`` are the nodes on the way to it. ``columns`` is the width in cells.
    """

    tree: Tree
    zoomed: Node
    above: tuple[Node, ...]
    rows: tuple[tuple[Box, ...], ...]
    columns: int

    def find(self, node: Node) -> tuple[int, int] | None:
        """(row, index in it) of the box that stands for a node; a folded one's stands for all that is folded in it."""
        for depth, row in enumerate(self.rows):
            for index, box in enumerate(row):
                if not box.merged and (box.node is node or (box.folded > 1 and node in _folded(box))):
                    return depth, index
        return None

    def at(self, row: int, column: int) -> tuple[int, int] | None:
        """The box at a cell."""
        if not 0 <= row < len(self.rows):
            return None
        half = column * HALVES
        found = (index for index, box in enumerate(self.rows[row]) if box.start <= half < box.end)
        index = next(found, None)
        return None if index is None else (row, index)

    def below(self, row: int, index: int) -> tuple[int, int] | None:
        """The widest box that hangs on this one."""
        box = self.rows[row][index]
        if box.merged or row + 1 >= len(self.rows):
            return None
        hanging = [(n, b) for n, b in enumerate(self.rows[row + 1]) if box.start <= b.start and b.end <= box.end]
        if not hanging:
            return None
        widest = max(hanging, key=lambda item: (item[1].merged == 0, item[1].width, -item[0]))
        return row + 1, widest[0]

    def above_of(self, row: int, index: int) -> tuple[int, int] | None:
        """The box that this one hangs on."""
        if row == 0:
            return None
        box = self.rows[row][index]
        found = (n for n, b in enumerate(self.rows[row - 1]) if b.start <= box.start and box.end <= b.end)
        over = next(found, None)
        return None if over is None else (row - 1, over)


def _folded(box: Box) -> list[Node]:
    return box.node.path()[-box.folded :]


def icicle(tree: Tree, zoomed: Node, columns: int, cancelled: Callable[[], bool] = never) -> Icicle:
    """The boxes of what is at or below ``zoomed``. Grows the nodes that are wide enough to be seen; raises Cancelled."""
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
    """Boxes of the children that go further, the widest first; where they end their place stays free."""
    node = box.node
    children = [child for child in tree.grow(node, cancelled) if child.function != HERE and child.size_bytes > 0]
    if not children:
        return []
    children.sort(key=lambda child: -child.size_bytes)
    found: list[Box] = []
    narrow: list[Node] = []
    begun = 0
    for child in children:
        start = box.start + box.width * begun // node.size_bytes
        end = box.start + box.width * (begun + child.size_bytes) // node.size_bytes
        if end - start < NARROWEST:
            narrow.append(child)
            continue
        begun += child.size_bytes
        found.append(_box(tree, child, start, end, cancelled))
    if narrow:
        size_bytes = sum(child.size_bytes for child in narrow)
        start = box.start + box.width * begun // node.size_bytes
        end = min(box.end, max(box.start + box.width * (begun + size_bytes) // node.size_bytes, start + NARROWEST))
        if end - start >= NARROWEST or not found:
            found.append(Box(node, start, max(end, min(start + 1, box.end)), size_bytes, merged=len(narrow)))
    return [one for one in found if one.end > one.start]


def _box(tree: Tree, node: Node, start: int, end: int, cancelled: Callable[[], bool]) -> Box:
    """A node's box, its runtime frames in a row folded into one as the stack has them."""
    folded = 1
    inner = node
    while tree.is_library(inner) and inner.function != ROOT:
        children = tree.grow(inner, cancelled)
        if len(children) != 1 or not tree.is_library(children[0]) or children[0].function == HERE:
            break
        inner = children[0]
        folded += 1
    return Box(inner, start, end, node.size_bytes, folded)
