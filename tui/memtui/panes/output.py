"""The Output tab: what the target prints, stdout and stderr together, at its end until one scrolls up."""

from __future__ import annotations

from textual.content import Content

from memtui.charset import UNICODE, Glyphs
from memtui.panes.log_tail import LogTail
from memtui.panes.rows import Rows
from memtui.state import SessionState
from memtui.widgets.line import fit


class OutputPane(Rows):
    has_cursor = False

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._run = 0
        self._attached = False
        self._tail: LogTail | None = None

    def show(self, state: SessionState) -> None:
        """Follow the newest run's output; reads the log's new bytes."""
        run = state.run
        self._attached = state.identity.attached
        if run is None:
            return
        if self._tail is None or run.number != self._run:
            self._run = run.number
            self._tail = LogTail(state.run_folder(run.number))
            self._following = True
        if self._tail.poll():
            self.rows_changed()

    @property
    def caption(self) -> str:
        where = "follows" if self.following else "end follows"
        return f"run {self._run} {self._glyphs.middot} {where}" if self._run else ""

    @property
    def row_count(self) -> int:
        return max(1, len(self._tail.lines)) if self._tail is not None else 1

    def row(self, index: int, width: int) -> Content:
        lines = self._tail.lines if self._tail is not None else ()
        if not lines:
            elsewhere = "  What it prints goes where it went before memtui attached to it."
            return Content.styled(elsewhere if self._attached else "  Nothing printed yet.", "$muted")
        text = fit(self._glyphs.plain(lines[index]), max(0, width - 2), self._glyphs.ellipsis)
        return Content.assemble(" ", text)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value <= 0 < old_value:
            # After this scroll is done: moving the offset inside its own watcher would be undone.
            self.call_after_refresh(self._read_earlier)

    def _read_earlier(self) -> None:
        if self._tail is None or not (added := self._tail.earlier()):
            return
        self._following = False
        self.rows_changed()
        self.scroll_to(y=self.scroll_offset.y + added, animate=False, immediate=True)
