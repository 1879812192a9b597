"""The report picker: the reports of the session on a timeline, to compare any two of them or to show one alone."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget

from memtui.charset import UNICODE, Glyphs
from memtui.figures import count, prose
from memtui.report_desk import ReportsShown
from memtui.report_names import report_name, report_title
from memtui.screens.dialog import Dialog
from memtui.screens.report_list import ReportList
from memtui.state import ReportView, SessionState
from memtui.widgets.line import Text

# What of a terminal's height is not the list's: the box's border and air, the sentences, some of the screen below it.
_ROWS_AROUND = 10


class PickedReport(NamedTuple):
    """``alone``: show ``report``; else compare with it, None: with none. ``shown``: the one to show for that, None: as it is."""

    report: int | None
    alone: bool = False
    shown: int | None = None


class ReportPicker(Dialog[PickedReport]):
    DEFAULT_CSS = """
    ReportPicker > #box { width: 90; padding: 1 2 0 2; max-height: 95%; }
    ReportPicker #reports { height: 4; }
    ReportPicker #said { height: 3; margin: 1 0 0 0; color: $muted; }
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
        self._said = Text(id="said")

    def body(self) -> list[Widget]:
        return [self._list, self._said]

    def on_mount(self) -> None:
        self._fit()
        self._list.focus()
        self._list.light_first()
        self._say()

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        self._list.styles.height = max(3, min(self._list.row_count + 1, self.app.size.height - _ROWS_AROUND))

    def follow(self, state: SessionState, shown: ReportsShown) -> None:
        """What the session has now: a snapshot may come while the list is open."""
        if self.is_mounted and self._list.follow(state, shown):
            self._fit()
            self._say()

    def on_rows_chosen(self) -> None:
        self._say()

    def _say(self) -> None:
        words = "\n".join(filter(None, (self._sentence(), self._since())))
        self._said.show(Content(self.glyphs.plain(words)))

    @property
    def _first(self) -> ReportView | None:
        """The other one of the two that enter would compare: the one that is marked, else the one that is shown."""
        listed, lit = self._list, self._list.lit
        marked = next((view for view in listed.reports if view.id == listed.marked), None)
        return listed.shown.view if marked is None or (lit is not None and lit.id == marked.id) else marked

    def _pair(self, lit: ReportView) -> tuple[ReportView, ReportView] | None:
        """The older and the newer of the two; files stand in the order in which they were chosen. None: they are one."""
        first = self._first
        if first is None or first.id == lit.id:
            return None
        in_time = lit.id < first.id or bool(lit.label)
        return (lit, first) if in_time else (first, lit)

    def _sentence(self) -> str:
        """What enter would do with the row that is lit."""
        listed, lit = self._list, self._list.lit
        if len(listed.reports) == 1:
            return "There is one report only. The next is compared with it here; `memtui open A B` compares two files."
        if lit is None:
            return "Enter: the report as it is, compared with none."
        if not lit.complete:
            return "It is still being read."
        pair = self._pair(lit)
        if pair is None:
            return "This is the one that is shown. Enter: compared with none."
        older, newer = pair
        shown = listed.shown.view
        if shown is not None and newer.id == shown.id:
            return f"Enter: what has come and gone since {report_name(older, listed.identity)}."
        older_title, newer_title = (report_title(view, listed.identity) for view in pair)
        change = _size_change(newer.total_bytes - older.total_bytes)
        return f"Enter: what came and went between {older_title} and {newer_title}: {change}."

    def _since(self) -> str:
        """How it has changed since the one before of its kind; '' for the first."""
        lit = self._list.lit
        before = None if lit is None else self._list.before.get(lit.id)
        if lit is None or before is None or not lit.complete:
            return ""
        more, objects = lit.total_bytes - before.total_bytes, lit.total_objects - before.total_objects
        number = f"{'-' if objects < 0 else '+'}{count(abs(objects), ' ')} object{'' if abs(objects) == 1 else 's'}"
        seconds = lit.at_s - before.at_s
        took = f" in {_duration(seconds)}" if seconds >= 1 and not lit.label else ""
        change = f"{_size_change(more)} and {number}" if more or objects else "No change"
        return f"{change}{took} since the one before, {report_title(before, self._list.identity)}."

    def action_mark(self) -> None:
        self._list.toggle_mark()
        self._say()

    def action_choose(self, alone: bool = False) -> None:
        lit = self._list.lit
        if lit is None:
            self.dismiss(PickedReport(None))
        elif alone and lit.complete:
            self.dismiss(PickedReport(lit.id, alone=True))
        elif lit.complete:
            pair = self._pair(lit)
            self.dismiss(PickedReport(None) if pair is None else PickedReport(pair[0].id, shown=pair[1].id))

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2 and event.widget is self._list:
            self.action_choose()
        else:
            super().on_click(event)


def _size_change(more_bytes: int) -> str:
    """``+1.3 MiB``"""
    return f"{'-' if more_bytes < 0 else '+'}{prose(abs(more_bytes))}"


def _duration(seconds: float) -> str:
    """``45 s``, ``3 min``, ``2.5 h``"""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
