"""The values that cross every border of memtui: frozen, comparable, free of behaviour.

Sizes are bytes, addresses are unsigned 64-bit integers of the target, not of the machine that reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class Mapping:
    """One line of /proc/PID/maps: addresses [start, end), ``offset`` bytes into the file at ``path`` ('' when anonymous)."""

    start: int
    end: int
    permissions: str
    offset: int
    inode: int
    path: str

    @property
    def executable(self) -> bool:
        return "x" in self.permissions


@dataclass(frozen=True, slots=True)
class HeapEntry:
    """One stack of a .heap file: what is in use and what was ever allocated there; return addresses, leaf first."""

    inuse_objects: int
    inuse_bytes: int
    allocated_objects: int
    allocated_bytes: int
    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HeapProfile:
    """A heap profile of gperftools or jemalloc or a leak dump, aggregated by stack, in the order of the file.

    ``kind`` is the header's word after ``@`` (heapprofile, heap_v2, growth ...). ``period``: one allocation in so many bytes
    was counted, so the entries are estimates (0: every allocation was). ``header`` holds the totals as the file's first line
    states them, None for jemalloc's; ``whole``: nothing is missing. ``notes`` say in words what was not whole (a cut file,
    lines passed over).

    In columns, for files of 200,000 stacks: ``stacks`` are distinct, each the positions of its return addresses in
    ``addresses``, leaf first, as packed unsigned ints (array("I")); ``figures`` has the first four fields of a HeapEntry for
    each of them, one behind the other.
    """

    kind: str
    period: float
    header: HeapEntry | None
    whole: bool
    figures: Sequence[int]
    stacks: Sequence[bytes]
    addresses: Sequence[int]
    mappings: tuple[Mapping, ...]
    notes: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[HeapEntry, ...]:
        """Made anew each time, largest in use first, equal ones in the order of the file."""
        at = self.addresses.__getitem__
        columns = (self.figures[n::4] for n in range(4))
        stacks = (tuple(map(at, memoryview(stack).cast("I"))) for stack in self.stacks)
        found = list(map(HeapEntry, *columns, stacks))
        return tuple(sorted(found, key=lambda entry: (-entry.inuse_bytes, -entry.inuse_objects)))


class LeakKind(str, Enum):
    UNREACHABLE = "unreachable"
    NOT_FREED = "not-freed"
    DEFINITELY_LOST = "definitely-lost"
    INDIRECTLY_LOST = "indirectly-lost"
    POSSIBLY_LOST = "possibly-lost"
    STILL_REACHABLE = "still-reachable"
    DIRECT = "direct"
    INDIRECT = "indirect"
    IN_USE = "in-use"
    GROWTH = "growth"


class ReportStatus(str, Enum):
    COMPLETE = "complete"
    TRUNCATED = "truncated"
    NOT_RUN = "not-run"


@dataclass(frozen=True, slots=True)
class Module:
    """An object file a stack runs through: its path in the target's view and its GNU build-id in hex ('' when it has none)."""

    path: str
    build_id: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """One step of a stack.

    ``address`` is the return address as the checker recorded it; ``offset`` the same as a virtual address of the module's
    ELF file, which is what addr2line takes (look up offset-1: the call, not what follows it). ``function`` is demangled,
    ``linkage_name`` as the symbol table has it. None: not known (yet).
    """

    address: int
    module: Module | None = None
    offset: int | None = None
    function: str | None = None
    linkage_name: str | None = None
    file: str | None = None
    line: int | None = None
    inlined: bool = False


@dataclass(frozen=True, slots=True)
class LeakRecord:
    """What leaked from one stack (leaf first, allocator frames dropped). Unique in its report by (leak_id, kind)."""

    leak_id: str
    size_bytes: int
    objects: int
    kind: LeakKind
    stack: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """What a checker adds to an error: where the block was allocated or freed, and the like. The stack may be empty."""

    what: str
    stack: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckerError:
    """A fault that is no leak: an invalid read, a value that was never set. Leaf first, the allocator's frames included.

    ``kind`` is the checker's own word (InvalidRead, UninitCondition ...), ``count`` how often it was seen.
    """

    kind: str
    what: str
    stack: tuple[Frame, ...] = ()
    details: tuple[ErrorDetail, ...] = ()
    count: int = 1


@dataclass(frozen=True, slots=True)
class RunFacts:
    """How the run that a report is of ended; None where it has not, or nobody knows."""

    exit_code: int | None = None
    signal: str | None = None
    oom_killed: bool = False
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LeakReport:
    """One checker's answer. ``started`` is ISO 8601 in UTC; totals are the checker's, before anything is filtered.

    ``errors`` are what else it found, in the order it did; they have no part in the totals. ``frames``: all that the stacks
    are made of, each once, where that is known: 200,000 stacks have four million steps to look through for them.
    """

    checker: str
    mode: str
    status: ReportStatus
    argv: tuple[str, ...] = ()
    pid: int | None = None
    started: str | None = None
    run: RunFacts = field(default_factory=RunFacts)
    total_bytes: int = 0
    total_objects: int = 0
    notes: tuple[str, ...] = ()
    leaks: tuple[LeakRecord, ...] = ()
    errors: tuple[CheckerError, ...] = ()
    frames: tuple[Frame, ...] = field(default=(), repr=False, compare=False)
