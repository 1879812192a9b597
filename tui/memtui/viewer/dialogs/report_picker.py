"""The report picker: the reports of the session in time order, to compare any two or to show one alone."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual import on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget

from memtui.display.figures import count
from memtui.display.glyphs import UNICODE, Glyphs
from memtui.reports.changes import signed
from memtui.session.report_names import report_name, report_title
from memtui.session.shown_reports import ReportsShown
from memtui.session.state import ReportView, SessionState
from memtui.viewer.dialogs.dialog import Dialog
from memtui.viewer.dialogs.report_list import ReportList
from memtui.viewer.widgets.line import Text
from memtui_profiler.words import span_words

# The rows of the terminal that the list cannot have: the box's border and padding, the sentences, the screen above and below.
_ROWS_AROUND = 10


class PickedReport(NamedTuple):
    """The answer of the picker.

    ``alone``: show the report with the id ``report``. Else compare the report ``shown`` (None: the one on the screen) with
    ``report`` (None: end the comparison).
    """

    report: int | None
    alone: bool = False
    shown: int | None = None


class ReportPicker(Dialog[PickedReport]):
    """A list of reports, with sentences about what enter would do and how the highlighted report has changed."""

    DEFAULT_CSS = """
    ReportPicker > #box { width: 90; padding: 1 2 0 2; max-height: 95%; }
    ReportPicker #reports { height: 4; }
    ReportPicker #sentences { height: 3; margin: 1 0 0 0; color: $muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "compare", show=False),
        Binding("space", "mark", "mark", show=False),
        Binding("o", "choose(True)", "show", show=False),
        Binding("d", "leave", "close", show=False),
    ]

    def __init__(self, state: SessionState, shown: ReportsShown, *, glyphs: Glyphs = UNICODE) -> None:
        keys = "enter compare   space mark, for any two   o show it alone   esc leave"
        super().__init__("Reports", keys=keys, glyphs=glyphs)
        self._list = ReportList(state, shown, glyphs)
        self._sentences = Text(id="sentences")

    def body(self) -> list[Widget]:
        return [self._list, self._sentences]

    def on_mount(self) -> None:
        self._fit()
        self._list.focus()
        self._list.highlight_first()
        self._show_sentences()

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        self._list.styles.height = max(3, min(self._list.row_count + 1, self.app.size.height - _ROWS_AROUND))

    def follow(self, state: SessionState, shown: ReportsShown) -> None:
        """Show what the session has now: a snapshot may come while the list is open."""
        if self.is_mounted and self._list.follow(state, shown):
            self._fit()
            self._show_sentences()

    @on(ReportList.Opened)
    def _opened(self) -> None:
        self.action_choose()

    @on(ReportList.Moved)
    def _show_sentences(self) -> None:
        text = "\n".join(filter(None, (self._sentence(), self._since())))
        self._sentences.show(Content(self.glyphs.plain(text)))

    @property
    def _first(self) -> ReportView | None:
        """The report that enter would compare the highlighted one with: the marked one, else the one on the screen."""
        listed, report = self._list, self._list.highlighted
        marked = next((view for view in listed.reports if view.id == listed.marked), None)
        return listed.shown.view if marked is None or (report is not None and report.id == marked.id) else marked

    def _pair(self, report: ReportView) -> tuple[ReportView, ReportView] | None:
        """The two reports to compare, the older first, or files in the order in which they were chosen; None for one report."""
        first = self._first
        if first is None or first.id == report.id:
            return None
        in_time = report.id < first.id or bool(report.label)
        return (report, first) if in_time else (first, report)

    def _sentence(self) -> str:
        """What enter would do with the highlighted row."""
        listed, report = self._list, self._list.highlighted
        if len(listed.reports) == 1:
            return "There is one report only. The next is compared with it here; `memtui open A B` compares two files."
        if report is None:
            return "Enter: the report as it is, compared with none."
        if not report.complete:
            return "It is still being read."
        pair = self._pair(report)
        if pair is None:
            return "This is the one that is shown. Enter: compared with none."
        older, newer = pair
        shown = listed.shown.view
        if shown is not None and newer.id == shown.id:
            return f"Enter: what has come and gone since {report_name(older, listed.identity)}."
        older_title, newer_title = (report_title(view, listed.identity) for view in pair)
        change = signed(newer.total_bytes - older.total_bytes)
        return f"Enter: what came and went between {older_title} and {newer_title}: {change}."

    def _since(self) -> str:
        """How the highlighted report has changed since the one of its kind before it; '' for the first."""
        report = self._list.highlighted
        before = None if report is None else self._list.before.get(report.id)
        if report is None or before is None or not report.complete:
            return ""
        more, objects = report.total_bytes - before.total_bytes, report.total_objects - before.total_objects
        number = f"{'-' if objects < 0 else '+'}{count(abs(objects), ' ')} object{'' if abs(objects) == 1 else 's'}"
        seconds = report.at_s - before.at_s
        took = f" in {span_words(seconds)}" if seconds >= 1 and not report.label else ""
        change = f"{signed(more)} and {number}" if more or objects else "No change"
        return f"{change}{took} since the one before, {report_title(before, self._list.identity)}."

    def action_mark(self) -> None:
        self._list.toggle_mark()
        self._show_sentences()

    def action_choose(self, alone: bool = False) -> None:
        report = self._list.highlighted
        if report is None:
            self.dismiss(PickedReport(None))
        elif alone and report.complete:
            self.dismiss(PickedReport(report.id, alone=True))
        elif report.complete:
            pair = self._pair(report)
            self.dismiss(PickedReport(None) if pair is None else PickedReport(pair[0].id, shown=pair[1].id))
