"""The check picker: the modes at the left, an explanation at the right, and the environment that the next launch sets."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widget import Widget

from memtui.control.pending import PendingControls
from memtui.display.glyphs import UNICODE, Glyphs
from memtui.display.keymap import ACTION_KEYS
from memtui.session.state import SessionState
from memtui.viewer.dialogs.dialog import Dialog
from memtui.viewer.widgets.line import Part, Text
from memtui_parsers.clean_text import clean
from memtui_profiler.checkers import NOTHING_ELSE, all_modes, instead_of
from memtui_profiler.checkers.base import Knob, Mode
from memtui_profiler.request import RATE_VARIABLE, format_rate
from memtui_profiler.session.rows import CapabilityRow
from memtui_profiler.session.stored_json import json_list, json_object

# The keys of the modes; those behind the tenth have none.
DIGITS = "1234567890"

WIDE_FROM = 100
WIDTHS = [(0, "-narrow"), (WIDE_FROM, "-wide")]
# The width of a mode in the list, which has two columns on a narrow terminal.
ENTRY_WIDTH = 24


class CheckPicker(Dialog[str]):
    """Answers with the name of a mode. A mode that cannot work here can be read about, but not chosen."""

    DEFAULT_CSS = """
    CheckPicker > #box { width: 96; height: auto; max-height: 95%; padding: 1 2 0 2; }
    CheckPicker #columns { layout: horizontal; height: auto; max-height: 100%; }
    CheckPicker #modes { width: 24; height: auto; min-height: 11; }
    CheckPicker #explained { width: 1fr; height: auto; min-height: 8; max-height: 18; scrollbar-size-vertical: 1; }
    CheckPicker #environment { margin: 1 0 0 0; color: $muted; }
    CheckPicker.-narrow > #box { width: 100%; padding: 0 2; max-height: 100%; }
    CheckPicker.-narrow #modes { width: 1fr; min-height: 5; }
    CheckPicker.-narrow #columns { layout: vertical; }
    CheckPicker.-narrow #explained { width: 1fr; min-height: 3; height: auto; max-height: 11; margin: 1 0 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,tab", "move(1)", "down", show=False),
        Binding("up,k,shift+tab", "move(-1)", "up", show=False),
        Binding("home,g", "highlight(0)", "first", show=False),
        Binding("end,G", "highlight(-1)", "last", show=False),
        Binding("enter", "choose", "choose", show=False),
        Binding("pagedown", "read(1)", "read on", show=False),
        Binding("pageup", "read(-1)", "read back", show=False),
    ]
    HORIZONTAL_BREAKPOINTS = WIDTHS

    class Relaunch(str):
        """The answer that asks for a relaunch too."""

    def __init__(self, state: SessionState, pending: PendingControls, *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__("Heap check", keys="enter choose   R choose and relaunch   esc leave", glyphs=glyphs)
        self._state = state
        self._pending = pending
        self._all = all_modes()
        self._highlighted = next((n for n, mode in enumerate(self._all) if mode.name == pending.shown_mode), 0)
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
    def mode(self) -> Mode:
        """The highlighted mode."""
        return self._all[self._highlighted]

    def _blocked(self, mode: Mode) -> CapabilityRow | None:
        row = self._capabilities.get(mode.name)
        return row if row is not None and not row.available else None

    def _sees_a_part(self, mode: Mode) -> CapabilityRow | None:
        """The row of a mode that works, and sees a part of the program's memory, or none of it."""
        row = self._capabilities.get(mode.name)
        return row if row is not None and row.available and row.reason else None

    def _show(self) -> None:
        self._modes.show(self._list())
        self._text.show(self._explanation())
        self._environment.show(self._environment_line())

    def on_resize(self) -> None:
        self._modes.show(self._list())

    @property
    def _rows(self) -> int:
        """The rows of the list: on a narrow terminal it has two columns, to leave room for the explanation."""
        return len(self._all) if self.app.size.width >= WIDE_FROM else -(-len(self._all) // 2)

    def _list(self) -> Content:
        entries = []
        for index, mode in enumerate(self._all):
            highlighted, blocked = index == self._highlighted, self._blocked(mode) is not None
            mark = self.glyphs.cursor if highlighted else " "
            style = "bold $strong" if highlighted else "$faint" if blocked else "$foreground"
            state: Part = "  "
            if blocked:
                state = (f"{self.glyphs.cross} ", "$bad")
            elif mode.name == self._pending.applied_mode:
                state = (f"{self.glyphs.running} ", "$primary")
            elif mode.name == self._pending.mode:
                state = (f"{self.glyphs.thumb_pending} ", "$warn")
            elif self._sees_a_part(mode):
                state = ("! ", "$warn")
            name = f"{mode.name:<{ENTRY_WIDTH - 7}}"
            digit = f"{DIGITS[index : index + 1]:3}"
            entries.append(Content.assemble((f"{mark} ", "$primary"), (digit, "bold $key"), state, (name, style)))
        rows = self._rows
        return Content("\n").join(Content("").join(entries[row::rows]) for row in range(rows))

    def _explanation(self) -> Content:
        mode, plain = self.mode, self.glyphs.plain
        parts: list[Part] = [(f"{mode.name}\n", "bold $strong"), plain(mode.summary)]
        for index, key in enumerate(ACTION_KEYS[action] for action in mode.actions):
            parts += [", " if index else " (", (key.shown, "bold $key"), f" {key.words}"]
        parts.append(").\n\n" if mode.actions else ".\n\n")
        if (blocked := self._blocked(mode)) is not None:
            parts += [
                (f"{self.glyphs.cross} cannot work here: ", "bold $bad"),
                f"{clean(plain(blocked.reason))}\n",
                *self._instead(),
                ("to mend it: ", "$muted"),
                f"{clean(plain(blocked.remedy))}\n\n",
            ]
        elif (row := self._sees_a_part(mode)) is not None:
            parts += [
                ("! ", "bold $warn"),
                f"{clean(plain(row.reason))}\n",
                ("instead: " if row.blind else "for that: ", "$muted"),
                f"{clean(plain(row.remedy))}\n\n",
            ]
        parts.append((plain(mode.detail), "$muted"))
        if mode.knobs:
            parts += self._knobs(mode.knobs)
        return Content.assemble(*parts)

    def _replacement(self) -> int | None:
        """The row of the mode to use instead of one that cannot work."""
        other = instead_of(self.mode.name, self._state.checks)
        return None if other is None else [mode.name for mode in self._all].index(other)

    def _instead(self) -> list[Part]:
        other = self._replacement()
        if other is None:
            return [("instead: ", "$muted"), f"{NOTHING_ELSE}\n"]
        name = (f" {self._all[other].name}", "bold $strong")
        return [
            ("instead: ", "$muted"),
            (DIGITS[other : other + 1], "bold $key"),
            name,
            " works here; enter goes to it\n",
        ]

    def _knobs(self, knobs: tuple[Knob, ...]) -> list[Part]:
        run = self._state.run
        names: set[str] = set()
        if run is not None:
            names = {*map(str, json_list(run.row.environment_names)), *json_object(run.row.environment)}
        parts: list[Part] = []
        for knob in knobs:
            value = ("set by you", "bold $good") if knob.name in names else (f"default {knob.default}", "$muted")
            parts += ["\n" if parts else "\n\n", (knob.name, "$strong"), " ", value, (f"\n  {knob.meaning}", "$faint")]
        return parts

    def _environment_line(self) -> Content:
        """What the next launch sets, as the recorder computed it."""
        row = self._capabilities.get(self.mode.name)
        sets = {} if row is None else json_object(row.sets)
        environment, words = sets.get("environment"), sets.get("command")
        variables = {name: str(value) for name, value in environment.items()} if isinstance(environment, dict) else {}
        if (rate := self._pending.wanted_rate) is not None:
            variables[RATE_VARIABLE] = format_rate(rate)
        command = " ".join(map(str, words)) if isinstance(words, list) else ""
        if not variables and not command:
            return Content.styled("r sets nothing: HEAPCHECK is absent", "$muted")
        parts: list[Part] = []
        if command:
            shown = clean(self.glyphs.plain(command), 600)
            parts += [("r starts  ", "$muted"), (shown, "$strong"), (" PROGRAM", "$muted")]
        for index, (name, value) in enumerate(variables.items()):
            parts += [
                ("  " if index else "\n" if command else ""),
                ("" if index else "r sets  ", "$muted"),
                (f"{name}=", "$muted"),
                (clean(self.glyphs.plain(value), 200), "$strong"),
            ]
        return Content.assemble(*parts)

    def action_move(self, by: int) -> None:
        self.action_highlight(self._highlighted + by)

    def action_highlight(self, index: int) -> None:
        """Show this mode; the last one comes before the first."""
        self._highlighted = index % len(self._all)
        self._show()

    def action_read(self, pages: int) -> None:
        explained = self.query_one("#explained")
        explained.scroll_relative(y=pages * max(1, explained.size.height - 1), animate=False)

    def action_choose(self) -> None:
        """Answer with the highlighted mode, or where it cannot work highlight the one to use instead."""
        if self._blocked(self.mode) is None:
            self.dismiss(self.mode.name)
        elif (other := self._replacement()) is not None:
            self.action_highlight(other)

    def on_key(self, event: events.Key) -> None:
        character = event.character or ""
        if character and character in DIGITS[: len(self._all)]:
            event.stop()
            self.action_highlight(DIGITS.index(character))
        elif character == "R":
            event.stop()
            if self._blocked(self.mode) is None:
                self.dismiss(self.Relaunch(self.mode.name))
        elif matches := [n for n, mode in enumerate(self._all) if mode.name.startswith(character or " ")]:
            event.stop()
            # Where several modes begin with a letter, pressing it again goes to the next.
            self.action_highlight(next((index for index in matches if index > self._highlighted), matches[0]))

    def on_click(self, event: events.Click) -> None:
        index = event.y + self._rows * (event.x // ENTRY_WIDTH)
        if event.widget is self._modes and event.y < self._rows and index < len(self._all):
            if index == self._highlighted:
                self.action_choose()
            else:
                self.action_highlight(index)
