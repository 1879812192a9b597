"""What is in hand, whichever view it is in: a record, a frame of its stack, and the function that focus and hide mean."""

from __future__ import annotations

from typing import NamedTuple

from memtui.leaks.arrange import Arrangement
from memtui.leaks.model import Grouping, LeakTable
from memtui.leaks.tree import Node, Tree
from memtui_parsers.values import Frame


class Picked(NamedTuple):
    """``record`` is the largest of several; ``function`` '' where there is none that has a name."""

    record: int | None = None
    frame: Frame | None = None
    function: str = ""


NOTHING = Picked()


def of_row(arrangement: Arrangement, position: int) -> Picked:
    """A row of the list: its program's own frame, or in a group the group's."""
    if not 0 <= position < len(arrangement):
        return NOTHING
    table, record = arrangement.table, arrangement.row(position).record
    stack, program = table.record(record).stack, table.names[record].program
    own = None if program is None else stack[program]
    if arrangement.query.grouping is Grouping.FUNCTION:
        name = arrangement.group_name(position)
        of, functions = table.functions.of, table.functions.all
        frame = next((frame for frame in stack if functions[of[id(frame)]].name == name), own)
        return Picked(record, frame, name)
    return Picked(record, own, function_of(table, own))


def of_node(tree: Tree, node: Node) -> Picked:
    if not node.records:
        return NOTHING
    record = node.records[0]
    stack = tree.table.record(record).stack
    frame = stack[tree.frame_index(node)] if stack else None
    return Picked(record, frame, tree.name(node) if node.function >= 0 else "")


def function_of(table: LeakTable, frame: Frame | None) -> str:
    return "" if frame is None or id(frame) not in table.functions.of else table.functions.of_frame(frame).name
