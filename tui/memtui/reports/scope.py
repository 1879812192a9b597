"""The records that are shown: those that pass the filter, are in the group entered, and go through the functions in focus."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from memtui.reports.filter import Filter, PatternMatcher, passing
from memtui.reports.table import BATCH, Cancelled, Grouping, LeakTable, never


class ChipKind(str, Enum):
    """What a chip does with the stacks through its function: SKIP leaves them, but names no leak by it."""

    FOCUS = "focus"
    HIDE = "hide"
    SKIP = "skip"


class Chip(NamedTuple):
    """A function by its whole name: only the stacks through it are shown, or none of them. To be skipped: or a pattern."""

    kind: ChipKind
    function: str


class Scope(NamedTuple):
    """The filter, the group entered (its grouping and name), and the chips in the order they were added; all must hold."""

    filter: Filter = ()
    within: tuple[Grouping, str] | None = None
    chips: tuple[Chip, ...] = ()

    @property
    def narrowed(self) -> bool:
        """Whether any record may be left out."""
        return bool(self.filter or self.narrowing) or self.within is not None

    @property
    def narrowing(self) -> tuple[Chip, ...]:
        """The chips that leave records out."""
        return tuple(chip for chip in self.chips if chip.kind is not ChipKind.SKIP)

    @property
    def skips(self) -> tuple[str, ...]:
        """The functions, or patterns, that leaks are not named by."""
        return tuple(chip.function for chip in self.chips if chip.kind is ChipKind.SKIP)


WHOLE = Scope()


def records_in(
    table: LeakTable, scope: Scope, match_pattern: PatternMatcher, cancelled: Callable[[], bool] = never
) -> list[int]:
    """Return the indexes of a scope's records, largest first. Raises Cancelled, and PatternError for a bad filter."""
    records = passing(table, scope.filter, match_pattern, cancelled)
    if scope.within is not None:
        records = _within(table, records, *scope.within, cancelled)
    for chip in scope.narrowing:
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
