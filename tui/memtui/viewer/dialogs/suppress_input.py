"""The dialog that asks to which file a leak's suppression is appended, and shows the suppression."""

from __future__ import annotations

from textual import on
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

from memtui.display.glyphs import UNICODE, Glyphs
from memtui.viewer.dialogs.dialog import InputDialog
from memtui.viewer.widgets.line import Text
from memtui_parsers.report.suppressions import Syntax, suppression_text
from memtui_parsers.values import LeakRecord
from memtui_profiler.checkers.suppression_files import syntax_for

_SHOWN_LINES = 12


class SuppressInput(InputDialog[str]):
    """Answers with the file's path; ``default``: the path that the input begins with."""

    def __init__(self, record: LeakRecord, checker: str, default: str, *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__("Suppress this leak", keys="enter write it   esc leave", glyphs=glyphs)
        self._default = default
        syntax = syntax_for(checker)
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

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self.dismiss(event.value.strip())
