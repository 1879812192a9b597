"""A leak report as columns that can be sorted, filtered and grouped fast; computed once, off the UI thread.

A record is known by its index in the report, which stays the same through sorting, filtering and symbols that arrive later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain

from memtui.reports.functions import Functions, functions_of
from memtui.reports.names import base_name, module_name, place, program_index, title
from memtui_parsers.clean_text import clean
from memtui_parsers.report.difference import Change, LeakDelta, ReportDifference, difference
from memtui_parsers.report.passed_on import is_named_by, wrappers
from memtui_parsers.report.passing_code import Code, code_of
from memtui_parsers.values import Frame, LeakKind, LeakRecord, LeakReport, ReportStatus

# How many records are processed between two checks whether the work is cancelled.
BATCH = 4096


class Cancelled(Exception):  # noqa: N818 — nothing went wrong
    """The work was stopped because its result is no longer wanted."""


class Order(str, Enum):
    """What a list is sorted by. ``CUMULATIVE``, the bytes that go through a group, is for groups alone."""

    BYTES = "bytes"
    CUMULATIVE = "cumulative"
    OBJECTS = "objects"
    AVERAGE = "average"
    FUNCTION = "function"
    LOCATION = "location"
    CHANGE = "change"


class Grouping(str, Enum):
    """What the rows of a list stand for."""

    STACK = "stack"
    FUNCTION = "function"
    FILE = "file"
    LIBRARY = "library"
    NAMESPACE = "namespace"


def never() -> bool:
    """Return False: the ``cancelled()`` of work that is never cancelled."""
    return False


@dataclass(frozen=True, slots=True)
class Name:
    """The name and the place of a record. ``program`` is the index of the program's first frame, None without a stack.

    ``begin``: the index of the first frame that does more than pass the allocation on.
    """

    program: int | None
    function: str
    location: str
    begin: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """A group of records. ``members`` are those that it allocated itself (the program's first frame is in the group).

    ``size_bytes``, ``objects`` and the change are of the members. ``cumulative_bytes`` are those of all ``stacks`` records that
    go through the group, each counted once; ``first`` is the largest member, or record without members. ``change`` is None where
    nothing is compared, or there are no members.
    """

    name: str
    first: int
    members: tuple[int, ...]
    size_bytes: int
    objects: int
    cumulative_bytes: int
    stacks: int
    library: bool
    reachable: bool
    delta_bytes: int = 0
    change: Change | None = None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class LeakTable:
    """A report with all that lists and trees are made of.

    ``names[i]`` describes ``report.leaks[i]``; equal names are one object. ``by_size`` are the records' indexes, largest first.
    ``frames`` holds every distinct frame by its id(), which is valid as long as the report lives; ``library`` the ids of those
    that are not the program's own, or only pass allocations on: ``skips`` are patterns of such, ``wrappers`` functions that this
    report's figures show to be such. Totals are the checker's, or the records' sum where that is more.

    ``difference``: the report is compared with another one; ``report`` then has the leaks that are gone after its own.

    ``groups`` caches group_names(), ``grouped`` the groups of all records by their grouping.
    """

    report: LeakReport
    names: tuple[Name, ...]
    by_size: tuple[int, ...]
    frames: dict[int, Frame]
    library: frozenset[int]
    functions: Functions
    total_bytes: int
    total_objects: int
    kinds: frozenset[str]
    widest_location: int
    difference: ReportDifference | None = None
    reachable_bytes: int = 0
    reachable_objects: int = 0
    # The sum of all changes; the difference would add it up each time.
    delta_bytes: int = 0
    delta_objects: int = 0
    # The records' figures and stacks as columns, for the trees; the changes are empty where nothing is compared.
    sizes: Sequence[int] = ()
    objects: Sequence[int] = ()
    deltas: Sequence[int] = ()
    stacks: Sequence[tuple[Frame, ...]] = ()
    skips: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ()
    groups: dict[Grouping, FrameGroups] = field(default_factory=dict)
    grouped: dict[Grouping, tuple[Group, ...]] = field(default_factory=dict)

    def is_made_of(self, report: LeakReport | None, against: LeakReport | None, skips: tuple[str, ...] = ()) -> bool:
        """Return whether the table was made of these very objects, with these patterns."""
        if self.skips != skips:
            return False
        if self.difference is None:
            return self.report is report and against is None
        return self.difference.new is report and self.difference.old is against

    def delta(self, index: int) -> LeakDelta | None:
        """Return how a record has changed; None where nothing is compared."""
        return None if self.difference is None else self.difference.deltas[index]

    def is_gone(self, index: int) -> bool:
        return self.difference is not None and self.difference.deltas[index].change is Change.GONE

    def record(self, index: int) -> LeakRecord:
        return self.report.leaks[index]

    def is_aside(self, record: LeakRecord) -> bool:
        """Return whether a record is still reachable where others are lost."""
        return record.kind is LeakKind.STILL_REACHABLE and len(self.kinds) > 1

    def in_library(self, frame: Frame) -> bool:
        return id(frame) in self.library

    def group_names(self, grouping: Grouping) -> FrameGroups:
        """Return the groups that the frames are in. The first call takes some 50 ms for 20,000 frames."""
        groups = self.groups.get(grouping)
        if groups is None:
            groups = self.groups[grouping] = _frame_groups(self, grouping)
        return groups

    def group_of(self, index: int, grouping: Grouping) -> str:
        """Return the name of the group that allocated a record, that of the program's first frame; '' where it is not known."""
        program = self.names[index].program
        if program is None:
            return ""
        groups = self.group_names(grouping)
        return groups.names[groups.of[id(self.record(index).stack[program])]]

    def callers(self, index: int) -> list[Frame]:
        """Return the program's own callers of the frame that a record is named by, the nearest first."""
        program = self.names[index].program
        if program is None:
            return []
        return [frame for frame in self.record(index).stack[program + 1 :] if id(frame) not in self.library]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class FrameGroups:
    """The groups of frames by number: ``names``, and ``of`` for a frame's id(). ``names[0]`` is '', for what is not known."""

    names: tuple[str, ...]
    of: dict[int, int]


def _frame_groups(table: LeakTable, grouping: Grouping) -> FrameGroups:
    functions = table.functions
    numbers: dict[str, int] = {"": 0}
    of: dict[int, int] = {}
    for identity, frame in table.frames.items():
        if grouping is Grouping.FILE:
            name = clean(frame.file or "")
        elif grouping is Grouping.LIBRARY:
            name = clean(module_name(frame))
        elif grouping is Grouping.NAMESPACE:
            name = functions.namespace(functions.of[identity])
        else:
            name = functions.all[functions.of[identity]].name
        of[identity] = numbers.setdefault(name, len(numbers))
    return FrameGroups(tuple(numbers), of)


def build_table(
    report: LeakReport,
    cancelled: Callable[[], bool] = never,
    *,
    against: LeakReport | None = None,
    skips: Sequence[str] = (),
) -> LeakTable:
    """Return the table of a report, compared with ``against``. Raises Cancelled once ``cancelled()`` is true.

    No record is named by a frame like one of ``skips``.
    """
    compared = None if against is None else difference(against, report)
    if compared is not None:
        report = compared.joined()
    frames = _frames(report, cancelled)
    codes = {identity: code_of(frame) for identity, frame in frames.items()}
    for identity, frame in frames.items():
        if any(is_named_by(frame, pattern) for pattern in skips):
            codes[identity] = Code.PASSING
    stacks = [record.stack for record in report.leaks]
    sizes = [record.size_bytes for record in report.leaks]
    names = _names(stacks, codes, cancelled)
    found: list[str] = []
    named = [name.program for name in names]
    for wrapper in wrappers(stacks, sizes, named, lambda frame: codes[id(frame)] is Code.PROGRAM):
        found.append(wrapper)
        for identity, frame in frames.items():
            if wrapper in (frame.function, frame.linkage_name):
                codes[identity] = Code.PASSING
    if found:
        names = _names(stacks, codes, cancelled)
    library = {identity for identity, code in codes.items() if code is not Code.PROGRAM}
    apart = _reachable_apart(report, sizes)
    return LeakTable(
        report=report,
        names=tuple(names),
        by_size=tuple(sorted_indexes(range(len(sizes)), apart.__getitem__, cancelled)),
        frames=frames,
        library=frozenset(library),
        functions=functions_of(frames, library),
        total_bytes=max(report.total_bytes, sum(sizes)),
        total_objects=max(report.total_objects, sum(record.objects for record in report.leaks)),
        kinds=frozenset(record.kind.value for record in report.leaks),
        widest_location=max((len(name.location) for name in names), default=0),
        difference=compared,
        reachable_bytes=sum(record.size_bytes for record in report.leaks if record.kind is LeakKind.STILL_REACHABLE),
        reachable_objects=sum(record.objects for record in report.leaks if record.kind is LeakKind.STILL_REACHABLE),
        delta_bytes=0 if compared is None else compared.delta_bytes,
        delta_objects=0 if compared is None else compared.delta_objects,
        sizes=sizes,
        objects=[record.objects for record in report.leaks],
        deltas=[] if compared is None else [delta.delta_bytes for delta in compared.deltas],
        stacks=stacks,
        skips=tuple(skips),
        wrappers=tuple(found),
    )


def _names(stacks: Sequence[tuple[Frame, ...]], codes: dict[int, Code], cancelled: Callable[[], bool]) -> list[Name]:
    """Return the name of each record by its stack; ``codes``: whose code each frame is, by its id()."""

    def code(frame: Frame) -> Code:
        return codes[id(frame)]

    names: list[Name] = []
    # Records that reach the program by the same frames have the same name: in a large report most have.
    by_program: dict[int, Name] = {}
    by_frames: dict[tuple[int, ...], Name] = {}
    for start in range(0, len(stacks), BATCH):
        if cancelled():
            raise Cancelled
        for stack in stacks[start : start + BATCH]:
            first = id(stack[0]) if stack else 0
            if (name := by_program.get(first)) is not None:
                names.append(name)
                continue
            program, begin = program_index(stack, code), 0
            while begin < (program or 0) and codes[id(stack[begin])] is Code.PASSING:
                begin += 1
            if program == 0:
                key: tuple[int, ...] = (first,)
            else:
                key = () if program is None else (begin, program, id(stack[program - 1]), id(stack[program]))
            name = by_frames.get(key)
            if name is None:
                location = "" if program is None else place(stack[program])
                name = by_frames[key] = Name(program, title(stack, program, code), location, begin)
            if stack and codes[first] is Code.PROGRAM:
                by_program[first] = name
            names.append(name)
    return names


def _frames(report: LeakReport, cancelled: Callable[[], bool]) -> dict[int, Frame]:
    """Return every distinct frame by its id()."""
    if report.frames:
        return dict(zip(map(id, report.frames), report.frames, strict=True))
    frames: dict[int, Frame] = {}
    for start in range(0, len(report.leaks), BATCH):
        if cancelled():
            raise Cancelled
        steps = list(chain.from_iterable(record.stack for record in report.leaks[start : start + BATCH]))
        frames.update(zip(map(id, steps), steps, strict=True))
    return frames


def _reachable_apart(report: LeakReport, sizes: list[int]) -> list[int]:
    """Return sizes to sort by: those of what is still reachable are less than any of what is lost."""
    kinds = {record.kind for record in report.leaks}
    if LeakKind.STILL_REACHABLE not in kinds or len(kinds) == 1:
        return sizes
    least = -1 - max(sizes)
    return [
        size + least if record.kind is LeakKind.STILL_REACHABLE else size
        for size, record in zip(sizes, report.leaks, strict=True)
    ]


def sorted_indexes(indexes: Sequence[int], key: Callable[[int], float], cancelled: Callable[[], bool]) -> list[int]:
    """Return ``indexes`` with the largest ``key`` first, equal ones in the order given. Raises Cancelled.

    One sort holds the interpreter's lock until it ends, so it is done in batches; the last sort only merges them.
    """
    runs: list[int] = []
    for start in range(0, len(indexes), BATCH * 4):
        if cancelled():
            raise Cancelled
        runs.extend(sorted(indexes[start : start + BATCH * 4], key=key, reverse=True))
    runs.sort(key=key, reverse=True)
    return runs


def same_record(record: LeakRecord, after: LeakTable, index: int) -> int | None:
    """Return the index in another report of the record that had ``index`` in its own; None where it is not there.

    It has the same index if the stack there is the same; else its id and kind identify it.
    """
    addresses = [frame.address for frame in record.stack]
    if 0 <= index < len(after.names):
        there = after.record(index)
        if there.kind is record.kind and addresses == [frame.address for frame in there.stack]:
            return index
    leaks = enumerate(after.report.leaks)
    return next((i for i, leak in leaks if leak.leak_id == record.leak_id and leak.kind is record.kind), None)


_NOT_KNOWN = {
    Grouping.FILE: "(no source file known)",
    Grouping.NAMESPACE: "(global)",
    Grouping.FUNCTION: "(no stack)",
}


def shown_group(name: str, grouping: Grouping) -> str:
    """Return a group's name in the list: the base name of a file; words in brackets for what is not known."""
    if name:
        return base_name(name) if grouping is Grouping.FILE else name
    return _NOT_KNOWN.get(grouping, "(no module known)")


def notes_of(report: LeakReport) -> tuple[str, ...]:
    """Return the report's notes; the first one says if the report is cut short."""
    cut = "The report was cut short: what is listed is real, but there may be more."
    return (cut, *report.notes) if report.status is ReportStatus.TRUNCATED else report.notes


def table_notes(table: LeakTable) -> tuple[str, ...]:
    """Return the report's notes; before them, of a comparison, what limits it, and by what leaks are not named."""
    passed = [
        f"nearly all bytes go through {clean(name, 120)}, from many callers: leaks are named by these"
        for name in table.wrappers
    ]
    return (*(() if table.difference is None else table.difference.notes), *passed, *notes_of(table.report))
