"""``memtui attach PID --check-now``: one leak check of a running process; the exit code tells the result."""

from __future__ import annotations

import signal
import time
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
from memtui_parsers.values import LeakReport
from memtui_profiler.errors import UserError
from memtui_profiler.launch.attachable import environment_of, process_name, refuse_what_cannot_be_watched
from memtui_profiler.recorder.control import ControlClient
from memtui_profiler.recorder.start import StartedRecorder, begin_recorder
from memtui_profiler.request import LaunchRequest
from memtui_profiler.session.folders import is_live
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import SymbolsEnd

LOOK_EVERY_S = 0.05
RUN = 1


def run_check_now(options: Attach) -> int:
    """Run the check; returns 0 (no leak), 1 (leaks), or 128 and the signal that interrupted it. Raises UserError (exit code 3)."""
    request = attach_request(options)
    name = process_name(options.pid)
    with (
        Interrupts(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as interrupts,
        check_session(name, keep=options.keep) as folder,
    ):
        control: ControlClient | None = None
        recorder: StartedRecorder | None = None
        code = 0
        try:
            refuse_what_cannot_be_watched(options.pid)
            recorder = begin_recorder(folder, request)  # never handed over: it ends with us
            control = ControlClient(folder)
            with open_session(folder) as reader:
                result = _result(folder, reader, control, interrupts)
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
            print_checked(_not_checked(request, str(error)), options.format, None)
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
        print_checked(_not_checked(request, "interrupted before the check was done"), options.format, None)
        return interrupts.exit_code


def _result(folder: Path, reader: SessionReader, control: ControlClient, interrupts: Interrupts) -> RunResult | None:
    """Have the process checked; return the report with its names, None when interrupted. Raises UserError when it fails."""
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


def _complete(reader: SessionReader) -> int | None:
    """The id of the first report that the session holds whole, with all its names; None while there is none."""
    named = {row.report for row in reader.rows(SymbolsEnd)}
    return next((row.id for row in complete_reports(reader) if row.id in named), None)


def _not_checked(request: LaunchRequest, why: str) -> LeakReport:
    pid = request.attach_pid
    mode = "" if pid is None else environment_of(pid).get("HEAPCHECK", "")
    return not_run_report(mode, request.argv, (why,), pid=pid)
