"""The difference of two leak reports, stack by stack: what is new, gone, grown or shrunk since the older one.

A stack is the same in both when its leak id and kind are. Ids tell stacks that differ in lines alone apart by a rank within
their own report (``-2``, ``-3``), which another report may give to another line; those are told by where their calls lie in
the files first. So are stacks of which one report has the names already and the other not yet.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from memtui_parsers.values import Frame, LeakKind, LeakRecord, LeakReport, Module, ReportStatus

# How many that could be the same stack are looked at: a hostile report may have them all alike.
_TRIED = 8


class Change(str, Enum):
    NEW = "new"
    GONE = "gone"
    GROWN = "grown"
    SHRUNK = "shrunk"
    SAME = "same"


class LeakDelta(NamedTuple):
    """One stack in both reports. ``record`` is the newer report's, or the older's where it is gone."""

    record: LeakRecord
    before_bytes: int
    before_objects: int
    delta_bytes: int
    delta_objects: int
    change: Change


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ReportDifference:
    """``deltas[i]`` is of ``new.leaks[i]``; behind them stand the stacks that are gone, in the older report's order.

    ``notes`` say what makes the comparison less than it looks.
    """

    old: LeakReport
    new: LeakReport
    deltas: tuple[LeakDelta, ...]
    notes: tuple[str, ...] = ()

    @property
    def delta_bytes(self) -> int:
        """How much more the newer report has in all: the sum of the deltas."""
        return sum(delta.delta_bytes for delta in self.deltas)

    @property
    def delta_objects(self) -> int:
        return sum(delta.delta_objects for delta in self.deltas)

    def joined(self) -> LeakReport:
        """The newer report with what is gone behind its leaks, 0 bytes in 0 objects: ``deltas[i]`` is of ``leaks[i]``."""
        gone = (replace(delta.record, size_bytes=0, objects=0) for delta in self.deltas[len(self.new.leaks) :])
        frames = (*self.new.frames, *self.old.frames) if self.new.frames and self.old.frames else ()
        return replace(self.new, leaks=(*self.new.leaks, *gone), frames=frames)


def difference(old: LeakReport, new: LeakReport) -> ReportDifference:
    """Every stack of either report, once."""
    kinds = {record.kind for record in old.leaks}, {record.kind for record in new.leaks}
    across = kinds[0] != kinds[1] and len(kinds[0]) == len(kinds[1]) == 1
    taken = bytearray(len(old.leaks))
    deltas: list[LeakDelta] = []
    for record, match in zip(new.leaks, _matches(old.leaks, new.leaks, across=across), strict=True):
        if match is None:
            deltas.append(LeakDelta(record, 0, 0, record.size_bytes, record.objects, Change.NEW))
            continue
        taken[match] = 1
        was = old.leaks[match]
        more, objects = record.size_bytes - was.size_bytes, record.objects - was.objects
        deltas.append(LeakDelta(record, was.size_bytes, was.objects, more, objects, _change(more or objects)))
    deltas += [
        LeakDelta(was, was.size_bytes, was.objects, -was.size_bytes, -was.objects, Change.GONE)
        for was, found in zip(old.leaks, taken, strict=True)
        if not found
    ]
    listed = sum(delta.delta_bytes for delta in deltas)
    return ReportDifference(old, new, tuple(deltas), tuple(_notes(old, new, *kinds, listed)))


def largest_growth(old: LeakReport, new: LeakReport) -> LeakDelta | None:
    """The stack with the most bytes more, those that are new among them; None where none has grown."""
    largest = max(difference(old, new).deltas, key=lambda delta: delta.delta_bytes, default=None)
    return largest if largest is not None and largest.delta_bytes > 0 else None


def _change(more: int) -> Change:
    return Change.SAME if more == 0 else Change.GROWN if more > 0 else Change.SHRUNK


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
                f"compared across kinds: {_words(before)} before, {_words(now)} now: "
                "the checks count differently, so a change need not be the program's"
            )
        else:
            yield f"compared kind by kind: {_words(before)} before, {_words(now)} now"
    if _program(old) and _program(new) and _program(old) != _program(new):
        yield "the reports are of two programs"
    if (told_bytes := new.total_bytes - old.total_bytes) != listed_bytes:
        yield f"the checkers' totals differ by {told_bytes:+} bytes, the stacks they list by {listed_bytes:+}"


def _words(kinds: set[LeakKind]) -> str:
    return ", ".join(sorted(kind.value for kind in kinds))


def _program(report: LeakReport) -> str:
    return report.argv[0].rpartition("/")[2] if report.argv else ""


def _matches(old: Sequence[LeakRecord], new: Sequence[LeakRecord], *, across: bool) -> list[int | None]:
    """For each new record the index of the old one that is the same stack. ``across``: whatever their kinds."""

    def id_of(record: LeakRecord) -> Hashable:
        # Enum members are hashed by a Python function, which half a million of them feel; each is the only one of its id().
        return record.leak_id if across else (record.leak_id, id(record.kind))

    # Whose rank may be another one in the other report: the bases of ids that end in a rank.
    ranked = {_base(record.leak_id) for records in (old, new) for record in records if "-" in record.leak_id}
    by_id: dict[Hashable, int] = {}
    left: list[int] = []
    for index, record in enumerate(old):
        key = id_of(record)
        if key in by_id or (ranked and _base(record.leak_id) in ranked):
            left.append(index)
        else:
            by_id[key] = index
    found = [None if ranked and _base(r.leak_id) in ranked else by_id.pop(id_of(r), None) for r in new]
    rest = [index for index, match in enumerate(found) if match is None]
    left = sorted([*left, *by_id.values()])
    if rest and left:
        places = _Places()

        def place_of(record: LeakRecord) -> Hashable:
            return (0 if across else id(record.kind), places.of(record))

        for key_of, contradict in ((place_of, _other_name), (id_of, _other_place)):
            rest, left = _pair(old, new, rest, left, key_of, contradict, found)
    return found


def _base(leak_id: str) -> str:
    if "-" not in leak_id:
        return leak_id
    base, _, rank = leak_id.rpartition("-")
    return base if rank.isdecimal() else leak_id


def _pair(
    old: Sequence[LeakRecord],
    new: Sequence[LeakRecord],
    rest: list[int],
    left: list[int],
    key_of: Callable[[LeakRecord], Hashable],
    contradict: Callable[[LeakRecord, LeakRecord], bool],
    found: list[int | None],
) -> tuple[list[int], list[int]]:
    """Pair what is left of both by ``key_of``, the first with the first; returns what of both is left then."""
    waiting: dict[Hashable, list[int]] = {}
    for index in reversed(left):
        waiting.setdefault(key_of(old[index]), []).append(index)
    unmatched: list[int] = []
    paired: set[int] = set()
    for index in rest:
        candidates = waiting.get(key_of(new[index]), [])
        last = len(candidates) - 1
        tried = range(last, max(-1, last - _TRIED), -1)
        at = next((at for at in tried if not contradict(old[candidates[at]], new[index])), None)
        if at is None:
            unmatched.append(index)
        else:
            found[index] = match = candidates.pop(at)
            paired.add(match)
    return unmatched, [index for index in left if index not in paired]


def _other_name(old: LeakRecord, new: LeakRecord) -> bool:
    """Whether both have a name for the innermost call, and not the same: other code at the same place."""
    if not old.stack or not new.stack:
        return False
    names = [record.stack[0].linkage_name or record.stack[0].function for record in (old, new)]
    return None not in names and names[0] != names[1]


def _other_place(old: LeakRecord, new: LeakRecord) -> bool:
    """Whether the stacks part in one build of one file, or where nothing but addresses is known: then they are two."""
    stacks = [[frame for frame in record.stack if not frame.inlined] for record in (old, new)]
    for before, now in zip(*stacks, strict=False):
        if _where(before) != _where(now):
            if before.module is None and now.module is None:
                return (before.function or before.linkage_name) is None
            return before.module == now.module and before.module is not None and bool(before.module.build_id)
    return False


def _where(frame: Frame) -> tuple[Module | None, int]:
    return frame.module, frame.address if frame.offset is None else frame.offset


class _Places:
    """Where a stack's calls lie in their files: the same in every report of one build, named or not."""

    def __init__(self) -> None:
        # By identity first: a report's stacks share their frames, and hashing each frame of each stack would take seconds.
        self._known: dict[int, int] = {}
        self._numbers: dict[Hashable, int] = {}

    def of(self, record: LeakRecord) -> tuple[int, ...]:
        known = self._known
        return tuple([known.get(id(f)) or self._number(f) for f in record.stack if not f.inlined])

    def _number(self, frame: Frame) -> int:
        number = self._known[id(frame)] = self._numbers.setdefault(_where(frame), len(self._numbers) + 1)
        return number
