"""A session as lines of text, for pipes, logs and terminals that cannot hold a screen.

One line a second for the target (with ``in use 0.2G kept 1.3G`` at its end where its allocator was asked), one for each
event, each change of the diagnosis and each large leak, in the order of their times::

    00:00:12 run 1 pid 4343 rss 14.2G anon 13.9G file 0.3G swap 0 threads 12 +1.2M/s
    00:00:13 event relaunch: rate 1 -> 3, pid 4343 -> 4391
    00:00:20 diagnosis growing: +0.4 MiB/s over 60 s
    00:00:21 leak 41.2 MiB in 10547 objects: open_session(Conn&) server.cpp:88
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from memtui import figures
from memtui.report_text import leak_lines
from memtui.state import SessionState
from memtui.status_line import StatusLine
from memtui_parsers.clean_text import clean
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import Event, Followed, Row, Run, RunEnd, RunSettled, Sample, SymbolsEnd

RATE_WINDOW_S = 10.0
LEAK_LINES = 5


@dataclass(frozen=True, slots=True)
class Second:
    """What one line says: the last sample of a second, with the slower figures as last known (None: never)."""

    sample: Sample
    shmem_bytes: int = 0
    swap_bytes: int | None = None
    threads: int | None = None

    @property
    def anon_bytes(self) -> int:
        """From the same instant as RSS, so that the parts of a line add up; the recorder's own is up to a second older."""
        return max(0, self.sample.rss_bytes - self.sample.shared_bytes)

    @property
    def file_bytes(self) -> int:
        return max(0, self.sample.shared_bytes - self.shmem_bytes)

    def with_sample(self, sample: Sample) -> Second:
        return Second(
            sample,
            self.shmem_bytes if sample.shmem_bytes is None else sample.shmem_bytes,
            self.swap_bytes if sample.swap_bytes is None else sample.swap_bytes,
            self.threads if sample.threads is None else sample.threads,
        )


_NOTHING_KNOWN = Second(Sample(at_s=0.0, run=0, rss_bytes=0, shared_bytes=0))
_News = Sample | Event | Followed | RunEnd | SymbolsEnd
R = TypeVar("R", bound=Row)


def size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "-"
    return figures.tight(size_bytes) if size_bytes else "0"


def sample_line(second: Second, pid: int, bytes_per_s: float) -> str:
    sample = second.sample
    threads = "-" if second.threads is None else second.threads
    line = (
        f"{figures.clock(sample.at_s)} run {sample.run} pid {pid} rss {size(sample.rss_bytes)} "
        f"anon {size(second.anon_bytes)} file {size(second.file_bytes)} swap {size(second.swap_bytes)} "
        f"threads {threads} {figures.rate(bytes_per_s)}"
    )
    if sample.in_use_bytes is None or sample.kept_bytes is None:
        return line
    # At the end, so that what reads the fields before by their places goes on doing so.
    return f"{line} in use {size(sample.in_use_bytes)} kept {size(sample.kept_bytes)}"


def event_line(event: Event) -> str:
    return f"{figures.clock(event.at_s)} event {clean(event.kind, 40)}: {ascii_arrows(event.text)}"


def diagnosis_line(at_s: float, verdict: StatusLine) -> str:
    return f"{figures.clock(at_s)} diagnosis {verdict.word.lower()}: {ascii_arrows(verdict.sentence)}"


class DiagnosisLines:
    """Says a verdict when it is reached, not each time its figures move."""

    def __init__(self) -> None:
        self._words: tuple[str, ...] = ()

    def poll(self, state: SessionState, at_s: float) -> list[str]:
        """``at_s`` is the time of the newest line, so that the lines stay in order."""
        before, self._words = self._words, tuple(verdict.word for verdict in state.diagnoses)
        return [diagnosis_line(at_s, verdict) for verdict in state.diagnoses if verdict.word not in before]


def ascii_arrows(text: str) -> str:
    """Lines are read by grep and awk as often as by people; the sentences of events are written for the screen."""
    return clean(text).replace("→", "->")


class SessionLines:
    """Follows a session by row id.

    ``at_s`` is the time of the newest row; ``settled`` is True once the newest run is over and everything of it is in.
    """

    def __init__(self, reader: SessionReader) -> None:
        self._reader = reader
        self._after: dict[object, int] = {}
        self._pids: dict[int, int] = {}
        self._known = _NOTHING_KNOWN
        self._second: Second | None = None
        self._window: deque[tuple[float, int]] = deque()
        self.run = 0
        self.at_s = 0.0
        self.settled = False

    def poll(self) -> list[str]:
        """The lines that became whole since the last look."""
        for run in self._new(Run):
            self.run, self.settled = run.id, False
            self._pids[run.id] = run.pid
        news: list[_News] = [*self._new(Followed), *self._new(Sample), *self._new(RunEnd)]
        news += [*self._new(Event), *self._new(SymbolsEnd)]
        news.sort(key=lambda row: row.at_s)
        self.at_s = max(self.at_s, news[-1].at_s if news else 0.0)
        lines = [line for row in news for line in self._lines(row)]
        if any(row.run == self.run for row in self._new(RunSettled)):
            self.settled = True
            lines += self.finish()
        return lines

    def finish(self) -> list[str]:
        """The line of the second that was under way."""
        second, self._second = self._second, None
        if second is None:
            return []
        return [sample_line(second, self._pids.get(second.sample.run, 0), self._bytes_per_s())]

    def _new(self, kind: type[R]) -> list[R]:
        rows = self._reader.rows(kind, after=self._after.get(kind, 0))
        if rows:
            self._after[kind] = rows[-1].id
        return rows

    def _lines(self, row: _News) -> Iterator[str]:
        if self._second is not None and int(self._second.sample.at_s) < int(row.at_s):
            yield from self.finish()
        if isinstance(row, Sample):
            self._add(row)
        elif isinstance(row, Event):
            yield event_line(row)
        elif isinstance(row, Followed):
            self._pids[row.run] = row.pid
        elif isinstance(row, RunEnd):
            yield from self.finish()  # so that what it held last stands before the words about its end
        else:
            report = load_report(self._reader, row.report)
            for line in leak_lines(report, LEAK_LINES):
                yield f"{figures.clock(row.at_s)} {line}"

    def _add(self, sample: Sample) -> None:
        if self._window and self._known.sample.run != sample.run:
            self._window.clear()
            self._known = _NOTHING_KNOWN
        self._known = self._second = self._known.with_sample(sample)
        self._window.append((sample.at_s, sample.rss_bytes))
        while sample.at_s - self._window[0][0] > RATE_WINDOW_S:
            self._window.popleft()

    def _bytes_per_s(self) -> float:
        (begin_s, begin_bytes), (end_s, end_bytes) = self._window[0], self._window[-1]
        return (end_bytes - begin_bytes) / (end_s - begin_s) if end_s > begin_s else 0.0
