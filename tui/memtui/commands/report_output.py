"""A leak report to stdout as text, with the source lines that its session holds."""

from __future__ import annotations

import sys
from functools import lru_cache

from memtui.charset import is_utf8, original_environment
from memtui.report_text import SourceOf, no_source, report_lines
from memtui_parsers.values import LeakReport
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import SourceLine


def ascii_only() -> bool:
    return not is_utf8(original_environment())


def write_report(report: LeakReport, reader: SessionReader | None, *, ascii: bool | None = None) -> None:
    """Raises OSError (BrokenPipeError) when stdout is gone."""
    source = no_source if reader is None else _source_of(reader)
    for line in report_lines(report, source, ascii=ascii_only() if ascii is None else ascii):
        sys.stdout.write(f"{line}\n")


def write_difference(
    old: LeakReport, new: LeakReport, names: tuple[str, str], reader: SessionReader, *, ascii: bool | None = None
) -> None:
    """``names`` are what the reports are called. Raises OSError when stdout is gone."""
    # For itself alone: each `check` imports this module.
    from memtui.difference_text import difference_lines

    source = _source_of(reader)
    for line in difference_lines(old, new, names, source, ascii=ascii_only() if ascii is None else ascii):
        sys.stdout.write(f"{line}\n")


def write_json(text: str) -> None:
    sys.stdout.buffer.write(text.encode())  # JSON is UTF-8 in every locale
    sys.stdout.flush()


def _source_of(reader: SessionReader) -> SourceOf:
    @lru_cache(maxsize=256)
    def lines(file: str) -> dict[int, str]:
        return {row.line: row.text for row in reader.rows_of(SourceLine, "file", file)}

    return lambda file, line: lines(file).get(line)
