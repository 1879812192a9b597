"""Shows a session folder: on a screen where there is one, else as lines or as a report."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from memtui import terminal
from memtui.charset import is_utf8, original_environment, prefers_light
from memtui.options import SourceMap
from memtui_parsers.clean_text import clean
from memtui_profiler.session.folders import is_live, sessions_root


def show_screen(
    folder: Path,
    *,
    ascii: bool,
    on_exit: str | None = None,
    against: int | None = None,
    suppressions: tuple[str, ...] = (),
    source_map: SourceMap = (),
) -> int:
    """Run the viewer over ``folder`` until it is left; ``on_exit`` 'stop' or 'detach' answers what quitting would ask.

    ``against``: the id of a report to compare the newest with. ``suppressions`` are files beside those of the session.

    Textual is imported here and nowhere earlier.
    """
    from memtui.app import MemtuiApp

    environment = original_environment()
    for stale in ("COLUMNS", "LINES"):  # Textual believes them more than the terminal, and would miss every resize
        os.environ.pop(stale, None)
    app = MemtuiApp(
        folder,
        ascii=ascii or not is_utf8(environment),
        light=prefers_light(environment),
        on_exit=on_exit,
        against=against,
        suppressions=suppressions,
        source_map=source_map,
    )
    outcome = app.run()
    if outcome == "left":
        sys.stdout.write(f"The target runs on. To come back: memtui resume {clean(folder.name)}\n")
        return app.return_code or 0
    if outcome == "let go":
        _say_let_go(folder, app.state.run.pid if app.state.run is not None else 0)
    if folder.parent == sessions_root():
        # The screen closes when the target is gone: what it found in its last second would never be seen.
        for found in app.state.diagnoses:
            sys.stdout.write(f"{found.word.lower()}: {clean(found.sentence)}\n")
        sys.stdout.write(f"To look again: memtui resume {clean(folder.name)}\n")
    return app.return_code or 0


def _say_let_go(folder: Path, pid: int) -> None:
    from memtui.commands.supervise import wait_until_gone

    wait_until_gone(folder)
    if is_live(folder):
        sys.stdout.write(f"pid {pid} runs on; memtui lets go of it when it has answered and nobody else watches it.\n")
        return
    sys.stdout.write(f"memtui has let go of pid {pid}, which runs on. To watch it again: memtui attach {pid}\n")


def wants_screen(*, plain: bool) -> bool:
    return not plain and terminal.has_screen()
