"""What the leak browser has a worker thread do, so that no key ever waits for 200,000 records."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

from textual.worker import get_current_worker

from memtui.leaks.arrange import Arrangement
from memtui.leaks.model import Cancelled, LeakTable, build_table
from memtui.leaks.pattern import match_pattern
from memtui.leaks.search import Found, search
from memtui.leaks.views import Answer, Wish, answer
from memtui_parsers.values import LeakReport

# From this many records on, one full garbage collection over their frames stops the screen for half a second.
FREEZE_FROM = 20_000

# Textual writes a worker's function and result to its log by their repr(): neither may hold a report that has one.


def table_work(report: LeakReport, against: LeakReport | None = None) -> Callable[[], LeakTable | None]:
    """Work that makes the report's table, ``against``: compared with that one; None when it was cancelled."""

    def work() -> LeakTable | None:
        worker = get_current_worker()
        _spare_the_collector(report)
        try:
            table = build_table(report, lambda: worker.is_cancelled, against=against)
        except Cancelled:
            return None
        _spare_the_collector(report)
        return table

    return work


def rows_work(table: LeakTable, wish: Wish, known: Arrangement | None) -> Callable[[], Answer | None]:
    """Work that filters, groups, sorts, and plants trees; None when it was cancelled. ``known``: what may do still."""

    def work() -> Answer | None:
        worker = get_current_worker()
        try:
            return answer(table, wish, match_pattern, known, lambda: worker.is_cancelled)
        except Cancelled:
            return None

    return work


def search_work(table: LeakTable, records: Sequence[int], text: str) -> Callable[[], Found | None]:
    """Work that searches; None when it was cancelled."""

    def work() -> Found | None:
        worker = get_current_worker()
        try:
            return search(table, records, text, match_pattern, lambda: worker.is_cancelled)
        except Cancelled:
            return None

    return work


def _spare_the_collector(report: LeakReport) -> None:
    """Records hold no cycles: they go when the last reference goes, and the collector need not walk them."""
    if len(report.leaks) >= FREEZE_FROM:
        gc.freeze()
