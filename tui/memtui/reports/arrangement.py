"""The records of a table filtered, grouped and sorted, and the rows and positions of the list that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from memtui.reports.filter import Filter, PatternError, PatternMatcher
from memtui.reports.groups import groups_of
from memtui.reports.names import place
from memtui.reports.scope import WHOLE, Chip, Scope, records_in
from memtui.reports.table import (
    Cancelled,
    Group,
    Grouping,
    LeakTable,
    Order,
    never,
    shown_group,
    sorted_indexes,
)
from memtui_parsers.report.difference import Change, LeakDelta

E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, slots=True)
class Query:
    """Which records the user wants to see, in which order, and how grouped."""

    scope: Scope = WHOLE
    order: Order = Order.BYTES
    grouping: Grouping = Grouping.STACK

    @property
    def filter(self) -> Filter:
        return self.scope.filter

    @property
    def within(self) -> tuple[Grouping, str] | None:
        return self.scope.within

    def with_filter(self, wanted: Filter) -> Query:
        return replace(self, scope=self.scope._replace(filter=wanted))

    def with_within(self, within: tuple[Grouping, str] | None, grouping: Grouping = Grouping.STACK) -> Query:
        return replace(self, scope=self.scope._replace(within=within), grouping=grouping)

    def with_chips(self, chips: tuple[Chip, ...]) -> Query:
        return replace(self, scope=self.scope._replace(chips=chips))

    def next_order(self, *, comparing: bool = False) -> Query:
        """Return the query in the next order that means something: changes need a comparison, cumulative bytes groups."""
        order = _after(self.order)
        while (order is Order.CHANGE and not comparing) or (order is Order.CUMULATIVE and not self.grouped):
            order = _after(order)
        return replace(self, order=order)

    def next_grouping(self) -> Query:
        return self.with_within(None, _after(self.grouping))

    @property
    def grouped(self) -> bool:
        return self.grouping is not Grouping.STACK


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list. ``record`` is its only record, or the largest of a group; ``stacks`` counts those through it.

    ``size_bytes`` is what a group allocated itself, ``cumulative_bytes`` also what its callees did. ``aside``: of less interest,
    since it is a library's or still reachable. ``change`` is None where nothing is compared; a group is new or gone where all of
    its own stacks are.
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
    cumulative_bytes: int = 0
    aside: bool = False

    @property
    def average_bytes(self) -> float:
        return self.size_bytes / self.objects if self.objects else 0.0


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Arrangement:
    """The rows of ``table`` under ``query``; a row is made when it is drawn.

    ``records`` are the indexes of those that pass the query, largest first; the counts, sizes and changes are their sums.
    ``indexes`` are the rows in their order, as indexes of records, or of ``groups`` where there are any. ``error`` says why a
    filter could not be answered.
    """

    table: LeakTable
    query: Query
    indexes: Sequence[int]
    groups: tuple[Group, ...] = ()
    size_bytes: int = 0
    objects: int = 0
    error: str = ""
    delta_bytes: int = 0
    delta_objects: int = 0
    records: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.indexes)

    @property
    def grouped(self) -> bool:
        return self.query.grouped

    def row(self, position: int) -> Row:
        index = self.indexes[position]
        if not self.grouped:
            return self._record_row(index)
        group = self.groups[index]
        kinds = {self.table.record(member).kind for member in group.members[:64]}
        grouping = self.query.grouping
        return Row(
            record=group.first,
            size_bytes=group.size_bytes,
            objects=group.objects,
            stacks=group.stacks,
            kind="" if not kinds else kinds.pop().value if len(kinds) == 1 else "several",
            function=shown_group(group.name, grouping),
            location=self._location(group) if grouping is Grouping.FUNCTION else "",
            delta_bytes=group.delta_bytes,
            change=group.change,
            cumulative_bytes=group.cumulative_bytes,
            aside=group.library or group.reachable,
        )

    def _location(self, group: Group) -> str:
        """Return the place of a function in its largest record: the line that allocated, or the call that leads there."""
        stack, of_frame = self.table.record(group.first).stack, self.table.functions.of_frame
        return next((place(frame) for frame in stack if of_frame(frame).name == group.name), "")

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
            record.size_bytes,
            aside=self.table.is_aside(record),
        )

    def group_name(self, position: int) -> str:
        return self.groups[self.indexes[position]].name

    def share(self, size_bytes: int) -> float:
        """Return which share of the whole report ``size_bytes`` is, 0 to 1."""
        total = self.table.total_bytes
        return max(0.0, min(1.0, size_bytes / total)) if total > 0 else 0.0

    def position_of(self, record: int) -> int | None:
        """Return the position of the row that has this record in it; None where no row has."""
        if not 0 <= record < len(self.table.names):
            return None
        if not self.grouped:
            try:
                return self.indexes.index(record)
            except ValueError:
                return None
        wanted = self.table.group_of(record, self.query.grouping)
        for position, index in enumerate(self.indexes):
            if self.groups[index].name == wanted:
                return position
        return None


def arrange(
    table: LeakTable,
    query: Query,
    match_pattern: PatternMatcher,
    cancelled: Callable[[], bool] = never,
    before: Arrangement | None = None,
) -> Arrangement:
    """Return the arrangement of a query, in seconds for 200,000 records. Raises Cancelled.

    A bad pattern gives an arrangement without rows whose ``error`` says why. ``before``: an arrangement whose records and
    groups are reused where the query has the same.
    """
    if before is not None and (before.table is not table or before.query.scope != query.scope or before.error):
        before = None
    try:
        records = before.records if before is not None else records_in(table, query.scope, match_pattern, cancelled)
    except PatternError as error:
        return Arrangement(table, query, (), error=str(error))
    leaks = table.report.leaks
    size_bytes = sum(leaks[index].size_bytes for index in records)
    objects = sum(leaks[index].objects for index in records)
    deltas = () if table.difference is None else table.difference.deltas
    delta_bytes = sum(deltas[index].delta_bytes for index in records) if deltas else 0
    delta_objects = sum(deltas[index].delta_objects for index in records) if deltas else 0
    groups: tuple[Group, ...] = ()
    if not query.grouped:
        indexes = _sorted_records(table, records, query.order, cancelled)
    else:
        if before is not None and before.query.grouping is query.grouping:
            groups = before.groups
        else:
            groups = _groups(table, records, query, cancelled)
        indexes = _sorted_groups(table, groups, query.order, cancelled)
    return Arrangement(
        table,
        query,
        indexes,
        groups,
        size_bytes,
        objects,
        delta_bytes=delta_bytes,
        delta_objects=delta_objects,
        records=records,
    )


def _groups(table: LeakTable, records: Sequence[int], query: Query, cancelled: Callable[[], bool]) -> tuple[Group, ...]:
    """Return the groups of these records. Those of all records take seconds, and are shown again and again: they are kept."""
    if query.scope.narrowed:
        return groups_of(table, records, query.grouping, cancelled)
    groups = table.grouped.get(query.grouping)
    if groups is None:
        groups = table.grouped[query.grouping] = groups_of(table, records, query.grouping, cancelled)
    return groups


def _sorted_records(
    table: LeakTable, records: Sequence[int], order: Order, cancelled: Callable[[], bool]
) -> Sequence[int]:
    leaks = table.report.leaks
    if order in (Order.BYTES, Order.CUMULATIVE) or (order is Order.CHANGE and table.difference is None):
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


def _sorted_by_change(
    indexes: Sequence[int], deltas: Sequence[LeakDelta] | Sequence[Group], cancelled: Callable[[], bool]
) -> list[int]:
    """Return the indexes, what has grown most first; what is gone comes last, the largest first."""
    there = [index for index in indexes if deltas[index].change is not Change.GONE]
    gone = [index for index in indexes if deltas[index].change is Change.GONE]
    return [
        *sorted_indexes(there, lambda index: deltas[index].delta_bytes, cancelled),
        *sorted_indexes(gone, lambda index: -deltas[index].delta_bytes, cancelled),
    ]


def _sorted_groups(
    table: LeakTable, groups: tuple[Group, ...], order: Order, cancelled: Callable[[], bool]
) -> Sequence[int]:
    positions = range(len(groups))
    if order is Order.CHANGE and table.difference is not None:
        return _sorted_by_change(positions, groups, cancelled)
    if order is Order.FUNCTION:
        return sorted(positions, key=lambda i: groups[i].name.lower())
    if order is Order.LOCATION:
        return sorted(positions, key=lambda i: (table.names[groups[i].first].location, groups[i].name.lower()))
    if order is Order.OBJECTS:
        return sorted_indexes(positions, lambda i: groups[i].objects, cancelled)
    if order is Order.AVERAGE:
        return sorted_indexes(positions, lambda i: groups[i].size_bytes / (groups[i].objects or 1), cancelled)
    # What a group allocated itself decides, then what goes through it; by cumulative bytes the other way round.
    flat, through = ([getattr(group, name) for group in groups] for name in ("size_bytes", "cumulative_bytes"))
    first, second = (through, flat) if order is Order.CUMULATIVE else (flat, through)
    least = -1 - max(first, default=0)
    keys = [key + least if group.reachable else key for key, group in zip(first, groups, strict=True)]
    return sorted_indexes(sorted_indexes(positions, second.__getitem__, cancelled), keys.__getitem__, cancelled)


def _after(choice: E) -> E:
    choices = list(type(choice))
    return choices[(choices.index(choice) + 1) % len(choices)]
