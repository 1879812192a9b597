"""Compares two leak reports stack by stack: what is new, gone, grown or shrunk since the older one.

A stack is the same in both reports when its leak id and kind are the same. Stacks that differ only in lines have ids
with a rank within their own report (``-2``, ``-3``), which the other report may give to another line: these are matched
first by where their calls lie in the files. So are stacks that have names in one report and none yet in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from memtui_parsers.values import Frame, LeakKind, LeakRecord, LeakReport, Module, ReportStatus

# How many candidates are compared with a stack: in a hostile report all may be alike.
_MAX_CANDIDATES = 8


class Change(str, Enum):
    NEW = "new"
    GONE = "gone"
    GROWN = "grown"
    SHRUNK = "shrunk"
    SAME = "same"


class LeakDelta(NamedTuple):
    """One stack in both reports. ``record`` is the newer report's; the older's for a stack that is gone."""

    record: LeakRecord
    before_bytes: int
    before_objects: int
    delta_bytes: int
    delta_objects: int
    change: Change


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ReportDifference:
    """Two reports compared. ``deltas[i]`` is of ``new.leaks[i]``; the old report's stacks that are gone follow.

    ``notes`` say what limits the comparison.
    """

    old: LeakReport
    new: LeakReport
    deltas: tuple[LeakDelta, ...]
    notes: tuple[str, ...] = ()

    @property
    def delta_bytes(self) -> int:
        """The bytes that the newer report has more than the older: the sum of the deltas."""
        return sum(delta.delta_bytes for delta in self.deltas)

    @property
    def delta_objects(self) -> int:
        return sum(delta.delta_objects for delta in self.deltas)

    def joined(self) -> LeakReport:
        """Return the newer report, with stacks that are gone as leaks of 0 bytes: ``deltas[i]`` is of ``leaks[i]``."""
        gone = (
            replace(delta.record, size_bytes=0, objects=0, samples=None) for delta in self.deltas[len(self.new.leaks) :]
        )
        frames = (*self.new.frames, *self.old.frames) if self.new.frames and self.old.frames else ()
        return replace(self.new, leaks=(*self.new.leaks, *gone), frames=frames)


def difference(old: LeakReport, new: LeakReport) -> ReportDifference:
    """Compare every stack of either report."""
    kinds = {record.kind for record in old.leaks}, {record.kind for record in new.leaks}
    across = kinds[0] != kinds[1] and len(kinds[0]) == len(kinds[1]) == 1
    is_matched = bytearray(len(old.leaks))
    deltas: list[LeakDelta] = []
    for record, match in zip(new.leaks, _matches(old.leaks, new.leaks, across=across), strict=True):
        if match is None:
            deltas.append(LeakDelta(record, 0, 0, record.size_bytes, record.objects, Change.NEW))
            continue
        is_matched[match] = 1
        before = old.leaks[match]
        size_bytes, objects = record.size_bytes - before.size_bytes, record.objects - before.objects
        more = size_bytes or objects
        change = Change.SAME if more == 0 else Change.GROWN if more > 0 else Change.SHRUNK
        deltas.append(LeakDelta(record, before.size_bytes, before.objects, size_bytes, objects, change))
    deltas += [
        LeakDelta(before, before.size_bytes, before.objects, -before.size_bytes, -before.objects, Change.GONE)
        for before, matched in zip(old.leaks, is_matched, strict=True)
        if not matched
    ]
    listed_bytes = sum(delta.delta_bytes for delta in deltas)
    return ReportDifference(old, new, tuple(deltas), tuple(_notes(old, new, *kinds, listed_bytes)))


def _notes(
    old: LeakReport, new: LeakReport, before: set[LeakKind], now: set[LeakKind], listed_bytes: int
) -> Iterable[str]:
    if ReportStatus.NOT_RUN in (old.status, new.status):
        which = "older" if old.status is ReportStatus.NOT_RUN else "newer"
        yield f"the check of the {which} report did not run: there is nothing to compare"
    elif old.status is ReportStatus.TRUNCATED:
        yield "the older report was cut short: what it lacks looks new here"
    elif new.status is ReportStatus.TRUNCATED:
        yield "the newer report was cut short: what it lacks looks gone here"
    if before and now and before != now:
        if len(before) == len(now) == 1:
            yield (
                f"compared across kinds: {_kind_names(before)} before, {_kind_names(now)} now: "
                "the checks count differently, so a change need not be the program's"
            )
        else:
            yield f"compared kind by kind: {_kind_names(before)} before, {_kind_names(now)} now"
    if _program(old) and _program(new) and _program(old) != _program(new):
        yield "the reports are of two programs"
    if (total_bytes := new.total_bytes - old.total_bytes) != listed_bytes:
        yield f"the checkers' totals differ by {total_bytes:+} bytes, the stacks they list by {listed_bytes:+}"


def _kind_names(kinds: set[LeakKind]) -> str:
    return ", ".join(sorted(kind.value for kind in kinds))


def _program(report: LeakReport) -> str:
    return report.argv[0].rpartition("/")[2] if report.argv else ""


def _matches(old: Sequence[LeakRecord], new: Sequence[LeakRecord], *, across: bool) -> list[int | None]:
    """For each new record the index of the old record of the same stack. ``across``: of any kind."""

    def id_of(record: LeakRecord) -> Hashable:
        # Enum members are hashed by a Python function, which is slow for half a million records; their id() is as good.
        return record.leak_id if across else (record.leak_id, id(record.kind))

    # The bases of ids with a rank, which may be another one in the other report.
    ranked = {_base(record.leak_id) for records in (old, new) for record in records if "-" in record.leak_id}
    by_id: dict[Hashable, int] = {}
    old_left: list[int] = []
    for index, record in enumerate(old):
        key = id_of(record)
        if key in by_id or (ranked and _base(record.leak_id) in ranked):
            old_left.append(index)
        else:
            by_id[key] = index
    matches = [None if ranked and _base(r.leak_id) in ranked else by_id.pop(id_of(r), None) for r in new]
    new_left = [index for index, match in enumerate(matches) if match is None]
    old_left = sorted([*old_left, *by_id.values()])
    if new_left and old_left:
        places = _Places()

        def place_of(record: LeakRecord) -> Hashable:
            return (0 if across else id(record.kind), places.of(record))

        for key_of, contradict in ((place_of, _other_name), (id_of, _other_place)):
            new_left, old_left = _pair(old, new, new_left, old_left, key_of, contradict, matches)
    return matches


def _base(leak_id: str) -> str:
    if "-" not in leak_id:
        return leak_id
    base, _, rank = leak_id.rpartition("-")
    return base if rank.isdecimal() else leak_id


def _pair(
    old: Sequence[LeakRecord],
    new: Sequence[LeakRecord],
    new_left: list[int],
    old_left: list[int],
    key_of: Callable[[LeakRecord], Hashable],
    contradict: Callable[[LeakRecord, LeakRecord], bool],
    matches: list[int | None],
) -> tuple[list[int], list[int]]:
    """Match unmatched records of the same key in their order; return the new and the old ones that remain unmatched."""
    candidates_by_key: dict[Hashable, list[int]] = {}
    for index in reversed(old_left):
        candidates_by_key.setdefault(key_of(old[index]), []).append(index)
    unmatched: list[int] = []
    paired: set[int] = set()
    for index in new_left:
        candidates = candidates_by_key.get(key_of(new[index]), [])
        last = len(candidates) - 1
        compared = range(last, max(-1, last - _MAX_CANDIDATES), -1)
        at = next((at for at in compared if not contradict(old[candidates[at]], new[index])), None)
        if at is None:
            unmatched.append(index)
        else:
            matches[index] = match = candidates.pop(at)
            paired.add(match)
    return unmatched, [index for index in old_left if index not in paired]


def _other_name(old: LeakRecord, new: LeakRecord) -> bool:
    """Whether the innermost calls have different names: other code at the same place."""
    if not old.stack or not new.stack:
        return False
    names = [record.stack[0].linkage_name or record.stack[0].function for record in (old, new)]
    return None not in names and names[0] != names[1]


def _other_place(old: LeakRecord, new: LeakRecord) -> bool:
    """Whether the stacks differ within one build of one file, or in addresses without names: then they are two."""
    stacks = [[frame for frame in record.stack if not frame.inlined] for record in (old, new)]
    for before, now in zip(*stacks, strict=False):
        if _place(before) != _place(now):
            if before.module is None and now.module is None:
                return (before.function or before.linkage_name) is None
            return before.module == now.module and before.module is not None and bool(before.module.build_id)
    return False


def _place(frame: Frame) -> tuple[Module | None, int]:
    return frame.module, frame.address if frame.offset is None else frame.offset


class _Places:
    """Numbers the places of a stack's calls in their files: the same in all reports of a build, named or not."""

    def __init__(self) -> None:
        # By id() first: the stacks of a report share their frames, and to hash each frame of each stack takes seconds.
        self._by_id: dict[int, int] = {}
        self._numbers: dict[Hashable, int] = {}

    def of(self, record: LeakRecord) -> tuple[int, ...]:
        by_id = self._by_id
        return tuple([by_id.get(id(f)) or self._number(f) for f in record.stack if not f.inlined])

    def _number(self, frame: Frame) -> int:
        number = self._by_id[id(frame)] = self._numbers.setdefault(_place(frame), len(self._numbers) + 1)
        return number
