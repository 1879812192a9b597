"""The Runs tab: all launches of the target, one a row, to compare modes and release rates by their peak RSS."""

from __future__ import annotations

from textual.content import Content

from memtui.control.no_rate import never_has_rate
from memtui.display.figures import clock, show_rate
from memtui.display.glyphs import UNICODE, Glyphs
from memtui.session.state import RunView, SessionState
from memtui.viewer.widgets.line import fit
from memtui.viewer.widgets.session_pane import SessionPane
from memtui_parsers.clean_text import clean
from memtui_profiler.words import size_words


class RunsPane(SessionPane):
    """One row for each run, the newest last."""

    follows = True

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self._state: SessionState | None = None
        self._shown: tuple[RunView, ...] = ()
        self._second = -1

    def show(self, state: SessionState) -> None:
        self._state = state
        if self._shown != state.runs and len(self._shown) != len(state.runs):
            self._shown = state.runs
            self.renew()
        elif self._second != int(state.now_s):
            self._shown = state.runs
            self.refresh()
        self._second = int(state.now_s)

    @property
    def row_count(self) -> int:
        return len(self._shown)

    def draw_header(self, width: int) -> Content:
        return Content.styled(
            f"  {'RUN':>3}  {'PID':>8}  {'CHECK':<10}  {'RATE':>9}   {'PEAK RSS':>9}   {'LASTED':<8}   END", "$muted"
        )

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> Content:
        run = self._shown[row]
        now_s = self._state.now_s if self._state is not None else 0.0
        live = self._state is not None and self._state.live
        rate = run.rate_words
        if run.rate_change is None and run.row.release_rate is None:
            rate = "none" if never_has_rate(run) else f"({show_rate(run.rate)})"
        end, colour = run.ending(), "$muted"
        if not run.ended:
            end, colour = ("running", "$good") if live else ("not watched to its end", "$muted")
        elif run.end is not None and (run.end.signal or run.end.exit_code):
            colour = "$bad"
        allocator = clean(self._glyphs.plain(run.row.allocator), 60)
        head = f"  {run.number:>3}  {run.pid:>8}  {run.row.mode:<10}  {rate:>9}   "
        line = Content.assemble(
            (head, "$foreground"),
            (f"{size_words(run.peak_rss_bytes):>9}", "bold $strong"),
            (f"   {clock(run.seconds(now_s)):<8}   ", "$muted"),
            (f"{end:<14}", colour),
        )
        room = width - line.cell_length - 3
        return line + Content.styled(f"  {fit(allocator, room, self._glyphs.ellipsis)}", "$faint") if room > 8 else line
