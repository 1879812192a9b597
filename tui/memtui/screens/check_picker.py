"""The check picker: the modes at the left, what each does at the right, and the environment that the launch will get."""

from __future__ import annotations

import json
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widget import Widget

from memtui.charset import UNICODE, Glyphs
from memtui.pending import PendingControls
from memtui.screens.dialog import Dialog
from memtui.state import SessionState
from memtui.widgets.line import Part, Text
from memtui_parsers.clean_text import clean
from memtui_profiler.checkers import all_modes
from memtui_profiler.checkers.base import ModeHelp
from memtui_profiler.checkers.heapcheck import AS_IS_KNOBS
from memtui_profiler.instead import NOTHING_ELSE, instead_of
from memtui_profiler.request import format_rate
from memtui_profiler.session.rows import CapabilityRow

MODES = all_modes()
DIGITS = "1234567890"

WIDE_FROM = 100
WIDTHS = [(0, "-narrow"), (WIDE_FROM, "-wide")]
# Cells of a mode in the list, where they stand in two columns.
ENTRY_WIDTH = 24


class CheckPicker(Dialog[str]):
    """Answers with a mode's name. A mode that cannot work here can be read, not chosen."""

    DEFAULT_CSS = """
    CheckPicker > #box { width: 96; height: auto; max-height: 95%; padding: 1 2 0 2; }
    CheckPicker #columns { layout: horizontal; height: auto; max-height: 100%; }
    CheckPicker #modes { width: 24; height: 11; }
    CheckPicker #explained { width: 1fr; height: auto; min-height: 8; max-height: 18; scrollbar-size-vertical: 1; }
    CheckPicker #environment { margin: 1 0 0 0; color: $muted; }
    CheckPicker.-narrow > #box { width: 100%; padding: 0 2; max-height: 100%; }
    CheckPicker.-narrow #modes { width: 1fr; height: 5; }
    CheckPicker.-narrow #columns { layout: vertical; }
    CheckPicker.-narrow #explained { width: 1fr; min-height: 3; height: auto; max-height: 11; margin: 1 0 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,tab", "move(1)", "down", show=False),
        Binding("up,k,shift+tab", "move(-1)", "up", show=False),
        Binding("home,g", "light(0)", "first", show=False),
        Binding("end,G", f"light({len(MODES) - 1})", "last", show=False),
        Binding("enter", "choose", "choose", show=False),
        Binding("pagedown", "read(1)", "read on", show=False),
        Binding("pageup", "read(-1)", "read back", show=False),
    ]
    HORIZONTAL_BREAKPOINTS = WIDTHS

    class Relaunch(str):
        """An answer that asks for the relaunch too."""

    def __init__(self, state: SessionState, pending: PendingControls, *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__("Heap check", keys="enter choose   R choose and relaunch   esc leave", glyphs=glyphs)
        self._state = state
        self._pending = pending
        names = [mode.name for mode in MODES]
        self._lit = names.index(pending.shown_mode) if pending.shown_mode in names else 0
        self._capabilities = {row.name: row for row in state.capabilities}
        self._modes = Text(id="modes")
        self._text = Text()
        self._environment = Text(id="environment")

    def body(self) -> list[Widget]:
        return [Container(self._modes, VerticalScroll(self._text, id="explained"), id="columns"), self._environment]

    def compose(self) -> ComposeResult:
        yield from super().compose()
        self._show()

    @property
    def mode(self) -> ModeHelp:
        return MODES[self._lit]

    def _blocked(self, mode: ModeHelp) -> CapabilityRow | None:
        row = self._capabilities.get(mode.name)
        return row if row is not None and not row.available else None

    def _show(self) -> None:
        self._modes.show(self._list())
        self._text.show(self._explanation())
        self._environment.show(self._environment_line())

    def on_resize(self) -> None:
        self._modes.show(self._list())

    @property
    def _rows(self) -> int:
        """Of the list: in a narrow terminal it stands in two columns, so that there is room to explain."""
        return len(MODES) if self.app.size.width >= WIDE_FROM else -(-len(MODES) // 2)

    def _list(self) -> Content:
        entries = []
        for index, mode in enumerate(MODES):
            lit, blocked = index == self._lit, self._blocked(mode) is not None
            mark = self.glyphs.cursor if lit else " "
            style = "bold $strong" if lit else "$faint" if blocked else "$foreground"
            state: Part = "  "
            if blocked:
                state = (f"{self.glyphs.cross} ", "$bad")
            elif mode.name == self._pending.applied_mode:
                state = (f"{self.glyphs.running} ", "$primary")
            elif mode.name == self._pending.mode:
                state = (f"{self.glyphs.thumb_pending} ", "$warn")
            name = f"{mode.name:<{ENTRY_WIDTH - 7}}"
            entries.append(
                Content.assemble((f"{mark} ", "$primary"), (f"{DIGITS[index]}  ", "bold $key"), state, (name, style))
            )
        rows = self._rows
        return Content("\n").join(Content("").join(entries[row::rows]) for row in range(rows))

    def _explanation(self) -> Content:
        mode = self.mode
        plain = self.glyphs.plain
        parts: list[Part] = [(f"{mode.name}\n", "bold $strong"), f"{plain(mode.summary)}.\n\n"]
        if (blocked := self._blocked(mode)) is not None:
            parts += [
                (f"{self.glyphs.cross} cannot work here: ", "bold $bad"),
                f"{clean(plain(blocked.reason))}\n",
                *self._instead(),
                ("to mend it: ", "$muted"),
                f"{clean(plain(blocked.remedy))}\n\n",
            ]
        parts.append((plain(mode.detail), "$muted"))
        if mode.name == "as-is":
            parts += self._knobs()
        return Content.assemble(*parts)

    def _other(self) -> int | None:
        """The mode to use in the place of one that cannot work, by its row."""
        available = {name for name, row in self._capabilities.items() if row.available}
        other = instead_of(self.mode.name, available)
        return None if other is None else [mode.name for mode in MODES].index(other)

    def _instead(self) -> list[Part]:
        other = self._other()
        if other is None:
            return [("instead: ", "$muted"), f"{NOTHING_ELSE}\n"]
        named = (DIGITS[other], "bold $key"), (f" {MODES[other].name}", "bold $strong")
        return [("instead: ", "$muted"), *named, " works here; enter goes to it\n"]

    def _knobs(self) -> list[Part]:
        run = self._state.run
        names: set[str] = set()
        if run is not None:
            names = {str(name) for name in json.loads(run.row.environment_names)} | set(json.loads(run.row.environment))
        parts: list[Part] = []
        for knob in AS_IS_KNOBS:
            mine = knob.name in names
            value = ("set by you", "bold $good") if mine else (f"default {knob.default}", "$muted")
            parts += [
                ("\n\n" if not parts else "\n"),
                (knob.name, "$strong"),
                " ",
                value,
                (f"\n  {knob.meaning}", "$faint"),
            ]
        return parts

    def _environment_line(self) -> Content:
        """Exactly what the next launch sets, as the recorder worked it out; the run's own number is in the folder's name."""
        row = self._capabilities.get(self.mode.name)
        sets = json.loads(row.sets) if row is not None and row.sets else {}
        wanted = {str(name): str(value) for name, value in sets.get("environment", {}).items()}
        if (rate := self._pending.wanted_rate) is not None:
            wanted["TCMALLOC_RELEASE_RATE"] = format_rate(rate)
        command = " ".join(map(str, sets.get("command", ())))
        if not wanted and not command:
            return Content.styled("r sets nothing: HEAPCHECK is absent", "$muted")
        parts: list[Part] = []
        if command:
            parts += [
                ("r starts  ", "$muted"),
                (clean(self.glyphs.plain(command), 600), "$strong"),
                (" PROGRAM", "$muted"),
            ]
        for index, (name, value) in enumerate(wanted.items()):
            parts += [
                ("  " if index else "\n" if command else ""),
                ("" if index else "r sets  ", "$muted"),
                (f"{name}=", "$muted"),
                (clean(self.glyphs.plain(value), 200), "$strong"),
            ]
        return Content.assemble(*parts)

    def action_move(self, by: int) -> None:
        self.action_light((self._lit + by) % len(MODES))

    def action_light(self, index: int) -> None:
        self._lit = index
        self._show()

    def action_read(self, pages: int) -> None:
        explained = self.query_one("#explained")
        explained.scroll_relative(y=pages * max(1, explained.size.height - 1), animate=False)

    def action_choose(self) -> None:
        """Of a mode that cannot work, go to the one to use instead."""
        if self._blocked(self.mode) is None:
            self.dismiss(self.mode.name)
        elif (other := self._other()) is not None:
            self.action_light(other)

    def on_key(self, event: events.Key) -> None:
        character = event.character or ""
        if character and character in DIGITS[: len(MODES)]:
            event.stop()
            self.action_light(DIGITS.index(character))
        elif character == "R":
            event.stop()
            if self._blocked(self.mode) is None:
                self.dismiss(self.Relaunch(self.mode.name))
        elif found := [index for index, mode in enumerate(MODES) if mode.name.startswith(character or " ")]:
            event.stop()
            # Two modes begin with the same letter: pressed again, it goes on to the next.
            self.action_light(next((index for index in found if index > self._lit), found[0]))

    def on_click(self, event: events.Click) -> None:
        index = event.y + self._rows * (event.x // ENTRY_WIDTH)
        if event.widget is self._modes and event.y < self._rows and index < len(MODES):
            if index == self._lit:
                self.action_choose()
            else:
                self.action_light(index)
