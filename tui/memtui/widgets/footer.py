"""The footer: the keys that count now; a click on one presses it."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from memtui.keymap import Place, footer_keys
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
        self._shown: tuple[bool, bool, bool, str, bool, bool, Place] | None = None
        self._ends: list[tuple[int, str]] = []

    def show(
        self, *, live: bool, running: bool, attached: bool, tab: str, graph: bool, comparable: bool, place: Place
    ) -> None:
        """What is on the screen, as footer_keys() has it."""
        shown = (live, running, attached, tab, graph, comparable, place)
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def render(self) -> Content:
        parts: list[Part] = []
        used = 0
        self._ends = []
        if self._shown is None:
            return Content("")
        live, running, attached, tab, graph, comparable, place = self._shown
        keys = footer_keys(
            live=live,
            running=running,
            attached=attached,
            tab=tab,
            width=self.content_size.width,
            graph=graph,
            comparable=comparable,
            place=place,
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
