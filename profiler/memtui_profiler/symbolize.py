"""Names the frames of a report: functions of all modules first, then lines and inlined calls as they are found, then the source."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain

from memtui_parsers.clean_text import clean, clean_all
from memtui_parsers.elf_symbols import read_functions
from memtui_parsers.errors import ParseError
from memtui_parsers.leak_id import is_runtime_module
from memtui_profiler.demangling import demangled
from memtui_profiler.module_files import open_module
from memtui_profiler.session.rows import LeakFrame, ModuleRow, SourceLine, Symbol
from memtui_profiler.source_lines import source_lines
from memtui_profiler.symbol_cache import Known, NamedCall, SymbolCache
from memtui_profiler.whereabouts import Whereabouts

# Half of what a call of the class costs, for rows that are made by the hundred thousand.
_symbol: Callable[[tuple[object, ...]], Symbol] = partial(tuple.__new__, Symbol)

# As dwarf_calls has it: linkage name, file, line (0: none), whether it is inlined.
FoundCall = tuple[str | None, str | None, int, bool]

# Per module: the addresses to look up, and the ordinals of the frames at each.
Places = dict[int, list[int]]


def symbolize(
    report: int,
    modules: Sequence[ModuleRow],
    frames: Sequence[LeakFrame],
    *,
    where: Whereabouts | None = None,
    notes: list[str] | None = None,
    cache: SymbolCache | None = None,
) -> Iterator[Symbol | SourceLine]:
    """Rows for ``report``: every function name (depth 0), rows with file, line and inlined calls, then source lines.

    Inlined calls stand at depth 0 and on, the innermost first; the function itself comes last and has the name that its
    symbol table gives it. ``offset`` of a frame is a return address, so the byte before it is looked up. A module that is
    missing, damaged or another build than the one that ran leaves its frames unnamed and is said in ``notes``. ``cache``
    (by default the user's) is asked first, and told what was found.
    """
    said = notes if notes is not None else []
    where = where or Whereabouts()
    by_ordinal = {module.ordinal: module for module in modules}
    places = _places(frames)
    # The program's own modules first: their names and lines are what the user waits for.
    order = sorted((n for n in places if n in by_ordinal), key=lambda n: (is_runtime_module(by_ordinal[n].path), n))
    lookups = [_Lookup(by_ordinal[n], places[n], where, cache or SymbolCache(), said) for n in order]
    text = _Text()
    sources = _Sources()
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
        sources.add(named, folder)
    yield from source_lines(sources.lines, sources.folders, where)
    said[:] = dict.fromkeys(clean(note) for note in said)


def _places(frames: Sequence[LeakFrame]) -> dict[int, Places]:
    places: dict[int, Places] = {}
    for frame in frames:
        if frame.module is not None and frame.offset is not None:
            address = int(frame.offset, 16) - 1
            places.setdefault(frame.module, {}).setdefault(address, []).append(frame.ordinal)
    return places


def _rows(report: int, frames: Sequence[int], calls: Sequence[NamedCall]) -> list[Symbol]:
    # The function itself first: whoever reads in between sees it, and not an inlined call in its place.
    depths = range(len(calls) - 1, -1, -1)
    return [_symbol((report, frame, depth, *calls[depth], 0)) for depth in depths for frame in frames]


class _Sources:
    """Which lines of which files are named, and the folders of the binaries that name them."""

    def __init__(self) -> None:
        self.folders: dict[str, set[str]] = {}
        self._lines: set[tuple[str, int]] = set()

    def add(self, places: set[tuple[str | None, int | None]], folder: str) -> None:
        """Files and lines that a binary in ``folder`` names."""
        new = {(file, line) for file, line in places if file and line}
        self._lines |= new
        for file in {file for file, _ in new}:
            self.folders.setdefault(file, set()).add(folder)

    @property
    def lines(self) -> dict[str, set[int]]:
        """By file."""
        found: dict[str, set[int]] = {}
        for file, line in self._lines:
            found.setdefault(file, set()).add(line)
        return found


class _Text:
    """Names as they are shown: demangled, clean. Each text, and each call, is one object, however often it is met."""

    def __init__(self) -> None:
        # By linkage name and by path, as they were read.
        self._functions: dict[str | None, tuple[str | None, str | None]] = {None: (None, None)}
        self._paths: dict[str | None, str | None] = {None: None}
        self._calls: dict[FoundCall, NamedCall] = {}
        self._unique: dict[str, str] = {}

    def learn(self, names: Iterable[str | None], paths: Iterable[str | None] = ()) -> None:
        """Prepare for calls of these functions in these files."""
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
        self, batch: Collection[tuple[int, tuple[FoundCall, ...]]]
    ) -> Iterator[tuple[int, tuple[NamedCall, ...]]]:
        """The calls over each address as they are shown."""
        calls = set(chain.from_iterable(calls for _, calls in batch))
        self.learn({call[0] for call in calls}, {call[1] for call in calls})
        named = self.call
        for address, found in batch:
            yield address, tuple(map(named, found))

    def call(self, call: FoundCall) -> NamedCall:
        """``call`` as it is shown; its function and its file were learnt."""
        found = self._calls.get(call)
        if found is None:
            name, file, line, inlined = call
            found = self._calls[call] = (*self._functions[name], self._paths[file], line or None, int(inlined))
        return found


class _Lookup:
    """One module's addresses. ``names`` are the linkage names of its symbol tables, of addresses that the cache does not know."""

    def __init__(
        self, module: ModuleRow, places: Places, where: Whereabouts, cache: SymbolCache, notes: list[str]
    ) -> None:
        self.module = module
        self.places = places
        self.names: dict[int, str] = {}
        self._name = posixpath.basename(module.path)
        self._where = where
        self._cache = cache
        self._notes = notes
        self._known: Known = {}
        # Of the file whose names were read; None: it could not be.
        self._build_id: str | None = None

    def read_names(self) -> None:
        with ExitStack() as stack:
            files = open_module(self.module, self._where, self._notes, stack)
            if files is None:
                return
            self._build_id = files.facts.build_id
            if files.kind:
                self._known = self._cache.load(files.facts.build_id, files.kind)
            missing = sorted(address for address in self.places if address not in self._known)
            for stream, image in files.symbol_files if missing else ():
                try:
                    found = read_functions(stream, image).names_at(missing)
                except ParseError as error:
                    self._notes.append(f"symbols of {self._name}: {error}")
                    continue
                self.names |= found
                missing = [address for address in missing if address not in found]
        if not self.names and not self._known:
            self._notes.append(f"no symbols in {self._name}")

    def calls(self, text: _Text) -> Iterator[tuple[int, tuple[NamedCall, ...]]]:
        """What is known at once, then what the debug information says, which the cache learns."""
        known = self._known
        yield from [(address, known[address]) for address in self.places if address in known]
        missing = [address for address in sorted(self.places) if address not in known]
        if not missing or self._build_id is None:
            return
        answered = any(call[2] for calls in known.values() for call in calls)
        with ExitStack() as stack:
            # What is wrong with the file was said when its names were looked for.
            files = open_module(self.module, self._where, [], stack)
            if files is None or files.facts.build_id != self._build_id:
                return
            troubles = len(self._notes)
            learnt: Known = {}
            # Half of the time of an answer from the cache would go into loading this.
            from memtui_profiler.debug_calls import debug_calls

            for batch in debug_calls(files, missing, self.names, self._notes):
                for address, calls in text.named(batch):
                    learnt[address] = calls
                    answered |= any(call[2] for call in calls)
                    yield address, calls
            if not answered and not is_runtime_module(self.module.path):
                self._notes.append(f"no line numbers for {self._name}: built without -g, or its debug file is not here")
            elif learnt and files.kind and len(self._notes) == troubles:
                # Not what a file that was missing would have said more of; but also what nobody knows anything of.
                for address in missing:
                    if address not in learnt:
                        name = self.names.get(address)
                        learnt[address] = () if name is None else (text.call((name, None, 0, False)),)
                self._cache.store(files.facts.build_id, files.kind, learnt)
