"""The views of a report's leaks, and the answer to what a view needs: worked out by a thread, shown by a widget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from memtui.leaks.arrange import Arrangement, Query, arrange
from memtui.leaks.errors import ErrorRows, errors_passing
from memtui.leaks.filter import PatternMatcher
from memtui.leaks.model import Grouping, LeakTable, never
from memtui.leaks.tree import ROOT, Direction, Node, Tree, TreeRows, reopened, single_chain


class View(str, Enum):
    LIST = "list"
    CALLERS = "callers"
    CALLEES = "callees"
    ICICLE = "icicle"
    ERRORS = "errors"


DIRECTIONS = {View.CALLERS: Direction.CALLERS, View.CALLEES: Direction.CALLEES, View.ICICLE: Direction.CALLEES}

Path = tuple[str, ...]


def next_view(view: View, *, errors: bool) -> View:
    """``errors``: there are such to show."""
    views = [one for one in View if errors or one is not View.ERRORS]
    return views[(views.index(view) + 1) % len(views)] if view in views else View.LIST


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be on the screen. ``opened`` are a tree's open nodes, ``held`` the one under the cursor; else ``record`` is.

    ``zoomed``: the one that fills the icicle.
    """

    query: Query
    view: View = View.LIST
    opened: frozenset[Path] = frozenset()
    held: Path = ()
    zoomed: Path = ()
    record: int | None = None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Answer:
    """``branches``, ``node``, the one to begin with, and ``zoomed`` for the views that are trees, ``errors`` for theirs."""

    wish: Wish
    arrangement: Arrangement
    branches: TreeRows | None = None
    node: Node | None = None
    zoomed: Node | None = None
    errors: ErrorRows | None = None


def answer(
    table: LeakTable,
    wish: Wish,
    match_pattern: PatternMatcher,
    known: Arrangement | None = None,
    cancelled: Callable[[], bool] = never,
) -> Answer:
    """``known``: an arrangement that may do still. Raises Cancelled."""
    query = wish.query
    if wish.view is not View.LIST:
        # Groups take their time, and are for the list alone.
        query = replace(query, grouping=Grouping.STACK)
    arrangement = known
    if known is None or known.table is not table or known.query != query:
        arrangement = arrange(table, query, match_pattern, cancelled, known)
    assert arrangement is not None
    if wish.view is View.ERRORS:
        errors = errors_passing(table.report.errors, query.filter, match_pattern, cancelled)
        return Answer(wish, arrangement, errors=errors)
    if wish.view is View.LIST:
        return Answer(wish, arrangement)
    tree = Tree(table, arrangement.records, DIRECTIONS[wish.view], query.order)
    tree.grow(tree.root, cancelled)
    rows = TreeRows(tree)
    if wish.view is not View.ICICLE:
        chain = [] if wish.opened else single_chain(tree, tree.root, cancelled)[1:]
        rows.open_all([*chain, *reopened(tree, wish.opened, cancelled)])
    node = _node_at(tree, wish.held, cancelled)
    if node is None and wish.record is not None and wish.view is View.ICICLE:
        node = _way_to(tree, wish.record, cancelled)
    return Answer(wish, arrangement, rows, node, _node_at(tree, wish.zoomed, cancelled))


def _node_at(tree: Tree, path: Path, cancelled: Callable[[], bool]) -> Node | None:
    """The node at this path, or the last of it that there still is."""
    node = tree.root
    for name in path:
        found = next((child for child in tree.grow(node, cancelled) if tree.name(child) == name), None)
        if found is None:
            break
        node = found
    return None if node.function == ROOT else node


def _way_to(tree: Tree, record: int, cancelled: Callable[[], bool]) -> Node | None:
    """The node of the frame that a record is named by."""
    stack = tree.table.record(record).stack
    program = tree.table.names[record].program
    names = [tree.table.functions.of_frame(frame).name for frame in stack[program or 0 :][::-1]]
    return _node_at(tree, tuple(names[:256]), cancelled)
