"""The values that all parts of memtui share: frozen, comparable, without behaviour.

Sizes are bytes. Addresses are unsigned 64-bit integers in the target process.
"""

from __future__ import annotations

from collections.abc import Mapping as NameMap
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class Mapping:
    """A line of /proc/PID/maps: addresses [start, end), at ``offset`` of the file at ``path`` ('' for none)."""

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
    """A stack of a .heap file: what it has in use, and ever allocated. Addresses are return addresses, leaf first."""

    inuse_objects: int
    inuse_bytes: int
    allocated_objects: int
    allocated_bytes: int
    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HeapProfile:
    """A heap profile of gperftools or jemalloc, or a leak dump, aggregated by stack, in the order of the file.

    ``kind`` is the header's word after ``@`` (heapprofile, heap_v2, growth ...). ``period``: one allocation per so many
    bytes was sampled, and the entries are estimates (0: all allocations were counted). ``header`` has the totals in the
    file's first line, None for jemalloc's. ``whole``: nothing is missing, and every line made sense; ``notes`` say
    what is (a truncated file, skipped lines).

    ``names`` has the calls at a return address, innermost first, where the file itself names them; ``samples`` for each
    stack the number of sampled allocations in use that its figures are estimated from, and is empty without sampling.

    For files of 200,000 stacks the entries are in columns. ``stacks`` are distinct; each is the positions of its return
    addresses in ``addresses``, leaf first, as packed unsigned ints (array("I")). ``figures`` has the first four fields
    of a HeapEntry for each stack, one after the other.
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
    names: NameMap[int, tuple[Frame, ...]] = field(default_factory=dict)
    samples: Sequence[int] = ()


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
    ALLOCATED = "allocated"  # freed or not


class ReportStatus(str, Enum):
    COMPLETE = "complete"
    TRUNCATED = "truncated"
    NOT_RUN = "not-run"


@dataclass(frozen=True, slots=True)
class Module:
    """A program or library: its path as the target sees it, and its GNU build-id in hex ('' when there is none).

    ``unchecked``: nothing proves that the file which named its frames is the one that ran.
    """

    path: str
    build_id: str = ""
    unchecked: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One call of a stack; unknown fields are None.

    ``address`` is the return address that the checker recorded, ``offset`` the same as a virtual address of the
    module's ELF file, for addr2line (look up offset-1, which is in the call instruction). ``function`` is demangled,
    ``linkage_name`` is the name in the symbol table.
    """

    address: int
    module: Module | None = None
    offset: int | None = None
    function: str | None = None
    linkage_name: str | None = None
    file: str | None = None
    line: int | None = None
    inlined: bool = False


# A figure that is estimated from fewer samples is rough: with ten it is off by a third (1/sqrt(10)) in one case of three.
FEW_SAMPLES = 10


@dataclass(frozen=True, slots=True)
class LeakRecord:
    """The leak of one stack (leaf first, without the allocator's frames). Unique in a report by (leak_id, kind).

    ``samples``: the figures are estimated from about so many sampled allocations; None: all were counted, or unknown.
    """

    leak_id: str
    size_bytes: int
    objects: int
    kind: LeakKind
    stack: tuple[Frame, ...]
    samples: int | None = None

    @property
    def few_samples(self) -> bool:
        return self.samples is not None and self.samples < FEW_SAMPLES


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """A detail of an error, such as where the block was allocated or freed. The stack may be empty."""

    what: str
    stack: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckerError:
    """An error that is no leak, such as an invalid read. The stack is leaf first and includes the allocator's frames.

    ``kind`` is the checker's name for it (InvalidRead, UninitCondition ...), ``count`` how often it occurred.
    """

    kind: str
    what: str
    stack: tuple[Frame, ...] = ()
    details: tuple[ErrorDetail, ...] = ()
    count: int = 1


@dataclass(frozen=True, slots=True)
class RunFacts:
    """How the run of a report ended; None for what is unknown, or has not happened yet."""

    exit_code: int | None = None
    signal: str | None = None
    oom_killed: bool = False
    seconds: float | None = None


class GrowthOutcome(str, Enum):
    """What a report on growth says: stacks that can be relied on, that nothing grew beyond noise, or that it cannot tell."""

    STACKS = "stacks"
    NOTHING_GREW = "nothing-grew"
    CANNOT_TELL = "cannot-tell"


@dataclass(frozen=True, slots=True)
class GrowthFacts:
    """How much a process has grown in ``seconds`` of watching it, and what was seen of that.

    ``grown_bytes``: in pages that are there and were not at the start; of ``seen_bytes`` it was seen who touched them first.
    ``given_back_bytes``: in pages that were there at the start and are gone. ``samples``: the page faults that the figures rest
    on, ``lost`` those that the kernel had no room for. RSS is that of the process, at the start and at the report.
    ``passing_bytes`` are there as well, and no part of the growth: of those who are seen to give back what they take.
    """

    seconds: float
    grown_bytes: int
    seen_bytes: int
    given_back_bytes: int = 0
    rss_before_bytes: int = 0
    rss_now_bytes: int = 0
    samples: int = 0
    lost: int = 0
    outcome: GrowthOutcome = GrowthOutcome.STACKS
    passing_bytes: int = 0

    @property
    def bytes_per_s(self) -> float:
        """The mean growth in a second."""
        return self.grown_bytes / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class LeakReport:
    """The report of one checker. ``started`` is ISO 8601 in UTC. The totals are the checker's, before any filter.

    ``errors`` are what else it found, in its order; they are not in the totals. ``frames`` has each frame of the stacks
    once, if it was filled: to collect them from 200,000 stacks means to look at four million steps. ``seen_bytes``: what
    the check saw, where that may be little of what the program had; None: it is not, or not known. ``growth``: of a report
    on growth, what it is of; None for others.
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
    seen_bytes: int | None = None
    growth: GrowthFacts | None = None
    frames: tuple[Frame, ...] = field(default=(), repr=False, compare=False)
