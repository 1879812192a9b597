"""What is done with the selection: its line in the user's editor, its stack on the clipboard, what the application must know."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from textual.app import App, SuspendNotSupported
from textual.message import Message

from memtui.display.glyphs import Glyphs
from memtui.reports.names import bare
from memtui.reports.table import LeakTable
from memtui.session.status_line import StatusLine, Tone
from memtui.text.report import error_text, no_source, stack_text
from memtui.viewer.leaks.source.lines import Sources
from memtui.viewer.leaks.summary import copied_head
from memtui_parsers.clean_text import clean
from memtui_parsers.values import CheckerError, Frame, LeakRecord

# What terminals take of a clipboard's text by OSC 52; more is dropped whole by some.
CLIPBOARD_CHARS = 70_000

# Editors that take FILE:LINE, and the option that makes them do so. All others take +LINE FILE, as vi does.
_COLON = {
    "code": ("-g",),
    "code-insiders": ("-g",),
    "codium": ("-g",),
    "cursor": ("-g",),
    "subl": (),
    "zed": (),
    "hx": (),
    "helix": (),
}
# Where the user names none.
_FALLBACKS = ("editor", "nano", "vi")


def refused(why: str) -> StatusLine:
    """Return the line that says why nothing was done."""
    return StatusLine("○", "NOTHING DONE", why, Tone.CALM, "esc", "close")


def edit_frame(app: App[Any], frame: Frame | None, sources: Sources) -> StatusLine | None:
    """Open a frame's line in the user's editor. Return the line that says why it did not work, else None."""
    if frame is None or not frame.file:
        return refused("the source file of this frame is not known")
    trouble = edit(app, sources.local_path(frame.file), frame.line or 1)
    return refused(trouble) if trouble else None


def edit(app: App[Any], file: str, line: int) -> str:
    """Lend the terminal to the user's editor until it ends. Return why it did not work, or ''."""
    from memtui_profiler.helper_process import find_program

    if not os.path.isabs(file) or not os.path.isfile(file):
        return f"no source here: {clean(file)}; --source-map OLD=NEW says where it is"
    try:
        command = editor_command(os.environ, file, line, find_program)
    except ValueError:
        return "a quote in $VISUAL or $EDITOR is not closed"
    if command is None:
        return "no editor is found: set $VISUAL or $EDITOR"
    try:
        with app.suspend():
            trouble = _run(command)
    except SuspendNotSupported:
        return "this terminal cannot be lent to an editor"
    app.refresh()
    return f"{clean(command[0])}: {trouble}" if trouble else ""


def editor_command(
    environment: Mapping[str, str], file: str, line: int, which: Callable[[str], str | None]
) -> list[str] | None:
    """Return the program and its arguments; None where there is no editor. ``which`` finds a program, as find_program() does.

    ``file`` is absolute, so that no editor takes it for an option. Raises ValueError for a quote that is not closed.
    """
    wanted = environment.get("VISUAL") or environment.get("EDITOR") or ""
    command = shlex.split(wanted) or [next((name for name in _FALLBACKS if which(name)), "")]
    program = which(command[0]) if command[0] else None
    if program is None:
        return None
    name = command[0].rpartition("/")[2]
    command[0] = program
    if name in _COLON:
        return [*command, *(option for option in _COLON[name] if option not in command), f"{file}:{line}"]
    return [*command, f"+{line}", file]


def _run(command: list[str]) -> str:
    """Run the editor to its end. Return what went wrong, or ''. Ctrl+C belongs to the editor meanwhile."""
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


def copy(
    app: App[Any], table: LeakTable | None, record: int | None, error: CheckerError | None, glyphs: Glyphs
) -> StatusLine:
    """Copy an error, else the stack of a record of ``table``, as text. Return the line that says so."""
    if error is not None:
        return _copy(app, error_text(error, glyphs), "the error")
    if table is None or record is None:
        return refused("no stack is selected")
    lines = (copied_head(table, record), *stack_text(table, record, no_source, glyphs))
    return _copy(app, lines, f"the stack of {bare(table.names[record].function)}")


def _copy(app: App[Any], lines: Iterable[str], what: str) -> StatusLine:
    text = "\n".join(lines)
    app.copy_to_clipboard(text[:CLIPBOARD_CHARS])
    sentence = f"{what}, {text.count(chr(10)) + 1} lines, by OSC 52: the terminal has it where it allows that"
    return StatusLine("✓", "COPIED", sentence, Tone.GOOD, "esc", "close", shorter=(f"{what}, by OSC 52",))


class Notice(Message):
    """A line that tells what a key has done, or why it did nothing."""

    def __init__(self, line: StatusLine) -> None:
        super().__init__()
        self.line = line


class SuppressAsked(Message):
    """The user wants this leak left out from now on; ``checker`` found it."""

    def __init__(self, record: LeakRecord, checker: str) -> None:
        super().__init__()
        self.record = record
        self.checker = checker
