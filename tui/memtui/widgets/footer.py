"""The footer: the keys that count now; a click on one presses it."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from memtui.keymap import footer_keys
from memtui.widgets.line import Part


class KeyFooter(Widget):
    """``show()`` says what is on screen; the keys follow from the keymap's table."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "KeyFooter { height: 1; width: 1fr; text-wrap: nowrap; background: $bar; }"

    class Pressed(Message):
        """A key was clicked; ``key`` as the footer shows it."""

        def __init__(self, footer: KeyFooter, key: str) -> None:
            super().__init__()
            self.footer = footer
            self.key = key

        @property
        def control(self) -> KeyFooter:
            return self.footer

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._live = True
        self._tab = "leaks"
        self._graph = True
        self._running = True
        self._attached = False
        self._comparable = False
        self._ends: list[tuple[int, str]] = []

    def comparing(self, possible: bool) -> None:
        """Whether there are reports to choose from."""
        if possible != self._comparable:
            self._comparable = possible
            self.refresh()

    def show(self, *, live: bool, running: bool, attached: bool, tab: str, graph: bool) -> None:
        before = (self._live, self._running, self._attached, self._tab, self._graph)
        if (live, running, attached, tab, graph) != before:
            self._live, self._running, self._attached, self._tab, self._graph = live, running, attached, tab, graph
            self.refresh()

    def render(self) -> Content:
        parts: list[Part] = []
        used = 0
        self._ends = []
        keys = footer_keys(
            live=self._live,
            running=self._running,
            attached=self._attached,
            tab=self._tab,
            width=self.content_size.width,
            graph=self._graph,
            comparable=self._comparable,
        )
        for key, words in keys:
            parts += [" ", (key, "bold $key"), (f" {words} ", "$foreground")]
            used += len(key) + len(words) + 3
            self._ends.append((used, key))
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        for end, key in self._ends:
            if event.x < end:
                self.post_message(self.Pressed(self, key))
                return
