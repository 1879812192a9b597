"""Names the frames of a report: all functions first, then lines and inlined calls as they are found, then source lines.

Ours: 10,000 addresses in 97 MB of C++ DWARF take 0.9 s and 29 MiB (symbolic 1.4 s and 158 MiB, llvm-symbolizer 0.8 s and 313 MiB,
pyelftools' line programs 24 s), and function names are there 0.2 s after the first row, before any line is decoded.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain

from memtui_parsers.clean_text import clean, clean_all
from memtui_parsers.elf.symbols import read_functions
from memtui_parsers.errors import ParseError
from memtui_parsers.report.leak_id import is_runtime_module
from memtui_profiler.process.file_user import FileUser, author_of
from memtui_profiler.session.rows import LeakFrame, ModuleRow, SourceLine, Symbol
from memtui_profiler.symbols.demangling import demangled
from memtui_profiler.symbols.file_finder import FileFinder
from memtui_profiler.symbols.module_files import open_module
from memtui_profiler.symbols.source_lines import NamedSources
from memtui_profiler.symbols.symbol_cache import CallsAt, NamedCall, SymbolCache, file_identity

# Half of what a call of the class costs, for rows that are made by the hundred thousand.
_symbol: Callable[[tuple[object, ...]], Symbol] = partial(tuple.__new__, Symbol)

# As memtui_parsers.dwarf.calls has it: linkage name, file, line (0: none), whether it is inlined.
DwarfCall = tuple[str | None, str | None, int, bool]

# The ordinals of the frames of one module, by the virtual address to look up.
FramesAt = dict[int, list[int]]


def symbolize(
    report: int,
    modules: Sequence[ModuleRow],
    frames: Sequence[LeakFrame],
    *,
    file_finder: FileFinder | None = None,
    notes: list[str] | None = None,
    cache: SymbolCache | None = None,
) -> Iterator[Symbol | SourceLine]:
    """Rows for ``report``: every function name (depth 0), rows with file, line and inlined calls, then source lines.

    Inlined calls have the depths from 0, the innermost first; the function itself comes last, under the name of its symbol
    table. ``offset`` of a frame is a return address, so the byte before it is looked up. A module that is missing, damaged or
    another build than the one that ran leaves its frames unnamed; ``notes`` gets the reason. ``cache`` (by default the user's)
    is read first, and learns what was found.
    """
    notes = [] if notes is None else notes
    file_finder = file_finder or FileFinder()
    by_ordinal = {module.ordinal: module for module in modules}
    places = _places(frames)
    # The program's own modules first: the user waits for their names and lines.
    order = sorted((n for n in places if n in by_ordinal), key=lambda n: (is_runtime_module(by_ordinal[n].path), n))
    lookups = [_Lookup(by_ordinal[n], places[n], file_finder, cache or SymbolCache(), notes) for n in order]
    text = _Text()
    sources = NamedSources()
    for lookup in lookups:
        lookup.read_names()
    text.learn(name for lookup in lookups for name in lookup.names.values())
    for lookup in lookups:
        for address, name in lookup.names.items():
            call = text.call((name, None, 0, False))
            yield from _rows(report, lookup.places[address], (call,))
    for lookup in lookups:
        folder = posixpath.dirname(lookup.module.path)
        named: set[tuple[str | None, int | None]] = set()
        for address, calls in lookup.calls(text):
            named.update([call[2:4] for call in calls])
            yield from _rows(report, lookup.places[address], calls)
        sources.add(named, folder, lookup.author)
    yield from sources.rows(file_finder)
    notes[:] = dict.fromkeys(map(clean, notes))


def _places(frames: Sequence[LeakFrame]) -> dict[int, FramesAt]:
    places: dict[int, FramesAt] = {}
    for frame in frames:
        if frame.module is not None and frame.offset is not None:
            address = int(frame.offset, 16) - 1
            places.setdefault(frame.module, {}).setdefault(address, []).append(frame.ordinal)
    return places


def _rows(report: int, frames: Sequence[int], calls: Sequence[NamedCall]) -> list[Symbol]:
    # The function itself first: a reader in between then sees it, and not an inlined call in its place.
    depths = range(len(calls) - 1, -1, -1)
    return [_symbol((report, frame, depth, *calls[depth], 0)) for depth in depths for frame in frames]


class _Text:
    """Names as they are shown: demangled and clean. Equal texts, and equal calls, are one object: the cache writes it once."""

    def __init__(self) -> None:
        # By linkage name and by path, as they were read.
        self._functions: dict[str | None, tuple[str | None, str | None]] = {None: (None, None)}
        self._paths: dict[str | None, str | None] = {None: None}
        self._calls: dict[DwarfCall, NamedCall] = {}
        self._unique: dict[str, str] = {}

    def learn(self, names: Iterable[str | None], paths: Iterable[str | None] = ()) -> None:
        """Make the shown text of these linkage names and paths; call() needs it."""
        new_names = {name for name in names if name is not None and name not in self._functions}
        functions = demangled(new_names) if new_names else {}
        new_paths = {path for path in paths if path is not None and path not in self._paths}
        unique = self._unique
        texts = {
            text: unique.setdefault(shown, shown)
            for text, shown in clean_all(new_names.union(functions.values(), new_paths)).items()
        }
        self._functions.update((name, (texts[functions[name]], texts[name])) for name in new_names)
        self._paths.update((path, texts[path]) for path in new_paths)

    def named(
        self, batch: Collection[tuple[int, tuple[DwarfCall, ...]]]
    ) -> Iterator[tuple[int, tuple[NamedCall, ...]]]:
        """Addresses with their calls as they are shown."""
        calls = set(chain.from_iterable(calls for _, calls in batch))
        self.learn({call[0] for call in calls}, {call[1] for call in calls})
        named = self.call
        for address, found_calls in batch:
            yield address, tuple(map(named, found_calls))

    def call(self, call: DwarfCall) -> NamedCall:
        """The call as it is shown. Its function and its file must have been learnt."""
        shown = self._calls.get(call)
        if shown is None:
            name, file, line, inlined = call
            shown = self._calls[call] = (*self._functions[name], self._paths[file], line or None, int(inlined))
        return shown


class _Lookup:
    """The addresses of one module. ``names``: linkage names of its symbol tables, for addresses that are not in the cache.

    ``author``: as whom the source files are opened that it names.
    """

    def __init__(
        self, module: ModuleRow, places: FramesAt, file_finder: FileFinder, cache: SymbolCache, notes: list[str]
    ) -> None:
        self.module = module
        self.places = places
        self.names: dict[int, str] = {}
        self._name = posixpath.basename(module.path)
        self._file_finder = file_finder
        self._cache = cache
        self._notes = notes
        self._cached: CallsAt = {}
        # Of the files whose names were read; None when they could not be read.
        self._identity: bytes | None = None
        self.author: FileUser | None = None

    def read_names(self) -> None:
        """Read ``names`` from the module's symbol tables."""
        with ExitStack() as stack:
            files = open_module(self.module, self._file_finder, self._notes, stack)
            if files is None:
                return
            self._identity = file_identity(files.stream, files.debug)
            self.author = author_of(os.fstat(files.stream.fileno()))
            if files.kind:
                self._cached = self._cache.load(files.facts.build_id, files.kind, self._identity)
            missing = sorted(address for address in self.places if address not in self._cached)
            for stream, image in files.symbol_files if missing else ():
                try:
                    names = read_functions(stream, image).names_at(missing)
                except ParseError as error:
                    self._notes.append(f"symbols of {self._name}: {error}")
                    continue
                self.names |= names
                missing = [address for address in missing if address not in names]
        if not self.names and not self._cached:
            self._notes.append(f"no symbols in {self._name}")

    def calls(self, text: _Text) -> Iterator[tuple[int, tuple[NamedCall, ...]]]:
        """Addresses with their calls: those in the cache at once, then those of the debug information, which the cache learns."""
        cached = self._cached
        yield from [(address, cached[address]) for address in self.places if address in cached]
        missing = [address for address in sorted(self.places) if address not in cached]
        if not missing or self._identity is None:
            return
        has_lines = any(call[2] for calls in cached.values() for call in calls)
        with ExitStack() as stack:
            # Notes on what is wrong with the file were made when its names were read.
            files = open_module(self.module, self._file_finder, [], stack)
            if files is None or file_identity(files.stream, files.debug) != self._identity:
                return
            notes_before = len(self._notes)
            learnt: CallsAt = {}
            # Loading this takes as long as an answer from the cache does.
            from memtui_profiler.symbols.debug_calls import debug_calls

            for batch in debug_calls(files, missing, self.names, self._notes):
                for address, calls in text.named(batch):
                    learnt[address] = calls
                    has_lines |= any(call[2] for call in calls)
                    yield address, calls
            if not has_lines and not is_runtime_module(self.module.path):
                self._notes.append(f"no line numbers for {self._name}: built without -g, or its debug file is not here")
            elif learnt and files.kind and len(self._notes) == notes_before:
                # Also the addresses that nothing is known of; but not while a missing file could have told more.
                for address in missing:
                    if address not in learnt:
                        name = self.names.get(address)
                        learnt[address] = () if name is None else (text.call((name, None, 0, False)),)
                self._cache.store(files.facts.build_id, files.kind, self._identity, learnt)
