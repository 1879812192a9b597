"""The files that name the addresses of a module: the binary that ran, its debug file, and the files those refer to."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from memtui_parsers.dwarf.sections import DwarfSections, open_dwarf
from memtui_parsers.elf.facts import ElfFacts, alternate_link, facts_of
from memtui_parsers.elf.image import ElfImage, read_image
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import DELETED
from memtui_profiler.session.rows import ModuleRow
from memtui_profiler.symbols.debug_files import open_alternate, open_debug_file, target_path
from memtui_profiler.symbols.file_finder import FileFinder, FoundFile


@dataclass(frozen=True, slots=True)
class DwarfFile:
    """Debug information. ``alternate`` holds what dwz moved out of it: None, with its ``alternate_name``, where it is missing."""

    sections: DwarfSections
    alternate: DwarfSections | None = None
    alternate_name: str = ""


@dataclass(frozen=True, slots=True)
class ModuleFiles:
    """The open files of one module. ``debug``: the separate debug file, where the binary itself lacks symbols or lines.

    ``root`` and ``debug_root`` are the folders that stand for their root (None: this machine). ``stack`` closes all files.
    """

    path: str
    stream: BinaryIO
    image: ElfImage
    facts: ElfFacts
    root: Path | None
    debug: BinaryIO | None
    debug_root: Path | None
    stack: ExitStack = field(repr=False)

    @property
    def lowest(self) -> int:
        """The lowest virtual address of its code."""
        return min((s.vaddr for s in self.facts.segments if s.flags & 1), default=0) or 1

    @property
    def kind(self) -> str:
        """Where the debug information is: 'own' (the binary), 'debug' (a separate file) or '' (there is none)."""
        return "own" if self.facts.has_debug_info else "debug" if self.debug else ""

    @property
    def symbol_files(self) -> list[tuple[BinaryIO, ElfImage | None]]:
        """The files with symbol tables, the best first: a stripped binary has only the names it exports."""
        files: list[tuple[BinaryIO, ElfImage | None]] = [(self.stream, self.image)]
        return [(self.debug, None), *files] if self.debug else files

    @property
    def paths(self) -> list[str]:
        """Paths of the binary and the debug file, as the target has them."""
        return [self.path, *([target_path(self.debug, self.debug_root)] if self.debug else [])]

    def dwarf(self) -> Iterator[DwarfFile]:
        """The debug information of the binary, then of its debug file. Raises ParseError."""
        for stream in (self.stream, self.debug):
            if stream is None:
                continue
            image = self.image if stream is self.stream else read_image(stream)
            sections = open_dwarf(stream, image)
            if sections is not None:
                yield self._with_alternate(stream, image, sections)

    def _with_alternate(self, stream: BinaryIO, image: ElfImage, sections: DwarfSections) -> DwarfFile:
        link = alternate_link(stream, image)
        if link is None:
            return DwarfFile(sections)
        other = open_alternate(stream, link, sysroot=self.debug_root if stream is self.debug else self.root)
        if other is None:
            return DwarfFile(sections, None, link.name)
        self.stack.enter_context(other)
        return DwarfFile(sections, open_dwarf(other, read_image(other)), link.name)


def open_module(module: ModuleRow, file_finder: FileFinder, notes: list[str], stack: ExitStack) -> ModuleFiles | None:
    """Open the files of a module until ``stack`` closes; None, and a note, when the file that ran is not there any more."""
    if not module.path.startswith("/"):
        return None
    path = module.path.removesuffix(DELETED)
    name = posixpath.basename(path)
    try:
        file = file_finder.open(module.path, module.build_id)
        stream = stack.enter_context(file.stream)
        image = read_image(stream)
        facts = facts_of(stream, image)
    except OSError as error:
        notes.append(f"no names from {name}: {error.strerror or error}")
        return None
    except (ParseError, ValueError) as error:
        notes.append(f"no names from {name}: {error}")
        return None
    # A file that was deleted while it ran has most likely been replaced: only a build-id proves that it was not.
    if facts.build_id != module.build_id and (module.build_id or path != module.path):
        notes.append(f"no names from {name}: {file_finder.why_not(file, facts.build_id, module.build_id)}")
        return None
    notes.extend(f"{other} is not the {name} that ran, which is {file.local_path}" for other in file.other_builds)
    debug, debug_root = _debug_file(file, facts, file_finder, notes)
    if debug is not None:
        stack.enter_context(debug)
    return ModuleFiles(file.path, stream, image, facts, file.root, debug, debug_root, stack)


def _debug_file(
    file: FoundFile, facts: ElfFacts, file_finder: FileFinder, notes: list[str]
) -> tuple[BinaryIO | None, Path | None]:
    """The separate debug file and its root; None where there is none, or the binary has symbols and lines itself."""
    if facts.has_debug_info and facts.has_symtab:
        return None, None
    debug = open_debug_file(file.path, facts, sysroot=file.root, notes=notes)
    if debug is None and file_finder.moved and file.root is not None and facts.build_id:
        # A debug file of the same build that this machine has installed is as good as one that was gathered.
        return open_debug_file(file.path, facts), None
    return debug, file.root
