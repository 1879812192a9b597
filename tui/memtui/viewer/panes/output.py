"""The Output tab: what the target prints, stdout and stderr together. It shows the end until the user scrolls up."""

from __future__ import annotations

from textual.content import Content

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.session.state import SessionState
from memtui.viewer.panes.log_tail import LogTail
from memtui.viewer.widgets.line import fit
from memtui.viewer.widgets.session_pane import SessionPane


class OutputPane(SessionPane):
    """The output of the newest run; at its first line, older output is read from the log."""

    has_header = False
    has_cursor = False
    follows = True

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self._run = 0
        self._attached = False
        self._tail: LogTail | None = None

    def show(self, state: SessionState) -> None:
        """Read the new bytes of the newest run's log, and show them."""
        run = state.run
        self._attached = state.identity.attached
        if run is None:
            return
        if self._tail is None or run.number != self._run:
            self._run = run.number
            self._tail = LogTail(state.run_folder(run.number))
            self.following = True
        if self._tail.poll():
            self.renew()

    @property
    def caption(self) -> str:
        where = "follows" if self.following else "end follows"
        return f"run {self._run} {self._glyphs.middot} {where}" if self._run else ""

    @property
    def row_count(self) -> int:
        return max(1, len(self._tail.lines)) if self._tail is not None else 1

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> Content:
        lines = self._tail.lines if self._tail is not None else ()
        if not lines:
            attached = "  What it prints goes where it went before memtui attached to it."
            return Content.styled(attached if self._attached else "  Nothing printed yet.", "$muted")
        text = fit(self._glyphs.plain(lines[row]), max(0, width - 2), self._glyphs.ellipsis)
        return Content.assemble(" ", text)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value <= 0 < old_value:
            # Not now: a scroll offset that is set inside its own watcher is overwritten.
            self.call_after_refresh(self._read_earlier)

    def _read_earlier(self) -> None:
        if self._tail is None or not (added := self._tail.earlier()):
            return
        self.following = False
        self.renew()
        self.scroll_to(y=self.scroll_offset.y + added, animate=False, immediate=True)
