"""The entry point: reads the arguments, runs the command that they name, and turns every failure into one line."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from memtui_profiler.errors import EXIT_UNAVAILABLE, EXIT_USAGE, UserError

EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run memtui; returns its exit code: 0, 2 wrong usage, 3 cannot, 130 interrupted, and those of ``check``."""
    try:
        return _main(argv)
    except KeyboardInterrupt:  # also of what is imported before there is a command
        return EXIT_INTERRUPTED


def _main(argv: Sequence[str] | None) -> int:
    from memtui import __version__
    from memtui.terminal import streams

    streams.prepare_streams()
    streams.report_crashes()
    if not sys.platform.startswith("linux"):
        streams.complain("needs Linux: it reads /proc: run it there, over SSH for example")
        return EXIT_UNAVAILABLE
    # A start allocates no garbage, and collecting took a fifth of its CPU time; the viewer and the recorder enable it again.
    gc.disable()
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if arguments[:1] == ["recorder"]:  # it starts beside each screen, so it reads no options
            return _record(arguments[1:])
        from memtui.options.parse import parse

        command, warnings = parse(arguments, __version__)
        for warning in warnings:
            streams.complain(warning)
        code = _run(command)
        sys.stdout.flush()
    except UserError as error:
        streams.complain(str(error))
        code = error.exit_code
    except BrokenPipeError:
        streams.give_up_stdout()
        code = 0
    finally:
        gc.enable()
    return code


def _record(arguments: Sequence[str]) -> int:
    """Run the hidden command ``recorder DIR``, which start_recorder() starts. Its stderr is a log, so it gets whole tracebacks."""
    sys.excepthook = sys.__excepthook__
    from pathlib import Path

    from memtui_profiler.recorder.main import main as record

    if len(arguments) != 1:
        raise UserError(
            "recorder", "it takes a session's folder", "it is memtui's own: start memtui", exit_code=EXIT_USAGE
        )
    return record(Path(arguments[0]))


def _run(command: object) -> int:
    """Run a command. Only its own module is imported: ``--help`` and the recorder must not load the screen."""
    from memtui.options import parse

    match command:
        case parse.Show(text):
            sys.stdout.write(text)
            return 0
        case parse.Launch():
            from memtui.commands.launch import run_launch

            return run_launch(command)
        case parse.Attach():
            from memtui.commands.launch import run_attach

            return run_attach(command)
        case parse.Regions():
            from memtui.commands.regions import run_regions

            return run_regions(command)
        case parse.Check():
            from memtui.commands.check import run_check

            return run_check(command)
        case parse.Open():
            from memtui.commands.open import run_open

            return run_open(command)
        case parse.Resume():
            from memtui.commands.resume import run_resume

            return run_resume(command)
        case parse.Sessions():
            from memtui.commands.sessions import run_sessions

            return run_sessions(command)
        case parse.Doctor():
            from memtui.commands.doctor import run_doctor

            return run_doctor(command)
        case parse.Demo():
            from memtui.commands.demo import run_demo

            return run_demo(command)
    raise AssertionError(f"no command for {command!r}")
