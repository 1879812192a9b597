"""``memtui open``: shows what was recorded before. What a path is, is told from its contents."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from memtui import __version__
from memtui.commands.compared_session import NEWER, OLDER, Source, write_compared_session
from memtui.commands.plain_session import write_last_report
from memtui.commands.report_output import write_difference, write_json
from memtui.commands.report_session import write_report_session
from memtui.commands.requests import suppression_files, sysroot_folder
from memtui.commands.run_result import newest_report, open_session
from memtui.commands.viewing import show_screen, wants_screen
from memtui.option_values import usage_error
from memtui.options import Open
from memtui_parsers.sniff import FileKind, sniff
from memtui_parsers.values import LeakReport
from memtui_profiler.errors import UserError
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import ReportRow
from memtui_profiler.session.writer import DATABASE


def run_open(options: Open) -> int:
    screen = options.format == "text" and wants_screen(plain=options.plain)
    ascii = options.ascii or None
    files, source_map = suppression_files(options.suppressions), options.source_map
    sysroot = sysroot_folder(options.sysroot)
    if options.newer is not None:
        with comparison_of(Path(options.path), Path(options.newer), sysroot=sysroot) as folder:
            if screen:
                return show_screen(
                    folder, ascii=options.ascii, against=OLDER, suppressions=files, source_map=source_map
                )
            return print_difference(folder, options.format, ascii=ascii, suppressions=files)
    with session_of(Path(options.path), sysroot=sysroot) as folder:
        if screen:
            return show_screen(folder, ascii=options.ascii, suppressions=files, source_map=source_map)
        if options.format == "json":
            return print_json(folder, suppressions=files)
        return print_report(folder, ascii=ascii, suppressions=files)


def print_json(folder: Path, *, suppressions: tuple[str, ...] = ()) -> int:
    """Raises UserError when there is no report: half a document would be worse than none."""
    from memtui_parsers.report_json import to_json

    with open_session(folder) as reader:
        report = newest_report(reader)
        if report is None:
            raise UserError("nothing to print", "no leak report in this session", "leave --format away to look at it")
        write_json(to_json(_left(report, suppressions), __version__))
    return 0


def print_difference(
    folder: Path, format: str, *, ascii: bool | None = None, suppressions: tuple[str, ...] = ()
) -> int:
    """What has come and gone between the two reports of a session that comparison_of() made."""
    with open_session(folder) as reader:
        old, new = (_left(load_report(reader, number), suppressions) for number in (OLDER, NEWER))
        if format == "json":
            from memtui_parsers.report_diff import difference
            from memtui_parsers.report_json import difference_to_json

            write_json(difference_to_json(difference(old, new), __version__))
        else:
            older, newer = (row.path.rpartition("/")[2] for row in reader.rows(ReportRow))
            write_difference(old, new, (older, newer), reader, ascii=ascii)
    return 0


def _left(report: LeakReport, suppressions: tuple[str, ...]) -> LeakReport:
    """What suppression files leave of a report."""
    if not suppressions:
        return report
    from memtui_profiler.suppression_files import without_suppressed

    return without_suppressed(report, suppressions)


def print_report(folder: Path, *, ascii: bool | None = None, suppressions: tuple[str, ...] = ()) -> int:
    with open_session(folder) as reader:
        if not write_last_report(reader, ascii=ascii, suppressions=suppressions):
            sys.stdout.write("no leak report in this session\n")
    return 0


def contents_of(path: Path) -> FileKind:
    """What a folder or file is. Raises UserError for what cannot be read, or is nothing memtui reads."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            if (path / DATABASE).is_file():
                return FileKind.SESSION
            raise UserError(f"cannot open {path}", f"this folder holds no {DATABASE}", "see `memtui sessions`")
        if not stat.S_ISREG(mode):
            raise UserError(f"cannot open {path}", "neither a file nor a folder", "save it to a file first")
        with open(path, "rb") as file:
            found = sniff(file)
    except OSError as error:
        raise UserError(f"cannot open {path}", error.strerror or str(error), "check the path") from error
    if found.why_not:
        raise UserError(f"cannot open {path}", found.why_not, found.todo)
    if found.kind is FileKind.SESSION and found.gzipped:
        raise UserError(
            f"cannot open {path}", "a session that is compressed by gzip", f"unpack it first: gunzip {path}"
        )
    return found.kind


@contextlib.contextmanager
def session_of(path: Path, *, sysroot: str | None = None) -> Iterator[Path]:
    """A session folder that shows what is at ``path``; one made for this goes again afterwards.

    ``sysroot``: where the files are that a report names. Raises UserError for a session: it was named when it was recorded.
    """
    kind = contents_of(path)
    if kind is FileKind.SESSION:
        _refuse_sysroot(sysroot)
    if path.is_dir():
        yield path.resolve()
        return
    with _scratch() as folder:
        if kind is FileKind.SESSION:
            # A link: SQLite looks for the write-ahead log beside the file it leads to.
            os.symlink(path.resolve(), folder / DATABASE)
        else:
            write_report_session(folder, path.resolve(), sysroot=sysroot)
        yield folder


@contextlib.contextmanager
def comparison_of(older: Path, newer: Path, *, sysroot: str | None = None) -> Iterator[Path]:
    """A session folder, gone again afterwards, that holds the reports at both paths as its OLDER and its NEWER."""
    sources = [_source_of(path) for path in (older, newer)]
    if all(source.is_session for source in sources):
        _refuse_sysroot(sysroot)
    with _scratch() as folder:
        write_compared_session(folder, *sources, sysroot=sysroot)
        yield folder


def _refuse_sysroot(sysroot: str | None) -> None:
    if sysroot is not None:
        why = "a session has its names already, from the files that ran"
        raise usage_error(f"--sysroot {sysroot}", why, "leave it out")


def _source_of(path: Path) -> Source:
    kind = contents_of(path)
    if path.is_dir():
        return Source(path.resolve() / DATABASE, is_session=True)
    return Source(path.resolve(), is_session=kind is FileKind.SESSION)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="memtui-open-", ignore_cleanup_errors=True) as made:
        yield Path(made)
