"""The rows of a session as values: one named tuple per table, field for column, ``id`` last: 0 until the database gives one.

Named tuples, because they are what SQLite takes and gives, and because twenty data classes cost each process 11 ms to make.
The writer and the reader make their SQL from these classes alone.
"""

from __future__ import annotations

from typing import NamedTuple


class Meta(NamedTuple):
    """A fact about the session; the last row of a key wins."""

    key: str
    value: str
    id: int = 0


class Run(NamedTuple):
    at_s: float
    pid: int
    executable: str
    argv: str
    cwd: str
    mode: str
    release_rate: float | None
    allocator: str
    environment: str
    environment_names: str
    id: int = 0


class RunEnd(NamedTuple):
    at_s: float
    run: int
    exit_code: int | None
    signal: str | None
    oom_killed: int
    id: int = 0


class RunSettled(NamedTuple):
    at_s: float
    run: int
    id: int = 0


class Followed(NamedTuple):
    at_s: float
    run: int
    pid: int
    id: int = 0


class Sample(NamedTuple):
    """``rss_bytes`` and ``shared_bytes`` (file and shmem) are of this instant; the rest of the last second's, or None.

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
    """memtui_parsers.allocator_stats.AllocatorStats of one moment. ``release_rate``: tcmalloc's, None for others.

    ``cost_s``: how long the process took to answer.
    """

    at_s: float
    run: int
    allocator: str
    in_use_bytes: int
    free_bytes: int
    central_bytes: int
    transfer_bytes: int
    thread_bytes: int
    metadata_bytes: int
    released_bytes: int
    release_rate: float | None
    cost_s: float
    id: int = 0


class AllocatorDetailRow(NamedTuple):
    """``detail`` is JSON: what to_json() of memtui_profiler.allocators.detail_json writes and from_json() reads."""

    at_s: float
    run: int
    detail: str
    id: int = 0


class GuestRow(NamedTuple):
    """How the asking stands, a row whenever that changes. ``state``: 'waiting' (one thread: only when the user asks),

    'ready', 'busy' (a call has not come back yet), 'refused' (``what``, ``why``, ``todo`` say it), 'off' (--no-guest), 'gone'.
    """

    at_s: float
    run: int
    state: str
    allocator: str
    what: str = ""
    why: str = ""
    todo: str = ""
    id: int = 0


class MemoryLimit(NamedTuple):
    """``limit_bytes`` None: the limit is gone. ``source``: 'cgroup', 'machine', 'rlimit'."""

    at_s: float
    run: int
    source: str
    limit_bytes: int | None
    id: int = 0


class CapabilityRow(NamedTuple):
    """``sets``: for a check mode that is available a JSON object, ``environment`` that the next launch with it would set and
    ``command`` that it would start in the program's place; else ''.
    """

    run: int
    name: str
    available: int
    reason: str
    remedy: str
    sets: str = ""
    id: int = 0


class Event(NamedTuple):
    """``kind`` is one of memtui_profiler.events.EventKind; ``detail`` a JSON object."""

    at_s: float
    run: int | None
    kind: str
    text: str
    detail: str = "{}"
    id: int = 0


class ReportRow(NamedTuple):
    at_s: float
    run: int | None
    pid: int | None
    checker: str
    mode: str
    origin: str
    path: str
    id: int = 0


class ReportNote(NamedTuple):
    report: int
    text: str
    id: int = 0


class ModuleRow(NamedTuple):
    report: int
    ordinal: int
    path: str
    build_id: str
    id: int = 0


class LeakFrame(NamedTuple):
    report: int
    ordinal: int
    address: str
    module: int | None
    offset: str | None
    id: int = 0


class Leak(NamedTuple):
    report: int
    size_bytes: int
    objects: int
    kind: str
    stack: bytes
    id: int = 0


class ReportFacts(NamedTuple):
    """What a report that was read from a file says of the run it is of; of a run that memtui watched, that run's rows say it.

    ``argv`` is a JSON list, ``started`` ISO 8601 in UTC. None: the file does not say.
    """

    report: int
    checker: str
    mode: str
    pid: int | None
    argv: str
    started: str | None
    exit_code: int | None
    signal: str | None
    oom_killed: int
    seconds: float | None
    id: int = 0


class CheckerErrorRow(NamedTuple):
    """``stack`` as in Leak. Ordinals count from 0 within a report."""

    report: int
    ordinal: int
    kind: str
    what: str
    times: int
    stack: bytes
    id: int = 0


class ErrorDetailRow(NamedTuple):
    """What the checker adds to the error of that ordinal."""

    report: int
    error: int
    what: str
    stack: bytes
    id: int = 0


class ReportEnd(NamedTuple):
    at_s: float
    report: int
    status: str
    total_bytes: int
    total_objects: int
    id: int = 0


class Symbol(NamedTuple):
    report: int
    frame: int
    depth: int
    function: str | None
    linkage_name: str | None
    file: str | None
    line: int | None
    inlined: int
    id: int = 0


class SymbolsEnd(NamedTuple):
    at_s: float
    report: int
    id: int = 0


class SourceLine(NamedTuple):
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
    | MemoryLimit
    | CapabilityRow
    | Event
    | ReportRow
    | ReportNote
    | ModuleRow
    | LeakFrame
    | Leak
    | ReportFacts
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
    "memory_limit": MemoryLimit,
    "capability": CapabilityRow,
    "event": Event,
    "report": ReportRow,
    "report_note": ReportNote,
    "module": ModuleRow,
    "leak_frame": LeakFrame,
    "leak": Leak,
    "report_facts": ReportFacts,
    "checker_error": CheckerErrorRow,
    "checker_error_detail": ErrorDetailRow,
    "report_end": ReportEnd,
    "symbol": Symbol,
    "symbols_end": SymbolsEnd,
    "source_line": SourceLine,
}

TABLE_OF: dict[object, str] = {kind: table for table, kind in KINDS.items()}
