"""The panes behind the tabs: one is shown at a time, each is made when it is first wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Container

from memtui.charset import UNICODE, Glyphs
from memtui.keymap import Place
from memtui.panes.rows import Rows
from memtui.report_desk import ReportsShown
from memtui.session_views import leak_state
from memtui.state import SessionState

if TYPE_CHECKING:
    from textual.widget import Widget

    from memtui.heap.pane import HeapPane
    from memtui.leaks.pane import LeakPane
    from memtui.leaks.source import RecordedLines
    from memtui.panes.events import EventsPane
    from memtui.panes.output import OutputPane
    from memtui.panes.runs import RunsPane


class PaneStack(Container):
    """``recorded`` gives the source lines that the session has of a file; ``source_map`` says what of the others is where."""

    def __init__(
        self,
        recorded: RecordedLines,
        *,
        glyphs: Glyphs = UNICODE,
        source_map: tuple[tuple[str, str], ...] = (),
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._recorded = recorded
        self._source_map = source_map
        self._glyphs = glyphs
        self.active = "leaks"
        self._leak_caption = ""
        self._leaks: LeakPane | None = None
        self._heap: HeapPane | None = None
        self._output: OutputPane | None = None
        self._events: EventsPane | None = None
        self._runs: RunsPane | None = None

    @property
    def caption(self) -> str:
        """What the shown pane says of itself, for the tab bar."""
        if self.active == "leaks":
            return self._leak_caption
        if self.active == "heap":
            return self._heap.caption if self._heap is not None else ""
        return self._output.caption if self.active == "output" and self._output is not None else ""

    @property
    def place(self) -> Place:
        """What of the leaks has the keys."""
        return Place.LIST if self._leaks is None else self._leaks.place

    async def show_tab(self, tab: str) -> None:
        pane = getattr(self, f"_{tab}")
        if pane is None:
            pane = self._make(tab)
            await self.mount(pane)
        for child in self.children:
            child.display = child is pane
        self.active = tab

    def _make(self, tab: str) -> Widget:
        if tab == "leaks":
            from memtui.leaks.pane import LeakPane
            from memtui.leaks.source import Sources

            self._leaks = LeakPane(
                sources=Sources(self._recorded, moved=self._source_map), ascii=self._glyphs.ascii, id="leaks"
            )
            return self._leaks
        if tab == "heap":
            from memtui.heap.pane import HeapPane

            self._heap = HeapPane(glyphs=self._glyphs, id="heap")
            return self._heap
        if tab == "output":
            from memtui.panes.output import OutputPane

            self._output = OutputPane(glyphs=self._glyphs, id="output")
            return self._output
        if tab == "events":
            from memtui.panes.events import EventsPane

            self._events = EventsPane(glyphs=self._glyphs, id="events")
            return self._events
        from memtui.panes.runs import RunsPane

        self._runs = RunsPane(glyphs=self._glyphs, id="runs")
        return self._runs

    def show_state(self, state: SessionState, reports: ReportsShown) -> None:
        """Only what is seen is kept up to date, and the leaks, whose worker needs time."""
        if self._leaks is not None:
            self._leaks.show(leak_state(state, reports))
        shown = {"heap": self._heap, "output": self._output, "events": self._events, "runs": self._runs}.get(
            self.active
        )
        if shown is not None:
            shown.show(state)

    def focus_pane(self) -> None:
        """Give the keys to the shown pane's list."""
        for child in self.children:
            if not child.display:
                continue
            if isinstance(child, Rows):
                child.focus()
            elif self._leaks is not None:
                self._leaks.focus_front()

    async def leak_action(self, name: str) -> None:
        if self._leaks is not None:
            await self.app.run_action(name, self._leaks)

    def back(self) -> bool:
        """Undo a step in the leak browser; False when there is none to undo."""
        return self.active == "leaks" and self._leaks is not None and self._leaks.back()

    def on_leak_pane_arranged(self, event: LeakPane.Arranged) -> None:
        self._leak_caption = event.caption
