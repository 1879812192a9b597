"""``memtui check``: run a program under a leak check, print the report, and say in the exit code what came out."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

from memtui import terminal
from memtui.commands.check_session import check_session, print_checked
from memtui.commands.outcome import NO_REASON, has_leaks, judge, not_run_report
from memtui.commands.relay import OutputRelay
from memtui.commands.requests import launch_request
from memtui.commands.run_result import is_settled, open_session, run_report
from memtui.commands.supervise import End, Interrupts, supervise, wait_until_gone
from memtui.option_values import CHECK_AUTO
from memtui.options import Check
from memtui_parsers.values import ReportStatus
from memtui_profiler.checkers import checker_of
from memtui_profiler.control import ControlClient
from memtui_profiler.daemonize import start_recorder
from memtui_profiler.environment import original_environment
from memtui_profiler.errors import EXIT_USAGE, UserError
from memtui_profiler.launch import automatic_mode
from memtui_profiler.request import LaunchRequest

_NOT_WRITTEN = "the session could not be written: is the disk full?"
_WHY_NOT = {
    End.SETTLED: NO_REASON,
    End.RECORDER_GONE: "the recorder ended before the target did: recorder.log of a session kept with --keep says why",
    End.UNWRITABLE: _NOT_WRITTEN,
    End.GIVEN_UP: "interrupted before the target had ended",
}
LOOK_EVERY_S = 0.1
UNWRITABLE_S = 5.0  # nobody sits beside a CI job to free space


def run_check(options: Check) -> int:
    """Returns the exit code of ``check`` (see ``memtui check --help``), or 128 and the signal that interrupted it."""
    request = launch_request(options.launch, mode=options.launch.mode, inherit_stdin=True)
    if request.mode == CHECK_AUTO:
        request = replace(request, mode=automatic_mode(request, original_environment()))
    mode = request.mode
    with (
        Interrupts(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as interrupts,
        check_session(options.launch.argv[0], keep=options.keep) as folder,
    ):
        try:
            start_recorder(folder, request)
        except UserError as error:
            if error.exit_code != EXIT_USAGE:
                print_checked(
                    not_run_report(checker_of(mode).NAME, mode, request.argv, (str(error),)), options.format, None
                )
            raise
        control = ControlClient(folder)
        try:
            code = _attend(folder, control, interrupts, request, options)
        except BaseException:
            control.send("stop")  # nobody is left who would
            raise
        finally:
            control.close()
            wait_until_gone(folder)
        return code if interrupts.exit_code is None else interrupts.exit_code


def _attend(
    folder: Path, control: ControlClient, interrupts: Interrupts, request: LaunchRequest, options: Check
) -> int:
    """Relay the target's output until its run is settled, then print what was found."""
    relay = OutputRelay(folder / "runs" / "1", *terminal.raw_stderr())
    with open_session(folder) as reader:

        def tick() -> bool:
            relay.pump()
            return is_settled(reader, 1)

        end = supervise(folder, control, interrupts, tick, every_s=LOOK_EVERY_S, unwritable_s=UNWRITABLE_S)
        relay.finish()
        report = run_report(reader, 1)
        if report is None:
            report = not_run_report(checker_of(request.mode).NAME, request.mode, request.argv, (_NOT_WRITTEN,))
        if report.status is ReportStatus.NOT_RUN and not report.notes:
            report = replace(report, notes=(_WHY_NOT[end],))
        found = has_leaks(report)
        if request.suppressions:
            # For itself alone: few have such files.
            from memtui_profiler.suppression_files import without_suppressed

            report = without_suppressed(report, request.suppressions)
        print_checked(report, options.format, reader)
        code, remark = judge(report, request.argv[0], suppressed=found)
        if remark:
            terminal.complain(remark)
        return code
