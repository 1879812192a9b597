"""Stacks as a tree of functions: from what allocated to who called it, or from where threads begin down to the allocation.

Nodes are made when they are looked into: a level costs one pass over the records of the node above it, so a report of 200,000
stacks is a tree at once. A worker thread grows nodes, and what it has not finished is as if it had not begun.

Trees are large, and the garbage collector would stop the screen to walk them: a node knows its parent weakly, so that a tree
goes with its last reference, and its records are an array, in which there is nothing to walk.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from weakref import ref

from memtui.leaks.model import BATCH, Cancelled, LeakTable, Order, never
from memtui_parsers.values import Frame

# What stands in for a function: the whole, and the part of a node that goes no further.
ROOT, HERE = -1, -2
# A function that calls itself this often is not followed further by one key.
DEEPEST = 256


class Direction(str, Enum):
    CALLERS = "callers"
    CALLEES = "callees"


class Node:
    """``records`` go through here, largest first; ``depth`` is the number of their frames from the tree's root to here.

    ``children`` None: not grown yet. Their sizes add up to this node's: what goes no further is a child of its own, HERE,
    unless nothing does go further.
    """

    __slots__ = (
        "__weakref__", "_parent", "children", "delta_bytes", "depth", "function", "objects", "records", "size_bytes"
    )  # fmt: skip

    def __init__(
        self, parent: Node | None, function: int, records: Sequence[int], figures: tuple[int, int, int]
    ) -> None:
        self._parent = None if parent is None else ref(parent)
        self.function = function
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.records = records
        self.size_bytes, self.objects, self.delta_bytes = figures
        self.children: tuple[Node, ...] | None = () if function == HERE else None

    @property
    def parent(self) -> Node | None:
        """The node that this one is a child of, as long as its tree lives."""
        return None if self._parent is None else self._parent()

    def path(self) -> list[Node]:
        """From the root's child down to this node."""
        found: list[Node] = []
        node: Node | None = self
        while node is not None and node.function != ROOT:
            found.append(node)
            node = node.parent
        return found[::-1]


class Tree:
    """``records`` of ``table``, largest first. ``order`` is that of the children of a node."""

    def __init__(
        self, table: LeakTable, records: Sequence[int], direction: Direction, order: Order = Order.BYTES
    ) -> None:
        self.table = table
        self.direction = direction
        self.order = order
        self._stacks, self._sizes, self._objects, self._deltas = table.stacks, table.sizes, table.objects, table.deltas
        self.root = Node(None, ROOT, array("L", records), self._figures(records))

    def _figures(self, records: Sequence[int]) -> tuple[int, int, int]:
        delta = sum(map(self._deltas.__getitem__, records)) if self._deltas else 0
        return sum(map(self._sizes.__getitem__, records)), sum(map(self._objects.__getitem__, records)), delta

    def grow(self, node: Node, cancelled: Callable[[], bool] = never) -> tuple[Node, ...]:
        """The node's children. Raises Cancelled."""
        if node.children is not None:
            return node.children
        of, stacks, depth = self.table.functions.of, self._stacks, node.depth
        from_leaf = self.direction is Direction.CALLERS
        at = depth if from_leaf else -1 - depth
        found: dict[int, list[int]] = {}
        here: list[int] = []
        for start in range(0, len(node.records), BATCH):
            if cancelled():
                raise Cancelled
            for index in node.records[start : start + BATCH]:
                stack = stacks[index]
                if depth >= len(stack):
                    here.append(index)
                    continue
                function = of[id(stack[at])]
                records = found.get(function)
                if records is None:
                    found[function] = [index]
                else:
                    records.append(index)
        children = [
            Node(node, function, array("L", records), self._figures(records)) for function, records in found.items()
        ]
        if here and (children or node.function == ROOT):
            children.append(Node(node, HERE, array("L", here), self._figures(here)))
        children.sort(key=self._key())
        node.children = tuple(children)
        return node.children

    def _key(self) -> Callable[[Node], tuple[float, str]]:
        functions = self.table.functions.all

        def name(node: Node) -> str:
            return functions[node.function].name.lower() if node.function >= 0 else ""

        if self.order is Order.OBJECTS:
            return lambda node: (-node.objects, name(node))
        if self.order is Order.AVERAGE:
            return lambda node: (-node.size_bytes / (node.objects or 1), name(node))
        if self.order is Order.FUNCTION or self.order is Order.LOCATION:
            return lambda node: (0, name(node))
        if self.order is Order.CHANGE and self._deltas:
            return lambda node: (-node.delta_bytes, name(node))
        return lambda node: (-node.size_bytes, name(node))

    def frame(self, node: Node, record: int | None = None) -> Frame | None:
        """The frame of a node in its largest record, or in another of its records."""
        if node.function < 0 or not node.records:
            return None
        stack = self._stacks[node.records[0] if record is None else record]
        return stack[node.depth - 1] if self.direction is Direction.CALLERS else stack[-node.depth]

    def frame_index(self, node: Node) -> int:
        """Where that frame is in the stack of its largest record, leaf first; for HERE the frame it is below of."""
        depth = node.depth - 1 if node.function == HERE else node.depth
        length = len(self._stacks[node.records[0]]) if node.records else 0
        at = depth - 1 if self.direction is Direction.CALLERS else length - depth
        return max(0, min(at, length - 1))

    def places(self, node: Node, most: int = 64) -> set[tuple[str | None, int | None]]:
        """The lines that the node stands for, as far as its ``most`` largest records tell."""
        frames = (self.frame(node, record) for record in node.records[:most])
        return {(frame.file, frame.line) for frame in frames if frame is not None}

    def is_library(self, node: Node) -> bool:
        return node.function < 0 or self.table.functions.all[node.function].library

    def name(self, node: Node) -> str:
        """The function's whole name."""
        if node.function >= 0:
            return self.table.functions.all[node.function].name
        if node.function == ROOT:
            return "all"
        if node.depth == 1:
            return "(no stack)"
        return "(called by nothing known)" if self.direction is Direction.CALLERS else "(allocated here)"

    def names(self, node: Node) -> tuple[str, ...]:
        """The way to a node, by which another tree has it too."""
        return tuple(self.name(step) for step in node.path())


class TreeRows:
    """The nodes that are on the screen or would be with a longer one: those under open ones, the root left out."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.rows: list[Node] = list(tree.root.children or ())
        self._open: set[Node] = set()

    def is_open(self, node: Node) -> bool:
        return node in self._open

    def open(self, row: int) -> None:
        """Show the children of the node at ``row``, which has grown, and those of open ones below it."""
        node = self.rows[row]
        if node.children and node not in self._open:
            self._open.add(node)
            self.rows[row + 1 : row + 1] = list(self._below(node))

    def close(self, row: int) -> None:
        node = self.rows[row]
        if node in self._open:
            self._open.discard(node)
            self.rows[row + 1 : self._end(row)] = []

    def _end(self, row: int) -> int:
        depth = self.rows[row].depth
        end = row + 1
        while end < len(self.rows) and self.rows[end].depth > depth:
            end += 1
        return end

    def _below(self, node: Node) -> Iterator[Node]:
        waiting = list(reversed(node.children or ()))
        while waiting:
            child = waiting.pop()
            yield child
            if child in self._open:
                waiting += reversed(child.children or ())

    def open_all(self, nodes: Iterable[Node]) -> None:
        """Open these, which have grown, at once."""
        self._open.update(node for node in nodes if node.children)
        self.rows = list(self._below(self.tree.root))

    def opened(self) -> frozenset[tuple[str, ...]]:
        """The open nodes by the names on the way to them, which another tree can open again."""
        return frozenset(map(self.tree.names, self._open))

    def parent_row(self, row: int) -> int | None:
        parent = self.rows[row].parent
        while row > 0:
            row -= 1
            if self.rows[row] is parent:
                return row
        return None


def single_chain(tree: Tree, node: Node, cancelled: Callable[[], bool] = never) -> list[Node]:
    """``node`` and what opens with it: where there is only one way to go on, there is nothing to choose.

    Towards the callers it ends where the program does. All of them have grown then. Raises Cancelled.
    """
    chain = [node]
    while len(chain) < DEEPEST:
        children = tree.grow(chain[-1], cancelled)
        if len(children) != 1 or children[0].function == HERE:
            break
        if tree.direction is Direction.CALLERS and tree.is_library(children[0]):
            break
        chain.append(children[0])
    return chain


def hottest_path(tree: Tree, node: Node, cancelled: Callable[[], bool] = never) -> list[Node]:
    """``node`` and on from it by the child with the most bytes each time, to the end of the program's own. Raises Cancelled."""
    path = [node]
    while len(path) < DEEPEST:
        children = [child for child in tree.grow(path[-1], cancelled) if child.function != HERE]
        if not children:
            break
        largest = max(children, key=lambda child: child.size_bytes)
        if tree.direction is Direction.CALLERS and tree.is_library(largest) and not tree.is_library(path[-1]):
            break
        path.append(largest)
    return path


def reopened(tree: Tree, opened: frozenset[tuple[str, ...]], cancelled: Callable[[], bool] = never) -> list[Node]:
    """The nodes of ``tree`` at these paths, grown. Raises Cancelled."""
    found: list[Node] = []
    waiting: list[tuple[Node, tuple[str, ...]]] = [(tree.root, ())]
    while waiting:
        node, path = waiting.pop()
        for child in tree.grow(node, cancelled):
            there = (*path, tree.name(child))
            if there in opened:
                found.append(child)
                waiting.append((child, there))
    return found
