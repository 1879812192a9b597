"""A session as lines on stdout: a live one until its target is gone, a finished one all at once."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import closing
from pathlib import Path

from memtui import terminal
from memtui.commands.report_output import write_report
from memtui.commands.run_result import newest_report, open_session, session_suppressions
from memtui.commands.supervise import LET_GO, End, Interrupts, supervise, wait_until_gone
from memtui.controller import SessionFollower
from memtui.plain import DiagnosisLines, SessionLines
from memtui_profiler.control import ControlClient
from memtui_profiler.daemonize import RECORDER_LOG
from memtui_profiler.session.reader import SessionReader

LOOK_EVERY_S = 0.25


def follow_lines(folder: Path, *, ascii: bool | None = None, on_exit: str | None = None) -> int:
    """Print the lines of a live session, then its report. Returns 0, or 128 and the signal that interrupted it.

    The first ctrl-c stops the target (or, with ``on_exit`` 'detach', leaves it running), the second kills it. When stdout
    goes away nobody watches any more: the target runs on, as under a screen whose terminal is lost. Where memtui has only
    attached, ``on_exit`` 'let go', either has it let go of the process.
    """
    with (
        open_session(folder) as reader,
        closing(SessionFollower(folder)) as follower,
        closing(ControlClient(folder)) as control,
    ):
        lines, diagnoses = SessionLines(reader), DiagnosisLines()
        on_interrupt = on_exit or (LET_GO if "attached" in reader.meta() else "stop")

        def tick() -> bool:
            _write(lines.poll())
            state = follower.poll(time.time(), live=not lines.settled)
            _write(diagnoses.poll(state, lines.at_s))
            return lines.settled

        with Interrupts(signal.SIGINT) as interrupts:
            try:
                end = supervise(folder, control, interrupts, tick, every_s=LOOK_EVERY_S, on_interrupt=on_interrupt)
                _write(lines.finish())
            except BrokenPipeError:
                if on_interrupt == LET_GO:
                    control.send("detach")
                    terminal.complain("nobody reads the lines any more: memtui lets go of the process")
                    raise
                control.send("leave")
                terminal.complain(f"nobody reads the lines any more: the target runs on: memtui resume {folder.name}")
                raise
        if end is End.DETACHED:
            terminal.complain(f"the target runs on: memtui resume {folder.name}")
        else:
            if end is End.RECORDER_GONE:
                terminal.complain(f"the recorder is gone: nothing more is recorded: see {folder / RECORDER_LOG}")
            write_last_report(reader, ascii=ascii, after_lines=True)
        if end is End.SETTLED and on_interrupt == LET_GO:
            control.close()
            wait_until_gone(folder)  # and with it our thread in the process
        return interrupts.exit_code or 0


def print_lines(folder: Path, *, ascii: bool | None = None) -> int:
    """All lines of a finished session, the diagnosis at its end, then its last report."""
    with open_session(folder) as reader, closing(SessionFollower(folder)) as follower:
        lines = SessionLines(reader)
        _write([*lines.poll(), *lines.finish()])
        _write(DiagnosisLines().poll(follower.poll(time.time(), live=False), lines.at_s))
        write_last_report(reader, ascii=ascii, after_lines=True)
    return 0


def write_last_report(
    reader: SessionReader,
    *,
    ascii: bool | None = None,
    after_lines: bool = False,
    suppressions: tuple[str, ...] = (),
) -> bool:
    """The newest report as text, after an empty line where lines came before; False when the session has none.

    It is what the session's suppressions, and those at these paths, leave of it.
    """
    report = newest_report(reader)
    if report is None:
        return False
    files = (*session_suppressions(reader), *suppressions)
    if files:
        from memtui_profiler.suppression_files import without_suppressed

        report = without_suppressed(report, files)
    if after_lines:
        sys.stdout.write("\n")
    write_report(report, reader, ascii=ascii)
    sys.stdout.flush()
    return True


def _write(lines: list[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
