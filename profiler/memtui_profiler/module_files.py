"""The files that say what a module's addresses are: the binary that ran, its debug file, and what those leave elsewhere."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from memtui_parsers.dwarf_sections import DwarfSections, open_dwarf
from memtui_parsers.elf_alternate import alternate_link
from memtui_parsers.elf_facts import ElfFacts, facts_of
from memtui_parsers.elf_image import ElfImage, read_image
from memtui_parsers.errors import ParseError
from memtui_parsers.maps import DELETED
from memtui_profiler.debug_files import open_alternate, open_debug_file, target_path
from memtui_profiler.session.rows import ModuleRow
from memtui_profiler.whereabouts import Found, Whereabouts


@dataclass(frozen=True, slots=True)
class DwarfFile:
    """Debug information, and the file that it shares some with (``alternate_name`` where it should and that is not here)."""

    sections: DwarfSections
    alternate: DwarfSections | None = None
    alternate_name: str = ""


@dataclass(frozen=True, slots=True)
class ModuleFiles:
    """``debug`` is the separate debug file, where the binary itself does not say all; each is below its root, if it has one.

    All are open as long as ``stack`` is.
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
        return [self.path, *([target_path(self.debug, self.debug_root)] if self.debug else [])]

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
        other = open_alternate(stream, link, sysroot=self.debug_root if stream is self.debug else self.root)
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
        found = where.open(module.path, module.build_id)
        stream = stack.enter_context(found.stream)
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
        notes.append(f"no names from {name}: {where.other_build(found, facts.build_id, module.build_id)}")
        return None
    notes.extend(f"{other} is not the {name} that ran, which is {found.here}" for other in found.passed)
    debug, debug_root = _debug_file(found, facts, where, notes)
    if debug is not None:
        stack.enter_context(debug)
    return ModuleFiles(found.path, stream, image, facts, found.root, debug, debug_root, stack)


def _debug_file(
    found: Found, facts: ElfFacts, where: Whereabouts, notes: list[str]
) -> tuple[BinaryIO | None, Path | None]:
    """The separate debug file and its root; None where there is none, or the binary itself says all."""
    if facts.has_debug_info and facts.has_symtab:
        return None, None
    debug = open_debug_file(found.path, facts, sysroot=found.root, notes=notes)
    if debug is None and where.moved and found.root is not None and facts.build_id:
        # What this machine has installed for that build is as good as what was collected.
        return open_debug_file(found.path, facts), None
    return debug, found.root
