"""The files that say what a module's addresses are: the binary that ran, its debug file, and what those leave elsewhere."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from memtui_parsers.dwarf_sections import DwarfSections, open_dwarf
from memtui_parsers.elf_alternate import alternate_link
from memtui_parsers.elf_facts import ElfFacts, facts_of
from memtui_parsers.elf_image import ElfImage, read_image
from memtui_parsers.errors import ParseError
from memtui_profiler.debug_files import open_alternate, open_debug_file, open_regular, target_path
from memtui_profiler.session.rows import ModuleRow

DELETED = " (deleted)"
SHOWN_ID_CHARS = 12


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """``sysroot`` is where the modules' paths begin; ``files`` says where to read those that their paths lead to no more."""

    sysroot: Path | None
    files: Mapping[str, str]

    def open(self, path: str) -> BinaryIO:
        """A module's file by its path in the maps. Raises OSError, ValueError."""
        held = self.files.get(path)
        return open_regular(path.removesuffix(DELETED), self.sysroot) if held is None else open_regular(held)


@dataclass(frozen=True, slots=True)
class DwarfFile:
    """Debug information, and the file that it shares some with (``alternate_name`` where it should and that is not here)."""

    sections: DwarfSections
    alternate: DwarfSections | None = None
    alternate_name: str = ""


@dataclass(frozen=True, slots=True)
class ModuleFiles:
    """``debug`` is the separate debug file, where the binary itself does not say all. All are open as long as ``stack`` is."""

    path: str
    stream: BinaryIO
    image: ElfImage
    facts: ElfFacts
    debug: BinaryIO | None
    where: Whereabouts
    stack: ExitStack = field(repr=False)

    @property
    def lowest(self) -> int:
        """Where its code begins."""
        return min((s.vaddr for s in self.facts.segments if s.flags & 1), default=0) or 1

    @property
    def kind(self) -> str:
        """Where the debug information is: 'own', 'debug' (a separate file), '' (there is none)."""
        return "own" if self.facts.has_debug_info else "debug" if self.debug else ""

    @property
    def symbol_files(self) -> list[tuple[BinaryIO, ElfImage | None]]:
        """The best first: a stripped binary has only the names it exports."""
        files: list[tuple[BinaryIO, ElfImage | None]] = [(self.stream, self.image)]
        return [(self.debug, None), *files] if self.debug else files

    @property
    def paths(self) -> list[str]:
        """The binary's and the debug file's, as the target sees them."""
        return [self.path, *([target_path(self.debug, self.where.sysroot)] if self.debug else [])]

    def dwarf(self) -> Iterator[DwarfFile]:
        """Of the binary, then of its debug file. Raises ParseError."""
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
        other = open_alternate(stream, link, sysroot=self.where.sysroot)
        if other is None:
            return DwarfFile(sections, None, link.name)
        self.stack.enter_context(other)
        return DwarfFile(sections, open_dwarf(other, read_image(other)), link.name)


def open_module(module: ModuleRow, where: Whereabouts, notes: list[str], stack: ExitStack) -> ModuleFiles | None:
    """None, and a note, when the file that ran cannot be had any more."""
    if not module.path.startswith("/"):
        return None
    path = module.path.removesuffix(DELETED)
    name = posixpath.basename(path)
    try:
        stream = stack.enter_context(where.open(module.path))
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
        notes.append(f"no names from {name}: the file has changed since it was loaded{_builds(module, facts)}")
        return None
    debug = None
    if not (facts.has_debug_info and facts.has_symtab):
        debug = open_debug_file(path, facts, sysroot=where.sysroot, notes=notes)
    if debug is not None:
        stack.enter_context(debug)
    return ModuleFiles(path, stream, image, facts, debug, where, stack)


def _builds(module: ModuleRow, facts: ElfFacts) -> str:
    """Which build is there, and which was loaded, where that is known."""
    if not module.build_id:
        return ""
    here = f"build-id {facts.build_id[:SHOWN_ID_CHARS]}" if facts.build_id else "no build-id"
    return f" ({here}, what ran had {module.build_id[:SHOWN_ID_CHARS]})"
