"""``memtui demo``: builds and launches the bundled leaky server, or replays a recording of it."""

from __future__ import annotations

from pathlib import Path

import memtui.demo
from memtui.commands.launch import run_launch
from memtui.commands.open import session_of
from memtui.commands.plain_session import print_lines
from memtui.commands.viewing import show_screen, wants_screen
from memtui.options.parse import Demo, Launch
from memtui.terminal import streams
from memtui_profiler.errors import UserError

PLAIN_SECONDS = 20.0
RECORDING = Path(memtui.demo.__file__).with_name("replay.db")


def run_demo(options: Demo) -> int:
    """Run the demo. Without a terminal it ends by itself, so that ``make demo`` in a pipe gives lines and a report."""
    screen = wants_screen(plain=options.launch.plain or options.launch.format != "text")
    if options.replay:
        return _replay(options.launch, screen=screen)
    try:
        program = _build(options.launch)
    except UserError as error:
        if not RECORDING.exists():
            raise
        streams.complain(f"{error}: replaying a recording instead")
        return _replay(options.launch, screen=screen)
    for_s = options.launch.for_s
    if for_s is None and not screen:
        for_s = PLAIN_SECONDS
    return run_launch(options.launch._replace(argv=(str(program), "--storyboard"), for_s=for_s))


def _build(launch: Launch) -> Path:
    """Build the demo server. Raises UserError where that fails, or where its leaks could not be found."""
    from memtui.demo.build import build
    from memtui_profiler.launch.environment import original_environment
    from memtui_profiler.launch.preflight import preflight, require
    from memtui_profiler.target.program import resolve_target

    program = build()
    environment = {**original_environment(), **launch.environment}
    target = resolve_target((str(program),), "/", environment.get("PATH"))
    require(preflight(target, mode=launch.mode, tcmalloc=launch.tcmalloc, environment=environment), launch.mode)
    return program


def _replay(launch: Launch, *, screen: bool) -> int:
    with session_of(RECORDING) as folder:
        if screen:
            return show_screen(folder, ascii=launch.ascii)
        return print_lines(folder, ascii=launch.ascii, format=launch.format)
