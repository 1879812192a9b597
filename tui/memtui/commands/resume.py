"""``memtui resume``: shows a session again; its target may have run on meanwhile."""

from __future__ import annotations

from pathlib import Path

from memtui.commands.plain_session import follow_lines, print_lines
from memtui.commands.sessions import find
from memtui.commands.viewing import show_screen, wants_screen
from memtui.options.parse import Resume
from memtui.options.requests import suppression_files
from memtui_profiler.errors import UserError
from memtui_profiler.session import folders
from memtui_profiler.session.writer import DATABASE


def run_resume(options: Resume) -> int:
    folder = _folder(options.session)
    if wants_screen(plain=options.plain or options.format != "text"):
        files = suppression_files(options.suppressions)
        return show_screen(
            folder, ascii=options.ascii, suppressions=files, source_map=options.source_map, skips=options.skips
        )
    if folders.is_live(folder):
        return follow_lines(folder, ascii=options.ascii, skips=options.skips, format=options.format)
    return print_lines(folder, ascii=options.ascii, skips=options.skips, format=options.format)


def _folder(name: str | None) -> Path:
    if name is not None:
        path = Path(name)
        if "/" in name and (path / DATABASE).exists():
            return path.resolve()
        return find(name, folders.sessions()).path
    sessions = folders.sessions()
    chosen = next((session for session in sessions if session.live), sessions[0] if sessions else None)
    if chosen is None:
        raise UserError("nothing to resume", "there is no session yet", "memtui PROGRAM makes one")
    return chosen.path
