"""Which reports the user looks at (the one that is shown, the one it is compared with), and when they are read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from memtui.reports.changes import counting_samples
from memtui.session.state import ReportView, SessionState, newest_of
from memtui.session.suppressed import not_suppressed
from memtui_parsers.values import LeakReport
from memtui_profiler.gc_pause import collector_paused

# Names arrive in many rows: a report is read anew for them no oftener than this.
NAMES_EVERY_S = 2.0

Loaded = tuple[int, LeakReport]


def load_report_apart(folder: Path, report: int, suppressions: tuple[str, ...] = ()) -> Loaded:
    """Read a report with a connection of its own, for a thread: 200,000 records take seconds.

    ``suppressions``: paths of files that name leaks to leave out.
    """
    from memtui_profiler.session.reader import SessionReader
    from memtui_profiler.session.reports import load_report
    from memtui_profiler.session.writer import DATABASE

    with closing(SessionReader(folder / DATABASE)) as reader, collector_paused():
        loaded = load_report(reader, report)
    return report, counting_samples(not_suppressed(loaded, suppressions))


@dataclass(frozen=True, slots=True, eq=False)
class ReportsShown:
    """The reports for the leaks' pane. ``report`` None: there is none, or it has not been read yet.

    ``reading``: one that is chosen and not read yet. ``newer``: how many complete reports are newer than a chosen older one.
    """

    view: ReportView | None = None
    report: LeakReport | None = None
    against: ReportView | None = None
    against_report: LeakReport | None = None
    reading: ReportView | None = None
    newer: int = 0


class ReportSelection:
    """The reports that the user looks at, and which of them are still to be read.

    The newest report is shown, until the user chooses an older one. ``against``: the id of a report that the newest is
    compared with from the start. ``suppressions``: paths of suppression files.
    """

    def __init__(self, against: int | None = None, suppressions: tuple[str, ...] = ()) -> None:
        self.suppressions = suppressions
        self._chosen: int | None = None
        self._against = against
        self._loaded: dict[int, LeakReport] = {}
        # By report, when it was last read: (the number of its names, whether no more will come).
        self._read_with: dict[int, tuple[int, bool]] = {}
        self._read_at_s: dict[int, float] = {}
        self._reading: int | None = None
        self._showing: int | None = None

    @property
    def comparing(self) -> bool:
        return self._against is not None

    def show(self, state: SessionState, report: int) -> None:
        """Show this report alone. The newest is followed from then on, an older one stays."""
        newest = _newest(state)
        self._chosen = None if newest is not None and report == newest.id else report
        self._against = None

    def compare(self, state: SessionState, report: int | None, shown_then: int | None = None) -> None:
        """Compare the report that is shown with ``report`` (None: with none). ``shown_then``: show that one from now on."""
        if shown_then is not None:
            self.show(state, shown_then)
            self._against = report
            return
        shown = self.shown(state).view
        self._against = None if shown is not None and shown.id == report else report

    def leave_comparison(self) -> bool:
        """End the comparison; returns False where there was none."""
        left, self._against = self._against is not None, None
        return left

    def shown(self, state: SessionState) -> ReportsShown:
        """Return what to show now. Until a chosen report has been read, the one before it stays."""
        wanted = self._wanted(state)
        if wanted is None:
            return ReportsShown()
        views = {view.id: view for view in state.reports}
        if wanted.id in self._loaded or self._showing not in self._loaded:
            self._showing = wanted.id
        self._forget_others(state)
        view = views.get(self._showing or 0, wanted)
        against = views.get(self._against or 0)
        if against is not None and against.id == view.id:
            against = None
        newer = 0
        if self._chosen is not None:
            newer = sum(other.complete and other.id > wanted.id for other in state.reports)
        asked = (wanted, against)
        return ReportsShown(
            view=view,
            report=self._loaded.get(view.id),
            against=against,
            against_report=None if against is None else self._loaded.get(against.id),
            reading=next((one for one in asked if one is not None and one.id not in self._loaded), None),
            newer=newer,
        )

    def suppress(self, path: str) -> None:
        """Use this suppression file, too: every report is read again, and shown as it is until then."""
        self.suppressions = tuple(dict.fromkeys((*self.suppressions, path)))
        self._read_with.clear()
        self._read_at_s = dict.fromkeys(self._read_at_s, -NAMES_EVERY_S)

    def has_read(self, report: int) -> bool:
        return report in self._loaded

    def next_read(self, state: SessionState, now_s: float) -> Callable[[], Loaded] | None:
        """Return the next report to read as work for a thread; None while one is being read, or where none is to be read.

        ``now_s``: seconds of a clock that never goes back.
        """
        if self._reading is not None:
            return None
        for view in self._wanted_views(state):
            names = (view.symbols, view.symbolized)
            if not view.complete or self._read_with.get(view.id) == names:
                continue
            only_names = view.id in self._loaded and not view.symbolized
            if only_names and now_s - self._read_at_s[view.id] < NAMES_EVERY_S:
                continue
            self._reading = view.id
            self._read_with[view.id], self._read_at_s[view.id] = names, now_s
            return partial(load_report_apart, state.folder, view.id, self.suppressions)
        return None

    def take(self, loaded: Loaded) -> None:
        """Keep the report that the work of next_read() has returned."""
        self._reading = None
        number, report = loaded
        self._loaded[number] = report

    def _forget_others(self, state: SessionState) -> None:
        """Drop the reports that nobody looks at any more: a large one takes some 100 MiB."""
        wanted = {view.id for view in self._wanted_views(state)} | {self._showing}
        for other in [other for other in self._loaded if other not in wanted]:
            del self._loaded[other], self._read_at_s[other]
            self._read_with.pop(other, None)

    def _wanted(self, state: SessionState) -> ReportView | None:
        chosen = next((view for view in state.reports if view.id == self._chosen), None)
        return chosen or _newest(state)

    def _wanted_views(self, state: SessionState) -> list[ReportView]:
        """The report that is shown, the one it is compared with, and the newest, whose largest leak the verdict names."""
        views = {view.id: view for view in state.reports}
        wanted = [self._wanted(state), views.get(self._against or 0), _newest(state)]
        return list(dict.fromkeys(view for view in wanted if view is not None))


def _newest(state: SessionState) -> ReportView | None:
    """The newest report that is complete; while there is none, the newest."""
    read = [view for view in state.reports if view.complete]
    return newest_of(read or state.reports)
