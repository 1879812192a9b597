"""``memtui check``: runs a program under a leak check and prints the report; the exit code tells the result.

``attach --check-now`` and ``--growth`` have their session, their report and their exit code from here, too.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from memtui import __version__
from memtui.commands.outcome import (
    NO_REASON,
    RunResult,
    has_leaks,
    is_settled,
    judge,
    not_run_report,
    open_session,
    preload_of_crash,
    run_result,
)
from memtui.commands.report_output import write_json, write_report
from memtui.commands.supervise import End, Interrupts, supervise, wait_until_gone
from memtui.options.parse import Check
from memtui.options.requests import launch_request
from memtui.options.values import CHECK_AUTO
from memtui.session.suppressed import not_suppressed
from memtui.terminal import streams
from memtui.terminal.relay import OutputRelay
from memtui_parsers.values import LeakReport, ReportStatus
from memtui_profiler.errors import EXIT_USAGE, UserError
from memtui_profiler.launch import without_preload
from memtui_profiler.launch.environment import original_environment
from memtui_profiler.launch.plan import automatic_mode
from memtui_profiler.recorder.control import ControlClient
from memtui_profiler.recorder.start import begin_recorder
from memtui_profiler.request import LaunchRequest
from memtui_profiler.run.scratch_folder import scratch_folder
from memtui_profiler.session import folders
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.writer import DATABASE

_NOT_WRITTEN = "the session could not be written: is the disk full?"
_WHY_NOT = {
    End.SETTLED: NO_REASON,
    End.RECORDER_GONE: "the recorder ended before the target did: recorder.log of a session kept with --keep says why",
    End.UNWRITABLE: _NOT_WRITTEN,
    End.GIVEN_UP: "interrupted before the target had ended",
}
LOOK_EVERY_S = 0.1
RETRY_MARGIN_S = 5.0
UNWRITABLE_S = 5.0  # in a CI job nobody frees space on the disk


def run_check(options: Check) -> int:
    """Run the check; returns the exit code (see ``memtui check --help``), or 128 and the signal that interrupted it."""
    request = launch_request(options.launch, mode=options.launch.mode, inherit_stdin=True)
    if request.mode == CHECK_AUTO:
        request = replace(request, mode=automatic_mode(request, original_environment()))
    mode = request.mode
    with (
        Interrupts(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as interrupts,
        check_session(options.launch.argv[0], keep=options.keep) as folder,
    ):
        try:
            recorder = begin_recorder(folder, request)
        except UserError as error:
            if error.exit_code != EXIT_USAGE:
                print_checked(not_run_report(mode, request.argv, (str(error),)), options.format, None)
            raise
        control = ControlClient(folder)
        with recorder:  # never handed over: it ends with us
            try:
                code = _attend(folder, control, interrupts, request, options)
            except BaseException:
                control.send("stop")  # nobody else would stop the target
                raise
            finally:
                control.close()
                wait_until_gone(folder)
        return code if interrupts.exit_code is None else interrupts.exit_code


def _attend(
    folder: Path, control: ControlClient, interrupts: Interrupts, request: LaunchRequest, options: Check
) -> int:
    """Relay the target's output until its run is settled, then print the report; returns the exit code."""
    stderr = getattr(sys.stderr, "buffer", None)  # for bytes
    relay = OutputRelay(folder / "runs" / "1", stderr, streams.is_terminal(sys.stderr))
    with open_session(folder) as reader:

        def tick() -> bool:
            relay.pump()
            return is_settled(reader, 1)

        end = supervise(folder, control, interrupts, tick, every_s=LOOK_EVERY_S, unwritable_s=UNWRITABLE_S)
        relay.finish()
        result = run_result(reader, 1)
        if result is None:
            result = RunResult(not_run_report(request.mode, request.argv, (_NOT_WRITTEN,)))
        report = result.report
        if report.status is ReportStatus.NOT_RUN and not report.notes:
            report = replace(report, notes=(_WHY_NOT[end],))
        if (preloaded := preload_of_crash(reader, 1)) and report.status is ReportStatus.NOT_RUN:
            report = _who_crashes(report, preloaded, request, interrupts)
        return conclude(
            replace(result, report=report),
            request.argv[0],
            request.suppressions,
            options.format,
            reader,
            skips=options.launch.skips,
        )


def _who_crashes(report: LeakReport, preloaded: str, request: LaunchRequest, interrupts: Interrupts) -> LeakReport:
    """Return the report with a note that says whether the program or the ``preloaded`` library crashes, where that can be tried."""
    ran_s, crash = report.run.seconds or 0.0, report.run.signal
    if not without_preload.may_be_repeated(ran_s):
        return report
    streams.complain(f"it crashed with {crash}: running it once more, without {preloaded}")
    alone = without_preload.crash_without_preload(
        request, original_environment(), 2 * ran_s + RETRY_MARGIN_S, lambda: interrupts.count > 0
    )
    if alone is None:
        return report
    if alone:
        note = f"it crashed with {crash}, and with {alone} when run again without {preloaded}: mend the crash first"
    else:
        note = (
            f"it crashed with {crash} under {preloaded}, which memtui preloads, and did not when run again without:"
            " the program is not to blame; choose another check, such as --check memcheck"
        )
    return replace(report, notes=(note,))


@contextlib.contextmanager
def check_session(program: str, *, keep: bool) -> Iterator[Path]:
    """Make the session's folder: among the others when it is to be kept, else a private one that is deleted at the end."""
    if keep:
        folder = folders.create(program)
        try:
            yield folder
        finally:
            if (folder / DATABASE).exists():
                streams.complain(f"session kept: {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
        return
    with scratch_folder("memtui-check-") as root:
        yield folders.create(program, root=root)


def conclude(
    result: RunResult,
    program: str,
    suppressions: Sequence[str],
    report_format: str,
    reader: SessionReader,
    *,
    ascii: bool = False,
    skips: Sequence[str] = (),
) -> int:
    """Print what the suppression files leave of the report, and a remark where there is one; returns the exit code."""
    suppressed = has_leaks(result.report)
    report = not_suppressed(result.report, suppressions)
    print_checked(report, report_format, reader, ascii=ascii, skips=skips)
    code, remark = judge(replace(result, report=report), program, suppressed=suppressed)
    if remark:
        streams.complain(remark)
    return code


def print_checked(
    report: LeakReport,
    report_format: str,
    reader: SessionReader | None,
    *,
    ascii: bool = False,
    skips: Sequence[str] = (),
) -> None:
    """Print the report alone on stdout; as text nothing where the check did not run: stderr tells that."""
    try:
        if report_format == "json":
            from memtui_parsers.report.json_writer import json_of

            write_json(json_of(report, __version__))
        elif report.status is not ReportStatus.NOT_RUN:
            write_report(report, reader, ascii=ascii, skips=skips)
        sys.stdout.flush()
    except BrokenPipeError:
        streams.give_up_stdout()  # the exit code still says what was found
