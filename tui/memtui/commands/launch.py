"""``memtui PROGRAM`` and ``memtui attach PID``: start a recorder, then watch the program."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from memtui.commands.viewing import show_screen, wants_screen
from memtui.options.parse import Attach, Launch
from memtui.options.requests import attach_request, launch_request
from memtui.terminal import streams
from memtui_profiler.errors import UserError
from memtui_profiler.launch.attachable import process_name, refuse_what_cannot_be_watched
from memtui_profiler.recorder.start import StartedRecorder, begin_recorder
from memtui_profiler.request import LaunchRequest
from memtui_profiler.session import folders

if TYPE_CHECKING:
    from memtui.commands.supervise import OnInterrupt


def run_launch(options: Launch) -> int:
    """Launch and watch; returns the exit code. Raises UserError when the launch fails: then there is no session."""
    screen = wants_screen(plain=options.plain or options.format != "text")
    request = launch_request(options, mode=options.mode, inherit_stdin=not screen)
    with _session(options.argv[0], request) as (folder, recorder):
        from memtui.commands.supervise import OnInterrupt

        on_interrupt = OnInterrupt.LEAVE if options.on_exit == "detach" else OnInterrupt.STOP
        return _watch(folder, recorder, options, screen=screen, on_exit=options.on_exit, on_interrupt=on_interrupt)


def run_attach(options: Attach) -> int:
    """Watch the process; returns the exit code. Raises UserError when it cannot be watched: then there is no session."""
    if options.names:
        from memtui.commands.which_process import the_process

        options = options._replace(pid=the_process(options.names, "attach"), names=())
    if options.check_now:
        from memtui.commands.report_now import run_check_now

        return run_check_now(options)
    if options.growth_s is not None:
        from memtui.commands.report_now import run_growth

        return run_growth(options)
    refuse_what_cannot_be_watched(options.pid)
    with _session(process_name(options.pid), attach_request(options)) as (folder, recorder):
        from memtui.commands.supervise import OnInterrupt

        screen = wants_screen(plain=options.plain or options.format != "text")
        return _watch(folder, recorder, options, screen=screen, on_exit=None, on_interrupt=OnInterrupt.DETACH)


def _watch(
    folder: Path,
    recorder: StartedRecorder,
    options: Launch | Attach,
    *,
    screen: bool,
    on_exit: str | None,
    on_interrupt: OnInterrupt,
) -> int:
    if screen:
        return show_screen(
            folder,
            ascii=options.ascii,
            on_exit=on_exit,
            source_map=options.source_map,
            skips=options.skips,
            on_watching=recorder.hand_over,
        )
    from memtui.commands.plain_session import follow_lines

    return follow_lines(
        folder,
        ascii=options.ascii,
        on_interrupt=on_interrupt,
        skips=options.skips,
        format=options.format,
        on_watching=recorder.hand_over,
    )


@contextlib.contextmanager
def _session(program: str, request: LaunchRequest) -> Iterator[tuple[Path, StartedRecorder]]:
    """Start a recorder; give its session's folder, named after ``program``. Raises UserError when the target does not run.

    Unless it is handed over, the recorder ends what it has started when the block ends, and when a signal ends us.
    """
    folder = folders.create(program)
    try:
        recorder = begin_recorder(folder, request)
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    with recorder:
        try:
            folders.prune()
        except (OSError, UserError) as error:  # the new one is recorded all the same
            streams.complain(f"old sessions stay: {error}")
        yield folder, recorder
