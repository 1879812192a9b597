"""The list as asked for: filtered, grouped and sorted; positions in it, and how the cursor finds its place again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeVar

from memtui.leaks.filter import Filter, PatternError, PatternMatcher, passing
from memtui.leaks.model import (
    Cancelled,
    Grouping,
    LeakTable,
    Order,
    never,
    shown_group,
    sorted_indexes,
)
from memtui_parsers.report_diff import Change, LeakDelta

E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, slots=True)
class Query:
    """What the user asked to see. ``within``: only the records of this group of that grouping."""

    filter: Filter = field(default_factory=Filter)
    order: Order = Order.BYTES
    grouping: Grouping = Grouping.STACK
    within: tuple[Grouping, str] | None = None

    def next_order(self, *, comparing: bool = False) -> Query:
        order = _after(self.order)
        return replace(self, order=_after(order) if order is Order.CHANGE and not comparing else order)

    def next_grouping(self) -> Query:
        return replace(self, grouping=_after(self.grouping), within=None)

    @property
    def filtered(self) -> bool:
        return bool(self.filter.terms) or self.within is not None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list. ``record`` is its only record, or a group's largest; ``stacks`` how many it stands for.

    ``change`` None: nothing is compared. A group is new or gone where all of its stacks are.
    """

    record: int
    size_bytes: int
    objects: int
    stacks: int
    kind: str
    function: str
    location: str
    delta_bytes: int = 0
    change: Change | None = None

    @property
    def average_bytes(self) -> float:
        return self.size_bytes / self.objects if self.objects else 0.0


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    members: tuple[int, ...]
    size_bytes: int
    objects: int
    delta_bytes: int = 0
    change: Change | None = None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Arrangement:
    """The rows of ``table`` under ``query``; a row is made when it is looked at.

    ``indexes`` are records, or with ``groups`` positions in those. Totals are of what passed the filter.
    """

    table: LeakTable
    query: Query
    indexes: Sequence[int]
    groups: tuple[_Group, ...] = ()
    record_count: int = 0
    size_bytes: int = 0
    objects: int = 0
    error: str = ""
    delta_bytes: int = 0
    delta_objects: int = 0

    def __len__(self) -> int:
        return len(self.indexes)

    @property
    def grouped(self) -> bool:
        return self.query.grouping is not Grouping.STACK

    def row(self, position: int) -> Row:
        index = self.indexes[position]
        if not self.grouped:
            return self._record_row(index)
        group = self.groups[index]
        if len(group.members) == 1:
            kind = self.table.record(group.members[0]).kind.value
        else:
            kinds = {self.table.record(member).kind for member in group.members[:64]}
            kind = kinds.pop().value if len(kinds) == 1 else "several"
        grouping = self.query.grouping
        first = self.table.names[group.members[0]]
        return Row(
            record=group.members[0],
            size_bytes=group.size_bytes,
            objects=group.objects,
            stacks=len(group.members),
            kind=kind,
            function=shown_group(group.name, grouping),
            location=first.location if grouping is Grouping.FUNCTION else "",
            delta_bytes=group.delta_bytes,
            change=group.change,
        )

    def _record_row(self, index: int) -> Row:
        record, name = self.table.record(index), self.table.names[index]
        delta = self.table.delta(index)
        return Row(
            index,
            record.size_bytes,
            record.objects,
            1,
            record.kind.value,
            name.function,
            name.location,
            0 if delta is None else delta.delta_bytes,
            None if delta is None else delta.change,
        )

    def group_name(self, position: int) -> str:
        return self.groups[self.indexes[position]].name

    def share(self, size_bytes: int) -> float:
        """``size_bytes`` of the whole report, 0 to 1."""
        total = self.table.total_bytes
        return max(0.0, min(1.0, size_bytes / total)) if total > 0 else 0.0

    def position_of(self, record: int) -> int | None:
        """Where the row stands that has this record in it."""
        if not 0 <= record < len(self.table.names):
            return None
        if not self.grouped:
            return _find(self.indexes, record)
        wanted = self.table.group_of(record, self.query.grouping)
        for position, index in enumerate(self.indexes):
            if self.groups[index].name == wanted:
                return position
        return None


def arrange(
    table: LeakTable, query: Query, match_pattern: PatternMatcher, cancelled: Callable[[], bool] = never
) -> Arrangement:
    """Work for a worker thread; raises Cancelled. A bad pattern gives an arrangement without rows whose ``error`` says why."""
    try:
        records = passing(table, query.filter, match_pattern, cancelled)
    except PatternError as error:
        return Arrangement(table, query, (), error=str(error))
    if query.within is not None:
        grouping, name = query.within
        records = [index for index in records if table.group_of(index, grouping) == name]
    leaks = table.report.leaks
    size_bytes = sum(leaks[index].size_bytes for index in records)
    objects = sum(leaks[index].objects for index in records)
    deltas = () if table.difference is None else table.difference.deltas
    delta_bytes = sum(deltas[index].delta_bytes for index in records) if deltas else 0
    delta_objects = sum(deltas[index].delta_objects for index in records) if deltas else 0
    groups: tuple[_Group, ...] = ()
    if query.grouping is Grouping.STACK:
        indexes = _sorted_records(table, records, query.order, cancelled)
    else:
        groups = _groups(table, records, query.grouping, cancelled)
        indexes = _sorted_groups(table, groups, query.order, cancelled)
    return Arrangement(
        table,
        query,
        indexes,
        groups,
        len(records),
        size_bytes,
        objects,
        delta_bytes=delta_bytes,
        delta_objects=delta_objects,
    )


def _sorted_records(table: LeakTable, records: list[int], order: Order, cancelled: Callable[[], bool]) -> Sequence[int]:
    leaks = table.report.leaks
    if order is Order.BYTES or (order is Order.CHANGE and table.difference is None):
        return records
    if order is Order.CHANGE and table.difference is not None:
        return _sorted_by_change(records, table.difference.deltas, cancelled)
    if order is Order.OBJECTS:
        return sorted_indexes(records, lambda index: leaks[index].objects, cancelled)
    if order is Order.AVERAGE:
        return sorted_indexes(records, lambda index: leaks[index].size_bytes / (leaks[index].objects or 1), cancelled)
    # Names repeat: sorting the distinct ones and stringing together their records is much less than sorting records.
    by_name: dict[str, list[int]] = {}
    for index in records:
        name = table.names[index]
        by_name.setdefault(name.function if order is Order.FUNCTION else name.location, []).append(index)
    if cancelled():
        raise Cancelled
    return [index for name in sorted(by_name, key=str.lower) for index in by_name[name]]


def _groups(
    table: LeakTable, records: list[int], grouping: Grouping, cancelled: Callable[[], bool]
) -> tuple[_Group, ...]:
    members: dict[str, list[int]] = {}
    for index in records:
        members.setdefault(table.group_of(index, grouping), []).append(index)
    if cancelled():
        raise Cancelled
    leaks = table.report.leaks
    deltas = () if table.difference is None else table.difference.deltas
    return tuple(
        _Group(
            name,
            tuple(indexes),
            sum(leaks[index].size_bytes for index in indexes),
            sum(leaks[index].objects for index in indexes),
            sum(deltas[index].delta_bytes for index in indexes) if deltas else 0,
            _change_of_all([deltas[index] for index in indexes]) if deltas else None,
        )
        for name, indexes in members.items()
    )


def _change_of_all(deltas: Sequence[LeakDelta]) -> Change:
    changes = {delta.change for delta in deltas}
    if len(changes) == 1:
        return changes.pop()
    more = sum(delta.delta_bytes for delta in deltas)
    return Change.GROWN if more > 0 else Change.SHRUNK if more < 0 else Change.SAME


def _sorted_by_change(
    indexes: Sequence[int], deltas: Sequence[LeakDelta] | Sequence[_Group], cancelled: Callable[[], bool]
) -> list[int]:
    """What has grown most first; what is gone stands at the end, the largest first."""
    there = [index for index in indexes if deltas[index].change is not Change.GONE]
    gone = [index for index in indexes if deltas[index].change is Change.GONE]
    return [
        *sorted_indexes(there, lambda index: deltas[index].delta_bytes, cancelled),
        *sorted_indexes(gone, lambda index: -deltas[index].delta_bytes, cancelled),
    ]


def _sorted_groups(
    table: LeakTable, groups: tuple[_Group, ...], order: Order, cancelled: Callable[[], bool]
) -> Sequence[int]:
    positions = range(len(groups))
    if order is Order.CHANGE and table.difference is not None:
        return _sorted_by_change(positions, groups, cancelled)
    if order is Order.FUNCTION:
        return sorted(positions, key=lambda i: groups[i].name.lower())
    if order is Order.LOCATION:
        return sorted(positions, key=lambda i: (table.names[groups[i].members[0]].location, groups[i].name.lower()))
    if order is Order.OBJECTS:
        return sorted_indexes(positions, lambda i: groups[i].objects, cancelled)
    if order is Order.AVERAGE:
        return sorted_indexes(positions, lambda i: groups[i].size_bytes / (groups[i].objects or 1), cancelled)
    return sorted_indexes(positions, lambda i: groups[i].size_bytes, cancelled)


def _after(choice: E) -> E:
    choices = list(type(choice))
    return choices[(choices.index(choice) + 1) % len(choices)]


def _find(indexes: Sequence[int], record: int) -> int | None:
    try:
        return indexes.index(record)
    except ValueError:
        return None
