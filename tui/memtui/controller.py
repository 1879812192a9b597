"""Follows a session for the viewer: reads the rows that are new and makes a SessionState of all that is known. No Textual."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

from memtui.heap.state import HeapFollower
from memtui.report_growth import ReportGrowth
from memtui.report_rows import ReportRows
from memtui.state import Identity, RateChange, RunView, SessionState, event_detail
from memtui.verdict import growth_of, verdicts
from memtui_parsers.values import LeakReport
from memtui_profiler.events import EventKind
from memtui_profiler.request import suppressions_in
from memtui_profiler.series import Series
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import (
    CapabilityRow,
    Event,
    Followed,
    MemoryLimit,
    Row,
    Run,
    RunEnd,
    RunSettled,
    Sample,
    SourceLine,
)
from memtui_profiler.session.writer import DATABASE

R = TypeVar("R", bound=Row)

KEEP_EVENTS = 10_000
# A minute of the figures that come once a second, and the samples among which they are.
KEEP_DETAILS = 60
TAIL_SAMPLES = 700
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
    reader = SessionReader(folder / DATABASE)
    try:
        return load_samples(reader)
    finally:
        reader.close()


class SessionFollower:
    """Polls one session. The constructor raises UserError when the folder holds none.

    ``load_now`` False: the samples are left out until start_from() is given them, as for a long session.
    """

    def __init__(self, folder: Path, *, load_now: bool | None = None) -> None:
        self.folder = folder
        self.reader = SessionReader(folder / DATABASE)
        if load_now is None:
            load_now = (folder / DATABASE).stat().st_size <= SMALL_DATABASE_BYTES
        self._after: dict[object, int] = {}
        self._identity: Identity | None = None
        self._runs: dict[int, RunView] = {}
        self._pids: dict[int, set[int]] = {}
        self._capabilities: tuple[CapabilityRow, ...] = ()
        self._events: deque[Event] = deque(maxlen=KEEP_EVENTS)
        self._shown_events: tuple[Event, ...] = ()
        self._limit: MemoryLimit | None = None
        self._reports = ReportRows(self.reader, self._new)
        self._sample: Sample | None = None
        self._details: deque[Sample] = deque(maxlen=KEEP_DETAILS)
        self._last_s = 0.0
        self._loaded: Loaded | None = load_samples(self.reader) if load_now else None
        self._state: SessionState | None = None
        self._diagnosed_s = float("-inf")
        self._heap = HeapFollower(self.reader)
        self._whole_report: tuple[int, LeakReport] | None = None
        self._growth = ReportGrowth(self.reader)

    @property
    def ready(self) -> bool:
        """Whether the samples are there."""
        return self._loaded is not None

    def start_from(self, loaded: Loaded) -> None:
        self._loaded = loaded

    def close(self) -> None:
        self.reader.close()

    def suppressions(self) -> tuple[str, ...]:
        """The suppression files that the session was begun with."""
        return suppressions_in(self.reader.meta().get("request", ""))

    def recorded_lines(self, file: str) -> dict[int, str]:
        """What the session has of a source file: line number and text."""
        return {row.line: row.text for row in self.reader.rows_of(SourceLine, "file", file)}

    def take_report(self, report: int, loaded: LeakReport) -> None:
        """The newest report, read whole elsewhere: the next verdict can name its largest leak."""
        self._whole_report = (report, loaded)
        self._growth.take(report, loaded)
        self._diagnosed_s = float("-inf")

    def poll(self, clock_s: float, *, live: bool, judge: bool = True) -> SessionState:
        """All that is known now. ``clock_s`` is Unix time; ``live``: a recorder is there, so time goes on.

        ``judge`` False: without verdicts, which need modules that take their time to import.
        """
        identity = self._known_identity()
        self._read_runs()
        self._read_samples()
        self._read_events()
        reports = self._reports.poll(live=live, pids=self._pids)
        runs = tuple(self._runs.values())
        heap = self._heap.poll(runs[-1].number if runs else 0)
        self._last_s = max(self._last_s, self._heap.last_s)
        now_s = max(self._last_s, clock_s - identity.wall_origin_s) if live else self._last_s
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
            report=reports[-1] if reports else None,
            reports=reports,
            heap=heap,
        )
        if judge:
            self._state = state = self._judged(state)
        return state

    def _judged(self, state: SessionState) -> SessionState:
        """Verdict and growth once a second, or at once when a run or a report changed: they read many points."""
        before = self._state
        moved = before is None or (before.runs, before.report, before.live) != (state.runs, state.report, state.live)
        if before is not None and not moved and 0 <= state.now_s - self._diagnosed_s < DIAGNOSE_EVERY_S:
            return replace(state, growth_bytes_per_s=before.growth_bytes_per_s, diagnoses=before.diagnoses)
        self._diagnosed_s = state.now_s
        diagnoses = verdicts(state, self._whole_report, self._growth.of(state.reports))
        return replace(state, growth_bytes_per_s=growth_of(state), diagnoses=diagnoses)

    def _new(self, kind: type[R]) -> list[R]:
        rows = self.reader.rows(kind, after=self._after.get(kind, 0))
        if rows:
            self._after[kind] = rows[-1].id
            self._last_s = max(self._last_s, *(getattr(row, "at_s", 0.0) for row in rows))
        return rows

    def _known_identity(self) -> Identity:
        if self._identity is None:
            meta = self.reader.meta()
            identity = Identity(
                argv=tuple(str(word) for word in _json_list(meta.get("argv", "[]"))),
                cwd=meta.get("cwd", ""),
                wall_origin_s=_number(meta.get("started")),
                boot_origin_s=_number(meta.get("boottime")),
                utc_offset_s=int(_number(meta.get("utc_offset"))),
                attached="attached" in meta,
            )
            if "started" not in meta:
                return identity
            self._identity = identity
        return self._identity

    def _read_runs(self) -> None:
        peaks = self._loaded.peaks if self._loaded else {}
        for run in self._new(Run):
            self._runs[run.id] = RunView(run, run.pid, peaks.get(run.id, 0))
            self._pids[run.id] = {run.pid}
            self._sample = None
            self._details.clear()
        for followed in self._of_known_runs(self._new(Followed)):
            self._runs[followed.run] = replace(self._runs[followed.run], pid=followed.pid)
            self._pids[followed.run].add(followed.pid)
        for end in self._of_known_runs(self._new(RunEnd)):
            self._runs[end.run] = replace(self._runs[end.run], end=end)
        for settled in self._of_known_runs(self._new(RunSettled)):
            self._runs[settled.run] = replace(self._runs[settled.run], settled=True)
        if found := self._new(CapabilityRow):
            newest = found[-1].run
            kept = tuple(row for row in self._capabilities if row.run == newest)
            self._capabilities = kept + tuple(row for row in found if row.run == newest)
        if limits := self._new(MemoryLimit):
            self._limit = limits[-1]

    def _of_known_runs(self, rows: list[R]) -> Iterator[R]:
        return (row for row in rows if getattr(row, "run", None) in self._runs)

    def _read_samples(self) -> None:
        if self._loaded is None:
            return
        series = self._loaded.series
        if self._sample is None and series.last_id and Sample not in self._after:
            self._read_loaded_tail(series.last_id)
        self._after[Sample] = series.last_id
        rows = self._new(Sample)
        series.extend(rows)
        for row in rows:
            run = self._runs.get(row.run)
            peak = max(row.rss_bytes, row.peak_rss_bytes or 0)
            if run is not None and peak > run.peak_rss_bytes:
                self._runs[row.run] = replace(run, peak_rss_bytes=peak)
            self._sample = row
            if row.anon_bytes is not None:
                self._details.append(row)

    def _read_loaded_tail(self, last_id: int) -> None:
        """The newest sample and figures of what was loaded as an aggregate; the runs' peaks with them."""
        if self._loaded is not None:
            for number, peak in self._loaded.peaks.items():
                if (run := self._runs.get(number)) is not None:
                    self._runs[number] = replace(run, peak_rss_bytes=max(run.peak_rss_bytes, peak))
        for row in self.reader.rows(Sample, after=max(0, last_id - TAIL_SAMPLES), limit=TAIL_SAMPLES):
            self._sample = row
            self._last_s = max(self._last_s, row.at_s)
            if row.anon_bytes is not None:
                self._details.append(row)

    def _read_events(self) -> None:
        if not (events := self._new(Event)):
            return
        self._events.extend(events)
        self._shown_events = tuple(self._events)
        for event in events:
            if event.run not in self._runs:
                continue
            if event.kind == EventKind.NO_REPORT.value:
                self._runs[event.run] = replace(self._runs[event.run], no_report=event.text)
            elif (change := _rate_change(event)) is not None:
                self._runs[event.run] = replace(self._runs[event.run], rate_change=change)


def _rate_change(event: Event) -> RateChange | None:
    """What an event says of the rate of the running process; None where it says nothing of it."""
    if event.kind not in (EventKind.RATE_SET.value, EventKind.RATE_CHANGED.value):
        return None
    rate = event_detail(event).get("release_rate")
    if not isinstance(rate, int | float) or not math.isfinite(rate):
        return None
    return RateChange(event.at_s, float(rate), event.kind == EventKind.RATE_SET.value)


def _json_list(text: str) -> list[object]:
    try:
        value = json.loads(text)
    except ValueError:
        return []
    return value if isinstance(value, list) else []


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
