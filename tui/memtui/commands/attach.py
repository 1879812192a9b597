"""``memtui attach PID``: the same screen, or lines, over a process that runs already; and ``--check-now``, without either."""

from __future__ import annotations

from memtui.commands.launch import start_session
from memtui.commands.requests import attach_request
from memtui.commands.supervise import LET_GO
from memtui.commands.viewing import show_screen, wants_screen
from memtui.options import Attach
from memtui_profiler.attachable import process_name, refuse_what_cannot_be_watched


def run_attach(options: Attach) -> int:
    """Raises UserError when it cannot be watched: then there is no screen and no session."""
    if options.check_now:
        from memtui.commands.check_now import run_check_now

        return run_check_now(options)
    refuse_what_cannot_be_watched(options.pid)
    folder = start_session(process_name(options.pid), attach_request(options))
    if wants_screen(plain=options.plain):
        return show_screen(folder, ascii=options.ascii, source_map=options.source_map)
    from memtui.commands.plain_session import follow_lines

    return follow_lines(folder, ascii=options.ascii or None, on_exit=LET_GO)
