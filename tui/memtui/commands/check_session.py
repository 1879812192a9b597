"""What ``check`` and ``attach --check-now`` share: a session that goes with the command, and how its report is printed."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from memtui import __version__, terminal
from memtui.commands.report_output import write_report
from memtui_parsers.values import LeakReport, ReportStatus
from memtui_profiler.errors import UserError
from memtui_profiler.session import folders
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.writer import DATABASE


@contextlib.contextmanager
def check_session(program: str, *, keep: bool) -> Iterator[Path]:
    """Among the other sessions when it is to be kept, else in a private folder that goes with the command."""
    if keep:
        folder = folders.create(program)
        try:
            yield folder
        finally:
            if (folder / DATABASE).exists():
                terminal.complain(f"session kept: {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        root = Path(tempfile.mkdtemp(prefix="memtui-check-"))
    except OSError as error:
        raise UserError("cannot keep a session", f"{tempfile.gettempdir()}: {error.strerror}", "set TMPDIR") from error
    try:
        yield folders.create(program, root=root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def print_checked(
    report: LeakReport, report_format: str, reader: SessionReader | None, *, ascii: bool | None = None
) -> None:
    """The report alone on stdout; as text a check that did not run is for stderr to tell."""
    try:
        if report_format == "json":
            from memtui_parsers.report_json import to_json

            sys.stdout.buffer.write(to_json(report, __version__).encode())  # JSON is UTF-8 in every locale
        elif report.status is not ReportStatus.NOT_RUN:
            write_report(report, reader, ascii=ascii)
        sys.stdout.flush()
    except BrokenPipeError:
        terminal.give_up_stdout()  # the exit code still says what was found
