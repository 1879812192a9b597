"""The rows of a session as values: one named tuple per table, a field per column, ``id`` last: 0 until the database gives one.

The tables, the writer's and the reader's SQL are made of these classes alone; docs/SESSION-FORMAT.md describes them to others.
Named tuples, because SQLite takes and returns tuples, and because twenty data classes cost each process 11 ms to make.

``at_s``: seconds on CLOCK_BOOTTIME since the session began. ``*_bytes``: bytes. ``run`` and ``report``: ids of their rows.
Truth values are 0 and 1.
"""

from __future__ import annotations

from typing import NamedTuple


class Meta(NamedTuple):
    """A fact about the session; the last row of a key wins. writer.py lists the keys."""

    key: str
    value: str
    id: int = 0


class Run(NamedTuple):
    """One launch of the target, or an attachment to it; its number is its id."""

    at_s: float
    pid: int
    executable: str
    argv: str  # JSON list
    cwd: str
    mode: str  # of the checker; 'off' for none
    release_rate: float | None  # set by memtui or the user's environment; None: not set
    allocator: str  # 'tcmalloc 2.10 preloaded', 'glibc malloc' ...
    environment: str  # JSON object of the variables that memtui set
    environment_names: str  # JSON list of the names of all others: their values stay with the user
    id: int = 0


class RunEnd(NamedTuple):
    """The end of a run: an exit code or a signal's name, neither when it was never learned."""

    at_s: float
    run: int
    exit_code: int | None
    signal: str | None
    oom_killed: int
    id: int = 0


class RunSettled(NamedTuple):
    """Every report of the run is there, with its symbols. After RunEnd, or without one when memtui detached."""

    at_s: float
    run: int
    id: int = 0


class Followed(NamedTuple):
    """The run goes on in another process (a daemon's second fork)."""

    at_s: float
    run: int
    pid: int
    id: int = 0


class Sample(NamedTuple):
    """The size of a run: ``rss_bytes`` and ``shared_bytes`` (file and shmem) at 10 Hz, the rest at 1 Hz and None in between.

    ``in_use_bytes`` and ``kept_bytes`` are the allocator's newest figures; None where it was not asked lately.
    """

    at_s: float
    run: int
    rss_bytes: int
    shared_bytes: int
    anon_bytes: int | None = None
    file_bytes: int | None = None
    shmem_bytes: int | None = None
    swap_bytes: int | None = None
    peak_rss_bytes: int | None = None
    threads: int | None = None
    descendants: int | None = None
    descendants_rss_bytes: int | None = None
    cgroup_bytes: int | None = None
    in_use_bytes: int | None = None
    kept_bytes: int | None = None
    id: int = 0


class AllocatorSample(NamedTuple):
    """memtui_parsers.allocators.stats.AllocatorStats of one moment, about once a second."""

    at_s: float
    run: int
    allocator: str  # 'tcmalloc', 'glibc malloc' ...
    in_use_bytes: int
    free_bytes: int
    central_bytes: int
    transfer_bytes: int
    thread_bytes: int
    metadata_bytes: int
    released_bytes: int
    release_rate: float | None  # as read from the process; None: the allocator has none
    cost_s: float  # the time the process took to answer
    id: int = 0


class AllocatorDetailRow(NamedTuple):
    """Size classes, free spans, arenas; seldom. ``detail``: JSON by memtui_profiler.allocators.detail_json."""

    at_s: float
    run: int
    detail: str
    id: int = 0


class GuestRow(NamedTuple):
    """Whether the process can be asked, a row whenever that changes.

    ``state``: 'waiting' (one thread: only when the user asks), 'ready' (with ``what``, ``why``, ``todo`` where the allocator has
    no figures, and can do ``actions`` only), 'busy' (a call has not come back yet), 'refused' (see the same three), 'off'
    (--no-guest), 'gone'. ``allocator``: the one that answers, '' while not known.
    ``beside``: others in the process, which it knows nothing of, as 'jemalloc in polars.so', '' where there is none.
    ``actions``: values of Action that it can do, with commas between; NULL: not known.
    """

    at_s: float
    run: int
    state: str
    allocator: str
    what: str = ""
    why: str = ""
    todo: str = ""
    beside: str = ""
    actions: str | None = None
    id: int = 0


class RegionRow(NamedTuple):
    """memtui_profiler.process.regions.Region of one look, the largest first; the row of the kind 'all' ends the look.

    ``threads`` and ``cost_s`` stand in that last row alone: how many there were, and how long the look took.
    """

    at_s: float
    run: int
    kind: str
    name: str
    mappings: int
    size_bytes: int
    rss_bytes: int
    pss_bytes: int
    swap_bytes: int
    dirty_bytes: int
    huge_bytes: int
    threads: int | None = None
    cost_s: float | None = None
    id: int = 0


class MemoryLimit(NamedTuple):
    """The lowest limit over the target, a row whenever it changes; ``limit_bytes`` None: there is none any more.

    ``source``: 'cgroup', 'machine'.
    """

    at_s: float
    run: int
    source: str
    limit_bytes: int | None
    id: int = 0


class CapabilityRow(NamedTuple):
    """Whether a feature works on this target, as found before the launch.

    ``sets``: for a check mode that is available a JSON object, ``environment`` that the next launch with it would set and
    ``command`` that it would start in the program's place; else ''. ``blind``: it would run, and see nothing of what the
    program allocates (``reason`` says why).
    """

    run: int
    name: str
    available: int
    reason: str
    remedy: str
    sets: str = ""
    blind: int = 0
    id: int = 0


class Event(NamedTuple):
    """An event: ``kind`` by memtui_profiler.events.EventKind, ``text`` a sentence, ``detail`` a JSON object."""

    at_s: float
    run: int | None
    kind: str
    text: str
    detail: str = "{}"
    id: int = 0


class ReportRow(NamedTuple):
    """The beginning of a report; its other rows name it by ``report``, and ReportEnd ends it."""

    at_s: float
    run: int | None
    pid: int | None
    checker: str
    mode: str
    origin: str  # 'exit', 'live', 'file'
    path: str  # of the dump, inside the session folder where it can be
    id: int = 0


class ReportNote(NamedTuple):
    """A sentence on what a report lacks or may have wrong."""

    report: int
    text: str
    id: int = 0


class ModuleRow(NamedTuple):
    """An object file. Ordinals count from 0 within a report, so that rows can be made before it has an id.

    ``unchecked`` 1: nothing proves that the file which names its frames is the one that ran.
    """

    report: int
    ordinal: int
    path: str
    build_id: str
    unchecked: int | None = None
    id: int = 0


class LeakFrame(NamedTuple):
    """An address of a report, once; leaks name it by its ordinal."""

    report: int
    ordinal: int
    address: str  # hexadecimal: SQLite's integers are signed
    module: int | None  # ordinal of the module
    offset: str | None  # virtual address in the module, hexadecimal
    id: int = 0


class Leak(NamedTuple):
    """One stack. ``stack``: ordinals of LeakFrame, leaf first, as little-endian unsigned 32-bit.

    ``samples``: the figures are estimated from about so many sampled allocations; None: all were counted, or unknown.
    """

    report: int
    size_bytes: int
    objects: int
    kind: str
    stack: bytes
    samples: int | None = None
    id: int = 0


class ReportFacts(NamedTuple):
    """The facts of a run by a report that was read from a file; a run that memtui watched has rows of its own.

    None: the file does not have them.
    """

    report: int
    checker: str
    mode: str
    pid: int | None
    argv: str  # JSON list
    started: str | None  # ISO 8601 in UTC
    exit_code: int | None
    signal: str | None
    oom_killed: int
    seconds: float | None
    id: int = 0


class GrowthRow(NamedTuple):
    """What a report on growth is of, as GrowthFacts has it."""

    report: int
    seconds: float
    grown_bytes: int
    seen_bytes: int
    given_back_bytes: int
    rss_before_bytes: int
    rss_now_bytes: int
    samples: int
    lost: int
    passing_bytes: int
    outcome: str
    id: int = 0


class CheckerErrorRow(NamedTuple):
    """An error that is not a leak: an invalid read ... ``stack`` as in Leak; ``times``: how often it was seen."""

    report: int
    ordinal: int
    kind: str
    what: str
    times: int
    stack: bytes
    id: int = 0


class ErrorDetailRow(NamedTuple):
    """More on the error with the ordinal ``error``: where the block was freed ... ``stack`` as in Leak."""

    report: int
    error: int
    what: str
    stack: bytes
    id: int = 0


class ReportEnd(NamedTuple):
    """The end of a report. Only symbols, notes and source lines come later.

    ``seen_bytes``: what the check saw, where that may be little of what the program had; None: it is not, or not known.
    """

    at_s: float
    report: int
    status: str
    total_bytes: int
    total_objects: int
    seen_bytes: int | None = None
    id: int = 0


class Symbol(NamedTuple):
    """The function at a frame. A later row of the same frame and depth knows more and wins."""

    report: int
    frame: int  # ordinal of the LeakFrame
    depth: int  # 0 is the innermost inlined call
    function: str | None
    linkage_name: str | None
    file: str | None
    line: int | None
    inlined: int
    id: int = 0


class SymbolsEnd(NamedTuple):
    """No more symbols will come for this report."""

    at_s: float
    report: int
    id: int = 0


class SourceLine(NamedTuple):
    """A source line near one that a symbol names, so that a copied session shows it."""

    file: str
    line: int
    text: str
    id: int = 0


Row = (
    Meta
    | Run
    | RunEnd
    | RunSettled
    | Followed
    | Sample
    | AllocatorSample
    | AllocatorDetailRow
    | GuestRow
    | RegionRow
    | MemoryLimit
    | CapabilityRow
    | Event
    | ReportRow
    | ReportNote
    | ModuleRow
    | LeakFrame
    | Leak
    | ReportFacts
    | GrowthRow
    | CheckerErrorRow
    | ErrorDetailRow
    | ReportEnd
    | Symbol
    | SymbolsEnd
    | SourceLine
)

KINDS: dict[str, type[Row]] = {
    "meta": Meta,
    "run": Run,
    "run_end": RunEnd,
    "run_settled": RunSettled,
    "followed": Followed,
    "sample": Sample,
    "allocator_sample": AllocatorSample,
    "allocator_detail": AllocatorDetailRow,
    "guest": GuestRow,
    "region": RegionRow,
    "memory_limit": MemoryLimit,
    "capability": CapabilityRow,
    "event": Event,
    "report": ReportRow,
    "report_note": ReportNote,
    "module": ModuleRow,
    "leak_frame": LeakFrame,
    "leak": Leak,
    "report_facts": ReportFacts,
    "growth": GrowthRow,
    "checker_error": CheckerErrorRow,
    "checker_error_detail": ErrorDetailRow,
    "report_end": ReportEnd,
    "symbol": Symbol,
    "symbols_end": SymbolsEnd,
    "source_line": SourceLine,
}

TABLE_OF: dict[object, str] = {kind: table for table, kind in KINDS.items()}
