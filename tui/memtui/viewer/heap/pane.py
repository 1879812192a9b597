"""The Heap tab: the allocator's figures, or what is mapped, as lines that are made once a second; those that changed are drawn."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.message import Message

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.session.state import SessionState
from memtui.viewer.heap.layout import ROOMY_FROM, heap_lines
from memtui.viewer.heap.regions import region_lines
from memtui.viewer.heap.sentences import caption
from memtui.viewer.widgets.session_pane import SessionPane


class HeapPane(SessionPane):
    """The allocator's figures, or why there are none; Asked is posted when the user wants the process to be asked.

    ``shows_regions``: what is mapped instead; LookWanted is posted when the user wants a new look at that.
    """

    has_header = False
    has_cursor = False

    class Asked(Message):
        """The user pressed enter, and the process is asked only on demand or could not be asked."""

    class LookWanted(Message):
        """The user has turned to the regions, or pressed enter there."""

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self._state: SessionState | None = None
        self._lines: list[Content] = []
        self._shown_for: object = None
        self.shows_regions = False

    def toggle_regions(self) -> None:
        """Show what is mapped, or the allocator's figures again."""
        self.shows_regions = not self.shows_regions
        self._lines, self._shown_for = [], None
        self.scroll_home(animate=False, immediate=True)
        if self._state is not None:
            self.show(self._state)
        if self.shows_regions:
            self.post_message(self.LookWanted())

    @property
    def caption(self) -> str:
        """'' where the pane has room to say it itself."""
        if self.shows_regions:
            return "regions"
        if self._state is None or (self._state.heap.samples and self.size.height >= ROOMY_FROM):
            return ""
        return caption(self._state)

    def show(self, state: SessionState) -> None:
        """Draw ``state``: once a second, or when there are other figures."""
        shown_for = (state.heap, state.regions, state.rate_read, state.running, int(state.now_s))
        self._state = state
        if shown_for != self._shown_for:
            self._shown_for = shown_for
            self._draw()

    def _draw(self) -> None:
        if self._state is None or not self.size.width:
            return
        lines = self._lines_for(self.size.width)
        if len(lines) > self.size.height and not self._glyphs.ascii:
            lines = self._lines_for(self.size.width - 1)  # the last column is the scroll bar's
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.renew()
            return
        for number, (old, new) in enumerate(zip(before, lines, strict=True)):
            if not new.is_same(old):
                self.refresh_line(number)

    def _lines_for(self, width: int) -> list[Content]:
        assert self._state is not None
        textured = self._glyphs.ascii or self.app.no_color
        if self.shows_regions:
            return region_lines(self._state, width, self._glyphs, textured=textured)
        return heap_lines(self._state, width, self.size.height, self._glyphs, textured=textured)

    @property
    def row_count(self) -> int:
        return len(self._lines)

    def draw_row(self, row: int, width: int, *, on_cursor: bool) -> Content:
        return self._lines[row]

    def on_resize(self, event: events.Resize) -> None:
        self._lines = []
        self._draw()

    def action_select(self) -> None:
        if self.shows_regions:
            self.post_message(self.LookWanted())
            return
        heap = self._state.heap if self._state is not None else None
        guest = heap.guest if heap is not None and not heap.samples else None
        if guest is not None and guest.state in ("waiting", "refused"):
            self.post_message(self.Asked())
