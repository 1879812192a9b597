"""Turns a report that a parser read into rows: frames, leaks and errors at once, then names as they are found."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence

from memtui_parsers.clean_text import clean
from memtui_parsers.values import CheckerError, Frame, GrowthFacts, LeakReport, Mapping, ReportStatus
from memtui_profiler.collect.frame_places import FramePlaces
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.session.reader import pack_stack
from memtui_profiler.session.rows import (
    CheckerErrorRow,
    ErrorDetailRow,
    GrowthRow,
    Leak,
    LeakFrame,
    ModuleRow,
    ReportEnd,
    ReportNote,
    Row,
    SourceLine,
    Symbol,
    SymbolsEnd,
)
from memtui_profiler.symbols.demangling import demangled
from memtui_profiler.symbols.source_lines import NamedSources
from memtui_profiler.symbols.symbolize import symbolize

MAX_INTEGER = (1 << 63) - 1  # SQLite's largest


def parsed_rows(request: CollectRequest, report: LeakReport, mappings: Sequence[Mapping] = ()) -> Iterator[Row]:
    """Rows for modules, frames, leaks, errors, notes and the end; then names as they are found. Times are 0.0.

    ``mappings``: those in the report's file; where they disagree with the request's, the request's count.
    """
    number = request.report
    places = FramePlaces(request, mappings)
    calls = _Calls(number, places)
    leaks = [
        Leak(number, fit(leak.size_bytes), fit(leak.objects), leak.kind.value, calls.pack(leak.stack), leak.samples)
        for leak in report.leaks
    ]
    errors = list(_error_rows(number, report.errors, calls))
    modules = places.rows()
    yield from modules
    yield from calls.rows
    yield from leaks
    yield from errors
    if report.growth is not None:
        yield growth_row(number, report.growth)
    yield from note_rows(number, report.notes)
    yield end_row(number, report.status, report.total_bytes, report.total_objects)._replace(
        seen_bytes=report.seen_bytes
    )
    later = [note for note in places.notes if note not in report.notes]
    yield from calls.symbols(request, modules, later)
    yield from note_rows(number, [note for note in later if note not in report.notes])
    yield SymbolsEnd(at_s=0.0, report=number)


def _error_rows(number: int, errors: Sequence[CheckerError], calls: _Calls) -> Iterator[Row]:
    for ordinal, error in enumerate(errors):
        stack = calls.pack(error.stack)
        yield CheckerErrorRow(number, ordinal, clean(error.kind), clean(error.what), fit(error.count), stack)
    for ordinal, error in enumerate(errors):
        for detail in error.details:
            yield ErrorDetailRow(number, ordinal, clean(detail.what), calls.pack(detail.stack))


class _Calls:
    """The frame rows of a report, one for each address that is called from; inlined calls are further symbols of that row.

    A chain is the frames of one such row: inlined calls, innermost first, then the function they were inlined into.
    """

    def __init__(self, report: int, places: FramePlaces) -> None:
        self.rows: list[LeakFrame] = []
        self._report = report
        self._places = places
        self._ordinals: dict[tuple[int, ...], int] = {}
        self._chains: list[tuple[Frame, ...]] = []

    def pack(self, stack: Sequence[Frame]) -> bytes:
        """The stack as the session stores it; adds the frame rows that are new."""
        ordinals: list[int] = []
        start = 0
        for at, frame in enumerate(stack, start=1):
            if frame.inlined and at < len(stack):
                continue
            # By identity: the stacks of a report share their frames, and the report keeps them alive.
            key = (id(frame),) if at == start + 1 else tuple(map(id, stack[start:at]))
            ordinal = self._ordinals.get(key)
            ordinals.append(self._add(key, tuple(stack[start:at])) if ordinal is None else ordinal)
            start = at
        return pack_stack(ordinals)

    def _add(self, key: tuple[int, ...], chain: tuple[Frame, ...]) -> int:
        place = self._places.of(chain[-1])
        ordinal = self._ordinals[key] = len(self.rows)
        offset = None if place.offset is None else hex(place.offset)
        self.rows.append(LeakFrame(self._report, ordinal, hex(chain[-1].address), place.module, offset))
        self._chains.append(chain)
        return ordinal

    def symbols(self, request: CollectRequest, modules: Sequence[ModuleRow], notes: list[str]) -> Iterator[Row]:
        """Symbols that the report has, then those of the files that ran, for frames on which they can tell more."""
        names = {frame.linkage_name for chain in self._chains for frame in chain if frame.linkage_name}
        functions = demangled(names)
        looked_up = [
            row for row, chain in zip(self.rows, self._chains, strict=True) if self._places.wanting(row, chain)
        ]
        asked, answered = {row.ordinal for row in looked_up}, set[int]()
        reported: dict[int, list[Symbol]] = {}
        for row, chain in zip(self.rows, self._chains, strict=True):
            for depth, frame in enumerate(chain):
                symbol = symbol_row(self._report, row.ordinal, depth, frame, functions.get(frame.linkage_name or ""))
                if not (symbol.function or symbol.file):
                    continue
                reported.setdefault(row.ordinal, []).append(symbol)
                # Report and file may differ in the number of inlined calls: only the symbols of one of them are used.
                if row.ordinal not in asked or len(chain) == 1:
                    yield symbol
        if looked_up:
            wanted = {row.module for row in looked_up}
            used = [module for module in modules if module.ordinal in wanted]
            # A chain's names wait until a line proves that the file knows more of it than the report.
            waiting: dict[int, list[Symbol]] = {}
            for name_row in symbolize(self._report, used, looked_up, file_finder=request.file_finder, notes=notes):
                if isinstance(name_row, Symbol) and name_row.frame in reported and name_row.frame not in answered:
                    if name_row.file:
                        answered.add(name_row.frame)
                        yield from waiting.pop(name_row.frame, ())
                    elif len(reported[name_row.frame]) > 1:
                        waiting.setdefault(name_row.frame, []).append(name_row)
                        continue
                yield _with_name(name_row, reported)
        for ordinal in sorted(asked - answered):
            if len(reported.get(ordinal, ())) > 1:
                yield from reported[ordinal]
        # symbolize() has given the source lines of the answered frames.
        sources, author = NamedSources(), request.author
        for row, chain in zip(self.rows, self._chains, strict=True):
            if row.ordinal not in answered:
                folder = None if row.module is None else posixpath.dirname(modules[row.module].path)
                sources.add(((frame.file, fit(frame.line or 0)) for frame in chain), folder, author)
        yield from sources.rows(request.file_finder)


def symbol_row(report: int, ordinal: int, depth: int, frame: Frame, demangled_name: str | None) -> Symbol:
    """The row of a call at depth ``depth`` of the frame ``ordinal``, by the names that a report has."""
    function = frame.function or demangled_name
    return Symbol(
        report=report,
        frame=ordinal,
        depth=depth,
        function=clean(function) if function else None,
        linkage_name=clean(frame.linkage_name) if frame.linkage_name else None,
        file=clean(frame.file) if frame.file else None,
        line=None if frame.line is None else fit(frame.line),
        inlined=int(frame.inlined),
    )


def _with_name(row: Symbol | SourceLine, reported: dict[int, list[Symbol]]) -> Symbol | SourceLine:
    """A row with the report's name, when it has a line for a function that has no name in the file."""
    if not isinstance(row, Symbol) or row.function or row.inlined or row.frame not in reported:
        return row
    function = reported[row.frame][-1]
    return row._replace(function=function.function, linkage_name=function.linkage_name)


def note_rows(report: int, texts: Iterable[str]) -> Iterator[ReportNote]:
    """A row for each different text, cleaned. This and all below are for every report, whoever read it."""
    for text in dict.fromkeys(map(clean, texts)):
        yield ReportNote(report=report, text=text)


def end_row(report: int, status: ReportStatus, total_bytes: int, total_objects: int) -> ReportEnd:
    """The end of a report; the recorder fills in the time."""
    return ReportEnd(
        at_s=0.0,
        report=report,
        status=status.value,
        total_bytes=fit(total_bytes),
        total_objects=fit(total_objects),
    )


def growth_row(report: int, growth: GrowthFacts) -> GrowthRow:
    """The row of what the report is of."""
    return GrowthRow(
        report=report,
        seconds=growth.seconds,
        grown_bytes=fit(growth.grown_bytes),
        seen_bytes=fit(growth.seen_bytes),
        given_back_bytes=fit(growth.given_back_bytes),
        rss_before_bytes=fit(growth.rss_before_bytes),
        rss_now_bytes=fit(growth.rss_now_bytes),
        samples=fit(growth.samples),
        lost=fit(growth.lost),
        passing_bytes=fit(growth.passing_bytes),
        outcome=growth.outcome.value,
    )


def fit(number: int) -> int:
    """The nearest number that SQLite can store."""
    return max(-MAX_INTEGER, min(number, MAX_INTEGER))
