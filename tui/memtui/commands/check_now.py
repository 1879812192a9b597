"""``memtui attach PID --check-now``: one leak check of a running process, its report, and what came out as the exit code."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from memtui import terminal
from memtui.commands.check_session import check_session, print_checked
from memtui.commands.outcome import judge, not_run_report
from memtui.commands.requests import attach_request
from memtui.commands.run_result import CHECKER, is_settled, open_session, run_report
from memtui.commands.supervise import Interrupts, wait_until_gone
from memtui.options import Attach
from memtui_parsers.values import LeakReport
from memtui_profiler.attachable import environment_of, process_name, refuse_what_cannot_be_watched
from memtui_profiler.control import ControlClient
from memtui_profiler.daemonize import start_recorder
from memtui_profiler.errors import UserError
from memtui_profiler.request import LaunchRequest
from memtui_profiler.session.folders import is_live
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import ReportEnd, ReportRow, SymbolsEnd

LOOK_EVERY_S = 0.05
RUN = 1


def run_check_now(options: Attach) -> int:
    """0 no leak, 1 leaks, or 128 and the signal that interrupted it. Raises UserError (3) when no check was possible."""
    request = attach_request(options)
    name = process_name(options.pid)
    with (
        Interrupts(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as interrupts,
        check_session(name, keep=options.keep) as folder,
    ):
        control: ControlClient | None = None
        try:
            refuse_what_cannot_be_watched(options.pid)
            start_recorder(folder, request)
            control = ControlClient(folder)
            code = _check(folder, control, interrupts, options, name)
        except UserError as error:
            print_checked(_not_checked(request, str(error)), options.format, None)
            raise
        finally:
            if control is not None:
                control.send("detach")
                control.close()
                wait_until_gone(folder)
        if interrupts.exit_code is None:
            return code
        print_checked(_not_checked(request, "interrupted before the check was done"), options.format, None)
        return interrupts.exit_code


def _check(folder: Path, control: ControlClient, interrupts: Interrupts, options: Attach, name: str) -> int:
    with open_session(folder) as reader:
        report = _report(folder, reader, control, interrupts)
        if report is None:
            return 0  # interrupted
        if options.suppressions:
            from memtui_profiler.suppression_files import without_suppressed

            report = without_suppressed(report, options.suppressions)
        print_checked(report, options.format, reader, ascii=options.ascii or None)
        code, remark = judge(report, name)
        if remark:
            terminal.complain(remark)
        return code


def _report(folder: Path, reader: SessionReader, control: ControlClient, interrupts: Interrupts) -> LeakReport | None:
    """The report of a check that is made now, named. None when interrupted; raises UserError when there can be none."""
    control.send("watch")
    asked = control.send("check")
    answered = False
    while not interrupts.count:
        for reply in control.poll():
            if reply.error is not None:
                raise reply.error
            answered = answered or reply.id == asked
        if answered and (number := _complete(reader)) is not None:
            return load_report(reader, number)
        if is_settled(reader, RUN) and (report := run_report(reader, RUN)) is not None:
            return report  # it ended meanwhile
        if not is_live(folder):
            raise UserError(
                "no leak check", "the recorder ended before it was done", "see recorder.log of a session kept by --keep"
            )
        time.sleep(LOOK_EVERY_S)
    return None


def _complete(reader: SessionReader) -> int | None:
    """The id of a report that is in with all its names."""
    ended = {row.report for row in reader.rows(ReportEnd)} & {row.report for row in reader.rows(SymbolsEnd)}
    return next((row.id for row in reader.rows(ReportRow) if row.id in ended), None)


def _not_checked(request: LaunchRequest, why: str) -> LeakReport:
    pid = request.attach_pid
    mode = "" if pid is None else environment_of(pid).get("HEAPCHECK", "")
    return not_run_report(CHECKER, mode, request.argv, (why,), pid=pid)
