"""The calls at addresses of one module by its debug information, inlined ones included, and notes on what is missing or damaged.

Split debug information is found beside the binary or as built: the compiler's .dwo files, or the .dwp that holds them all.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from memtui_parsers.dwarf.calls import Call, Troubles, find_calls
from memtui_parsers.dwarf.sections import DwarfSections, open_dwarf
from memtui_parsers.dwarf.split import Package
from memtui_parsers.elf.image import read_image
from memtui_parsers.elf.sections import open_section
from memtui_parsers.errors import ParseError
from memtui_profiler.files import open_regular
from memtui_profiler.symbols.module_files import ModuleFiles

# Addresses in one batch: each batch starts a demangler, and the user waits for the first lines.
BATCH_ADDRESSES = 2500
# How many missing files one note names.
NAMED_FILES = 3

Batch = list[tuple[int, tuple[Call, ...]]]


class SplitFiles:
    """The split files of a program; ``paths``: of the program and its debug file, as the target has them.

    ``stack`` closes the packages that are opened.
    """

    def __init__(self, paths: Sequence[str], sysroot: Path | None, stack: ExitStack) -> None:
        self._paths = paths
        self._sysroot = sysroot
        self._stack = stack
        self._packages: list[Package] | None = None

    @contextmanager
    def open(self, name: str, directory: str | None, split_id: int) -> Iterator[DwarfSections | None]:
        """An OpenSplit (memtui_parsers.dwarf.split). Raises ParseError for a file that is there and cannot be read."""
        if self._packages is None:
            self._packages = list(self._open_packages())
        for package in self._packages:
            sections = package.sections_of(split_id)
            if sections is not None:
                yield sections
                return
        with ExitStack() as stack:
            for path in self._candidates(name, directory):
                stream = self._opened(path, stack)
                if stream is not None:
                    yield open_dwarf(stream, read_image(stream), split=True)
                    return
            yield None

    def _candidates(self, name: str, directory: str | None) -> Iterator[str]:
        yield posixpath.join(directory or "/", name)
        for path in self._paths:
            yield posixpath.join(posixpath.dirname(path), name)
            yield posixpath.join(posixpath.dirname(path), posixpath.basename(name))

    def _open_packages(self) -> Iterator[Package]:
        for path in self._paths:
            stream = self._opened(f"{path}.dwp", self._stack)
            if stream is None:
                continue
            try:
                image = read_image(stream)
                sections = open_dwarf(stream, image, split=True)
                index = open_section(stream, image, ".debug_cu_index")
                if sections is not None and index is not None:
                    yield Package(sections, index)
            except ParseError:
                continue  # the units' own files may be there; a note names those that are missing in the end

    def _opened(self, path: str, stack: ExitStack) -> BinaryIO | None:
        if not path.startswith("/"):
            return None
        try:
            return stack.enter_context(open_regular(path, self._sysroot))
        except (OSError, ValueError):
            return None


def debug_calls(files: ModuleFiles, wanted: list[int], names: Mapping[int, str], notes: list[str]) -> Iterator[Batch]:
    """Batches of (address, calls, innermost first) for those of ``wanted`` (ascending) that the binary or its debug file knows.

    ``names``: linkage names by the symbol table. The function itself keeps that name, because leak ids are made of it.
    """
    troubles = Troubles()
    split = SplitFiles(files.paths, files.root, files.stack)
    name, alternate_name = posixpath.basename(files.path), ""
    answered = False
    dwarf = files.dwarf()
    while not answered:
        try:
            debug_info = next(dwarf, None)
            if debug_info is None:
                break
            alternate_name = debug_info.alternate_name
            answers = find_calls(
                debug_info.sections,
                wanted,
                lowest=files.lowest,
                named=names.keys(),
                alternate=debug_info.alternate,
                open_split=split.open,
                troubles=troubles,
            )
            while batch := list(islice(answers, BATCH_ADDRESSES)):
                answered = True
                yield [(address, _with_name(calls, names.get(address))) for address, calls in batch]
        except ParseError as error:
            notes.append(f"lines of {name}: {error}")
    notes.extend(_notes(troubles, name, alternate_name))


def _with_name(calls: tuple[Call, ...], name: str | None) -> tuple[Call, ...]:
    if name is None:
        return calls
    _, file, line, inlined = calls[-1]
    return (*calls[:-1], Call(name, file, line, inlined))


def _notes(troubles: Troubles, name: str, alternate_name: str) -> Iterator[str]:
    if troubles.missing_alternate:
        yield f"some inlined functions of {name} have no names: {alternate_name}, where dwz put them, is not here"
    by_reason: dict[str, list[str]] = {}
    for file, reason in troubles.split.items():
        by_reason.setdefault(reason, []).append(file)
    for reason, missing in by_reason.items():
        more = f" and {len(missing) - NAMED_FILES} more" if len(missing) > NAMED_FILES else ""
        yield f"no inlined calls of {name} from {', '.join(missing[:NAMED_FILES])}{more}: {reason}"
    for reason, count in troubles.damaged.items():
        yield f"{count} {'unit' if count == 1 else 'units'} of {name} cannot be read whole: {reason}"
