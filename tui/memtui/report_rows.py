"""Follows the reports of a session: what each is, whether it is whole, and how many of its names have come."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Protocol, TypeVar, cast

from memtui.state import ReportView
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import ReportEnd, ReportRow, Row, SymbolsEnd

R = TypeVar("R", bound=Row)


class NewRows(Protocol):
    """The rows of one kind that have come since the last call."""

    def __call__(self, kind: type[R]) -> list[R]: ...


class ReportRows:
    """``new`` reads on in the same session as ``reader``."""

    def __init__(self, reader: SessionReader, new: NewRows) -> None:
        self._reader = reader
        self._new = new
        self._reports: dict[int, ReportView] = {}
        self._shown: tuple[ReportView, ...] = ()
        self._counted: set[int] = set()

    def poll(self, *, live: bool, pids: Mapping[int, Set[int]]) -> tuple[ReportView, ...]:
        """All reports known now, the newest last. ``live``: names may still come for one whose end of names is missing.

        ``pids``: those that the target itself has had, by run.
        """
        # The last first: what a later query sees was there when an earlier row was written, not the other way round.
        names_ended, ended, begun = self._new(SymbolsEnd), self._new(ReportEnd), self._new(ReportRow)
        for row in begun:
            # A report from a file has no time that tells anybody anything: it is called by the file.
            label = row.path.rpartition("/")[2] if row.origin == "file" else ""
            child = row.pid if row.pid not in (None, *pids.get(row.run or 0, (row.pid,))) else None
            self._reports[row.id] = ReportView(
                row.id, row.run, row.checker, row.mode, row.origin, at_s=row.at_s, label=label, child_pid=child
            )
        for end in ended:
            if (report := self._reports.get(end.report)) is not None:
                self._reports[end.report] = replace(
                    report,
                    complete=True,
                    leaks=self._count("leak", end.report),
                    total_bytes=end.total_bytes,
                    total_objects=end.total_objects,
                )
        named = {row.report for row in names_ended}
        for report in tuple(self._reports.values()):
            if report.complete and not report.symbolized and (live or report.id not in self._counted or named):
                self._counted.add(report.id)
                symbols, symbolized = self._count("symbol", report.id), report.id in named
                self._reports[report.id] = replace(report, symbols=symbols, symbolized=symbolized)
        reports = tuple(self._reports.values())
        if reports != self._shown:
            self._shown = reports
        return self._shown

    def _count(self, table: str, report: int) -> int:
        row = next(self._reader.columns(f"SELECT count(*) FROM {table} WHERE report = ?", (report,)))
        return cast(int, row[0])
