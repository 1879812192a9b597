"""The work of the leak browser's worker threads, so that no key ever waits for 200,000 records."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

from textual.worker import get_current_worker

from memtui.reports.answer import Answer, Wish, answer
from memtui.reports.arrangement import Arrangement
from memtui.reports.pattern import match_pattern
from memtui.reports.search import SearchResult, search
from memtui.reports.table import Cancelled, LeakTable, build_table
from memtui_parsers.values import LeakReport

# From this many records on, one full garbage collection over their frames stops the screen for half a second.
FREEZE_FROM = 20_000

Result = TypeVar("Result")

# Textual writes a worker's function and result to its log by their repr(): neither may hold a report that has one.


def cancellable(work: Callable[[Callable[[], bool]], Result]) -> Callable[[], Result | None]:
    """Return ``work`` for a worker thread: it is told whether it is cancelled, and its result is None if it was."""

    def run() -> Result | None:
        worker = get_current_worker()
        try:
            return work(lambda: worker.is_cancelled)
        except Cancelled:
            return None

    return run


def table_work(
    report: LeakReport, against: LeakReport | None = None, skips: tuple[str, ...] = ()
) -> Callable[[], LeakTable | None]:
    """Return work that makes a report's table, compared with ``against``; ``skips``: what leaks are not named by."""

    def work(cancelled: Callable[[], bool]) -> LeakTable:
        _freeze(report)
        table = build_table(report, cancelled, against=against, skips=skips)
        _freeze(report)
        return table

    return cancellable(work)


def rows_work(table: LeakTable, wish: Wish, before: Arrangement | None) -> Callable[[], Answer | None]:
    """Return work that filters, groups and sorts, and makes trees. ``before``: the arrangement until now, to be reused."""
    return cancellable(lambda cancelled: answer(table, wish, match_pattern, before, cancelled))


def search_work(table: LeakTable, records: Sequence[int], text: str) -> Callable[[], SearchResult | None]:
    """Return work that searches these records."""
    return cancellable(lambda cancelled: search(table, records, text, match_pattern, cancelled))


def _freeze(report: LeakReport) -> None:
    """Keep the garbage collector from walking a large report: records are in no cycles, and go with their last reference."""
    if len(report.leaks) >= FREEZE_FROM:
        gc.freeze()
