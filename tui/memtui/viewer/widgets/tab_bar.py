"""The tabs on one line, with their keys and counts; the line is also the upper border of the pane below."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.viewer.widgets.line import Part, columns, fit

# In less room the caption of the pane is left out.
_FEWEST_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab: the pane's id, the key that shows it, its name, and how much it holds ('' for nothing)."""

    id: str
    number: str
    name: str
    count: str = ""


class TabBar(Widget):
    """Tabs, of which the active one is highlighted."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "TabBar { height: 1; width: 1fr; text-wrap: nowrap; }"

    class Activated(Message):
        """A tab was clicked."""

        def __init__(self, tab: str) -> None:
            super().__init__()
            self.tab = tab

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._tabs: tuple[Tab, ...] = ()
        self._active = ""
        self._aside = ""
        self._boxed = False
        self._ends: list[tuple[int, str]] = []

    def show(self, tabs: tuple[Tab, ...], active: str, *, aside: str = "", boxed: bool = False) -> None:
        """Show this. ``aside``: the pane's caption, at the right. ``boxed``: the line has the corners of the pane's box."""
        if (tabs, active, aside, boxed) != (self._tabs, self._active, self._aside, self._boxed):
            self._tabs, self._active, self._aside, self._boxed = tabs, active, aside, boxed
            self.refresh()

    def render(self) -> Content:
        glyphs = self._glyphs
        width = self.content_size.width
        parts: list[Part] = [(glyphs.corner_left + glyphs.rule, "$rule")] if self._boxed else []
        used = 2 if self._boxed else 0
        self._ends = []
        for index, tab in enumerate(self._tabs):
            if index:
                parts.append((glyphs.separator, "$rule"))
                used += 1
            active = tab.id == self._active
            count = f" {tab.count} " if tab.count else " "
            style = "bold $strong" if active else "$muted"
            parts += [(f" {tab.number} ", "bold $key"), (tab.name, f"{style} underline" if active else style)]
            parts.append((count, "$primary" if active else "$faint"))
            used += columns(f" {tab.number} {tab.name}{count}")
            self._ends.append((used, tab.id))
        corner = glyphs.rule + glyphs.corner_right if self._boxed else ""
        aside = self._fitting(width - used - len(corner) - 1)
        fill = width - used - columns(aside) - len(corner)
        if fill < 1:
            aside, fill = "", max(0, width - used - len(corner))
        parts += [(glyphs.rule * fill, "$rule"), (aside, "$muted"), (corner, "$rule")]
        return Content.assemble(*parts)

    def _fitting(self, room: int) -> str:
        """The pane's caption without the parts that do not fit; the first goes last, the second first."""
        joint = f" {self._glyphs.middot} "
        parts = self._glyphs.plain(self._aside).split(joint)
        while len(parts) > 1 and columns(joint.join(parts)) + 2 > room:
            del parts[1]
        aside = fit(joint.join(parts), room - 2, self._glyphs.ellipsis) if room >= _FEWEST_COLUMNS else ""
        return f" {aside} " if aside else ""

    def on_click(self, event: events.Click) -> None:
        begin = 2 if self._boxed else 0
        for end, tab in self._ends:
            if begin <= event.x < end:
                self.post_message(self.Activated(tab))
                return
            begin = end
