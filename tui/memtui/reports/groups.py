"""Records grouped by function, file, library or namespace: what each group allocated itself, and what goes through it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby

from memtui.reports.table import BATCH, Cancelled, Group, Grouping, LeakTable
from memtui_parsers.report.difference import Change, LeakDelta
from memtui_parsers.values import LeakKind


def groups_of(
    table: LeakTable, records: Sequence[int], grouping: Grouping, cancelled: Callable[[], bool]
) -> tuple[Group, ...]:
    """Return every group that is on a stack of ``records``, which are largest first: 2 s for 200,000. Raises Cancelled."""
    frames = table.group_names(grouping)
    of, sizes, names = frames.of, table.sizes, table.names
    count = len(frames.names)
    cumulative, stacks, first = [0] * count, [0] * count, [-1] * count
    members: dict[int, list[int]] = {}
    seen: set[int] = set()
    for start in range(0, len(records), BATCH):
        if cancelled():
            raise Cancelled
        # Records of one size are next to each other, and counted together: most records of a large report have few sizes.
        for size, alike in groupby(records[start : start + BATCH], sizes.__getitem__):
            through: list[int] = []
            for index in alike:
                stack, program = table.stacks[index], names[index].program
                own = 0 if program is None else of[id(stack[program])]
                members.setdefault(own, []).append(index)
                groups = set(map(of.__getitem__, map(id, stack)))
                groups.discard(0)
                if not own:
                    groups.add(0)
                if not groups <= seen:
                    for group in groups - seen:
                        first[group] = index
                    seen |= groups
                through += groups
            for group, times in Counter(through).items():
                cumulative[group] += size * times
                stacks[group] += times
    library = _library_groups(table, grouping)
    return tuple(
        _group(table, frames.names[n], first[n], members.get(n, ()), cumulative[n], stacks[n], n in library)
        for n in range(count)
        if stacks[n]
    )


def _group(
    table: LeakTable, name: str, first: int, members: Sequence[int], cumulative_bytes: int, stacks: int, library: bool
) -> Group:
    leaks = table.report.leaks
    deltas = () if table.difference is None else table.difference.deltas
    of_members = [deltas[index] for index in members] if deltas else []
    return Group(
        name=name,
        first=members[0] if members else first,
        members=tuple(members),
        size_bytes=sum(leaks[index].size_bytes for index in members),
        objects=sum(leaks[index].objects for index in members),
        cumulative_bytes=cumulative_bytes,
        stacks=stacks,
        library=library,
        reachable=bool(members) and all(leaks[index].kind is LeakKind.STILL_REACHABLE for index in members[:BATCH]),
        delta_bytes=sum(delta.delta_bytes for delta in of_members),
        change=_change_of_all(of_members) if of_members else None,
    )


def _library_groups(table: LeakTable, grouping: Grouping) -> frozenset[int]:
    """Return the groups that have no frame of the program's own."""
    of = table.group_names(grouping).of
    own = {group for identity, group in of.items() if identity not in table.library}
    return frozenset(of.values()) - own


def _change_of_all(deltas: Sequence[LeakDelta]) -> Change:
    changes = {delta.change for delta in deltas}
    if len(changes) == 1:
        return changes.pop()
    more = sum(delta.delta_bytes for delta in deltas)
    return Change.GROWN if more > 0 else Change.SHRUNK if more < 0 else Change.SAME
