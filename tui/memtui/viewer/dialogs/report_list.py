"""The list of the report picker: the session's reports, the newest first, each with the change since the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual.content import Content

from memtui.display.figures import count, signed
from memtui.display.glyphs import Glyphs
from memtui.session.report_names import check_words, is_snapshot, origin_words, report_before, report_title
from memtui.session.shown_reports import ReportsShown
from memtui.session.state import Identity, ReportView, SessionState
from memtui.viewer.widgets.line import Part, fit
from memtui.viewer.widgets.virtual_list import VirtualList
from memtui_profiler.words import size_words

_NAME_MOST = 30
_BYTES, _CHANGE, _OBJECTS = 9, 6, 7
_BAR_LEAST, _BAR_MOST = 4, 24


class Widths(NamedTuple):
    """The widths of the columns that depend on the session; ``bar`` is 0 where there is no room for it."""

    name: int
    report: int
    bar: int
    objects: int


class ReportList(VirtualList):
    """A row to end the comparison, then one for each report. ``marked``: the id of one of two reports to be compared."""

    def __init__(self, state: SessionState, shown: ReportsShown, glyphs: Glyphs) -> None:
        super().__init__(glyphs=glyphs, id="reports")
        self.marked: int | None = None
        self._take(state, shown)

    def _take(self, state: SessionState, shown: ReportsShown) -> None:
        self.shown = shown
        self.identity: Identity = state.identity
        self.reports: Sequence[ReportView] = state.reports[::-1]
        # Of thousands of reports, those behind a report need not be searched for the one before it.
        self.before = {view.id: report_before(state.reports[:n], view) for n, view in enumerate(state.reports)}
        self._largest: dict[tuple[str, str], int] = {}
        for view in self.reports:
            self._largest[_kind(view)] = max(view.total_bytes, self._largest.get(_kind(view), 0))
        # Kept, as every line that is drawn needs it.
        self._longest = Widths(
            name=max((len(report_title(view, self.identity)) for view in self.reports), default=0),
            report=max((len(self._description(view)) for view in self.reports), default=0),
            bar=_BAR_MOST,
            objects=max((len(count(view.total_objects, " ")) for view in self.reports), default=0),
        )

    def follow(self, state: SessionState, shown: ReportsShown) -> bool:
        """Show the reports that have come since; the cursor stays on its report. Return whether anything has changed."""
        if state.reports[::-1] == self.reports and (shown.view, shown.against) == (self.shown.view, self.shown.against):
            return False
        old = self.highlighted
        self._take(state, shown)
        self.renew(0 if old is None else 1 + next((n for n, view in enumerate(self.reports) if view.id == old.id), 0))
        return True

    @property
    def row_count(self) -> int:
        return len(self.reports) + 1

    @property
    def highlighted(self) -> ReportView | None:
        """The report under the cursor; None on the first row."""
        return self.reports[self.cursor - 1] if self.cursor else None

    def highlight_first(self) -> None:
        """Put the cursor on the row to end a comparison, or where there is none on the report before the one shown."""
        view, row = self.shown.view, 0
        if self.shown.against is None and view is not None:
            older = (n for n, other in enumerate(self.reports) if other.id < view.id and other.complete)
            others = (n for n, other in enumerate(self.reports) if other.id != view.id and other.complete)
            row = 1 + next(older, next(others, -1))
        self.renew(row)

    def toggle_mark(self) -> None:
        """Mark the report under the cursor, or unmark it."""
        report = self.highlighted
        if report is not None and report.complete:
            self.marked = None if self.marked == report.id else report.id
            self.refresh()

    def _widths(self, width: int) -> Widths:
        """Names and descriptions are cut only where the figures would have no room; the bar takes what is left."""
        longest = self._longest
        name = max(8, min(longest.name, _NAME_MOST))
        objects = max(_OBJECTS, longest.objects)
        left = width - (4 + name + 2 + 3 + 2) - (2 + _BYTES + 2 + _CHANGE + 2 + objects + 1)
        bar = min(longest.bar, left - max(6, min(longest.report, left)) - 2)
        if bar < _BAR_LEAST:
            return Widths(name, max(6, left), 0, objects)
        return Widths(name, max(6, left - bar - 2), bar, objects)

    def draw_header(self, width: int) -> Content:
        widths = self._widths(width)
        name = "FILE" if any(view.label for view in self.reports) else "TIME"
        bar = f"  {'':<{widths.bar}}" if widths.bar else ""
        line = f"    {name:<{widths.name}}  RUN  {'REPORT':<{widths.report}}  {'BYTES':>{_BYTES}}"
        return Content.styled(f"{line}  {'CHANGE':>{_CHANGE}}{bar}  {'OBJECTS':>{widths.objects}}", "$muted")

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> Content:
        glyphs = self._glyphs
        mark = f"{glyphs.cursor} " if on_cursor else "  "
        if row == 0:
            return Content.assemble((mark, "$primary"), ("  no comparison", "$foreground"))
        view, widths = self.reports[row - 1], self._widths(width)
        name = fit(glyphs.plain(report_title(view, self.identity)), widths.name, glyphs.ellipsis)
        run = "" if view.run is None else str(view.run)
        report = fit(glyphs.plain(self._description(view)), widths.report, glyphs.ellipsis)
        size = size_words(view.total_bytes) if view.complete else "being"
        objects = count(view.total_objects, " ") if view.complete else "read"
        if view.complete and view.total_bytes and not view.total_objects:
            objects = ""  # of what grew, pages are counted and no objects
        shown = self.shown.view is not None and view.id == self.shown.view.id
        return Content.assemble(
            (mark, "$primary"),
            self._state_of(view),
            (f"{name:<{widths.name}}  ", "bold $strong" if shown else "$foreground"),
            (f"{run:>3}  ", "$muted"),
            (f"{report:<{widths.report}}  ", "$muted"),
            (f"{size:>{_BYTES}}  ", "$strong" if view.complete else "$faint"),
            self._change(view),
            *self._bar(view, widths.bar),
            (f"  {objects:>{widths.objects}}", "$foreground" if view.complete else "$faint"),
        )

    def _change(self, view: ReportView) -> tuple[str, str]:
        """The change since the report of the same kind before it; blank for the first."""
        before = self.before.get(view.id)
        if before is None or not view.complete:
            return " " * _CHANGE, ""
        more = view.total_bytes - before.total_bytes
        return f"{signed(more):>{_CHANGE}}", "$warn" if more > 0 else "$good" if more < 0 else "$faint"

    def _bar(self, view: ReportView, width: int) -> list[Part]:
        """Its bytes as a share of the largest of its kind; the growth since the one before has another colour."""
        if not width:
            return []
        largest = self._largest[_kind(view)] or 1
        bar = self._glyphs.share_bar(view.total_bytes / largest, width)
        before = self.before.get(view.id)
        old = len(bar)
        if before is not None and view.total_bytes > before.total_bytes:
            old = int(before.total_bytes / largest * width)
        return ["  ", (bar[:old], "$primary"), (bar[old:], "$warn"), " " * (width - len(bar))]

    def _description(self, view: ReportView) -> str:
        """How it was made; not said of snapshots of the running target, as most are."""
        check = check_words(view)
        if view.label or (is_snapshot(view) and view.origin == "live" and view.child_pid is None):
            return check
        return f"{origin_words(view)} · {check}"

    def _state_of(self, view: ReportView) -> tuple[str, str]:
        shown, against = self.shown.view, self.shown.against
        if view.id == self.marked:
            return f"{self._glyphs.tick} ", "bold $warn"
        if shown is not None and view.id == shown.id:
            return f"{self._glyphs.running} ", "$primary"
        if against is not None and view.id == against.id:
            return f"{self._glyphs.plain('±')[:1]} ", "$warn"
        return "  ", ""


def _kind(view: ReportView) -> tuple[str, str]:
    """Reports of one kind have sizes that can be compared."""
    return view.checker, "" if is_snapshot(view) else view.mode
