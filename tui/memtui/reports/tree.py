"""Stacks as a tree of functions: of callers, from the allocation up, or of callees, from a thread's first function down.

The tree of callers begins behind the allocator, and behind what only passes allocations on.

Children are made when a node is first opened: a level costs one pass over the records of the node above it, so the tree of
200,000 stacks is there at once. A worker thread grows nodes; one that it has not finished stays as it was.

Trees are large, and the garbage collector would stop the screen to walk them: a node refers to its parent weakly, so that a
tree is freed with its last reference, and its records are an array, which the collector need not walk.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from weakref import ref

from memtui.reports.names import base_name
from memtui.reports.table import BATCH, Cancelled, LeakTable, Order, never
from memtui_parsers.clean_text import clean
from memtui_parsers.values import Frame

# Stand for a function: the root, and the part of a node that goes no further.
ROOT, HERE = -1, -2
# A function that calls itself this often is not followed further by one key.
DEEPEST = 256
# As many of a node's records, its largest, are searched for its location.
_LOCATED = 64


class Direction(str, Enum):
    """What the children of a node are."""

    CALLERS = "callers"
    CALLEES = "callees"


class Node:
    """One function at one place of the tree, with the ``records`` that go through it, largest first.

    ``depth`` is the number of their frames from the tree's root to here. ``children`` is None until the node has grown. Their
    sizes add up to this node's: what goes no further is a child of its own, HERE, if anything does go further.
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
        """Return the nodes from the root's child down to this one."""
        path: list[Node] = []
        node: Node | None = self
        while node is not None and node.function != ROOT:
            path.append(node)
            node = node.parent
        return path[::-1]


class Tree:
    """The tree of ``records`` of ``table``, largest first. ``order`` is that of the children of a node."""

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
        """Return the node's children, made if need be. Raises Cancelled."""
        if node.children is not None:
            return node.children
        of, stacks, names, depth = self.table.functions.of, self._stacks, self.table.names, node.depth
        from_leaf = self.direction is Direction.CALLERS
        by_function: dict[int, list[int]] = {}
        here: list[int] = []
        for start in range(0, len(node.records), BATCH):
            if cancelled():
                raise Cancelled
            for index in node.records[start : start + BATCH]:
                stack = stacks[index]
                at = names[index].begin + depth if from_leaf else depth
                if at >= len(stack):
                    here.append(index)
                    continue
                function = of[id(stack[at if from_leaf else -1 - at])]
                records = by_function.get(function)
                if records is None:
                    by_function[function] = [index]
                else:
                    records.append(index)
        children = [
            Node(node, function, array("L", records), self._figures(records))
            for function, records in by_function.items()
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
        """Return the frame of a node in its largest record, or in another of its records; None for ROOT and HERE."""
        if node.function < 0 or not node.records:
            return None
        index = node.records[0] if record is None else record
        stack, begin = self._stacks[index], self.table.names[index].begin
        return stack[begin + node.depth - 1] if self.direction is Direction.CALLERS else stack[-node.depth]

    def frame_index(self, node: Node) -> int:
        """Return the index of that frame in the stack of the largest record, leaf first; for HERE that of the node above."""
        depth = node.depth - 1 if node.function == HERE else node.depth
        length = len(self._stacks[node.records[0]]) if node.records else 0
        begin = self.table.names[node.records[0]].begin if node.records else 0
        at = begin + depth - 1 if self.direction is Direction.CALLERS else length - depth
        return max(0, min(at, length - 1))

    def location(self, node: Node) -> str:
        """Return ``server.cpp:131``; the file alone if the node has several of its lines, the module if no file is known."""
        if node.function < 0:
            return ""
        frames = [frame for record in node.records[:_LOCATED] if (frame := self.frame(node, record)) is not None]
        files = {base_name(frame.file) for frame in frames if frame.file}
        if len(files) != 1:
            return f"{len(files)} files" if files else self.table.functions.all[node.function].module
        file, lines = clean(files.pop()), {frame.line for frame in frames}
        line = lines.pop() if len(lines) == 1 else None
        return f"{file}:{line}" if line else file

    def ends(self, node: Node) -> bool:
        """Return whether the node has no children. A single record tells this without growing the node."""
        if node.function == HERE or node.children == ():
            return True
        if len(node.records) != 1:
            return False
        begin = self.table.names[node.records[0]].begin if self.direction is Direction.CALLERS else 0
        return len(self.table.record(node.records[0]).stack) <= begin + node.depth

    def is_library(self, node: Node) -> bool:
        return node.function < 0 or self.table.functions.all[node.function].library

    def name(self, node: Node) -> str:
        """Return the function's whole name, or words for ROOT and HERE."""
        if node.function >= 0:
            return self.table.functions.all[node.function].name
        if node.function == ROOT:
            return "all"
        if node.depth == 1:
            return "(no stack)"
        return "(called by nothing known)" if self.direction is Direction.CALLERS else "(allocated here)"

    def names(self, node: Node) -> tuple[str, ...]:
        """Return the names on the way to a node, which find it in another tree too."""
        return tuple(self.name(step) for step in node.path())


class TreeRows:
    """The rows of a tree: the nodes whose parents are all open, without the root."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.rows: list[Node] = list(tree.root.children or ())
        self._open: set[Node] = set()

    def is_open(self, node: Node) -> bool:
        return node in self._open

    def open(self, row: int) -> None:
        """Add the rows below the node at ``row``, which has grown."""
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
        """Open these nodes, which have grown, all at once."""
        self._open.update(node for node in nodes if node.children)
        self.rows = list(self._below(self.tree.root))

    def opened(self) -> frozenset[tuple[str, ...]]:
        """Return the open nodes as the names on the way to each, which reopened() finds in another tree."""
        return frozenset(map(self.tree.names, self._open))

    def parent_row(self, row: int) -> int | None:
        parent = self.rows[row].parent
        return next((above for above in range(row - 1, -1, -1) if self.rows[above] is parent), None)


def single_chain(tree: Tree, node: Node, cancelled: Callable[[], bool] = never) -> list[Node]:
    """Return ``node`` and the nodes that open with it: while a node has only one child, there is nothing to choose.

    Among callers the chain ends where the program does. All of its nodes have grown. Raises Cancelled.
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
    """Return ``node`` and, from each node on, the child with the most bytes, as far as the program goes. Raises Cancelled."""
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
    """Return the nodes of ``tree`` at these paths, grown. Raises Cancelled."""
    nodes: list[Node] = []
    waiting: list[tuple[Node, tuple[str, ...]]] = [(tree.root, ())]
    while waiting:
        node, path = waiting.pop()
        for child in tree.grow(node, cancelled):
            child_path = (*path, tree.name(child))
            if child_path in opened:
                nodes.append(child)
                waiting.append((child, child_path))
    return nodes
