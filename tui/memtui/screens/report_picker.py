"""The report picker: the reports of the session, newest first, to compare the shown one with or to show alone."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget

from memtui.charset import UNICODE, Glyphs
from memtui.figures import count, prose
from memtui.panes.rows import Rows
from memtui.report_desk import ReportsShown
from memtui.report_names import check_words, origin_words, report_name, report_title
from memtui.screens.dialog import Dialog
from memtui.state import ReportView, SessionState
from memtui.widgets.line import Text, fit

_MOST_ROWS = 14
_NAME_MOST = 30


class PickedReport(NamedTuple):
    """``alone``: show it; else compare with it, None: with none."""

    report: int | None
    alone: bool = False


class ReportList(Rows):
    """One row for each report below the one that ends the comparison."""

    follows = False

    def __init__(self, state: SessionState, shown: ReportsShown, glyphs: Glyphs) -> None:
        super().__init__(id="reports")
        self._shown = shown
        self._glyphs = glyphs
        self.identity = state.identity
        self.reports = state.reports[::-1]
        widest = max((len(report_title(view, state.identity)) for view in self.reports), default=0)
        self._name_width = max(8, min(widest, _NAME_MOST))

    @property
    def row_count(self) -> int:
        return len(self.reports) + 1

    @property
    def lit(self) -> ReportView | None:
        """The report under the cursor; None on the first row."""
        return self.reports[self.cursor - 1] if self.cursor else None

    def light_first(self) -> None:
        """What is most wanted: to end a comparison, else the report before the one that is shown."""
        view = self._shown.view
        if self._shown.against is None and view is not None:
            older = (n for n, other in enumerate(self.reports) if other.id < view.id and other.complete)
            others = (n for n, other in enumerate(self.reports) if other.id != view.id and other.complete)
            self.cursor = 1 + next(older, next(others, -1))
        self._go(self.cursor)

    def heading(self, width: int) -> Content:
        what = width - self._fixed
        name = "FILE" if any(view.label for view in self.reports) else "TIME"
        line = f"    {name:<{self._name_width}}  RUN  {'REPORT':<{max(6, what)}}  {'BYTES':>9}  {'OBJECTS':>10}"
        return Content.styled(line, "$muted")

    @property
    def _fixed(self) -> int:
        return 4 + self._name_width + 2 + 3 + 2 + 2 + 9 + 2 + 10 + 1

    def row(self, index: int, width: int) -> Content:
        glyphs = self._glyphs
        mark = f"{glyphs.cursor} " if index == self.cursor else "  "
        if index == 0:
            return Content.assemble((mark, "$primary"), ("  no comparison", "$foreground"))
        view = self.reports[index - 1]
        what = max(6, width - self._fixed)
        name = fit(glyphs.plain(report_title(view, self.identity)), self._name_width, glyphs.ellipsis)
        run = "" if view.run is None else str(view.run)
        words = fit(glyphs.plain(self._words(view)), what, glyphs.ellipsis)
        size = prose(view.total_bytes) if view.complete else "being"
        objects = count(view.total_objects, " ") if view.complete else "read"
        shown = self._shown.view is not None and view.id == self._shown.view.id
        return Content.assemble(
            (mark, "$primary"),
            self._state_of(view),
            (f"{name:<{self._name_width}}  ", "bold $strong" if shown else "$foreground"),
            (f"{run:>3}  ", "$muted"),
            (f"{words:<{what}}  ", "$muted"),
            (f"{size:>9}  ", "$strong" if view.complete else "$faint"),
            (f"{objects:>10}", "$foreground" if view.complete else "$faint"),
        )

    def _words(self, view: ReportView) -> str:
        check = check_words(view)
        return check if view.label else f"{origin_words(view)} · {check}"

    def _state_of(self, view: ReportView) -> tuple[str, str]:
        shown, against = self._shown.view, self._shown.against
        if shown is not None and view.id == shown.id:
            return f"{self._glyphs.running} ", "$primary"
        if against is not None and view.id == against.id:
            return f"{self._glyphs.plain('±')[:1]} ", "$warn"
        return "  ", ""


class ReportPicker(Dialog[PickedReport]):
    DEFAULT_CSS = """
    ReportPicker > #box { width: 78; padding: 1 2 0 2; max-height: 95%; }
    ReportPicker #reports { height: 4; }
    ReportPicker #said { margin: 1 0; color: $muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "compare", show=False),
        Binding("space,o", "choose(True)", "show", show=False),
        Binding("d", "leave", "close", show=False),
    ]

    def __init__(self, state: SessionState, shown: ReportsShown, *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__("Reports", keys="enter compare with it   o show it alone   esc leave", glyphs=glyphs)
        self._list = ReportList(state, shown, glyphs)
        self._shown = shown
        self._said = Text(id="said")

    def body(self) -> list[Widget]:
        return [self._list, self._said]

    def on_mount(self) -> None:
        self._list.styles.height = min(self._list.row_count, _MOST_ROWS) + 1
        self._list.focus()
        self._list.light_first()
        self._say()

    def on_rows_chosen(self) -> None:
        self._say()

    def _say(self) -> None:
        self._said.show(Content(self.glyphs.plain(self._sentence())))

    def _sentence(self) -> str:
        """What enter and o would do with the row that is lit."""
        lit, shown = self._list.lit, self._shown.view
        if len(self._list.reports) == 1:
            return "There is one report only. The next is compared with it here; `memtui open A B` compares two files."
        if lit is None:
            return "Enter: the report as it is, compared with none."
        if not lit.complete:
            return "It is still being read."
        if shown is not None and lit.id == shown.id:
            return "This is the one that is shown. Enter: compared with none."
        if shown is not None and lit.id > shown.id:
            return "It is newer than the one that is shown: o shows it, then d compares it with the older one."
        return f"Enter: what has come and gone since {report_name(lit, self._list.identity)}."

    def action_choose(self, alone: bool = False) -> None:
        lit = self._list.lit
        if lit is None:
            self.dismiss(PickedReport(None))
        elif lit.complete:
            self.dismiss(PickedReport(lit.id, alone))

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2 and event.widget is self._list:
            self.action_choose()
        else:
            super().on_click(event)
