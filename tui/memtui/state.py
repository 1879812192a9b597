"""What the viewer knows of a session at one moment: frozen, without Textual, and what is derived from it alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from memtui import figures
from memtui.heap.state import HeapState
from memtui.status_line import StatusLine
from memtui_profiler.events import MARKS, EventKind
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.series import Series
from memtui_profiler.session.rows import CapabilityRow, Event, MemoryLimit, Run, RunEnd, Sample

# tcmalloc's own default, which a process has when nothing sets TCMALLOC_RELEASE_RATE (FACTS.md).
DEFAULT_RATE = 1.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What meta says once and for all. ``wall_origin_s``: Unix time of the session's second 0.

    ``attached``: memtui did not start the process, so it neither stops nor relaunches it.
    """

    argv: tuple[str, ...] = ()
    cwd: str = ""
    wall_origin_s: float = 0.0
    boot_origin_s: float = 0.0
    utc_offset_s: int = 0
    attached: bool = False


class RateChange(NamedTuple):
    """The release rate of a process that runs was changed: by memtui, or by somebody else."""

    at_s: float
    rate: float
    by_memtui: bool


class RateRead(NamedTuple):
    """The rate as the process has it. ``how`` it came to that: 'live' (memtui set it), 'outside', '' (as it was started)."""

    rate: float
    how: str = ""


@dataclass(frozen=True, slots=True)
class RunView:
    """One launch and what is known of it so far. ``pid`` is the process followed now."""

    row: Run
    pid: int
    peak_rss_bytes: int = 0
    end: RunEnd | None = None
    settled: bool = False
    no_report: str = ""
    rate_change: RateChange | None = None

    @property
    def number(self) -> int:
        return self.row.id

    @property
    def rate(self) -> float:
        """What the process was started with: memtui's setting, else tcmalloc's default."""
        return DEFAULT_RATE if self.row.release_rate is None else self.row.release_rate

    @property
    def rate_words(self) -> str:
        """The rate it has had last: ``1.0``, or ``7.5 live`` where that was set while it ran."""
        if self.rate_change is None:
            return figures.show_rate(self.rate)
        return f"{figures.show_rate(self.rate_change.rate)}{' live' if self.rate_change.by_memtui else ''}"

    @property
    def ended(self) -> bool:
        return self.end is not None

    @property
    def watched(self) -> bool:
        """Whether the process is there and memtui looks at it: it lets go of one that it attached to, and all is in then."""
        return self.end is None and not self.settled

    def seconds(self, now_s: float) -> float:
        return max(0.0, (now_s if self.end is None else self.end.at_s) - self.row.at_s)

    def ending(self) -> str:
        """How the run ended, in a word or two; '' while it lasts."""
        if self.end is None:
            return ""
        if self.end.oom_killed:
            return "OOM killed"
        if self.end.signal is not None:
            return f"killed {self.end.signal}"
        return "ended" if self.end.exit_code is None else f"exit {self.end.exit_code}"


@dataclass(frozen=True, slots=True)
class ReportView:
    """One report: ``complete`` once its last row is in, ``symbolized`` once no more names will come.

    ``label`` is the name of the file it was opened from, '' for one that was made while memtui watched. ``child_pid``: it is
    not of the program itself but of this process below it.
    """

    id: int
    run: int | None
    checker: str
    mode: str
    origin: str
    complete: bool = False
    symbolized: bool = False
    symbols: int = 0
    leaks: int = 0
    total_bytes: int = 0
    total_objects: int = 0
    at_s: float = 0.0
    label: str = ""
    child_pid: int | None = None


@dataclass(frozen=True, slots=True)
class SessionState:
    """``live``: a recorder answers commands. ``sample`` is the newest one, ``detail`` the newest with the 1 Hz figures.

    ``details`` are those of the last minute, oldest first. ``report`` is the newest of ``reports``, which stand in the order
    of their making.
    """

    folder: Path
    identity: Identity
    now_s: float
    live: bool
    series: Series
    runs: tuple[RunView, ...] = ()
    sample: Sample | None = None
    detail: Sample | None = None
    details: tuple[Sample, ...] = ()
    limit: MemoryLimit | None = None
    capabilities: tuple[CapabilityRow, ...] = ()
    events: tuple[Event, ...] = ()
    report: ReportView | None = None
    reports: tuple[ReportView, ...] = ()
    growth_bytes_per_s: float | None = None
    diagnoses: tuple[StatusLine, ...] = ()
    heap: HeapState = field(default_factory=HeapState)

    @property
    def run(self) -> RunView | None:
        return self.runs[-1] if self.runs else None

    @property
    def running(self) -> bool:
        """Whether the target is there: its run has not ended, and somebody is there to know."""
        return self.live and self.run is not None and self.run.watched

    @property
    def finished(self) -> bool:
        """The newest run is over and everything of it is in, or nobody is left who could bring more."""
        return self.run is not None and (self.run.settled or not self.live)

    @property
    def rate_read(self) -> RateRead | None:
        """The release rate as last read from the newest run's process; None where nobody has read one."""
        change = self.run.rate_change if self.run is not None else None
        newest = self.heap.newest
        how = "" if change is None else "live" if change.by_memtui else "outside"
        if newest is not None and newest.release_rate is not None and (change is None or newest.at_s > change.at_s):
            return RateRead(newest.release_rate, how)
        return None if change is None else RateRead(change.rate, how)

    @property
    def allocator(self) -> str:
        """The allocator with what is known of it, as 'tcmalloc 2.10 preloaded'; '' while it is not known."""
        return (self.run.row.allocator if self.run is not None else "") or self.heap.allocator

    def run_folder(self, number: int) -> Path:
        return self.folder / "runs" / str(number)


def event_detail(event: Event) -> dict[str, Any]:
    """The JSON object of an event; empty when it is not one."""
    try:
        detail = json.loads(event.detail)
    except ValueError:
        return {}
    return detail if isinstance(detail, dict) else {}


_LETTERS = {kind.value: letter for kind, letter in MARKS.items()}


def mark_letter(event: Event) -> str:
    """What marks an event on the time axis; '' for nothing. A report is marked by what asked for it, unless the exit did."""
    if event.kind == EventKind.REPORT.value and event_detail(event).get("origin", "exit") != "exit":
        return ""
    return _LETTERS.get(event.kind, "")


_STEPS = {"term": "SIGTERM", "term-group": "SIGTERM to its group", "kill": "SIGKILL"}


@dataclass(frozen=True, slots=True)
class Activity:
    """What is under way between the runs, as ``stopping pid 4343 · SIGTERM 2 s``. ``stopping``: a kill can be offered."""

    sentence: str
    stopping: bool


def activity(state: SessionState, *, relaunching: bool = False) -> Activity | None:
    """What the target's end or next start is waiting for; None when it simply runs or is over."""
    run = state.run
    if run is None or not state.live:
        return None
    if not run.ended:
        return _stopping(state, run)
    if not run.settled and run.row.mode != CHECK_OFF:
        return Activity(f"run {run.number} is over, reading its leak report", stopping=False)
    return Activity("starting", stopping=False) if relaunching else None


def _stopping(state: SessionState, run: RunView) -> Activity | None:
    step: Event | None = None
    check: Event | None = None
    first_check_s = 0.0
    for event in reversed(state.events):
        if event.at_s < run.row.at_s:
            break
        if event.run not in (None, run.number):
            continue
        if event.kind == EventKind.EXIT_CHECK.value:
            check = check or event
            first_check_s = event.at_s
        elif event.kind == EventKind.STOPPING.value:
            step = step or event
    if step is None:
        return None
    waited = max(0, int(state.now_s - step.at_s))
    if check is not None and event_detail(step).get("step") != "kill":
        dump = event_detail(check).get("dump_bytes", 0)
        size = f", dump {figures.prose(dump)}" if isinstance(dump, int | float) and dump else ""
        return Activity(f"leak check at exit: {max(0, int(state.now_s - first_check_s))} s{size}", stopping=True)
    name = _STEPS.get(str(event_detail(step).get("step", "")), "asked to end")
    return Activity(f"stopping pid {run.pid} · {name} {waited} s", stopping=True)


def lost_by_killing(state: SessionState) -> str:
    """What SIGKILL would cost now, as a sentence."""
    run = state.run
    if run is None or run.row.mode == CHECK_OFF:
        return "The target gets no chance to save what it holds. No leak check is on, so no report is lost."
    return f"The {run.row.mode} check at exit has not finished: its leak report of run {run.number} would be lost."
