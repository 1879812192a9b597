"""The main screen: the widgets, how the terminal's rows are shared out among them, and what each is shown."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Container
from textual.geometry import Size
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

from memtui.charset import Glyphs
from memtui.graph.state import GraphState
from memtui.graph.widget import MemoryGraph
from memtui.leaks.source import RecordedLines
from memtui.pane_stack import PaneStack
from memtui.pending import PendingControls
from memtui.rate_lack import rate_lack
from memtui.report_desk import ReportsShown
from memtui.screen_layout import (
    CONTROLS_COLUMNS,
    FULL_COLUMNS,
    FULL_ROWS,
    TALL_ROWS,
    WIDE_COLUMNS,
    boxed,
    graph_rows,
)
from memtui.session_views import tabs
from memtui.state import SessionState
from memtui.status_line import StatusLine
from memtui.target_keys import buttons
from memtui.widgets.controls import Controls
from memtui.widgets.figures_line import figures_line
from memtui.widgets.footer import KeyFooter
from memtui.widgets.header import header
from memtui.widgets.line import Line
from memtui.widgets.tab_bar import TabBar
from memtui.widgets.verdicts import Verdicts

# From how many columns and rows on the style sheet's classes hold; screen_layout shares out the rows by the same bounds.
WIDTHS = [(0, "-slim"), (FULL_COLUMNS, "-full"), (WIDE_COLUMNS, "-wide")]
HEIGHTS = [(0, "-low"), (FULL_ROWS, "-high"), (TALL_ROWS, "-tall")]

ZOOM_GRAPH, ZOOM_PANE = "-zoom-graph", "-zoom-pane"
# A report from a file: nobody has watched a process, so there is nothing to draw and nothing to set.
REPORT_ONLY = "-report-only"


@dataclass(frozen=True, slots=True)
class Showing:
    """All that is on the screen. ``busy`` is a word for what is under way, or ''."""

    state: SessionState
    graph: GraphState
    reports: ReportsShown
    pending: PendingControls
    verdicts: tuple[StatusLine, ...]
    busy: str = ""


class MainScreen(Screen[None]):
    """``recorded`` gives the source lines that the session has of a file; ``size`` is the terminal's, as far as it is known."""

    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    AUTO_FOCUS = ""
    # What gets or loses the keys draws itself anew; Textual would have the whole screen do so.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(
        self, recorded: RecordedLines, size: Size, *, glyphs: Glyphs, source_map: tuple[tuple[str, str], ...] = ()
    ) -> None:
        # The classes that its size will give it anyway: set later, each would style the whole screen once more.
        bounds = ((WIDTHS, size.width), (HEIGHTS, size.height))
        names = [[name for least, name in steps if have >= least][-1] for steps, have in bounds]
        super().__init__(id="main", classes=" ".join([*names, *(["-ascii"] if glyphs.ascii else [])]))
        self.glyphs = glyphs
        self.graph = MemoryGraph(id="graph")
        self.panes = PaneStack(recorded, glyphs=glyphs, source_map=source_map, id="panes")
        self._header = Line(id="header")
        self._figures = Line(id="figures")
        self._controls = Controls(glyphs=glyphs, id="controls")
        self._verdicts = Verdicts(glyphs=glyphs, id="verdicts")
        self._tabs = TabBar(glyphs=glyphs, id="tabs")
        self._footer = KeyFooter(id="footer")
        self._upper = Container(self.graph, self._controls, id="upper")
        self.graph.border_title = "Memory"
        self._controls.border_title = "Controls"
        self._showing: Showing | None = None
        self._shared = Size(0, 0)
        self._shown_for: object = None
        self._shown_second = -1

    def compose(self) -> ComposeResult:
        yield from (
            self._header, self._figures, self._upper, self._verdicts, self._tabs, self.panes, self._footer
        )  # fmt: skip

    def on_mount(self) -> None:
        self._share_rows()

    def on_resize(self) -> None:
        if self.app.size != self._shared:
            self._share_rows()
            self.show_again()

    def _share_rows(self) -> None:
        width, height = self._shared = self.app.size
        rows = graph_rows(width, height)
        if boxed(width, height):
            rows += 2
        elif FULL_COLUMNS <= width < WIDE_COLUMNS and height >= FULL_ROWS:
            rows += 1
        self._upper.styles.height = "1fr" if self.zoomed_on_graph else rows

    @property
    def zoomed(self) -> bool:
        return self.zoomed_on_graph or self.has_class(ZOOM_PANE)

    @property
    def zoomed_on_graph(self) -> bool:
        return self.has_class(ZOOM_GRAPH)

    def toggle_zoom(self) -> None:
        """Give the graph or the pane, whichever has the keys, the whole screen; or take it back."""
        if self.has_class(REPORT_ONLY):
            return
        on_pane = self.focused is not None and self.panes in self.focused.ancestors
        whole = "" if self.zoomed else ZOOM_PANE if on_pane else ZOOM_GRAPH
        # Styles of their own: for a class of the screen's, Textual would style everything on it anew.
        self.update_classes({name: name == whole for name in (ZOOM_GRAPH, ZOOM_PANE)}, update=False)
        _hide(self._upper, whole == ZOOM_PANE)
        for widget in (self.panes, self._tabs, self._controls):
            _hide(widget, whole == ZOOM_GRAPH)
        self._share_rows()

    def show_again(self) -> None:
        """Draw all the lines, for what is on the screen may be another thing than what was shown last."""
        self._shown_for = None
        if self._showing is not None:
            self._show_lines(self._showing)

    def show(self, showing: Showing) -> None:
        """Bring this up: the graph at every look, figures once a second or when more than figures has changed."""
        self._showing = showing
        state = showing.state
        self.set_class(not state.live and not state.runs and state.report is not None, REPORT_ONLY)
        self.graph.show(showing.graph)
        self.panes.show_state(showing.state, showing.reports)
        self._show_lines(showing)

    def on_leak_pane_arranged(self) -> None:
        """The leaks are sorted, grouped or viewed otherwise: the tab bar and the footer say so."""
        if self._showing is not None:
            self._show_tabs(self._showing)
            self._show_footer(self._showing)

    def on_descendant_focus(self) -> None:
        """What some keys do depends on where the keys are."""
        if self._showing is not None:
            self._show_footer(self._showing)

    def _show_tabs(self, showing: Showing) -> None:
        shown = tabs(showing.state, showing.reports.view, showing.reports.report)
        self._tabs.show(shown, self.panes.active, aside=self.panes.caption, boxed=boxed(*self.app.size))

    def _show_lines(self, showing: Showing) -> None:
        state = showing.state
        runs = [(run.number, run.end, run.settled, run.pid) for run in state.runs]
        shown_for = (
            (runs, state.report, showing.reports.view, id(showing.reports.report), state.live, len(state.events)),
            (showing.pending, showing.verdicts, showing.busy),
            (self.panes.active, self.panes.caption),
        )
        if shown_for == self._shown_for and int(state.now_s) == self._shown_second:
            return
        self._shown_for, self._shown_second = shown_for, int(state.now_s)
        width, height = self.app.size
        in_box = boxed(width, height)
        self._header.show(header(state, self.glyphs, width, busy=showing.busy))
        self._figures.show(figures_line(state, self.glyphs, width, textured=self.glyphs.ascii or self.app.no_color))
        self._controls.show(
            showing.pending,
            buttons(state),
            rows=graph_rows(width, height) if width >= WIDE_COLUMNS else 1,
            width=CONTROLS_COLUMNS - (6 if in_box else 4),
            picker=state.live and not state.identity.attached,
            lack=rate_lack(state, showing.pending),
        )
        self._verdicts.show(showing.verdicts)
        self._show_tabs(showing)
        self._show_footer(showing)

    def _show_footer(self, showing: Showing) -> None:
        state = showing.state
        self._footer.show(
            live=state.live,
            running=state.running,
            attached=state.identity.attached,
            tab=self.panes.active,
            graph=not self.has_class(REPORT_ONLY),
            comparable=len(state.reports) > 1,
            place=self.panes.place,
        )


def _hide(widget: Widget, hidden: bool) -> None:
    """Take it off the screen, or leave it to the style sheet again."""
    if hidden:
        widget.styles.display = "none"
    elif widget.styles.clear_rule("display"):
        widget.refresh(layout=True)
