"""The stack of the selection as a widget: where a leak was allocated, frame by frame, with source lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.strip import Strip

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.reports.table import LeakTable
from memtui.viewer.leaks.source.lines import Sources
from memtui.viewer.leaks.stack_lines import (
    Section,
    StackLine,
    Stop,
    error_sections,
    first_stop,
    note_lines,
    record_section,
    stack_lines,
    stops_of,
)
from memtui.viewer.widgets.inked_view import InkedView
from memtui_parsers.values import CheckerError, Frame

# The inks of the words of a source line.
_SYNTAX = {
    "keyword": "$key",
    "type": "$secondary",
    "string": "$good",
    "number": "$warn",
    "comment": "$faint",
    "directive": "$mem-cached",
}


class StackView(InkedView):
    """The stack of a record or an error with a cursor over its frames, or the report's notes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False, id="stack.down"),
        Binding("up,k", "move(-1)", "up", show=False, id="stack.up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="stack.page-down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="stack.page-up"),
        Binding("home,g", "edge(False)", "first", show=False, id="stack.first"),
        Binding("end,G", "edge(True)", "last", show=False, id="stack.last"),
        Binding("enter", "unfold", "unfold", show=False, id="stack.unfold"),
    ]
    INKS: ClassVar[Mapping[str, str]] = {
        "heading": "$muted",
        "title": "$warn",
        "inlined": "italic $faint",
        "program": "bold $strong",
        "runtime": "$muted",
        "location": "$muted",
        "missing": "italic $muted",
        "rule": "$faint",
        "source": "$foreground",
        "source-line": "bold $strong",
        **_SYNTAX,
        **{f"{part}-line": f"bold {colour}" for part, colour in _SYNTAX.items()},
        "source-mark": "bold $bad",
        "source-number": "$faint",
        "size": "$bad",
        "note-mark": "$warn",
        "note-text": "$foreground",
        "cursor": "on $cursor",
    }

    def __init__(self, *, sources: Sources, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self._sources = sources
        self._sections: tuple[Section, ...] = ()
        self._subject: tuple[int, int | None] | None = None
        self._heading: tuple[str, ...] = ()
        self._notes: tuple[str, ...] = ()
        self._unfolded = False
        self._stops: tuple[Stop, ...] = ()
        self._chosen = 0
        self._lines: tuple[StackLine, ...] = ()

    @property
    def frame(self) -> Frame | None:
        """The frame under the cursor, of a fold its first; None where no stack is shown."""
        if not self._stops:
            return None
        stop = self._stops[self._chosen]
        return self._sections[stop.section].stack[stop.frame]

    @property
    def folds(self) -> bool:
        """Whether there are frames that fold."""
        return self._unfolded or any(stop.folded > 1 for stop in self._stops)

    def show_stack(self, table: LeakTable, index: int, heading: tuple[str, ...] = (), frame: int | None = None) -> None:
        """Show the stack of a record, the cursor at first on ``frame``; it stays where it is when only symbols have arrived."""
        self._show((record_section(table, index),), (index, frame), heading, frame)

    def show_error(self, error: CheckerError, number: int, heading: tuple[str, ...] = ()) -> None:
        """Show the stacks of an error; ``number`` is its index in the report."""
        self._show(error_sections(error), (-1 - number, None), heading, None)

    def _show(
        self,
        sections: tuple[Section, ...],
        subject: tuple[int, int | None],
        heading: tuple[str, ...],
        frame: int | None,
    ) -> None:
        lengths = [len(section.stack) for section in sections]
        same = subject == self._subject and not self._notes and lengths == [len(one.stack) for one in self._sections]
        held = self._stops[self._chosen] if same and self._stops else None
        if held is None and frame is not None:
            held = Stop(frame)
        self._sections, self._subject, self._heading, self._notes = sections, subject, heading, ()
        self._unfolded = self._unfolded and same
        self._stops = stops_of(sections, unfolded=self._unfolded)
        self._choose_frame(held)
        self._rebuild(to_top=not same)

    def show_notes(self, notes: tuple[str, ...]) -> None:
        """Show these notes in place of a stack."""
        self._sections, self._subject = (), None
        self._notes, self._stops, self._chosen = notes, (), 0
        self._rebuild(to_top=True)

    def clear(self) -> None:
        self.show_notes(())

    def _choose_frame(self, held: Stop | None) -> None:
        if held is None:
            self._chosen = first_stop(self._sections, self._stops)
            return
        inside = (
            n
            for n, stop in enumerate(self._stops)
            if stop.section == held.section and stop.frame <= held.frame < stop.frame + stop.folded
        )
        self._chosen = next(inside, 0)

    def _rebuild(self, *, to_top: bool = False) -> None:
        # The last column is the scroll bar's: it may come with the lines that are made here.
        width = max(0, self.size.width - (0 if self._glyphs.ascii else 1))
        if self._sections and width:
            self._lines = stack_lines(
                self._sections, self._stops, self._chosen, self._sources, self._glyphs, width, heading=self._heading
            )
        else:
            self._lines = note_lines(self._notes, self._glyphs, width) if width else ()
        self.extend_to(len(self._lines))
        if to_top:
            self.scroll_to(y=0, animate=False)
        self._reveal()
        self.refresh()

    def on_resize(self, _: events.Resize) -> None:
        self._rebuild()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def _reveal(self) -> None:
        """Scroll so that the chosen frame's lines are in view, its first line at least."""
        mine = [y for y, line in enumerate(self._lines) if line.stop == self._chosen]
        if mine and self._stops:
            self.reveal(0 if self._chosen == 0 else mine[0], mine[-1], header=False)

    def action_move(self, by: int) -> None:
        if self._stops:
            self._choose(self._chosen + by)
        else:
            self.scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.size.height - 2))

    def action_edge(self, last: bool) -> None:
        self.action_move(len(self._lines) if last else -len(self._lines))

    def action_unfold(self) -> None:
        """Show every frame, or fold the runtime's again."""
        if not self._stops:
            return
        held = self._stops[self._chosen]
        self._unfolded = not self._unfolded
        self._stops = stops_of(self._sections, unfolded=self._unfolded)
        self._choose_frame(held)
        self._rebuild()

    def _choose(self, stop: int) -> None:
        self._chosen = max(0, min(stop, len(self._stops) - 1))
        self._rebuild()

    def on_click(self, event: events.Click) -> None:
        row = self.scroll_offset.y + event.y
        if row >= len(self._lines) or not self._stops:
            return
        stop = self._lines[row].stop
        if stop < 0:
            return
        folded = self._stops[stop].folded > 1
        self._choose(stop)
        if folded:
            self.action_unfold()

    def render_line(self, y: int) -> Strip:
        row = self.scroll_offset.y + y
        if row >= len(self._lines):
            return Strip.blank(self.size.width, self.ink(""))
        line = self._lines[row]
        on_cursor = self.has_focus and bool(self._stops) and line.stop == self._chosen
        return self.strip(line.pieces, "cursor" if on_cursor else "")
