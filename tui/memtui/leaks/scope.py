"""Which records are looked at: those that pass the filter, lie in the group entered, and through the functions in focus."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from memtui.leaks.filter import Filter, PatternMatcher, passing
from memtui.leaks.model import BATCH, Cancelled, Grouping, LeakTable, never


class ChipKind(str, Enum):
    FOCUS = "focus"
    HIDE = "hide"


class Chip(NamedTuple):
    """A function by its whole name: only stacks through it, or none of them."""

    kind: ChipKind
    function: str


class Scope(NamedTuple):
    """``within``: only the records through this group of that grouping. ``chips`` in the order they were put on."""

    filter: Filter = Filter()
    within: tuple[Grouping, str] | None = None
    chips: tuple[Chip, ...] = ()

    @property
    def narrowed(self) -> bool:
        return bool(self.filter.terms or self.chips) or self.within is not None


WHOLE = Scope()


def records_in(
    table: LeakTable, scope: Scope, match_pattern: PatternMatcher, cancelled: Callable[[], bool] = never
) -> list[int]:
    """Their indexes, largest first. Raises Cancelled, and PatternError for a filter that cannot be answered."""
    records = passing(table, scope.filter, match_pattern, cancelled)
    if scope.within is not None:
        records = _within(table, records, *scope.within, cancelled)
    for chip in scope.chips:
        frames = table.functions.frames_of(chip.function)
        records = _through(table, records, frames, chip.kind is ChipKind.FOCUS, cancelled)
    return records


def _within(
    table: LeakTable, records: list[int], grouping: Grouping, name: str, cancelled: Callable[[], bool]
) -> list[int]:
    groups = table.group_names(grouping)
    if not name or name not in groups.names:
        return [index for index in records if table.group_of(index, grouping) == name]
    wanted = groups.names.index(name)
    frames = frozenset(identity for identity, group in groups.of.items() if group == wanted)
    return _through(table, records, frames, True, cancelled)


def _through(
    table: LeakTable, records: list[int], frames: frozenset[int], wanted: bool, cancelled: Callable[[], bool]
) -> list[int]:
    leaks = table.report.leaks
    kept: list[int] = []
    for start in range(0, len(records), BATCH):
        if cancelled():
            raise Cancelled
        batch = records[start : start + BATCH]
        kept += [index for index in batch if frames.isdisjoint(map(id, leaks[index].stack)) is not wanted]
    return kept
