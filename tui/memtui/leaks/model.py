"""A leak report as columns that can be sorted, filtered and grouped fast; computed once, off the UI thread.

Records are known by their index in the report: it survives sorting, filtering and symbols that arrive later. The table's
records stand largest first, whatever order the report has them in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING

from memtui.leaks.functions import Functions, functions_of
from memtui.leaks.names import base_name, is_library_frame, module_name, place, program_index, title
from memtui_parsers.clean_text import clean
from memtui_parsers.report_diff import Change, LeakDelta, ReportDifference, difference
from memtui_parsers.values import Frame, LeakKind, LeakRecord, LeakReport

if TYPE_CHECKING:
    from memtui.leaks.groups import Group

# How many records are worked through between two looks at whether the answer is still wanted.
BATCH = 4096


class Cancelled(Exception):  # noqa: N818 — nothing went wrong
    """The work was given up because its answer is no longer wanted."""


class Order(str, Enum):
    """``CUMULATIVE``: of groups alone, what goes through them."""

    BYTES = "bytes"
    CUMULATIVE = "cumulative"
    OBJECTS = "objects"
    AVERAGE = "average"
    FUNCTION = "function"
    LOCATION = "location"
    CHANGE = "change"


class Grouping(str, Enum):
    STACK = "stack"
    FUNCTION = "function"
    FILE = "file"
    LIBRARY = "library"
    NAMESPACE = "namespace"


def never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Name:
    """What a record is called. ``program`` is the index of the program's first frame."""

    program: int | None
    function: str
    location: str


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class LeakTable:
    """``names[i]`` describes ``report.leaks[i]``; equal names are one object. ``by_size`` lists indexes, largest first.

    ``frames`` holds every distinct frame by its id(), which is good as long as the report lives; ``library`` the ids of
    those that are not the program's own. Totals are the checker's, or the records' sum where that is more.

    ``groups`` fills up with what is asked of group_names(), ``grouped`` with the groups of all records as they are wanted.

    ``difference``: the report is compared with another one; ``report`` then has what is gone behind its own leaks.
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
    # What has changed in all; the difference adds it up anew each time.
    delta_bytes: int = 0
    delta_objects: int = 0
    # The records' figures and stacks as columns, for the trees; their deltas are empty where nothing is compared.
    sizes: Sequence[int] = ()
    objects: Sequence[int] = ()
    deltas: Sequence[int] = ()
    stacks: Sequence[tuple[Frame, ...]] = ()
    groups: dict[Grouping, FrameGroups] = field(default_factory=dict)
    grouped: dict[Grouping, tuple[Group, ...]] = field(default_factory=dict)

    def is_made_of(self, report: LeakReport | None, against: LeakReport | None) -> bool:
        """Whether it shows these very reports."""
        if self.difference is None:
            return self.report is report and against is None
        return self.difference.new is report and self.difference.old is against

    def delta(self, index: int) -> LeakDelta | None:
        """What has changed of a record; None where nothing is compared."""
        return None if self.difference is None else self.difference.deltas[index]

    def is_gone(self, index: int) -> bool:
        return self.difference is not None and self.difference.deltas[index].change is Change.GONE

    def record(self, index: int) -> LeakRecord:
        return self.report.leaks[index]

    def is_aside(self, record: LeakRecord) -> bool:
        """Whether it is still reachable where others are lost."""
        return record.kind is LeakKind.STILL_REACHABLE and len(self.kinds) > 1

    def in_library(self, frame: Frame) -> bool:
        return id(frame) in self.library

    def group_names(self, grouping: Grouping) -> FrameGroups:
        """The groups that frames fall into; worked out when it is first asked for, some 50 ms for 20,000 frames."""
        known = self.groups.get(grouping)
        if known is None:
            known = self.groups[grouping] = _frame_groups(self, grouping)
        return known

    def group_of(self, index: int, grouping: Grouping) -> str:
        """The name of the group that allocated a record: its program's first frame's ('' for none known)."""
        program = self.names[index].program
        if program is None:
            return ""
        groups = self.group_names(grouping)
        return groups.names[groups.of[id(self.record(index).stack[program])]]

    def callers(self, index: int) -> list[Frame]:
        """The program's own frames above the one the record is named by, leaf first."""
        program = self.names[index].program
        if program is None:
            return []
        return [frame for frame in self.record(index).stack[program + 1 :] if id(frame) not in self.library]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class FrameGroups:
    """``of``: the number of a frame's group by the frame's id(). ``names[0]`` is '', the group of what is not known."""

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
    report: LeakReport, cancelled: Callable[[], bool] = never, *, against: LeakReport | None = None
) -> LeakTable:
    """``against``: what it is compared with. Raises Cancelled when ``cancelled()`` says so on the way."""
    compared = None if against is None else difference(against, report)
    if compared is not None:
        report = compared.joined()
    frames = _frames(report, cancelled)
    library = {identity for identity, frame in frames.items() if is_library_frame(frame)}
    stacks = [record.stack for record in report.leaks]
    names: list[Name] = []
    known: dict[tuple[int, ...], Name] = {}
    for start in range(0, len(stacks), BATCH):
        if cancelled():
            raise Cancelled
        for stack in stacks[start : start + BATCH]:
            if stack and id(stack[0]) not in library:
                program: int | None = 0
                key: tuple[int, ...] = (id(stack[0]),)
            else:
                program = program_index(stack, (id(frame) in library for frame in stack))
                # Records that reach the program by the same frames are called the same: most of a large report's.
                key = () if program is None else (program, *map(id, stack[max(program - 1, 0) : program + 1]))
            name = known.get(key)
            if name is None:
                name = known[key] = _name(stack, program)
            names.append(name)
    sizes = [record.size_bytes for record in report.leaks]
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
        widest_location=max((len(name.location) for name in known.values()), default=0),
        difference=compared,
        reachable_bytes=sum(record.size_bytes for record in report.leaks if record.kind is LeakKind.STILL_REACHABLE),
        reachable_objects=sum(record.objects for record in report.leaks if record.kind is LeakKind.STILL_REACHABLE),
        delta_bytes=0 if compared is None else compared.delta_bytes,
        delta_objects=0 if compared is None else compared.delta_objects,
        sizes=sizes,
        objects=[record.objects for record in report.leaks],
        deltas=[] if compared is None else [delta.delta_bytes for delta in compared.deltas],
        stacks=stacks,
    )


def _frames(report: LeakReport, cancelled: Callable[[], bool]) -> dict[int, Frame]:
    """Every distinct frame by its id()."""
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
    """Sizes to sort by: what is still reachable stands behind what is lost, however much it is."""
    kinds = {record.kind for record in report.leaks}
    if LeakKind.STILL_REACHABLE not in kinds or len(kinds) == 1:
        return sizes
    least = -1 - max(sizes)
    return [
        size + least if record.kind is LeakKind.STILL_REACHABLE else size
        for size, record in zip(sizes, report.leaks, strict=True)
    ]


def _name(stack: Sequence[Frame], program: int | None) -> Name:
    if program is None:
        return Name(None, title(stack, None), "")
    return Name(program, title(stack, program), place(stack[program]))


def sorted_indexes(indexes: Sequence[int], key: Callable[[int], float], cancelled: Callable[[], bool]) -> list[int]:
    """``indexes`` with the largest ``key`` first, ties as they stood.

    Sorting holds the interpreter's lock to its end, so it is done in batches; the last sort then only merges what is
    sorted already.
    """
    runs: list[int] = []
    for start in range(0, len(indexes), BATCH * 4):
        if cancelled():
            raise Cancelled
        runs.extend(sorted(indexes[start : start + BATCH * 4], key=key, reverse=True))
    runs.sort(key=key, reverse=True)
    return runs


def same_record(record: LeakRecord, after: LeakTable, index: int) -> int | None:
    """The index in another report of what had ``index`` in its own: the same place when the stack there is the same,

    else by its id and kind.
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
    """A group's name in the list: a file by its base name; what is not known is said."""
    if name:
        return base_name(name) if grouping is Grouping.FILE else name
    return _NOT_KNOWN.get(grouping, "(no module known)")
