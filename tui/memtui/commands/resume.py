"""``memtui resume``: back to a session whose target may have run on meanwhile."""

from __future__ import annotations

from pathlib import Path

from memtui.commands.plain_session import follow_lines, print_lines
from memtui.commands.requests import suppression_files
from memtui.commands.sessions import find
from memtui.commands.viewing import show_screen, wants_screen
from memtui.options import Resume
from memtui_profiler.errors import UserError
from memtui_profiler.session import folders
from memtui_profiler.session.writer import DATABASE


def run_resume(options: Resume) -> int:
    folder = _folder(options.session)
    if wants_screen(plain=options.plain):
        files = suppression_files(options.suppressions)
        return show_screen(folder, ascii=options.ascii, suppressions=files, source_map=options.source_map)
    if folders.is_live(folder):
        return follow_lines(folder, ascii=options.ascii or None)
    return print_lines(folder, ascii=options.ascii or None)


def _folder(name: str | None) -> Path:
    if name is not None:
        path = Path(name)
        if "/" in name and (path / DATABASE).exists():
            return path.resolve()
        return find(name, folders.sessions()).path
    found = folders.sessions()
    chosen = next((session for session in found if session.live), found[0] if found else None)
    if chosen is None:
        raise UserError("nothing to resume", "there is no session yet", "memtui PROGRAM makes one")
    return chosen.path
