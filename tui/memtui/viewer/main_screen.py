"""The main screen: its widgets, the rows that each gets, and what each shows."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Container
from textual.geometry import Size
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

from memtui.control.buttons import buttons, unable
from memtui.control.no_rate import rate_lack
from memtui.control.pending import PendingControls
from memtui.display.glyphs import Glyphs
from memtui.session.shown_reports import ReportsShown
from memtui.session.state import SessionState
from memtui.session.status_line import StatusLine
from memtui.viewer.graph.state import GraphState
from memtui.viewer.graph.widget import MemoryGraph
from memtui.viewer.leaks.source.lines import RecordedLines
from memtui.viewer.pane_stack import PaneStack
from memtui.viewer.views import tabs
from memtui.viewer.widgets.controls import Controls
from memtui.viewer.widgets.figures_line import figures_line
from memtui.viewer.widgets.footer import KeyFooter, OnScreen
from memtui.viewer.widgets.header import header
from memtui.viewer.widgets.line import Line
from memtui.viewer.widgets.tab_bar import TabBar
from memtui.viewer.widgets.verdicts import Verdicts

WIDE_COLUMNS = 100
FULL_COLUMNS, FULL_ROWS = 80, 24
TALL_ROWS = 32
CONTROLS_COLUMNS = 34
GRAPH_ROWS, GRAPH_MOST = 9, 16
# The columns and rows from which the classes of the style sheet apply.
WIDTHS = [(0, "-slim"), (FULL_COLUMNS, "-full"), (WIDE_COLUMNS, "-wide")]
HEIGHTS = [(0, "-low"), (FULL_ROWS, "-high"), (TALL_ROWS, "-tall")]

ZOOM_GRAPH, ZOOM_PANE = "-zoom-graph", "-zoom-pane"
# For a report or statistics from a file: no process was watched, so there is no graph and nothing to control.
FILE_ONLY = "-file-only"


@dataclass(frozen=True, slots=True)
class Showing:
    """All that the screen shows. ``busy``: a word for what memtui is doing to the target ('stopping'), or ''.

    ``notice``: the first of the verdicts is one that esc closes, which must be seen.
    """

    state: SessionState
    graph: GraphState
    reports: ReportsShown
    pending: PendingControls
    verdicts: tuple[StatusLine, ...]
    busy: str = ""
    notice: bool = False


class MainScreen(Screen[None]):
    """``recorded`` returns the source lines of a file that the session has; ``size``: that of the terminal, if known.

    ``source_map``: pairs of (folder at the build, folder here) of other source files.
    """

    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    AUTO_FOCUS = ""
    # A widget that gets or loses the focus repaints itself; Textual would repaint the whole screen.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(
        self,
        recorded: RecordedLines,
        size: Size,
        *,
        glyphs: Glyphs,
        source_map: tuple[tuple[str, str], ...] = (),
        skips: tuple[str, ...] = (),
    ) -> None:
        # The classes for its size, set here because each that is set later has the whole screen styled again.
        bounds = ((WIDTHS, size.width), (HEIGHTS, size.height))
        names = [[name for least, name in steps if length >= least][-1] for steps, length in bounds]
        super().__init__(id="main", classes=" ".join([*names, *(["-ascii"] if glyphs.ascii else [])]))
        self.glyphs = glyphs
        self.graph = MemoryGraph(id="graph")
        self.panes = PaneStack(recorded, glyphs=glyphs, source_map=source_map, skips=skips, id="panes")
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
        self._divided_for = Size(0, 0)
        self._shown_for: object = None
        self._shown_second = -1

    def compose(self) -> ComposeResult:
        yield from (
            self._header, self._figures, self._upper, self._verdicts, self._tabs, self.panes, self._footer
        )  # fmt: skip

    def on_mount(self) -> None:
        self._divide_rows()

    def on_resize(self) -> None:
        if self.app.size != self._divided_for:
            self._divide_rows()
            self.show_again()

    def _divide_rows(self) -> None:
        width, height = self._divided_for = self.app.size
        rows = graph_rows(width, height)
        if boxed(width, height):
            rows += 2
        elif FULL_COLUMNS <= width < WIDE_COLUMNS and height >= FULL_ROWS:
            rows += 1
        self._upper.styles.height = "1fr" if self.zoomed_on_graph else rows

    @property
    def zoomed(self) -> bool:
        """Whether the graph or the pane has the whole screen."""
        return self.zoomed_on_graph or self.has_class(ZOOM_PANE)

    @property
    def zoomed_on_graph(self) -> bool:
        return self.has_class(ZOOM_GRAPH)

    def toggle_zoom(self) -> None:
        """Give the whole screen to the graph or the pane, whichever has the focus, or undo that."""
        if self.has_class(FILE_ONLY):
            return
        on_pane = self.focused is not None and self.panes in self.focused.ancestors
        zoomed = "" if self.zoomed else ZOOM_PANE if on_pane else ZOOM_GRAPH
        # Inline styles below: for a class of the screen, Textual would style all its widgets again.
        self.update_classes({name: name == zoomed for name in (ZOOM_GRAPH, ZOOM_PANE)}, update=False)
        _hide(self._upper, zoomed == ZOOM_PANE)
        for widget in (self.panes, self._tabs, self._controls):
            _hide(widget, zoomed == ZOOM_GRAPH)
        self._divide_rows()

    def show_again(self) -> None:
        """Draw all lines again, as what is on the screen may differ from what was shown last."""
        self._shown_for = None
        if self._showing is not None:
            self._show_lines(self._showing)

    def show(self, showing: Showing) -> None:
        """Show this: the graph and the pane at once, lines once a second or when more than a figure has changed."""
        self._showing = showing
        state = showing.state
        has_statistics = bool(state.identity.statistics)
        has_report_alone = not state.live and not state.runs and state.report is not None
        self.set_class(has_statistics or has_report_alone, FILE_ONLY)
        _hide(self._verdicts, has_report_alone and not showing.notice)
        self.graph.show(showing.graph)
        self.panes.show_state(showing.state, showing.reports)
        self._show_lines(showing)

    def on_leak_pane_arranged(self) -> None:
        """Update the tab bar and the footer when the leaks are sorted, grouped or viewed in another way."""
        if self._showing is not None:
            self._show_tabs(self._showing)
            self._show_footer(self._showing)

    def on_descendant_focus(self) -> None:
        """Update the footer, as some keys depend on which widget has the focus."""
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
        self._verdicts.lines = showing.verdicts
        self._show_tabs(showing)
        self._show_footer(showing)

    def _show_footer(self, showing: Showing) -> None:
        state = showing.state
        self._footer.shown = OnScreen(
            live=state.live,
            running=state.running,
            attached=state.identity.attached,
            tab=self.panes.active,
            graph=not self.has_class(FILE_ONLY),
            comparable=len(state.reports) > 1,
            place=self.panes.place,
            unable=unable(state),
        )


def boxed(width: int, height: int) -> bool:
    """Return whether the panes have boxes, with empty lines around them."""
    return width >= WIDE_COLUMNS and height >= TALL_ROWS


def graph_rows(width: int, height: int) -> int:
    """Return the rows of the graph without its box, 3 to 16; further rows of the terminal go to the pane."""
    if width < FULL_COLUMNS or height < FULL_ROWS:
        # The graph gets half of what header, figures and tabs leave.
        return max(3, min(GRAPH_ROWS, (height - 3) // 2))
    if boxed(width, height):
        return min(GRAPH_MOST, height - 20)
    return min(GRAPH_MOST, GRAPH_ROWS + height - FULL_ROWS + (width >= WIDE_COLUMNS))


def _hide(widget: Widget, hidden: bool) -> None:
    """Hide a widget, or leave its display to the style sheet again."""
    if hidden:
        widget.styles.display = "none"
    elif widget.styles.clear_rule("display"):
        widget.refresh(layout=True)
