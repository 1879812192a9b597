"""Into which file a leak's suppression is written, with what will be written."""

from __future__ import annotations

from textual import events, on
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

from memtui.charset import UNICODE, Glyphs
from memtui.screens.dialog import Dialog
from memtui.widgets.line import Text
from memtui_parsers.suppression_text import MEMCHECK, suppression_text
from memtui_parsers.suppressions import Syntax
from memtui_parsers.values import LeakRecord

_SHOWN_LINES = 12


class SuppressInput(Dialog[str]):
    DEFAULT_CSS = """
    SuppressInput > #box { width: 76; }
    SuppressInput Input { border: none; height: 1; padding: 0; background: $bar; margin: 0 0 1 0; }
    SuppressInput Input:focus { border: none; background: $bar; }
    """

    def __init__(self, record: LeakRecord, checker: str, default: str, *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__("Suppress this leak", keys="enter write it   esc leave", glyphs=glyphs)
        self._default = default
        syntax = Syntax.VALGRIND if checker == MEMCHECK else Syntax.LSAN
        lines = suppression_text(record, syntax).splitlines() or ["no function and no file is known of its stack"]
        if len(lines) > _SHOWN_LINES:
            lines = [*lines[: _SHOWN_LINES - 1], self.glyphs.ellipsis]
        self._lines = lines
        self._syntax = "valgrind's" if syntax is Syntax.VALGRIND else "LeakSanitizer's"

    def body(self) -> list[Widget]:
        preview = "\n".join(self.glyphs.plain(line) for line in self._lines)
        note = f"In {self._syntax} syntax, or in the file's own where it has one. --suppressions FILE takes it at a launch."
        return [
            Text(Content("Append to the file\n")),
            Input(value=self._default, max_length=4096, compact=True, select_on_focus=False),
            Text(Content.styled(f"{preview}\n", "$strong")),
            Text(Content.styled(note, "$muted")),
        ]

    def on_mount(self) -> None:
        field = self.query_one(Input)
        field.focus()
        field.cursor_position = len(field.value)

    def on_key(self, event: events.Key) -> None:
        """The focus comes a moment after the dialog is seen: what is typed before it counts all the same."""
        field = self.query_one(Input)
        if event.is_printable and event.character and not field.has_focus:
            event.stop()
            field.insert_text_at_cursor(event.character)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self.dismiss(event.value.strip())
