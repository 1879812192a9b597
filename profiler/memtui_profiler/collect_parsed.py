"""Turns a report that a parser read into rows: frames by what is called there, errors beside the leaks, names as they come."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Sequence

from memtui_parsers.clean_text import clean
from memtui_parsers.values import CheckerError, Frame, LeakReport, Mapping
from memtui_profiler.collect_request import CollectRequest
from memtui_profiler.demangling import demangled
from memtui_profiler.frame_places import FramePlaces
from memtui_profiler.report_rows import end_row, fit, note_rows
from memtui_profiler.session.reader import pack_stack
from memtui_profiler.session.rows import (
    CheckerErrorRow,
    ErrorDetailRow,
    Leak,
    LeakFrame,
    ModuleRow,
    Row,
    SourceLine,
    Symbol,
    SymbolsEnd,
)
from memtui_profiler.source_lines import source_lines
from memtui_profiler.symbolize import symbolize
from memtui_profiler.whereabouts import Whereabouts


def parsed_rows(request: CollectRequest, report: LeakReport, mappings: Sequence[Mapping] = ()) -> Iterator[Row]:
    """Modules, frames, leaks, errors, notes and the end; then names as they come. Times are 0.0.

    ``mappings``: what the report's file says of where code lay; the request's own go before.
    """
    number = request.report
    places = FramePlaces(request, mappings)
    calls = _Calls(number, places)
    leaks = [
        Leak(number, fit(leak.size_bytes), fit(leak.objects), leak.kind.value, calls.pack(leak.stack))
        for leak in report.leaks
    ]
    errors = list(_error_rows(number, report.errors, calls))
    modules = places.rows()
    yield from modules
    yield from calls.rows
    yield from leaks
    yield from errors
    yield from note_rows(number, report.notes)
    yield end_row(number, report.status, report.total_bytes, report.total_objects)
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
    """The rows of frames, one for each address that is called from: inlined calls are further names of the same row."""

    def __init__(self, report: int, places: FramePlaces) -> None:
        self.rows: list[LeakFrame] = []
        self._report = report
        self._places = places
        self._ordinals: dict[tuple[int, ...], int] = {}
        self._chains: list[tuple[Frame, ...]] = []

    def pack(self, stack: Sequence[Frame]) -> bytes:
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
        """What the report says, then what the files that ran do of frames of which it says too little."""
        names = {frame.linkage_name for chain in self._chains for frame in chain if frame.linkage_name}
        functions = demangled(names)
        unnamed = [row for row, chain in zip(self.rows, self._chains, strict=True) if self._places.wanting(row, chain)]
        asked, answered = {row.ordinal for row in unnamed}, set[int]()
        told: dict[int, list[Symbol]] = {}
        for row, chain in zip(self.rows, self._chains, strict=True):
            for depth, frame in enumerate(chain):
                symbol = _symbol(self._report, row.ordinal, depth, frame, functions.get(frame.linkage_name or ""))
                if not (symbol.function or symbol.file):
                    continue
                told.setdefault(row.ordinal, []).append(symbol)
                # Two who tell of inlined calls may not see as many of them, so that only one of them is heard.
                if row.ordinal not in asked or len(chain) == 1:
                    yield symbol
        where = Whereabouts.of(request)
        if unnamed:
            wanted = {row.module for row in unnamed}
            used = [module for module in modules if module.ordinal in wanted]
            # Of a chain nothing is said before it is certain that more is known of it than the report tells.
            held: dict[int, list[Symbol]] = {}
            for found in symbolize(self._report, used, unnamed, where=where, notes=notes):
                if isinstance(found, Symbol) and found.frame in told and found.frame not in answered:
                    if found.file:
                        answered.add(found.frame)
                        yield from held.pop(found.frame, ())
                    elif len(told[found.frame]) > 1:
                        held.setdefault(found.frame, []).append(found)
                        continue
                yield _with_name(found, told)
        for ordinal in sorted(asked - answered):
            if len(told.get(ordinal, ())) > 1:
                yield from told[ordinal]
        yield from self._source(modules, where, answered)

    def _source(self, modules: Sequence[ModuleRow], where: Whereabouts, but: Collection[int]) -> Iterator[SourceLine]:
        places: dict[str, set[int]] = {}
        folders: dict[str, set[str]] = {}
        for row, chain in zip(self.rows, self._chains, strict=True):
            for frame in chain if row.ordinal not in but else ():
                if frame.file and frame.line:
                    places.setdefault(frame.file, set()).add(fit(frame.line))
                    if row.module is not None:
                        folders.setdefault(frame.file, set()).add(posixpath.dirname(modules[row.module].path))
        yield from source_lines(places, folders, where)


def _symbol(report: int, ordinal: int, depth: int, frame: Frame, demangled_name: str | None) -> Symbol:
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


def _with_name(row: Symbol | SourceLine, told: dict[int, list[Symbol]]) -> Symbol | SourceLine:
    """A line that was found for a function that has no name in the file keeps the report's name for it."""
    if not isinstance(row, Symbol) or row.function or row.inlined or row.frame not in told:
        return row
    known = told[row.frame][-1]
    return row._replace(function=known.function, linkage_name=known.linkage_name)
