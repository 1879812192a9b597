"""The panes of the tabs: one is in view at a time, and each is made when it is shown for the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Container

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.display.keymap import Place
from memtui.session.shown_reports import ReportsShown
from memtui.session.state import SessionState
from memtui.viewer.views import leak_state
from memtui.viewer.widgets.session_pane import SessionPane

if TYPE_CHECKING:
    from textual.widget import Widget

    from memtui.viewer.leaks.pane import LeakPane
    from memtui.viewer.leaks.source.lines import RecordedLines


class PaneStack(Container):
    """``recorded`` returns the source lines of a file that the session has; ``source_map``: where other source files are now."""

    def __init__(
        self,
        recorded: RecordedLines,
        *,
        glyphs: Glyphs = UNICODE,
        source_map: tuple[tuple[str, str], ...] = (),
        skips: tuple[str, ...] = (),
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._recorded = recorded
        self._source_map = source_map
        self._skips = skips
        self._glyphs = glyphs
        self.active = "leaks"
        self._leak_caption = ""
        self._leaks: LeakPane | None = None
        # All panes that have been made but the leaks, by tab.
        self._panes: dict[str, SessionPane] = {}

    @property
    def caption(self) -> str:
        """What the pane in view says of itself, for the tab bar."""
        if self.active == "leaks":
            return self._leak_caption
        return self._panes[self.active].caption if self.active in self._panes else ""

    @property
    def place(self) -> Place:
        """The part of the leak browser that has the keyboard focus."""
        return Place.LIST if self._leaks is None else self._leaks.place

    async def show_tab(self, tab: str) -> None:
        """Bring up the pane of ``tab``, which is made if it is shown for the first time."""
        pane: Widget | None = self._leaks if tab == "leaks" else self._panes.get(tab)
        if pane is None and tab == "leaks":
            pane = self._leaks = self._make_leaks()
            await self.mount(pane)
        elif pane is None:
            pane = self._panes[tab] = self._pane_class(tab)(glyphs=self._glyphs, id=tab)
            await self.mount(pane)
        for child in self.children:
            child.display = child is pane
        self.active = tab

    def _make_leaks(self) -> LeakPane:
        from memtui.viewer.leaks.pane import LeakPane
        from memtui.viewer.leaks.source.lines import Sources

        sources = Sources(self._recorded, moved=self._source_map)
        return LeakPane(sources=sources, skips=self._skips, glyphs=self._glyphs, id="leaks")

    @staticmethod
    def _pane_class(tab: str) -> type[SessionPane]:
        if tab == "heap":
            from memtui.viewer.heap.pane import HeapPane

            return HeapPane
        if tab == "output":
            from memtui.viewer.panes.output import OutputPane

            return OutputPane
        if tab == "events":
            from memtui.viewer.panes.events import EventsPane

            return EventsPane
        from memtui.viewer.panes.runs import RunsPane

        return RunsPane

    def show_state(self, state: SessionState, reports: ReportsShown) -> None:
        """Show this in the pane in view, and in the leak browser, whose worker needs time."""
        if self._leaks is not None:
            self._leaks.show(leak_state(state, reports))
        if self.active in self._panes:
            self._panes[self.active].show(state)

    def focus_pane(self) -> None:
        """Give the keyboard focus to the list of the pane in view."""
        if self.active in self._panes:
            self._panes[self.active].focus()
        elif self._leaks is not None:
            self._leaks.focus_front()

    async def leak_action(self, name: str) -> None:
        if self._leaks is not None:
            await self.app.run_action(name, self._leaks)

    def toggle_regions(self, *, only_on: bool) -> None:
        """Turn the Heap tab to what is mapped, or, unless ``only_on``, back."""
        from memtui.viewer.heap.pane import HeapPane

        pane = self._panes.get("heap")
        if isinstance(pane, HeapPane) and not (only_on and pane.shows_regions):
            pane.toggle_regions()

    def back(self) -> bool:
        """Undo a step in the leak browser; False when there is none to undo."""
        return self.active == "leaks" and self._leaks is not None and self._leaks.back()

    def on_leak_pane_arranged(self, event: LeakPane.Arranged) -> None:
        self._leak_caption = event.caption
