"""Finds the module of an address, the object file that was mapped there, and the virtual address in that file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from posixpath import basename

from memtui_parsers.elf.facts import ElfFacts, code_ranges, elf_vaddr, may_be_mapped, read_elf_facts
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import MappingIndex, file_path, is_deleted, parse_map_lines
from memtui_parsers.report.leak_id import is_allocator_module
from memtui_parsers.values import Mapping
from memtui_profiler.symbols.file_finder import FileFinder

# Mappings seen earlier in a run are searched one by one, newest first: a few plugins, or a hostile target's thousands.
MAX_EARLIER = 4000


@dataclass(frozen=True, slots=True)
class ModulePlace:
    """The place of an address. ``module``: a number, from 0 in the order of first use. ``offset``: virtual address in it. Both are
    None for an address in no file.

    ``allocator``: whether the module is an allocator's library.
    """

    module: int | None = None
    offset: int | None = None
    allocator: bool = False


@dataclass(frozen=True, slots=True)
class MappedModule:
    """A module of a dump. ``path``: as the kernel shows it, with its ``(deleted)``. ``facts`` None: the file cannot be read, or is
    another one now.

    ``trouble`` is then the reason as a sentence; '' where no file is mapped. ``unchecked``: the file may be another build, since
    neither a build-id nor the number of its inode proves that it is the one that was mapped.
    """

    path: str
    facts: ElfFacts | None
    trouble: str = ""
    unchecked: bool = False

    @property
    def build_id(self) -> str:
        return self.facts.build_id if self.facts else ""


class ModuleFinder:
    """Looks addresses up in the mappings of a dump, then in what was mapped ``earlier`` in the run (oldest first).

    ``modules`` grows as addresses are looked up, ``notes`` are the reasons why some have no names. ``compare``: the files may be
    newer than the dump; one is used only if its code has the length and the file offset of what was mapped.
    """

    def __init__(
        self,
        mappings: Sequence[Mapping],
        earlier: Iterable[str] = (),
        file_finder: FileFinder | None = None,
        *,
        compare: bool = False,
    ) -> None:
        self.modules: list[MappedModule] = []
        self.notes: list[str] = []
        self._index = MappingIndex(mappings)
        self._earlier = _unloaded(mappings, earlier)
        self._file_finder = file_finder or FileFinder()
        self._compare = compare
        self._mapped = code_ranges(mappings) if compare else {}
        self._ordinals: dict[str, int] = {}
        self._unloaded: set[str] = set()

    def place(self, address: int, build_id: str = "") -> ModulePlace:
        """The place of a return address. ``build_id``: of the file that ran, where the report knows it."""
        # The call lies before its return address, which is in the next mapping when the call is the last instruction.
        mapping = self._mapping(address - 1)
        if mapping is None or not mapping.path or not (mapping.executable or file_path(mapping)):
            return ModulePlace()
        ordinal = self._module(mapping, build_id)
        facts = self.modules[ordinal].facts
        vaddr = None if facts is None else elf_vaddr(address - 1, mapping, facts.segments)
        return ModulePlace(ordinal, None if vaddr is None else vaddr + 1, is_allocator_module(mapping.path))

    def _mapping(self, address: int) -> Mapping | None:
        now = self._index.find(address)
        if now is not None and now.executable:
            return now
        # Where a plugin was unloaded there is now a gap, or data.
        for mapping in self._earlier:
            if mapping.start <= address < mapping.end:
                if mapping.path not in self._unloaded:
                    self._unloaded.add(mapping.path)
                    name = basename(file_path(mapping) or mapping.path)
                    self.notes.append(
                        f"{name} was unloaded before the check; it is named by where it was loaded earlier"
                    )
                return mapping
        return now

    def _module(self, mapping: Mapping, build_id: str) -> int:
        ordinal = self._ordinals.get(mapping.path)
        if ordinal is None:
            ordinal = self._ordinals[mapping.path] = len(self.modules)
            loaded = self._load(mapping, build_id)
            self.modules.append(loaded)
            if loaded.trouble:
                self.notes.append(loaded.trouble)
        return ordinal

    def _load(self, mapping: Mapping, build_id: str) -> MappedModule:
        path = file_path(mapping)
        if path is None:
            return MappedModule(mapping.path, None)
        name = basename(path)
        if is_deleted(mapping) and not self._file_finder.moved and mapping.path not in self._file_finder.files:
            why = f"{name} was deleted or replaced while the program ran, so it cannot be named"
            return MappedModule(mapping.path, None, why)
        try:
            file = self._file_finder.open(mapping.path, build_id)
            with file.stream as stream:
                facts = read_elf_facts(stream)
                is_same = bool(build_id) or os.fstat(stream.fileno()).st_ino == mapping.inode
        except OSError as error:
            return MappedModule(mapping.path, None, f"no names from {name}: {error.strerror or error}")
        except (ParseError, ValueError) as error:
            return MappedModule(mapping.path, None, f"no names from {name}: {error}")
        mapped = self._mapped.get(mapping.path)
        if build_id and facts.build_id != build_id:
            why = self._file_finder.why_not(file, facts.build_id, build_id)
        elif mapped and not may_be_mapped(mapped, facts):
            why = f"{file.local_path} is another build: its code is not where the dump has it mapped"
        else:
            return MappedModule(
                mapping.path, facts, unchecked=self._compare and not self._file_finder.moved and not is_same
            )
        return MappedModule(mapping.path, None, f"no names from {name}: {why}")


def _unloaded(mappings: Sequence[Mapping], earlier: Iterable[str]) -> list[Mapping]:
    """The executable mappings of ``earlier`` that are not in ``mappings``, newest first."""
    still_mapped = {(m.start, m.end, m.path) for m in mappings}
    unloaded: dict[tuple[int, int, str], Mapping] = {}
    for mapping in parse_map_lines(earlier):
        key = (mapping.start, mapping.end, mapping.path)
        if mapping.executable and file_path(mapping) and key not in still_mapped:
            unloaded.pop(key, None)
            unloaded[key] = mapping
    return list(reversed(unloaded.values()))[:MAX_EARLIER]
