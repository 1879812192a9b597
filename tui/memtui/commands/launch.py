"""``memtui PROGRAM``: start a recorder that launches it, then watch."""

from __future__ import annotations

import shutil
from pathlib import Path

from memtui import terminal
from memtui.commands.requests import launch_request
from memtui.commands.viewing import show_screen, wants_screen
from memtui.options import Launch
from memtui_profiler.daemonize import start_recorder
from memtui_profiler.errors import UserError
from memtui_profiler.request import LaunchRequest
from memtui_profiler.session import folders


def run_launch(options: Launch) -> int:
    """Raises UserError when the launch fails: then there is no screen and no session."""
    screen = wants_screen(plain=options.plain)
    request = launch_request(options, mode=options.mode, inherit_stdin=not screen)
    folder = start_session(options.argv[0], request)
    if screen:
        return show_screen(folder, ascii=options.ascii, on_exit=options.on_exit, source_map=options.source_map)
    from memtui.commands.plain_session import follow_lines

    return follow_lines(folder, ascii=options.ascii or None, on_exit=options.on_exit)


def start_session(program: str, request: LaunchRequest) -> Path:
    """The folder of a live session, named after ``program``, whose target is running."""
    folder = folders.create(program)
    try:
        start_recorder(folder, request)
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _prune()
    return folder


def _prune() -> None:
    """Old sessions that cannot be deleted are a nuisance, but no reason not to record a new one."""
    try:
        folders.prune()
    except (OSError, UserError) as error:
        terminal.complain(f"old sessions stay: {error}")
