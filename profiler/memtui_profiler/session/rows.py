"""The rows of a session as values: one frozen class per table, field for column.

Column names are the class's field names, so the writer and the reader make their SQL from these classes alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """``id`` is 0 until the database gives it one."""

    table: ClassVar[str]
    id: int = 0

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        return tuple(f.name for f in fields(cls))


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta(Row):
    """A fact about the session; the last row of a key wins."""

    table: ClassVar[str] = "meta"
    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Row):
    table: ClassVar[str] = "run"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd(Row):
    table: ClassVar[str] = "run_end"
    at_s: float
    run: int
    exit_code: int | None
    signal: str | None
    oom_killed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettled(Row):
    table: ClassVar[str] = "run_settled"
    at_s: float
    run: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed(Row):
    table: ClassVar[str] = "followed"
    at_s: float
    run: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Row):
    """``rss_bytes`` and ``shared_bytes`` (file and shmem) are of this instant; the rest of the last second's, or None."""

    table: ClassVar[str] = "sample"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit(Row):
    """``limit_bytes`` None: the limit is gone. ``source``: 'cgroup', 'machine', 'rlimit'."""

    table: ClassVar[str] = "memory_limit"
    at_s: float
    run: int
    source: str
    limit_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityRow(Row):
    table: ClassVar[str] = "capability"
    run: int
    name: str
    available: int
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Row):
    """``kind`` is one of memtui_profiler.events.EventKind; ``detail`` a JSON object."""

    table: ClassVar[str] = "event"
    at_s: float
    run: int | None
    kind: str
    text: str
    detail: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow(Row):
    table: ClassVar[str] = "report"
    at_s: float
    run: int | None
    pid: int | None
    checker: str
    mode: str
    origin: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportNote(Row):
    table: ClassVar[str] = "report_note"
    report: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleRow(Row):
    table: ClassVar[str] = "module"
    report: int
    ordinal: int
    path: str
    build_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakFrame(Row):
    table: ClassVar[str] = "leak_frame"
    report: int
    ordinal: int
    address: str
    module: int | None
    offset: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak(Row):
    table: ClassVar[str] = "leak"
    report: int
    size_bytes: int
    objects: int
    kind: str
    stack: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEnd(Row):
    table: ClassVar[str] = "report_end"
    at_s: float
    report: int
    status: str
    total_bytes: int
    total_objects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol(Row):
    table: ClassVar[str] = "symbol"
    report: int
    frame: int
    depth: int
    function: str | None
    linkage_name: str | None
    file: str | None
    line: int | None
    inlined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolsEnd(Row):
    table: ClassVar[str] = "symbols_end"
    at_s: float
    report: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLine(Row):
    table: ClassVar[str] = "source_line"
    file: str
    line: int
    text: str
