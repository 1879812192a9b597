"""``memtui open``: shows what was recorded before. The contents of a file decide what it is."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from memtui import __version__
from memtui.commands.outcome import newest_report, open_session
from memtui.commands.plain_session import write_last_report
from memtui.commands.report_output import write_difference, write_json
from memtui.commands.report_session import (
    AS_IT_IS,
    NEWER,
    OLDER,
    Reading,
    Source,
    write_compared_session,
    write_report_session,
    write_statistics_session,
)
from memtui.commands.viewing import show_screen, wants_screen
from memtui.display.glyphs import glyphs_for
from memtui.options.parse import Open
from memtui.options.requests import suppression_files, sysroot_folder
from memtui.options.values import usage_error
from memtui.session.suppressed import not_suppressed
from memtui.terminal import streams
from memtui.terminal.locale import ascii_only
from memtui.terminal.progress import SILENT, Progress
from memtui_parsers.formats.sniff import FileKind, sniff
from memtui_profiler.collect.printed import META, load_printed
from memtui_profiler.errors import UserError
from memtui_profiler.run.scratch_folder import scratch_folder
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import ReportRow
from memtui_profiler.session.writer import DATABASE

_scratch = partial(scratch_folder, "memtui-open-")


def run_open(options: Open) -> int:
    screen = options.format == "text" and wants_screen(plain=options.plain)
    files = suppression_files(options.suppressions)
    show = partial(
        show_screen, ascii=options.ascii, suppressions=files, source_map=options.source_map, skips=options.skips
    )
    reading = Reading(sysroot_folder(options.sysroot), options.sample_type)
    with Progress(sys.stderr) as progress, contextlib.ExitStack() as made:
        if options.newer is not None:
            folder = made.enter_context(comparison_of(Path(options.path), Path(options.newer), reading, progress))
            if screen:
                progress.end()
                return show(folder, against=OLDER)
            return print_difference(
                folder, options.format, ascii=options.ascii, suppressions=files, skips=options.skips, progress=progress
            )
        folder = made.enter_context(session_of(Path(options.path), reading, progress))
        if screen:
            progress.end()
            return show(folder)
        if options.format == "json":
            return print_json(folder, suppressions=files, progress=progress)
        return print_report(folder, ascii=options.ascii, suppressions=files, skips=options.skips, progress=progress)


def print_json(folder: Path, *, suppressions: tuple[str, ...] = (), progress: Progress = SILENT) -> int:
    """Print the newest report as JSON, or an allocator's statistics.

    Raises UserError when there is neither: an empty document would be no report.
    """
    from memtui_parsers.report.json_writer import json_of

    progress.say("loading the report")
    with open_session(folder) as reader:
        if META in reader.meta():
            from memtui.text.statistics import statistics_json

            write_json([statistics_json(*load_printed(reader), __version__)], progress)
            return 0
        report = newest_report(reader)
        if report is None:
            raise UserError("nothing to print", "no leak report in this session", "leave --format away to look at it")
        write_json(json_of(not_suppressed(report, suppressions), __version__), progress)
    return 0


def print_difference(
    folder: Path,
    format: str,
    *,
    ascii: bool = False,
    suppressions: tuple[str, ...] = (),
    skips: tuple[str, ...] = (),
    progress: Progress = SILENT,
) -> int:
    """Print what differs between the two reports of a session that comparison_of() made."""
    progress.say("comparing the reports")
    with open_session(folder) as reader:
        old, new = (not_suppressed(load_report(reader, number), suppressions) for number in (OLDER, NEWER))
        if format == "json":
            from memtui_parsers.report.difference import difference
            from memtui_parsers.report.json_writer import json_of_difference

            write_json(json_of_difference(difference(old, new), __version__), progress)
        else:
            older, newer = (row.path.rpartition("/")[2] for row in reader.rows(ReportRow))
            write_difference(old, new, (older, newer), reader, ascii=ascii, skips=skips, progress=progress)
    return 0


def print_report(
    folder: Path,
    *,
    ascii: bool = False,
    suppressions: tuple[str, ...] = (),
    skips: tuple[str, ...] = (),
    progress: Progress = SILENT,
) -> int:
    progress.say("loading the report")
    with open_session(folder) as reader:
        if META in reader.meta():
            from memtui.text.statistics import statistics_lines

            lines = statistics_lines(*load_printed(reader), glyphs_for(ascii=ascii or ascii_only()))
            progress.before_output()
            streams.print_lines(lines)
        elif not write_last_report(reader, ascii=ascii, suppressions=suppressions, skips=skips, progress=progress):
            sys.stdout.write("no leak report in this session\n")
    return 0


def contents_of(path: Path) -> FileKind:
    """Return what a folder or file is. Raises UserError when it cannot be read, or when memtui does not know its format."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            if (path / DATABASE).is_file():
                return FileKind.SESSION
            raise UserError(f"cannot open {path}", f"this folder holds no {DATABASE}", "see `memtui sessions`")
        if not stat.S_ISREG(mode):
            raise UserError(f"cannot open {path}", "neither a file nor a folder", "save it to a file first")
        with open(path, "rb") as file:
            contents = sniff(file)
    except OSError as error:
        raise UserError(f"cannot open {path}", error.strerror or str(error), "check the path") from error
    if contents.why_not:
        raise UserError(f"cannot open {path}", contents.why_not, contents.todo)
    if contents.kind is FileKind.SESSION and contents.packed:
        raise UserError(
            f"cannot open {path}", "a compressed session", f"unpack it first: gunzip {path}, or zstd -d {path}"
        )
    return contents.kind


@contextlib.contextmanager
def session_of(path: Path, reading: Reading = AS_IT_IS, progress: Progress = SILENT) -> Iterator[Path]:
    """Give a session folder that shows what is at ``path``; one that is made for this is deleted at the end.

    Raises UserError when a session is to be read in another way: that has its names and figures already.
    """
    kind = contents_of(path)
    if kind is FileKind.SESSION:
        _refuse_for_session(reading)
    if path.is_dir():
        yield path.resolve()
        return
    with _scratch() as folder:
        if kind is FileKind.SESSION:
            # A link: SQLite looks for the write-ahead log beside the file it leads to.
            os.symlink(path.resolve(), folder / DATABASE)
        elif kind is FileKind.STATISTICS:
            if reading.sample_type:
                why = "what an allocator has printed has no sample types"
                raise usage_error(f"--sample-type {reading.sample_type}", why, "leave it out")
            write_statistics_session(folder, path.resolve())
        else:
            write_report_session(folder, path.resolve(), reading, progress)
        yield folder


@contextlib.contextmanager
def comparison_of(older: Path, newer: Path, reading: Reading = AS_IT_IS, progress: Progress = SILENT) -> Iterator[Path]:
    """Give a session folder, deleted at the end, that holds the reports at both paths as its OLDER and its NEWER."""
    before, now = _source_of(older), _source_of(newer)
    if before.is_session and now.is_session:
        _refuse_for_session(reading)
    with _scratch() as folder:
        write_compared_session(folder, before, now, reading, progress)
        yield folder


def _refuse_for_session(reading: Reading) -> None:
    if reading.sysroot is not None:
        why = "a session has its names already, from the files that ran"
        raise usage_error(f"--sysroot {reading.sysroot}", why, "leave it out")
    if reading.sample_type:
        raise usage_error(f"--sample-type {reading.sample_type}", "a session has its figures already", "leave it out")


def _source_of(path: Path) -> Source:
    kind = contents_of(path)
    if kind is FileKind.STATISTICS:
        raise UserError(f"cannot compare {path}", f"{kind.value}, which name no leaks", "open each by itself")
    if path.is_dir():
        return Source(path.resolve() / DATABASE, is_session=True)
    return Source(path.resolve(), is_session=kind is FileKind.SESSION)
