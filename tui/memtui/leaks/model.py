"""A leak report as columns that can be sorted, filtered and grouped fast; computed once, off the UI thread.

Records are known by their index in the report: it survives sorting, filtering and symbols that arrive later. The table's
records stand largest first, whatever order the report has them in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from memtui.leaks.names import base_name, is_library_frame, module_name, place, program_index, title
from memtui_parsers.clean_text import clean
from memtui_parsers.report_diff import Change, LeakDelta, ReportDifference, difference
from memtui_parsers.values import Frame, LeakRecord, LeakReport

# How many records are worked through between two looks at whether the answer is still wanted.
BATCH = 4096


class Cancelled(Exception):  # noqa: N818 — nothing went wrong
    """The work was given up because its answer is no longer wanted."""


class Order(str, Enum):
    BYTES = "bytes"
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


def never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Name:
    """What a record is called: columns and group names. ``program`` is the index of the program's first frame."""

    program: int | None
    function: str
    location: str
    file: str
    library: str


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class LeakTable:
    """``names[i]`` describes ``report.leaks[i]``; equal names are one object. ``by_size`` lists indexes, largest first.

    ``frames`` holds every distinct frame by its id(), which is good as long as the report lives; ``library`` the ids of
    those that are not the program's own. Totals are the checker's, or the records' sum where that is more.

    ``difference``: the report is compared with another one; ``report`` then has what is gone behind its own leaks.
    """

    report: LeakReport
    names: tuple[Name, ...]
    by_size: tuple[int, ...]
    frames: dict[int, Frame]
    library: frozenset[int]
    total_bytes: int
    total_objects: int
    kinds: frozenset[str]
    widest_location: int
    difference: ReportDifference | None = None

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

    def in_library(self, frame: Frame) -> bool:
        return id(frame) in self.library

    def group_of(self, index: int, grouping: Grouping) -> str:
        """The name of the group that a record falls into ('' for none known)."""
        name = self.names[index]
        if grouping is Grouping.FUNCTION:
            return name.function
        return name.file if grouping is Grouping.FILE else name.library

    def callers(self, index: int) -> list[Frame]:
        """The program's own frames above the one the record is named by, leaf first."""
        program = self.names[index].program
        if program is None:
            return []
        return [frame for frame in self.record(index).stack[program + 1 :] if id(frame) not in self.library]


def build_table(
    report: LeakReport, cancelled: Callable[[], bool] = never, *, against: LeakReport | None = None
) -> LeakTable:
    """``against``: what it is compared with. Raises Cancelled when ``cancelled()`` says so on the way."""
    compared = None if against is None else difference(against, report)
    if compared is not None:
        report = compared.joined()
    frames: dict[int, Frame] = {}
    library: set[int] = set()
    names: list[Name] = []
    known: dict[tuple[int, ...], Name] = {}
    for start in range(0, len(report.leaks), BATCH):
        if cancelled():
            raise Cancelled
        for record in report.leaks[start : start + BATCH]:
            stack = record.stack
            fresh = {id(frame): frame for frame in stack if id(frame) not in frames}
            frames.update(fresh)
            library.update(identity for identity, frame in fresh.items() if is_library_frame(frame))
            program = program_index(stack, (id(frame) in library for frame in stack))
            # Records that reach the program by the same frames are called the same: most of a large report's.
            key = () if program is None else (program, *map(id, stack[max(program - 1, 0) : program + 1]))
            name = known.get(key)
            if name is None:
                name = known[key] = _name(stack, program)
            names.append(name)
    sizes = [record.size_bytes for record in report.leaks]
    return LeakTable(
        report=report,
        names=tuple(names),
        by_size=tuple(sorted_indexes(range(len(sizes)), sizes.__getitem__, cancelled)),
        frames=frames,
        library=frozenset(library),
        total_bytes=max(report.total_bytes, sum(sizes)),
        total_objects=max(report.total_objects, sum(record.objects for record in report.leaks)),
        kinds=frozenset(record.kind.value for record in report.leaks),
        widest_location=max((len(name.location) for name in known.values()), default=0),
        difference=compared,
    )


def _name(stack: Sequence[Frame], program: int | None) -> Name:
    if program is None:
        return Name(None, title(stack, None), "", "", "")
    frame = stack[program]
    return Name(
        program=program,
        function=title(stack, program),
        location=place(frame),
        file=clean(frame.file or ""),
        library=clean(module_name(frame)),
    )


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


def shown_group(name: str, grouping: Grouping) -> str:
    """A group's name in the list: a file by its base name; what is not known is said."""
    if name:
        return base_name(name) if grouping is Grouping.FILE else name
    return "(no source file known)" if grouping is Grouping.FILE else "(no module known)"
