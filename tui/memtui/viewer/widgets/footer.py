"""The footer: the keys that do something now; a click on one presses it."""

from __future__ import annotations

from typing import NamedTuple

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from memtui.display.keymap import Place, footer_keys
from memtui.viewer.widgets.key_clicked import KeyClicked
from memtui.viewer.widgets.line import Part


class OnScreen(NamedTuple):
    """What is on the screen, as footer_keys() takes it."""

    live: bool
    running: bool
    attached: bool
    tab: str
    graph: bool
    comparable: bool
    place: Place
    unable: frozenset[str] = frozenset()


class KeyFooter(Widget):
    """The keys that the table of the keymap has for what is on the screen."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "KeyFooter { height: 1; width: 1fr; text-wrap: nowrap; background: $bar; }"

    shown: reactive[OnScreen | None] = reactive(None)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ends: list[tuple[int, str]] = []

    def render(self) -> Content:
        parts: list[Part] = []
        used = 0
        self._ends = []
        if self.shown is None:
            return Content("")
        for key, meaning in footer_keys(width=self.content_size.width, **self.shown._asdict()):
            parts += [" ", (key, "bold $key"), (f" {meaning} ", "$foreground")]
            used += len(key) + len(meaning) + 3
            self._ends.append((used, key))
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        key = next((key for end, key in self._ends if event.x < end), None)
        if key is not None:
            self.post_message(KeyClicked(key))
