"""``memtui attach PID --check-now`` and ``--growth SECONDS``: one report on a running process; the exit code tells the result."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from memtui.commands.check import check_session, conclude, print_checked
from memtui.commands.outcome import (
    RunResult,
    complete_reports,
    is_settled,
    not_run_report,
    open_session,
    run_result,
    threads_beside_main,
)
from memtui.commands.supervise import Interrupts, wait_until_gone
from memtui.options.parse import Attach
from memtui.options.requests import attach_request
from memtui.reports.running_threads import with_running_threads
from memtui.session.state import event_detail
from memtui.terminal import streams
from memtui_parsers.values import LeakReport
from memtui_profiler.actions import Action
from memtui_profiler.checkers.growth import GROWTH
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.launch.attachable import environment_of, process_name, refuse_what_cannot_be_watched
from memtui_profiler.recorder.control import ControlClient
from memtui_profiler.recorder.start import StartedRecorder, begin_recorder
from memtui_profiler.request import LaunchRequest
from memtui_profiler.session.folders import is_live
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import Event, SymbolsEnd
from memtui_profiler.words import span_words

LOOK_EVERY_S = 0.05
RUN = 1

# Asks the recorder for the report, and returns it with its names; None when interrupted. Raises UserError when it fails.
Ask = Callable[[Path, SessionReader, ControlClient, Interrupts], RunResult | None]


def run_check_now(options: Attach) -> int:
    """Run the check; returns 0 (no leak), 1 (leaks), or 128 and the signal that interrupted it. Raises UserError (exit code 3)."""
    mode = environment_of(options.pid).get("HEAPCHECK", "")
    return _run(options, attach_request(options), mode, _checked)


def run_growth(options: Attach) -> int:
    """Watch what grows for the time that is asked for; an interrupt ends it sooner, with its report.

    Returns 0 where the report tells it, or that nothing has grown, 3 where it cannot tell, 128 and the number of the signal that
    interrupted it. Raises UserError (exit code 3) where it cannot be watched.
    """
    assert options.growth_s is not None
    # It takes nothing in the process, so nothing is put there.
    request = replace(attach_request(options), no_guest=True)
    streams.tell([f"watching pid {options.pid} for {span_words(options.growth_s)}"])

    def watched(
        folder: Path, reader: SessionReader, control: ControlClient, interrupts: Interrupts
    ) -> RunResult | None:
        return _watched(options, folder, reader, control, interrupts)

    return _run(options, request, GROWTH, watched)


def _run(options: Attach, request: LaunchRequest, mode: str, ask: Ask) -> int:
    name = process_name(options.pid)
    with (
        Interrupts(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as interrupts,
        check_session(name, keep=options.keep) as folder,
    ):
        control: ControlClient | None = None
        recorder: StartedRecorder | None = None
        result: RunResult | None = None
        code = 0
        try:
            refuse_what_cannot_be_watched(options.pid)
            recorder = begin_recorder(folder, request)  # never handed over: it ends with us
            control = ControlClient(folder)
            with open_session(folder) as reader:
                result = ask(folder, reader, control, interrupts)
                if result is not None:
                    code = conclude(
                        result,
                        name,
                        options.suppressions,
                        options.format,
                        reader,
                        ascii=options.ascii,
                        skips=options.skips,
                    )
        except UserError as error:
            print_checked(_not_checked(request, mode, str(error)), options.format, None)
            raise
        finally:
            if control is not None:
                control.send("detach")
                control.close()
                wait_until_gone(folder)
            if recorder is not None:
                recorder.close()
        if interrupts.exit_code is None:
            return code
        if result is None:
            print_checked(_not_checked(request, mode, "interrupted before the check was done"), options.format, None)
        return interrupts.exit_code


def _checked(folder: Path, reader: SessionReader, control: ControlClient, interrupts: Interrupts) -> RunResult | None:
    """Have the process checked."""
    control.send("watch")
    asked = control.send("check")
    answered = False
    while not interrupts.count:
        for reply in control.poll():
            if reply.error is not None:
                raise reply.error
            answered = answered or reply.id == asked
        if answered and (number := _complete(reader)) is not None:
            report = load_report(reader, number)
            return RunResult(with_running_threads(report, threads_beside_main(reader, RUN)))
        if is_settled(reader, RUN) and (result := run_result(reader, RUN)) is not None:
            return result  # it ended meanwhile
        if not is_live(folder):
            raise UserError(
                "no leak check", "the recorder ended before it was done", "see recorder.log of a session kept by --keep"
            )
        time.sleep(LOOK_EVERY_S)
    return None


def _watched(
    options: Attach, folder: Path, reader: SessionReader, control: ControlClient, interrupts: Interrupts
) -> RunResult | None:
    """Have the process watched; the first interrupt ends that with its report, the second without."""
    control.send("watch")
    control.send("growth", do="start", seconds=options.growth_s, anyway=options.anyway)
    stopped = False
    while interrupts.count < 2:
        for reply in control.poll():
            if reply.error is not None:
                raise _with_option(reply.error)
        if interrupts.count and not stopped:
            stopped = True
            control.send("growth", do="stop")
        if _watch_is_over(reader) and (number := _complete(reader, newest=True)) is not None:
            return RunResult(load_report(reader, number))
        if is_settled(reader, RUN) and not complete_reports(reader):
            raise UserError("growth is not watched", "the process has ended", "see `ps -e` for its pid")
        if not is_live(folder):
            raise UserError("no report on growth", "the recorder ended before it was done", "see recorder.log: --keep")
        time.sleep(LOOK_EVERY_S)
    return None


def _with_option(error: UserError) -> UserError:
    """A refusal for its price, which the same command goes on from on a screen, with the option that goes on from it here."""
    if error.action is not Action.SNAPSHOT:
        return error
    return UserError(error.what, error.why, "add --anyway, or watch it when it has less to do")


def _watch_is_over(reader: SessionReader) -> bool:
    return any(
        event.kind == EventKind.GROWTH.value and event_detail(event).get("watching") is False
        for event in reader.rows(Event)
    )


def _complete(reader: SessionReader, *, newest: bool = False) -> int | None:
    """The id of the first report, or of the ``newest``, that the session holds whole, with all its names; None without one."""
    named = {row.report for row in reader.rows(SymbolsEnd)}
    reports = complete_reports(reader)
    if newest:
        reports = reports[-1:]
    return next((row.id for row in reports if row.id in named), None)


def _not_checked(request: LaunchRequest, mode: str, why: str) -> LeakReport:
    return not_run_report(mode, request.argv, (why,), pid=request.attach_pid)
