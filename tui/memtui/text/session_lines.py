"""A session as lines, for pipes, logs and terminals that cannot hold a screen: as text, or as JSON.

One line a second for the target (with ``in use 0.2G kept 1.3G`` at its end where its allocator was asked), one for each
event, each verdict that is reached and each large leak, and one a minute for what is mapped, in the order of their times::

    00:00:01 not asked: it has one thread; --ask asks it
    00:00:02 regions rss 14.2G, huge pages 0: heap 13.8G, app 42.0M, thread stacks 2.4M in 12, libc.so.6 1.4M
    00:00:12 run 1 pid 4343 rss 14.2G anon 13.9G file 0.3G swap 0 threads 12 +1.2M/s
    00:00:13 event relaunch: rate 1 -> 3, pid 4343 -> 4391
    00:00:20 diagnosis growing: +0.4 MiB/s over 60 s (start it with --check normal)
    00:00:21 leak 41.2 MiB in 10547 objects: open_session(Conn&) server.cpp:88

The JSON form is in docs/SESSION-FORMAT.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from memtui.session.new_rows import NewRows
from memtui.session.state import SessionState
from memtui.session.status_line import StatusLine
from memtui.text.steady_verdicts import SteadyVerdicts
from memtui_parsers.values import LeakReport
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.region_looks import LookReader, RecordedLook
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import (
    Event,
    Followed,
    GuestRow,
    RegionRow,
    Run,
    RunEnd,
    RunSettled,
    Sample,
    SymbolsEnd,
)

RATE_WINDOW_S = 10.0

# These come with one sample a second.
_SLOW = (
    "shmem_bytes",
    "swap_bytes",
    "threads",
    "peak_rss_bytes",
    "descendants",
    "descendants_rss_bytes",
    "cgroup_bytes",
)
_News = Sample | Event | Followed | RunEnd | SymbolsEnd | RecordedLook | GuestRow


class LineForm(Protocol):
    """How each kind of news is written: any number of lines for each."""

    def begin(self, meta: dict[str, str]) -> list[str]:
        """``meta`` says when the session started."""

    def run(self, run: Run) -> list[str]: ...

    def run_end(self, end: RunEnd) -> list[str]: ...

    def sample(self, sample: Sample, pid: int, bytes_per_s: float) -> list[str]: ...

    def event(self, event: Event) -> list[str]: ...

    def guest(self, guest: GuestRow) -> list[str]: ...

    def regions(self, look: RecordedLook) -> list[str]: ...

    def report(self, at_s: float, number: int, report: LeakReport) -> list[str]: ...

    def verdict(self, verdict: StatusLine, at_s: float, state: SessionState) -> list[str]: ...


class DiagnosisLines:
    """Makes lines of each verdict when it is surely reached, not each time its figures change."""

    def __init__(self, form: LineForm) -> None:
        self._form = form
        self._verdicts = SteadyVerdicts()

    def poll(self, state: SessionState, at_s: float) -> list[str]:
        """``at_s`` is the time of the newest line, so that the lines stay in order."""
        return [
            line for verdict in self._verdicts.reached(state, at_s) for line in self._form.verdict(verdict, at_s, state)
        ]


class SessionLines:
    """Makes lines of the new rows of a session.

    ``at_s`` is the time of the newest row; ``settled``: the newest run is over and all its rows have been read.
    """

    def __init__(self, reader: SessionReader, form: LineForm) -> None:
        self._form = form
        self._begun = False
        self._rows = NewRows(reader)
        self._pids: dict[int, int] = {}
        self._second: Sample | None = None
        self._slow: dict[str, int] = {}
        self._sampled_run = 0
        self._looks = LookReader()
        self._window: deque[tuple[float, int]] = deque()
        self.run = 0
        self.at_s = 0.0
        self.settled = False

    def poll(self) -> list[str]:
        """Return the lines that have become complete since the last call."""
        lines = self._begin()
        for run in self._rows.read(Run):
            self.run, self.settled = run.id, False
            self._pids[run.id] = run.pid
            lines += self._form.run(run)
        news: list[_News] = [*self._rows.read(Followed), *self._rows.read(Sample), *self._rows.read(RunEnd)]
        news += [*self._rows.read(Event), *self._rows.read(SymbolsEnd), *self._rows.read(GuestRow)]
        news += self._looks.looks(self._rows.read(RegionRow))
        news.sort(key=lambda row: row.at_s)
        self.at_s = max(self.at_s, news[-1].at_s if news else 0.0)
        lines += [line for row in news for line in self._lines(row)]
        if any(row.run == self.run for row in self._rows.read(RunSettled)):
            self.settled = True
            lines += self.finish()
        return lines

    def finish(self) -> list[str]:
        """Return the line of the second that is not over yet."""
        second, self._second = self._second, None
        if second is None:
            return []
        return self._form.sample(second, self._pids.get(second.run, 0), self._bytes_per_s())

    def _begin(self) -> list[str]:
        reader = self._rows.reader
        if self._begun or reader.started_s() is None:
            return []
        self._begun = True
        return self._form.begin(reader.meta())

    def _lines(self, row: _News) -> Iterator[str]:
        if self._second is not None and int(self._second.at_s) < int(row.at_s):
            yield from self.finish()
        if isinstance(row, Sample):
            self._add(row)
        elif isinstance(row, Event):
            yield from self._form.event(row)
        elif isinstance(row, RecordedLook):
            yield from self._form.regions(row)
        elif isinstance(row, GuestRow):
            yield from self._form.guest(row)
        elif isinstance(row, Followed):
            self._pids[row.run] = row.pid
        elif isinstance(row, RunEnd):
            yield from self.finish()  # its last figures stand before the events of its end
            yield from self._form.run_end(row)
        else:
            yield from self._form.report(row.at_s, row.report, load_report(self._rows.reader, row.report))

    def _add(self, sample: Sample) -> None:
        if sample.run != self._sampled_run:
            self._window.clear()
            self._slow, self._sampled_run = {}, sample.run
        self._slow |= {name: value for name in _SLOW if (value := getattr(sample, name)) is not None}
        self._second = sample._replace(**self._slow)
        self._window.append((sample.at_s, sample.rss_bytes))
        while sample.at_s - self._window[0][0] > RATE_WINDOW_S:
            self._window.popleft()

    def _bytes_per_s(self) -> float:
        (begin_s, begin_bytes), (end_s, end_bytes) = self._window[0], self._window[-1]
        return (end_bytes - begin_bytes) / (end_s - begin_s) if end_s > begin_s else 0.0
