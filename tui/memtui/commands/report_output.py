"""A leak report to stdout as text, with the source lines that its session holds."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice

from memtui.terminal import streams
from memtui.terminal.locale import ascii_only
from memtui.terminal.progress import SILENT, Progress
from memtui.text.report import SourceOf, no_source, report_lines
from memtui_parsers.values import LeakReport
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import SourceLine


def write_report(
    report: LeakReport,
    reader: SessionReader | None,
    *,
    ascii: bool = False,
    skips: Sequence[str] = (),
    progress: Progress = SILENT,
) -> None:
    """Write a report to stdout; ``ascii``: also where the terminal can show more. Raises OSError when stdout is gone."""
    source = no_source if reader is None else _source_of(reader)
    _print(report_lines(report, source, ascii=ascii or ascii_only(), skips=skips), progress)


def write_difference(
    old: LeakReport,
    new: LeakReport,
    names: tuple[str, str],
    reader: SessionReader,
    *,
    ascii: bool = False,
    skips: Sequence[str] = (),
    progress: Progress = SILENT,
) -> None:
    """``names`` are what the reports are called. Raises OSError when stdout is gone."""
    # Imported here: each `check` imports this module.
    from memtui.text.difference import difference_lines

    lines = difference_lines(old, new, names, _source_of(reader), ascii=ascii or ascii_only(), skips=skips)
    _print(lines, progress)


def _print(lines: Iterator[str], progress: Progress) -> None:
    # The first line takes as long as a table of all leaks.
    first = list(islice(lines, 1))
    progress.before_output()
    streams.print_lines(chain(first, lines))


def write_json(pieces: Iterable[str], progress: Progress = SILENT) -> None:
    """Write JSON to stdout, which is UTF-8 in every locale, without ever holding all of it."""
    progress.before_output()
    for piece in pieces:
        sys.stdout.buffer.write(piece.encode())
    sys.stdout.flush()


def _source_of(reader: SessionReader) -> SourceOf:
    @lru_cache(maxsize=256)
    def lines(file: str) -> dict[int, str]:
        return {row.line: row.text for row in reader.rows_of(SourceLine, "file", file)}

    return lambda file, line: lines(file).get(line)
