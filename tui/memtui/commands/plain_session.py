"""A session as lines on stdout: a live one until its target is gone, a finished one all at once."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from memtui.commands.outcome import newest_report, open_session
from memtui.commands.report_output import write_report
from memtui.commands.supervise import End, Interrupts, OnInterrupt, supervise, wait_until_gone
from memtui.options.values import JSON_LINES
from memtui.session.follower import SessionFollower
from memtui.session.suppressed import not_suppressed
from memtui.terminal import streams
from memtui.terminal.progress import SILENT, Progress
from memtui.text.json_form import JsonForm
from memtui.text.plain_form import PlainForm
from memtui.text.session_lines import DiagnosisLines, LineForm, SessionLines
from memtui_profiler.recorder.control import ControlClient
from memtui_profiler.recorder.start import RECORDER_LOG
from memtui_profiler.request import suppressions_in
from memtui_profiler.session.reader import SessionReader

LOOK_EVERY_S = 0.25


def _form(format: str) -> LineForm:
    return JsonForm() if format == JSON_LINES else PlainForm()


def follow_lines(
    folder: Path,
    *,
    ascii: bool = False,
    on_interrupt: OnInterrupt | None = None,
    skips: tuple[str, ...] = (),
    format: str = "text",
    on_watching: Callable[[], None] | None = None,
) -> int:
    """Print the lines of a live session, then its report. Returns 0, or 128 and the signal that interrupted it.

    ``format`` 'jsonl': JSON, where reports are lines as well.

    ``on_interrupt`` None: ctrl-c stops a target that memtui has launched, and detaches from a process that it has attached to.
    When stdout is closed the target runs on, as under a screen whose terminal is lost; memtui detaches from a process that it
    has attached to. ``on_watching`` is called once an interrupt does that.
    """
    with (
        open_session(folder) as reader,
        closing(SessionFollower(folder)) as follower,
        closing(ControlClient(folder)) as control,
    ):
        form = _form(format)
        lines, diagnoses = SessionLines(reader, form), DiagnosisLines(form)
        if on_interrupt is None:
            on_interrupt = OnInterrupt.DETACH if "attached" in reader.meta() else OnInterrupt.STOP

        def tick() -> bool:
            streams.print_lines(lines.poll())
            state = follower.poll(time.time(), live=not lines.settled)
            streams.print_lines(diagnoses.poll(state, lines.at_s))
            return lines.settled

        with Interrupts(signal.SIGINT) as interrupts:
            if on_watching is not None:
                on_watching()
            try:
                end = supervise(folder, control, interrupts, tick, every_s=LOOK_EVERY_S, on_interrupt=on_interrupt)
                streams.print_lines(lines.finish())
            except BrokenPipeError:
                if on_interrupt is OnInterrupt.DETACH:
                    control.send("detach")
                    streams.complain("nobody reads the lines any more: memtui lets go of the process")
                    raise
                streams.complain(f"nobody reads the lines any more: the target runs on: memtui resume {folder.name}")
                raise
        if end is End.LEFT:
            streams.complain(f"the target runs on: memtui resume {folder.name}")
        else:
            if end is End.RECORDER_GONE:
                streams.complain(f"the recorder is gone: nothing more is recorded: see {folder / RECORDER_LOG}")
            if format != JSON_LINES:
                write_last_report(reader, ascii=ascii, after_lines=True, skips=skips)
        if end is End.SETTLED and on_interrupt is OnInterrupt.DETACH:
            control.close()
            wait_until_gone(folder)  # and with it our thread in the process
        return interrupts.exit_code or 0


def print_lines(folder: Path, *, ascii: bool = False, skips: tuple[str, ...] = (), format: str = "text") -> int:
    """All lines of a finished session, the diagnosis at its end, then its last report."""
    with open_session(folder) as reader, closing(SessionFollower(folder)) as follower:
        form = _form(format)
        lines = SessionLines(reader, form)
        streams.print_lines([*lines.poll(), *lines.finish()])
        streams.print_lines(DiagnosisLines(form).poll(follower.poll(time.time(), live=False), lines.at_s))
        if format != JSON_LINES:
            write_last_report(reader, ascii=ascii, after_lines=True, skips=skips)
    return 0


def write_last_report(
    reader: SessionReader,
    *,
    ascii: bool = False,
    after_lines: bool = False,
    suppressions: tuple[str, ...] = (),
    skips: tuple[str, ...] = (),
    progress: Progress = SILENT,
) -> bool:
    """The newest report as text, after an empty line where lines came before; False when the session has none.

    It is what the session's suppressions, and those at these paths, leave of it.
    """
    report = newest_report(reader)
    if report is None:
        return False
    report = not_suppressed(report, (*suppressions_in(reader.meta().get("request", "")), *suppressions))
    if after_lines:
        sys.stdout.write("\n")
    write_report(report, reader, ascii=ascii, skips=skips, progress=progress)
    return True
