"""What grew between the two newest reports of a run, for the verdict: kept as a summary, so that the older one can be dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.session.state import ReportView
from memtui_profiler.session.reader import SessionReader

if TYPE_CHECKING:
    from memtui_parsers.values import LeakRecord, LeakReport
    from memtui_profiler.diagnosis.values import GrowthSummary

# What may be read between two frames: some 20 ms.
SMALL_LEAKS = 1000


class ReportGrowth:
    """take() gets each newest report that has been read; of() compares it with the one before."""

    def __init__(self, reader: SessionReader) -> None:
        self._reader = reader
        self._newest: tuple[int, LeakReport] | None = None
        self._before: tuple[int, LeakReport] | None = None
        self._known: GrowthSummary | None = None
        self._stale = False

    def take(self, number: int, report: LeakReport) -> None:
        if self._newest is not None and self._newest[0] != number:
            self._before = self._newest
        self._newest = number, report
        self._stale = True

    def of(self, views: tuple[ReportView, ...]) -> GrowthSummary | None:
        """Return the growth; None where there is no report before it of its kind, or that one is too large to read here."""
        if self._stale:
            self._stale = False
            self._known = self._compared(views)
        return self._known

    def _compared(self, views: tuple[ReportView, ...]) -> GrowthSummary | None:
        from memtui_profiler.diagnosis.reports import growth_summary, watched_growth

        if self._newest is None:
            return None
        number, report = self._newest
        if report.growth is not None:
            return watched_growth(report, program_name)
        view = next((one for one in views if one.id == number), None)
        before = None if view is None else _before(views, view)
        if view is None or before is None:
            return None
        old = self._read(before)
        return None if old is None else growth_summary(old, report, view.at_s - before.at_s, program_name)

    def _read(self, view: ReportView) -> LeakReport | None:
        from memtui_profiler.session.reports import load_report

        if self._before is None or self._before[0] != view.id:
            if view.leaks > SMALL_LEAKS:
                return None
            self._before = view.id, load_report(self._reader, view.id)
        return self._before[1]


def _before(views: tuple[ReportView, ...], newest: ReportView) -> ReportView | None:
    """The one before of the same kind: what another checker found, or the same at another moment of a run's life, is no measure."""
    if newest.run is None:
        return None
    alike = (newest.run, newest.checker, newest.mode, newest.origin, newest.child_pid)
    earlier = (one for one in reversed(views) if one.id < newest.id and one.complete)
    return next((r for r in earlier if (r.run, r.checker, r.mode, r.origin, r.child_pid) == alike), None)


def program_name(leak: LeakRecord) -> tuple[str, str]:
    """Function and place of the first named frame of the program's own, as the screen has them; '' twice where none has a name.

    One without a name is passed over: a stripped library between the program and the allocator must not cost the largest leak.
    """
    from memtui.reports.names import function_name, place
    from memtui_parsers.report.passing_code import is_library_frame

    named = (frame for frame in leak.stack if (frame.function or frame.file) and not is_library_frame(frame))
    frame = next(named, None)
    return ("", "") if frame is None else (function_name(frame), place(frame))
