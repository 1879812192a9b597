"""Follows a session: reads its new rows and makes a SessionState of all that has been read."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Set
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

from memtui.session.argv import argv_in
from memtui.session.growth import ReportGrowth
from memtui.session.heap import HeapFollower
from memtui.session.new_rows import NewRows
from memtui.session.state import (
    DEFAULT_PAGE_BYTES,
    GrowthWatch,
    Identity,
    RateChange,
    ReportView,
    RunView,
    SessionState,
    event_detail,
    newest_of,
)
from memtui.session.verdict import growth_of, verdicts
from memtui_parsers.values import LeakReport, ReportStatus
from memtui_profiler.actions import action_of
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.request import suppressions_in
from memtui_profiler.session.reader import LATEST_S, SessionReader
from memtui_profiler.session.region_looks import LookReader, RecordedLook
from memtui_profiler.session.rows import (
    CapabilityRow,
    Event,
    Followed,
    MemoryLimit,
    RegionRow,
    ReportEnd,
    ReportRow,
    Row,
    Run,
    RunEnd,
    RunSettled,
    Sample,
    SourceLine,
    SymbolsEnd,
)
from memtui_profiler.session.series import Series
from memtui_profiler.session.writer import DATABASE

R = TypeVar("R", bound=Row)

KEEP_EVENTS = 10_000
# A minute of the figures that come once a second, and the samples among which they are.
KEEP_DETAILS = 60
TAIL_SAMPLES = 700
# The looks of the last minutes, each of some 26 rows at most.
KEEP_LOOKS = 30
KEEP_REGION_ROWS = 400
# Below this a session is read at once, above it in a thread: a million samples take the better part of a second.
SMALL_DATABASE_BYTES = 8 << 20
DIAGNOSE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """The samples of a session so far: the series, and each run's highest RSS."""

    series: Series
    peaks: dict[int, int]


def load_samples(reader: SessionReader) -> Loaded:
    """Read all samples that are there, by aggregation; costs about a microsecond each."""
    series = Series.load(reader)
    query = "SELECT run, max(max(rss_bytes), coalesce(max(peak_rss_bytes), 0)) FROM sample WHERE id <= ? GROUP BY run"
    peaks = {cast(int, run): cast(int, peak) for run, peak in reader.columns(query, (series.last_id,))}
    return Loaded(series, peaks)


def load_samples_apart(folder: Path) -> Loaded:
    """load_samples() with a connection of its own, for a thread."""
    with closing(SessionReader(folder / DATABASE)) as reader:
        return load_samples(reader)


class SessionFollower:
    """Polls one session. The constructor raises UserError when the folder holds none.

    ``load_now`` False: there are no samples until start_from() gets them, as for a long session.
    """

    def __init__(self, folder: Path, *, load_now: bool | None = None) -> None:
        self.folder = folder
        self.reader = SessionReader(folder / DATABASE)
        if load_now is None:
            load_now = (folder / DATABASE).stat().st_size <= SMALL_DATABASE_BYTES
        self._rows = NewRows(self.reader)
        self._identity: Identity | None = None
        self._runs: dict[int, RunView] = {}
        self._pids: dict[int, set[int]] = {}
        self._capabilities: tuple[CapabilityRow, ...] = ()
        self._events: deque[Event] = deque(maxlen=KEEP_EVENTS)
        self._shown_events: tuple[Event, ...] = ()
        self._limit: MemoryLimit | None = None
        self._reports = _ReportRows(self._rows)
        self._sample: Sample | None = None
        self._details: deque[Sample] = deque(maxlen=KEEP_DETAILS)
        self._loaded: Loaded | None = load_samples(self.reader) if load_now else None
        self._state: SessionState | None = None
        self._diagnosed_s = float("-inf")
        self._heap = HeapFollower(self._rows)
        self._look_reader = LookReader()
        self._looks: tuple[RecordedLook, ...] = ()
        self._whole_report: tuple[int, LeakReport] | None = None
        self._growth = ReportGrowth(self.reader)

    @property
    def ready(self) -> bool:
        """Whether the samples are there."""
        return self._loaded is not None

    def start_from(self, loaded: Loaded) -> None:
        self._loaded = loaded
        for number, run in self._runs.items():
            self._runs[number] = replace(run, peak_rss_bytes=max(run.peak_rss_bytes, loaded.peaks.get(number, 0)))

    def close(self) -> None:
        self.reader.close()

    def suppressions(self) -> tuple[str, ...]:
        """Return the paths of the suppression files that the session was started with."""
        return suppressions_in(self.reader.meta().get("request", ""))

    def recorded_lines(self, file: str) -> dict[int, str]:
        """Return the lines of a source file that the session holds: line number and text; none where they are damaged."""
        try:
            return {row.line: row.text for row in self.reader.rows_of(SourceLine, "file", file)}
        except UserError:
            return {}

    def take_report(self, report: int, loaded: LeakReport) -> None:
        """Take the newest report, which a thread has read: the next verdict can name its largest leak."""
        self._whole_report = (report, loaded)
        self._growth.take(report, loaded)
        self._diagnosed_s = float("-inf")

    def poll(self, clock_s: float, *, live: bool, judge: bool = True) -> SessionState:
        """Return the state now. ``clock_s``: Unix time in seconds; ``live``: a recorder is there, so time goes on.

        ``judge`` False: without verdicts, which need modules that are slow to import.
        """
        identity = self._known_identity()
        self._read_runs()
        self._read_samples()
        self._read_events()
        reports = self._reports.poll(live=live, pids=self._pids)
        runs = tuple(self._runs.values())
        newest_run = runs[-1].number if runs else 0
        heap = self._heap.poll(newest_run)
        self._read_regions(newest_run)
        last_s = self._rows.last_s
        now_s = max(last_s, clock_s - identity.wall_origin_s) if live else last_s
        state = SessionState(
            folder=self.folder,
            identity=identity,
            now_s=now_s,
            live=live,
            series=self._loaded.series if self._loaded else Series(),
            runs=runs,
            sample=self._sample,
            detail=self._details[-1] if self._details else None,
            details=tuple(self._details),
            limit=self._limit if self._limit and self._limit.limit_bytes is not None else None,
            capabilities=self._capabilities,
            events=self._shown_events,
            report=newest_of(reports),
            reports=reports,
            heap=heap,
            regions=self._looks,
        )
        if judge:
            self._state = state = self._judged(state)
        return state

    def _judged(self, state: SessionState) -> SessionState:
        """Add verdicts and growth, which read many points: new ones once a second, or when a run or a report has changed."""
        before = self._state
        moved = before is None or (before.runs, before.report, before.live) != (state.runs, state.report, state.live)
        if before is not None and not moved and 0 <= state.now_s - self._diagnosed_s < DIAGNOSE_EVERY_S:
            return replace(state, growth_bytes_per_s=before.growth_bytes_per_s, diagnoses=before.diagnoses)
        self._diagnosed_s = state.now_s
        diagnoses = verdicts(state, self._whole_report, self._growth.of(state.reports))
        return replace(state, growth_bytes_per_s=growth_of(state), diagnoses=diagnoses)

    def _known_identity(self) -> Identity:
        if self._identity is None:
            meta = self.reader.meta()
            identity = Identity(
                argv=argv_in(meta.get("argv", "")),
                cwd=meta.get("cwd", ""),
                wall_origin_s=_number(meta.get("started")),
                utc_offset_s=int(_number(meta.get("utc_offset"))),
                attached="attached" in meta,
                page_bytes=int(_number(meta.get("page_bytes"))) or DEFAULT_PAGE_BYTES,
                statistics=meta.get("statistics", ""),
            )
            if "started" not in meta:
                return identity
            self._identity = identity
        return self._identity

    def _read_runs(self) -> None:
        peaks = self._loaded.peaks if self._loaded else {}
        for run in self._rows.read(Run):
            self._runs[run.id] = RunView(run, run.pid, peaks.get(run.id, 0))
            self._pids[run.id] = {run.pid}
            self._sample = None
            self._details.clear()
        for followed in self._of_known_runs(self._rows.read(Followed)):
            self._runs[followed.run] = replace(self._runs[followed.run], pid=followed.pid)
            self._pids[followed.run].add(followed.pid)
        for end in self._of_known_runs(self._rows.read(RunEnd)):
            self._runs[end.run] = replace(self._runs[end.run], end=end)
        for settled in self._of_known_runs(self._rows.read(RunSettled)):
            self._runs[settled.run] = replace(self._runs[settled.run], settled=True)
        if capabilities := self._rows.read(CapabilityRow):
            newest = capabilities[-1].run
            kept = tuple(row for row in self._capabilities if row.run == newest)
            self._capabilities = kept + tuple(row for row in capabilities if row.run == newest)
        if limits := self._rows.read(MemoryLimit):
            self._limit = limits[-1]

    def _of_known_runs(self, rows: list[R]) -> Iterator[R]:
        return (row for row in rows if getattr(row, "run", None) in self._runs)

    def _read_samples(self) -> None:
        if self._loaded is None:
            return
        series = self._loaded.series
        # Of what was loaded as an aggregate, the newest sample and figures are read again.
        self._rows.after.setdefault(Sample, max(0, series.last_id - TAIL_SAMPLES))
        rows = self._rows.read(Sample)
        series.extend([row for row in rows if row.id > series.last_id])
        for row in rows:
            run = self._runs.get(row.run)
            peak = max(row.rss_bytes, row.peak_rss_bytes or 0)
            if run is not None and peak > run.peak_rss_bytes:
                self._runs[row.run] = replace(run, peak_rss_bytes=peak)
            self._sample = row
            if row.anon_bytes is not None:
                self._details.append(row)

    def _read_regions(self, newest_run: int) -> None:
        looks = (*self._looks, *self._look_reader.looks(self._rows.read(RegionRow, KEEP_REGION_ROWS)))
        kept = tuple(look for look in looks if look.whole.run == newest_run)[-KEEP_LOOKS:]
        if kept != self._looks:
            self._looks = kept

    def _read_events(self) -> None:
        if not (events := self._rows.read(Event)):
            return
        self._events.extend(events)
        self._shown_events = tuple(self._events)
        for event in events:
            if event.run not in self._runs:
                continue
            if event.kind == EventKind.NO_REPORT.value:
                action = action_of(event_detail(event).get("action"))
                run = self._runs[event.run]
                self._runs[event.run] = replace(run, no_report=event.text, no_report_action=action)
            elif event.kind == EventKind.GROWTH.value:
                self._runs[event.run] = replace(self._runs[event.run], growth=_growth_watch(event))
            elif (change := _rate_change(event)) is not None:
                self._runs[event.run] = replace(self._runs[event.run], rate_change=change)


class _ReportRows:
    """The reports of a session so far: what each is, whether it is complete, and how many of its names have come."""

    def __init__(self, rows: NewRows) -> None:
        self._rows = rows
        self._reports: dict[int, ReportView] = {}
        self._shown: tuple[ReportView, ...] = ()
        self._counted: set[int] = set()

    def poll(self, *, live: bool, pids: Mapping[int, Set[int]]) -> tuple[ReportView, ...]:
        """Return all reports, the newest last. ``live``: names of a report may still come.

        ``pids``: the process ids of the target itself, by run.
        """
        # The rows that are written last are read first, so that no end is read without its report.
        read = self._rows.read
        names_ended, ended, begun = read(SymbolsEnd), read(ReportEnd), read(ReportRow)
        for row in begun:
            # The time of a report from a file says nothing: it is called by its file.
            label = row.path.rpartition("/")[2] if row.origin == "file" else ""
            child = row.pid if row.pid not in (None, *pids.get(row.run or 0, (row.pid,))) else None
            self._reports[row.id] = ReportView(
                row.id, row.run, row.checker, row.mode, row.origin, at_s=row.at_s, label=label, child_pid=child
            )
        for end in ended:
            if (report := self._reports.get(end.report)) is not None:
                self._reports[end.report] = replace(
                    report,
                    complete=True,
                    cut=end.status != ReportStatus.COMPLETE.value,
                    leaks=self._count("leak", end.report),
                    total_bytes=end.total_bytes,
                    total_objects=end.total_objects,
                )
        named = {row.report for row in names_ended}
        for report in tuple(self._reports.values()):
            if report.complete and not report.symbolized and (live or report.id not in self._counted or named):
                self._counted.add(report.id)
                symbols, symbolized = self._count("symbol", report.id), report.id in named
                self._reports[report.id] = replace(report, symbols=symbols, symbolized=symbolized)
        reports = tuple(self._reports.values())
        if reports != self._shown:
            self._shown = reports
        return self._shown

    def _count(self, table: str, report: int) -> int:
        row = next(self._rows.reader.columns(f"SELECT count(*) FROM {table} WHERE report = ?", (report,)))
        return cast(int, row[0])


def _rate_change(event: Event) -> RateChange | None:
    """Return the change of the release rate that an event tells; None for other events."""
    if event.kind not in (EventKind.RATE_SET.value, EventKind.RATE_CHANGED.value):
        return None
    rate = event_detail(event).get("release_rate")
    if not isinstance(rate, int | float) or not math.isfinite(rate):
        return None
    return RateChange(event.at_s, float(rate), event.kind == EventKind.RATE_SET.value)


def _growth_watch(event: Event) -> GrowthWatch | None:
    """The watch that an event tells the beginning of; None for its end."""
    detail = event_detail(event)
    first_s = detail.get("first_report_s")
    if detail.get("watching") is not True or not isinstance(first_s, int | float) or not math.isfinite(first_s):
        return None
    return GrowthWatch(event.at_s, event.at_s + first_s)


def _number(text: str | None) -> float:
    try:
        number = float(text or 0)
    except ValueError:
        return 0.0
    return number if abs(number) <= LATEST_S else 0.0
