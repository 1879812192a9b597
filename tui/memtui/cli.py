"""The entry point: reads the arguments, runs the one command they name, and turns every failure into one line."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from memtui_profiler.errors import EXIT_UNAVAILABLE, EXIT_USAGE, UserError

EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run memtui; returns its exit code: 0, 2 wrong usage, 3 cannot, 130 interrupted, and those of ``check``."""
    from memtui import __version__, mishap, terminal

    terminal.prepare_streams()
    mishap.install()
    if not sys.platform.startswith("linux"):
        terminal.complain("needs Linux: it reads /proc: run it there, over SSH for example")
        return EXIT_UNAVAILABLE
    # Nothing of what a start allocates is garbage, and looking took a fifth of its CPU; what lives on switches it on again.
    gc.disable()
    words = sys.argv[1:] if argv is None else argv
    try:
        if words[:1] == ["recorder"]:  # it starts beside each screen, so it reads no options
            return _record(words[1:])
        from memtui.options import parse

        command, warnings = parse(words, __version__)
        for warning in warnings:
            terminal.complain(warning)
        code = _run(command)
        sys.stdout.flush()
    except UserError as error:
        terminal.complain(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        terminal.give_up_stdout()
        code = 0
    finally:
        gc.enable()
    return code


def _record(words: Sequence[str]) -> int:
    """The hidden command ``recorder DIR``: what daemonize.start_recorder() starts. Its stderr is a log: whole tracebacks fit."""
    sys.excepthook = sys.__excepthook__
    from pathlib import Path

    from memtui_profiler.recorder_process import main as record

    if len(words) != 1:
        raise UserError(
            "recorder", "it takes a session's folder", "it is memtui's own: start memtui", exit_code=EXIT_USAGE
        )
    return record(Path(words[0]))


def _run(command: object) -> int:
    """Each command's module is imported for itself alone: ``--help`` and the recorder must not pay for the screen."""
    from memtui import options

    match command:
        case options.Show(text):
            sys.stdout.write(text)
            return 0
        case options.Launch():
            from memtui.commands.launch import run_launch

            return run_launch(command)
        case options.Attach():
            from memtui.commands.attach import run_attach

            return run_attach(command)
        case options.Check():
            from memtui.commands.check import run_check

            return run_check(command)
        case options.Open():
            from memtui.commands.open import run_open

            return run_open(command)
        case options.Resume():
            from memtui.commands.resume import run_resume

            return run_resume(command)
        case options.Sessions():
            from memtui.commands.sessions import run_sessions

            return run_sessions(command)
        case options.Doctor():
            from memtui.commands.doctor import run_doctor

            return run_doctor(command)
        case options.Demo():
            from memtui.commands.demo import run_demo

            return run_demo(command)
    raise AssertionError(f"no command for {command!r}")
