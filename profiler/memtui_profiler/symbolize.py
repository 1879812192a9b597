"""Names the frames of a report: functions of all modules first, then lines as they are found, then the source around them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from memtui_parsers.clean_text import clean
from memtui_parsers.dwarf_lines import find_lines, open_dwarf
from memtui_parsers.elf_facts import ElfFacts, facts_of
from memtui_parsers.elf_image import ElfImage, read_image
from memtui_parsers.elf_symbols import read_functions
from memtui_parsers.errors import ParseError
from memtui_parsers.leak_id import is_runtime_module
from memtui_profiler.debug_files import open_debug_file, open_regular
from memtui_profiler.demangling import demangled
from memtui_profiler.session.rows import LeakFrame, ModuleRow, SourceLine, Symbol
from memtui_profiler.source_lines import source_lines

_DELETED = " (deleted)"

# Per module: the addresses to look up, and the ordinals of the frames at each.
Places = dict[int, list[int]]


def symbolize(
    report: int,
    modules: Sequence[ModuleRow],
    frames: Sequence[LeakFrame],
    *,
    sysroot: Path | None = None,
    files: Mapping[str, str] | None = None,
    notes: list[str] | None = None,
) -> Iterator[Symbol | SourceLine]:
    """Rows for ``report``: every function name (depth 0), the same rows again with file and line, then source lines.

    ``offset`` of a frame is a return address, so the byte before it is looked up. ``sysroot`` is where the modules' paths
    begin (/proc/PID/root of a container); ``files`` says where to read those that their paths lead to no more. A module that
    is missing, damaged or another build than the one that ran leaves its frames unnamed and is said in ``notes``.
    """
    said = notes if notes is not None else []
    found_at = _Whereabouts(sysroot, files or {})
    by_ordinal = {module.ordinal: module for module in modules}
    places = _places(frames)
    # The program's own modules first: their names and lines are what the user waits for.
    order = sorted((n for n in places if n in by_ordinal), key=lambda n: (is_runtime_module(by_ordinal[n].path), n))
    linkage: dict[int, str] = {}
    for ordinal in order:
        linkage |= _names(by_ordinal[ordinal], places[ordinal], found_at, said)
    functions = demangled(set(linkage.values()))
    for frame, name in linkage.items():
        yield _symbol(report, frame, functions, name)
    sources: dict[str, set[int]] = {}
    folders: dict[str, set[str]] = {}
    for ordinal in order:
        module = by_ordinal[ordinal]
        for frame, path, line in _lines(module, places[ordinal], found_at, said):
            yield _symbol(report, frame, functions, linkage.get(frame), path, line or None)
            if line:
                sources.setdefault(path, set()).add(line)
                folders.setdefault(path, set()).add(posixpath.dirname(module.path))
    yield from source_lines(sources, folders, sysroot=sysroot)
    said[:] = dict.fromkeys(clean(note) for note in said)


def _places(frames: Sequence[LeakFrame]) -> dict[int, Places]:
    places: dict[int, Places] = {}
    for frame in frames:
        if frame.module is not None and frame.offset is not None:
            address = int(frame.offset, 16) - 1
            places.setdefault(frame.module, {}).setdefault(address, []).append(frame.ordinal)
    return places


def _symbol(
    report: int,
    frame: int,
    functions: Mapping[str, str],
    linkage_name: str | None,
    file: str | None = None,
    line: int | None = None,
) -> Symbol:
    return Symbol(
        report=report,
        frame=frame,
        depth=0,
        function=None if linkage_name is None else clean(functions[linkage_name]),
        linkage_name=None if linkage_name is None else clean(linkage_name),
        file=None if file is None else clean(file),
        line=line,
        inlined=0,
    )


@dataclass(frozen=True, slots=True)
class _Whereabouts:
    """See symbolize()."""

    sysroot: Path | None
    files: Mapping[str, str]

    def open(self, path: str) -> BinaryIO:
        """A module's file by its path in the maps. Raises OSError, ValueError."""
        held = self.files.get(path)
        return open_regular(path.removesuffix(_DELETED), self.sysroot) if held is None else open_regular(held)


@dataclass(frozen=True, slots=True)
class _Binary:
    """A module's file, and its debug file where there is one."""

    stream: BinaryIO
    image: ElfImage
    facts: ElfFacts
    debug: BinaryIO | None

    @property
    def lowest(self) -> int:
        """Where its code begins."""
        return min((s.vaddr for s in self.facts.segments if s.flags & 1), default=0) or 1


def _open(module: ModuleRow, found_at: _Whereabouts, notes: list[str], stack: ExitStack) -> _Binary | None:
    """None, and a note, when the file that ran cannot be had any more."""
    if not module.path.startswith("/"):
        return None
    path = module.path.removesuffix(_DELETED)
    name = posixpath.basename(path)
    try:
        stream = stack.enter_context(found_at.open(module.path))
        image = read_image(stream)
        facts = facts_of(stream, image)
    except OSError as error:
        notes.append(f"no names from {name}: {error.strerror or error}")
        return None
    except (ParseError, ValueError) as error:
        notes.append(f"no names from {name}: {error}")
        return None
    # What was deleted while it ran has most likely been replaced: only its build-id tells.
    if facts.build_id != module.build_id and (module.build_id or path != module.path):
        notes.append(f"no names from {name}: the file has changed since it was loaded")
        return None
    debug = None
    if not (facts.has_debug_info and facts.has_symtab):
        debug = open_debug_file(path, facts, sysroot=found_at.sysroot, notes=notes)
    return _Binary(stream, image, facts, stack.enter_context(debug) if debug else None)


def _names(module: ModuleRow, places: Places, found_at: _Whereabouts, notes: list[str]) -> dict[int, str]:
    """Linkage names by frame."""
    found: dict[int, str] = {}
    with ExitStack() as stack:
        binary = _open(module, found_at, notes, stack)
        if binary is None:
            return {}
        files: list[tuple[BinaryIO, ElfImage | None]] = [(binary.stream, binary.image)]
        if binary.debug:
            # A stripped binary has only the names it exports.
            files.insert(0, (binary.debug, None))
        for stream, image in files:
            try:
                table = read_functions(stream, image)
                for address, ordinals in places.items():
                    name = None if ordinals[0] in found else table.name_at(address)
                    if name is not None:
                        found |= dict.fromkeys(ordinals, name)
            except ParseError as error:
                notes.append(f"symbols of {posixpath.basename(module.path)}: {error}")
    if not found:
        notes.append(f"no symbols in {posixpath.basename(module.path)}")
    return found


def _lines(
    module: ModuleRow, places: Places, found_at: _Whereabouts, notes: list[str]
) -> Iterator[tuple[int, str, int]]:
    """(frame, path, line) in the order they are found."""
    name = posixpath.basename(module.path)
    answered = False
    with ExitStack() as stack:
        # What is wrong with the file was said when its names were looked for.
        binary = _open(module, found_at, [], stack)
        if binary is None:
            return
        for stream in (binary.stream, binary.debug):
            if stream is None:
                continue
            try:
                image = read_image(stream)
                sections = open_dwarf(stream, image)
                if sections is None:
                    continue
                for address, path, line in find_lines(
                    sections,
                    sorted(places),
                    little_endian=image.little_endian,
                    address_bytes=image.bits // 8,
                    lowest=binary.lowest,
                ):
                    answered = True
                    for frame in places[address]:
                        yield frame, path, line
            except ParseError as error:
                notes.append(f"lines of {name}: {error}")
            if answered:
                return
    if not is_runtime_module(module.path):
        notes.append(f"no line numbers for {name}: built without -g, or its debug file is not here")
