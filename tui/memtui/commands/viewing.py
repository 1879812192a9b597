"""Shows a session folder on the screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from memtui.options.parse import SourceMap
from memtui.terminal import streams
from memtui.terminal.locale import is_utf8, prefers_light
from memtui_parsers.clean_text import clean
from memtui_profiler.launch.environment import original_environment
from memtui_profiler.session.folders import is_live, sessions_root


def show_screen(
    folder: Path,
    *,
    ascii: bool,
    on_exit: str | None = None,
    against: int | None = None,
    suppressions: tuple[str, ...] = (),
    source_map: SourceMap = (),
    skips: tuple[str, ...] = (),
    on_watching: Callable[[], None] | None = None,
) -> int:
    """Run the viewer over ``folder``; returns its exit code. ``on_exit`` 'stop' or 'detach' answers what quitting would ask.

    ``against``: the id of a report to compare the newest with. ``suppressions`` are files beside those of the session.
    ``skips``: patterns of functions that leaks are not named by. ``on_watching`` is called once the viewer is there.

    Textual is imported here, and not earlier.
    """
    from memtui.commands.supervise import wait_until_gone
    from memtui.viewer.app import MemtuiApp

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
        skips=skips,
        on_watching=on_watching,
    )
    outcome = app.run()
    if outcome == "left":
        sys.stdout.write(f"The target runs on. To come back: memtui resume {clean(folder.name)}\n")
        return app.return_code or 0
    if outcome == "let go":
        wait_until_gone(folder)
        pid = app.state.run.pid if app.state.run is not None else 0
        if is_live(folder):
            why = "memtui lets go of it when it has answered and nobody else watches it"
            sys.stdout.write(f"pid {pid} runs on; {why}.\n")
        else:
            again = f"To watch it again: memtui attach {pid}"
            sys.stdout.write(f"memtui has let go of pid {pid}, which runs on. {again}\n")
    if folder.parent == sessions_root():
        # The screen closes when the target is gone: the verdicts of its last second would never be seen.
        streams.print_lines(f"{verdict.word.lower()}: {clean(verdict.sentence)}" for verdict in app.state.diagnoses)
        sys.stdout.write(f"To look again: memtui resume {clean(folder.name)}\n")
    return app.return_code or 0


def wants_screen(*, plain: bool) -> bool:
    return not plain and streams.has_screen()
