"""What the leak browser asks of the application: the editor, the clipboard, a suppression. Each answers with a line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memtui.status_line import StatusLine, Tone, refusal
from memtui_parsers.clean_text import clean

if TYPE_CHECKING:
    from memtui.app import MemtuiApp
    from memtui_parsers.values import LeakRecord

# What terminals take of a clipboard's text by OSC 52; more is dropped whole by some.
CLIPBOARD_CHARS = 70_000
DEFAULT_FILE = "memtui.supp"


class LeakErrands:
    def __init__(self, app: MemtuiApp) -> None:
        self._app = app

    def refuse(self, why: str) -> None:
        self._app.say(StatusLine("○", "NOTHING DONE", why, Tone.CALM, "esc", "close"))

    def copy(self, text: str, what: str) -> None:
        self._app.copy_to_clipboard(text[:CLIPBOARD_CHARS])
        lines = text.count("\n") + 1
        said = f"{what}, {lines} lines, by OSC 52: the terminal has it where it allows that"
        self._app.say(StatusLine("✓", "COPIED", said, Tone.GOOD, "esc", "close", shorter=(f"{what}, by OSC 52",)))

    def suppress(self, record: LeakRecord, checker: str) -> None:
        """Ask into which file, append to it, and show the reports without the leak."""
        from memtui.screens.suppress_input import SuppressInput

        app = self._app

        def named(path: str | None) -> None:
            if path is None:
                return
            from memtui_profiler.errors import UserError
            from memtui_profiler.suppression_files import add_suppression

            path = os.path.abspath(os.path.expanduser(path))
            try:
                added = add_suppression(path, record, checker)
            except UserError as error:
                app.say(refusal(error))
                return
            app.reports.suppress(path)
            app.other_reports()
            wrote = clean(" ".join(added.split()), 200)
            app.say(StatusLine("✓", "SUPPRESSED", f"written to {clean(path)}: {wrote}", Tone.GOOD, "esc", "close"))

        default = app.reports.suppressions[-1] if app.reports.suppressions else os.path.abspath(DEFAULT_FILE)
        app.push_screen(SuppressInput(record, checker, default, glyphs=app.glyphs), named)

    def edit(self, file: str, line: int) -> None:
        """Give the terminal to the editor until it ends."""
        from shutil import which

        from textual.app import SuspendNotSupported

        from memtui.leaks.editor import editor_command

        if not os.path.isabs(file) or not os.path.isfile(file):
            self.refuse(f"no source here: {clean(file)}; --source-map OLD=NEW says where it is")
            return
        try:
            command = editor_command(os.environ, file, line, which)
        except ValueError:
            self.refuse("a quote in $VISUAL or $EDITOR is not closed")
            return
        if command is None:
            self.refuse("no editor is found: set $VISUAL or $EDITOR")
            return
        try:
            with self._app.suspend():
                trouble = _run(command)
        except SuspendNotSupported:
            self.refuse("this terminal cannot be lent to an editor")
            return
        self._app.refresh()
        if trouble:
            self.refuse(f"{clean(command[0])}: {trouble}")


def _run(command: list[str]) -> str:
    """Run the editor to its end; what went wrong, or ''. ctrl+c is the editor's meanwhile, not ours."""
    import signal
    import subprocess

    # A handler, not SIG_IGN, which the editor would inherit.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        ended = subprocess.run(command, check=False)
    except OSError as error:
        return error.strerror or str(error)
    finally:
        signal.signal(signal.SIGINT, before)
    return f"ended with exit code {ended.returncode}" if ended.returncode else ""
