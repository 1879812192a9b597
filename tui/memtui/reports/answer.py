"""The views of a report's leaks: the data that each shows, worked out by a thread, and what is selected in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from memtui.reports.arrangement import Arrangement, Query, arrange
from memtui.reports.errors import ErrorRows, errors_passing
from memtui.reports.filter import PatternMatcher
from memtui.reports.table import Grouping, LeakTable, never
from memtui.reports.tree import ROOT, Direction, Node, Tree, TreeRows, reopened, single_chain
from memtui_parsers.values import Frame


class View(str, Enum):
    LIST = "list"
    CALLERS = "callers"
    CALLEES = "callees"
    ICICLE = "icicle"
    ERRORS = "errors"


DIRECTIONS = {View.CALLERS: Direction.CALLERS, View.CALLEES: Direction.CALLEES, View.ICICLE: Direction.CALLEES}

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """The query and the view that are wanted, with the user's place in it.

    ``opened`` are the open nodes of a tree, ``held`` the node under the cursor, ``zoomed`` the one that fills the icicle, all by
    the names on the way to them. ``record`` is the record under the cursor, where no node is held.
    """

    query: Query
    view: View = View.LIST
    opened: frozenset[Path] = frozenset()
    held: Path = ()
    zoomed: Path = ()
    record: int | None = None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Answer:
    """The data of the wanted view.

    Views that are trees have ``branches``, the ``node`` that the cursor begins on, and the node ``zoomed`` to; the view of the
    errors has ``errors``.
    """

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
    before: Arrangement | None = None,
    cancelled: Callable[[], bool] = never,
) -> Answer:
    """Return the answer to a wish. ``before``: the arrangement until now, reused where it fits. Raises Cancelled."""
    query = wish.query
    if wish.view is not View.LIST:
        # Only the list shows groups, and they take seconds.
        query = replace(query, grouping=Grouping.STACK)
    if before is not None and before.table is table and before.query == query:
        arrangement = before
    else:
        arrangement = arrange(table, query, match_pattern, cancelled, before)
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
        node = _node_of(tree, wish.record, cancelled)
    return Answer(wish, arrangement, rows, node, _node_at(tree, wish.zoomed, cancelled))


def _node_at(tree: Tree, path: Path, cancelled: Callable[[], bool]) -> Node | None:
    """Return the node at this path, or the last one on it that there still is; None for the root."""
    node = tree.root
    for name in path:
        named = next((child for child in tree.grow(node, cancelled) if tree.name(child) == name), None)
        if named is None:
            break
        node = named
    return None if node.function == ROOT else node


def _node_of(tree: Tree, record: int, cancelled: Callable[[], bool]) -> Node | None:
    """Return the node of the frame that a record is named by, in a tree of callees."""
    stack = tree.table.record(record).stack
    program = tree.table.names[record].program
    names = [tree.table.functions.of_frame(frame).name for frame in stack[program or 0 :][::-1]]
    return _node_at(tree, tuple(names[:256]), cancelled)


# Positions of the rows above the list's own.
NOTES, ERRORS = -1, -2


class Selection(NamedTuple):
    """The selected record, or the largest of several. ``function`` is '' where none with a name is selected."""

    record: int | None = None
    frame: Frame | None = None
    function: str = ""


NOTHING = Selection()


def row_selection(arrangement: Arrangement, position: int) -> Selection:
    """Return the selection of a row of the list: the program's own frame, or in a group that of the group."""
    if not 0 <= position < len(arrangement):
        return NOTHING
    table, record = arrangement.table, arrangement.row(position).record
    stack, program = table.record(record).stack, table.names[record].program
    own_frame = None if program is None else stack[program]
    if arrangement.query.grouping is Grouping.FUNCTION:
        name = arrangement.group_name(position)
        in_group = (frame for frame in stack if table.functions.of_frame(frame).name == name)
        return Selection(record, next(in_group, own_frame), name)
    return Selection(record, own_frame, function_of(table, own_frame))


def node_selection(tree: Tree, node: Node) -> Selection:
    """Return the selection of a node of a tree: its frame in its largest record."""
    if not node.records:
        return NOTHING
    record = node.records[0]
    stack = tree.table.record(record).stack
    frame = stack[tree.frame_index(node)] if stack else None
    return Selection(record, frame, tree.name(node) if node.function >= 0 else "")


def function_of(table: LeakTable, frame: Frame | None) -> str:
    """Return the whole name of a frame's function; '' without a frame, or for one of another table."""
    return "" if frame is None or id(frame) not in table.functions.of else table.functions.of_frame(frame).name
