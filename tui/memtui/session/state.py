"""The state of a session at one moment, frozen, and what follows from it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from memtui.display import figures
from memtui.display.keymap import ACTION_KEYS
from memtui.session.heap import HeapState
from memtui.session.status_line import StatusLine
from memtui_profiler.actions import Action
from memtui_profiler.events import EventKind
from memtui_profiler.request import CHECK_OFF, NO_MODES, PAGE_FAULTS
from memtui_profiler.session.region_looks import RecordedLook
from memtui_profiler.session.rows import CapabilityRow, Event, MemoryLimit, Run, RunEnd, Sample
from memtui_profiler.session.series import Series
from memtui_profiler.session.stored_json import json_object
from memtui_profiler.words import size_words

if TYPE_CHECKING:
    from memtui_parsers.allocators.stats import PrintedStatistics

# tcmalloc's own default, which a process has when nothing sets TCMALLOC_RELEASE_RATE (FACTS.md).
DEFAULT_RATE = 1.0
DEFAULT_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Identity:
    """The session's meta rows, which do not change. ``wall_origin_s``: Unix time of the session's second 0.

    ``attached``: memtui did not start the process, so it neither stops nor relaunches it. ``page_bytes``: of its machine.
    ``statistics``: JSON about statistics that an allocator has printed to a file, of which the session was made; '' for others.
    """

    argv: tuple[str, ...] = ()
    cwd: str = ""
    wall_origin_s: float = 0.0
    utc_offset_s: int = 0
    attached: bool = False
    page_bytes: int = DEFAULT_PAGE_BYTES
    statistics: str = ""


class RateChange(NamedTuple):
    """The release rate of a process that runs was changed: by memtui, or by somebody else."""

    at_s: float
    rate: float
    by_memtui: bool


class GrowthWatch(NamedTuple):
    """Page faults are watched since ``began_s``, for a first report at ``report_s``."""

    began_s: float
    report_s: float


class RateRead(NamedTuple):
    """The rate as the process has it. ``how`` it came to that: 'live' (memtui set it), 'outside', '' (as it was started)."""

    rate: float
    how: str = ""


@dataclass(frozen=True, slots=True)
class RunView:
    """One launch and what is known of it so far. ``pid`` is the process followed now.

    ``no_report`` says why its check left none, and ``no_report_action`` is what that calls for. ``growth``: the watch of its
    page faults, while there is one.
    """

    row: Run
    pid: int
    peak_rss_bytes: int = 0
    end: RunEnd | None = None
    settled: bool = False
    no_report: str = ""
    no_report_action: Action | None = None
    rate_change: RateChange | None = None
    growth: GrowthWatch | None = None

    @property
    def number(self) -> int:
        return self.row.id

    @property
    def rate(self) -> float:
        """The rate that the process was started with: memtui's setting, else tcmalloc's default."""
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
        """Whether the process is there and memtui watches it: a run is settled too when memtui has detached from its process."""
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
    not of the program itself but of this process below it. ``cut``: a part of it is missing.
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
    cut: bool = False


def newest_of(reports: Sequence[ReportView]) -> ReportView | None:
    """The newest report; where that is cut, the last whole one of the same run, process and checker."""
    if not reports:
        return None
    newest = reports[-1]
    if not newest.cut:
        return newest
    alike = (newest.run, newest.checker, newest.child_pid)
    whole = (r for r in reversed(reports) if r.complete and not r.cut and (r.run, r.checker, r.child_pid) == alike)
    return next(whole, newest)


@dataclass(frozen=True, slots=True)
class SessionState:
    """``live``: a recorder answers commands. ``sample`` is the newest one, ``detail`` the newest with the 1 Hz figures.

    ``details`` are those of the last minute, ``regions`` the newest looks at the mappings, oldest first. ``report`` is the
    newest of ``reports``, which stand in the order of their making.
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
    regions: tuple[RecordedLook, ...] = ()

    @property
    def checks(self) -> set[str]:
        """The modes that can work on the target, and see what it allocates."""
        newest = {row.name: row for row in self.capabilities if row.name not in NO_MODES}
        return {name for name, row in newest.items() if row.available and not row.blind}

    @property
    def can_watch(self) -> bool:
        """Whether page faults of the process can be watched while it runs, which tell by stack what grows."""
        return any(row.name == PAGE_FAULTS and row.available for row in self.capabilities)

    @property
    def run(self) -> RunView | None:
        return self.runs[-1] if self.runs else None

    @property
    def running(self) -> bool:
        """Whether the target runs: its run has not ended, and a recorder is there to see that."""
        return self.live and self.run is not None and self.run.watched

    @property
    def finished(self) -> bool:
        """Whether the newest run is over and all its rows are written, or no recorder is left to write more."""
        return self.run is not None and (self.run.settled or not self.live)

    @property
    def rate_read(self) -> RateRead | None:
        """The release rate that was last read from the newest run's process; None where none was read."""
        change = self.run.rate_change if self.run is not None else None
        newest = self.heap.newest
        how = "" if change is None else "live" if change.by_memtui else "outside"
        if newest is not None and newest.release_rate is not None and (change is None or newest.at_s > change.at_s):
            return RateRead(newest.release_rate, how)
        return None if change is None else RateRead(change.rate, how)

    @property
    def printed(self) -> PrintedStatistics | None:
        """The statistics that the session was made of; None for any other session, and for a damaged one."""
        if not self.identity.statistics:
            return None
        from memtui_profiler.collect.printed import printed_from

        return printed_from(self.identity.statistics, self.heap.newest, self.heap.detail)

    @property
    def allocator(self) -> str:
        """The allocator with what is known of it, as 'tcmalloc 2.10 preloaded'; '' while it is not known."""
        return (self.run.row.allocator if self.run is not None else "") or self.heap.allocator

    def run_folder(self, number: int) -> Path:
        return self.folder / "runs" / str(number)


def event_detail(event: Event) -> dict[str, Any]:
    """Return the JSON object of an event; an empty one when it is damaged."""
    return json_object(event.detail)


# What is marked on the time axis by the key of what a user does for it.
_DONE = {
    EventKind.RELAUNCH: Action.LAUNCH,
    EventKind.REPORT: Action.CHECK,
    EventKind.LEAK_CHECK: Action.CHECK,
    EventKind.RELEASED: Action.RELEASE,
    EventKind.SNAPSHOT: Action.SNAPSHOT,
    EventKind.GROWTH: Action.SNAPSHOT,
    EventKind.RATE_SET: Action.SET_RATE,
}
_LETTERS = {kind.value: ACTION_KEYS[action].shown for kind, action in _DONE.items()}
_LETTERS |= dict.fromkeys((EventKind.KILLED.value, EventKind.OOM_KILLED.value), "!")


def mark_letter(event: Event) -> str:
    """Return the mark of an event on the time axis, '' for none. A live report has none: its check or snapshot has."""
    if event.kind == EventKind.GROWTH.value and event_detail(event).get("watching") is not True:
        return ""
    if event.kind == EventKind.REPORT.value and event_detail(event).get("origin", "exit") != "exit":
        return ""
    return _LETTERS.get(event.kind, "")


_STEPS = {"check": "checked first,", "term": "SIGTERM", "term-group": "SIGTERM to its group", "kill": "SIGKILL"}


@dataclass(frozen=True, slots=True)
class Activity:
    """What happens between two runs, as ``stopping pid 4343 · SIGTERM 2 s``. ``stopping``: the target can be killed."""

    sentence: str
    stopping: bool


def activity(state: SessionState, *, relaunching: bool = False) -> Activity | None:
    """Return what the end or the next start of the target waits for; None when it runs or is over."""
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
        size = f", dump {size_words(dump)}" if isinstance(dump, int | float) and dump else ""
        when = "before the stop" if event_detail(step).get("step") == "check" else "at exit"
        return Activity(f"leak check {when}: {max(0, int(state.now_s - first_check_s))} s{size}", stopping=True)
    name = _STEPS.get(str(event_detail(step).get("step", "")), "asked to end")
    return Activity(f"stopping pid {run.pid} · {name} {waited} s", stopping=True)


def lost_by_killing(state: SessionState) -> str:
    """Return a sentence that says what SIGKILL would lose now."""
    run = state.run
    if run is None or run.row.mode == CHECK_OFF:
        return "The target gets no chance to save what it holds. No leak check is on, so no report is lost."
    return f"The {run.row.mode} check at exit has not finished: its leak report of run {run.number} would be lost."
