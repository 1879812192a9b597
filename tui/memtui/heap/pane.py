"""The Heap tab: lines that are made anew once a second, of which those are sent that changed."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from memtui.charset import UNICODE, Glyphs
from memtui.heap.lines import ROOMY_FROM, heap_lines
from memtui.heap.words import caption
from memtui.panes.rows import Rows
from memtui.state import SessionState


class HeapPane(Rows):
    """``show()`` says what is known; Asked tells that the user wants the process asked."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "ask", "ask", show=False)]

    follows = False
    has_cursor = False

    class Asked(Message):
        """enter, where the process is asked only on demand, or could not be."""

        def __init__(self, pane: HeapPane) -> None:
            super().__init__()
            self.pane = pane

        @property
        def control(self) -> HeapPane:
            return self.pane

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._state: SessionState | None = None
        self._lines: list[Content] = []
        self._shown_for: object = None

    @property
    def caption(self) -> str:
        """'' where the pane itself has room for it."""
        if self._state is None or (self._state.heap.samples and self.size.height >= ROOMY_FROM):
            return ""
        return caption(self._state)

    def show(self, state: SessionState) -> None:
        """Draw what is new of ``state``: at most once a second, or when something was said."""
        shown_for = (state.heap, state.rate_read, state.running, int(state.now_s))
        self._state = state
        if shown_for != self._shown_for:
            self._shown_for = shown_for
            self._draw()

    def _draw(self) -> None:
        if self._state is None or not self.size.width:
            return
        lines = self._made(self.size.width)
        if len(lines) > self.size.height and not self._glyphs.ascii:
            lines = self._made(self.size.width - 1)  # beside the scrollbar
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.rows_changed()
            return
        for number, (old, new) in enumerate(zip(before, lines, strict=True)):
            if not new.is_same(old):
                self.refresh_line(number)

    def _made(self, width: int) -> list[Content]:
        assert self._state is not None
        textured = self._glyphs.ascii or self.app.no_color
        return heap_lines(self._state, width, self.size.height, self._glyphs, textured=textured)

    @property
    def row_count(self) -> int:
        return len(self._lines)

    def row(self, index: int, width: int) -> Content:
        return self._lines[index]

    def on_resize(self, event: events.Resize) -> None:
        self._lines = []
        self._draw()

    def action_ask(self) -> None:
        heap = self._state.heap if self._state is not None else None
        if (
            heap is not None
            and not heap.samples
            and heap.guest is not None
            and heap.guest.state in ("waiting", "refused")
        ):
            self.post_message(self.Asked(self))
