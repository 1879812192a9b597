"""The list of the report picker: a timeline of the session's reports, the newest first, each with what has changed since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual.content import Content

from memtui.charset import Glyphs
from memtui.figures import count, prose, signed
from memtui.leaks.look import look
from memtui.panes.rows import Rows
from memtui.report_desk import ReportsShown
from memtui.report_names import SNAPSHOTS, check_words, origin_words, report_before, report_title
from memtui.state import Identity, ReportView, SessionState
from memtui.widgets.line import Part, fit

_NAME_MOST = 30
_BYTES, _CHANGE, _OBJECTS = 9, 6, 7
_BAR_LEAST, _BAR_MOST = 4, 24


class Widths(NamedTuple):
    """Of the columns that differ from session to session; ``bar`` 0: there is no room for it."""

    name: int
    words: int
    bar: int
    objects: int


class ReportList(Rows):
    """One row for each report below the one that ends the comparison. ``marked``: the id of one of two to be compared."""

    follows = False

    def __init__(self, state: SessionState, shown: ReportsShown, glyphs: Glyphs) -> None:
        super().__init__(id="reports")
        self._glyphs = glyphs
        self._look = look(glyphs.ascii)
        self.marked: int | None = None
        self._take(state, shown)

    def _take(self, state: SessionState, shown: ReportsShown) -> None:
        self.shown = shown
        self.identity: Identity = state.identity
        self.reports: Sequence[ReportView] = state.reports[::-1]
        # What stands behind a report is not looked through for the one before it: there may be thousands.
        self.before = {view.id: report_before(state.reports[:n], view) for n, view in enumerate(state.reports)}
        self._most: dict[tuple[str, str], int] = {}
        for view in self.reports:
            self._most[_kind(view)] = max(view.total_bytes, self._most.get(_kind(view), 0))
        # Asked for with each line that is drawn.
        self._longest = Widths(
            name=max((len(report_title(view, self.identity)) for view in self.reports), default=0),
            words=max((len(self._words(view)) for view in self.reports), default=0),
            bar=_BAR_MOST,
            objects=max((len(count(view.total_objects, " ")) for view in self.reports), default=0),
        )

    def follow(self, state: SessionState, shown: ReportsShown) -> bool:
        """Reports that have come meanwhile, above the one under the cursor; False when all is as it was."""
        if state.reports[::-1] == self.reports and (shown.view, shown.against) == (self.shown.view, self.shown.against):
            return False
        lit = self.lit
        self._take(state, shown)
        if lit is not None:
            self.cursor = 1 + next((n for n, view in enumerate(self.reports) if view.id == lit.id), 0)
        self.rows_changed()
        self._go(self.cursor)
        return True

    @property
    def row_count(self) -> int:
        return len(self.reports) + 1

    @property
    def lit(self) -> ReportView | None:
        """The report under the cursor; None on the first row."""
        return self.reports[self.cursor - 1] if self.cursor else None

    def light_first(self) -> None:
        """What is most wanted: to end a comparison, else the report before the one that is shown."""
        view = self.shown.view
        if self.shown.against is None and view is not None:
            older = (n for n, other in enumerate(self.reports) if other.id < view.id and other.complete)
            others = (n for n, other in enumerate(self.reports) if other.id != view.id and other.complete)
            self.cursor = 1 + next(older, next(others, -1))
        self._go(self.cursor)

    def toggle_mark(self) -> None:
        lit = self.lit
        if lit is not None and lit.complete:
            self.marked = None if self.marked == lit.id else lit.id
            self.refresh()

    def _widths(self, width: int) -> Widths:
        """Names and words are whole as long as the figures have room; the bar takes what is left."""
        longest = self._longest
        name = max(8, min(longest.name, _NAME_MOST))
        objects = max(_OBJECTS, longest.objects)
        left = width - (4 + name + 2 + 3 + 2) - (2 + _BYTES + 2 + _CHANGE + 2 + objects + 1)
        words = max(6, min(longest.words, left))
        bar = min(longest.bar, left - words - 2)
        if bar < _BAR_LEAST:
            return Widths(name, max(6, left), 0, objects)
        return Widths(name, max(6, left - bar - 2), bar, objects)

    def heading(self, width: int) -> Content:
        widths = self._widths(width)
        name = "FILE" if any(view.label for view in self.reports) else "TIME"
        bar = f"  {'':<{widths.bar}}" if widths.bar else ""
        line = f"    {name:<{widths.name}}  RUN  {'REPORT':<{widths.words}}  {'BYTES':>{_BYTES}}"
        return Content.styled(f"{line}  {'CHANGE':>{_CHANGE}}{bar}  {'OBJECTS':>{widths.objects}}", "$muted")

    def row(self, index: int, width: int) -> Content:
        glyphs = self._glyphs
        mark = f"{glyphs.cursor} " if index == self.cursor else "  "
        if index == 0:
            return Content.assemble((mark, "$primary"), ("  no comparison", "$foreground"))
        view, widths = self.reports[index - 1], self._widths(width)
        name = fit(glyphs.plain(report_title(view, self.identity)), widths.name, glyphs.ellipsis)
        run = "" if view.run is None else str(view.run)
        words = fit(glyphs.plain(self._words(view)), widths.words, glyphs.ellipsis)
        size = prose(view.total_bytes) if view.complete else "being"
        objects = count(view.total_objects, " ") if view.complete else "read"
        shown = self.shown.view is not None and view.id == self.shown.view.id
        return Content.assemble(
            (mark, "$primary"),
            self._state_of(view),
            (f"{name:<{widths.name}}  ", "bold $strong" if shown else "$foreground"),
            (f"{run:>3}  ", "$muted"),
            (f"{words:<{widths.words}}  ", "$muted"),
            (f"{size:>{_BYTES}}  ", "$strong" if view.complete else "$faint"),
            self._change(view),
            *self._bar(view, widths.bar),
            (f"  {objects:>{widths.objects}}", "$foreground" if view.complete else "$faint"),
        )

    def _change(self, view: ReportView) -> tuple[str, str]:
        """Since the one before of its kind; nothing for the first."""
        before = self.before.get(view.id)
        if before is None or not view.complete:
            return " " * _CHANGE, ""
        more = view.total_bytes - before.total_bytes
        return f"{signed(more):>{_CHANGE}}", "$warn" if more > 0 else "$good" if more < 0 else "$faint"

    def _bar(self, view: ReportView, width: int) -> list[Part]:
        """The bytes beside those of the largest of its kind, what has come since the one before in another colour."""
        if not width:
            return []
        most = self._most[_kind(view)] or 1
        bar = self._look.bar(view.total_bytes / most, width)
        before = self.before.get(view.id)
        old = len(bar)
        if before is not None and view.total_bytes > before.total_bytes:
            old = int(before.total_bytes / most * width)
        return ["  ", (bar[:old], "$primary"), (bar[old:], "$warn"), " " * (width - len(bar))]

    def _words(self, view: ReportView) -> str:
        """How it came to be; most snapshots are taken while the program runs, so that is not said of each."""
        check = check_words(view)
        if view.label or (view.checker == SNAPSHOTS and view.origin == "live" and view.child_pid is None):
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
    """Which sizes can stand beside each other."""
    return view.checker, "" if view.checker == SNAPSHOTS else view.mode
