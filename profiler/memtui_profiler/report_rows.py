"""The rows that end every report, whoever read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from memtui_parsers.clean_text import clean
from memtui_parsers.values import ReportStatus
from memtui_profiler.session.rows import ReportEnd, ReportNote

MAX_INTEGER = (1 << 63) - 1  # SQLite's


def note_rows(report: int, texts: Iterable[str]) -> Iterator[ReportNote]:
    """Each text once, safe to print."""
    for text in dict.fromkeys(map(clean, texts)):
        yield ReportNote(report=report, text=text)


def end_row(report: int, status: ReportStatus, total_bytes: int, total_objects: int) -> ReportEnd:
    return ReportEnd(
        at_s=0.0,
        report=report,
        status=status.value,
        total_bytes=fit(total_bytes),
        total_objects=fit(total_objects),
    )


def fit(number: int) -> int:
    return max(-MAX_INTEGER, min(number, MAX_INTEGER))
