"""Where the addresses of a dump lie: in which object file, and at which virtual address of that file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename

from memtui_parsers.elf_facts import ElfFacts, elf_vaddr, read_elf_facts
from memtui_parsers.errors import ParseError
from memtui_parsers.leak_id import is_allocator_module
from memtui_parsers.maps import MappingIndex, file_path, is_deleted, parse_mapping
from memtui_parsers.values import Mapping
from memtui_profiler.debug_files import open_regular

# Lines seen earlier in a run that are searched one by one, newest first: a few plugins, or a hostile target's thousands.
MAX_EARLIER = 4000


@dataclass(frozen=True, slots=True)
class Place:
    """``module`` counts from 0 in order of first use; both None where an address lies in no file."""

    module: int | None = None
    offset: int | None = None
    allocator: bool = False


@dataclass(frozen=True, slots=True)
class LoadedModule:
    """``path`` as the kernel has it, ``(deleted)`` and all. ``facts`` None: the file cannot be read, or is another by now."""

    path: str
    facts: ElfFacts | None

    @property
    def build_id(self) -> str:
        return self.facts.build_id if self.facts else ""


class ModuleFinder:
    """Looks addresses up in the mappings of a dump, then in what was mapped ``earlier`` in the run (oldest first).

    ``modules`` grows as addresses are looked up, ``notes`` says what stood in the way. Files are read under ``sysroot``; those
    that are not there any more where ``files`` says, by their path in the maps.
    """

    def __init__(
        self,
        mappings: Sequence[Mapping],
        earlier: Iterable[str] = (),
        sysroot: Path | None = None,
        files: dict[str, str] | None = None,
    ) -> None:
        self.modules: list[LoadedModule] = []
        self.notes: list[str] = []
        self._index = MappingIndex(mappings)
        self._earlier = _unloaded(mappings, earlier)
        self._sysroot = sysroot
        self._files = files or {}
        self._ordinals: dict[str, int] = {}
        self._unloaded: set[str] = set()

    def place(self, address: int) -> Place:
        """``address`` is a return address: the call lies before it, which is in another mapping for a last instruction."""
        mapping = self._mapping(address - 1)
        if mapping is None or not mapping.path or not (mapping.executable or file_path(mapping)):
            return Place()
        ordinal = self._module(mapping)
        facts = self.modules[ordinal].facts
        vaddr = None if facts is None else elf_vaddr(address - 1, mapping, facts.segments)
        return Place(ordinal, None if vaddr is None else vaddr + 1, is_allocator_module(mapping.path))

    def _mapping(self, address: int) -> Mapping | None:
        now = self._index.find(address)
        if now is not None and now.executable:
            return now
        # Where a plugin was unloaded there is a gap by now, or somebody's data.
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

    def _module(self, mapping: Mapping) -> int:
        ordinal = self._ordinals.get(mapping.path)
        if ordinal is None:
            ordinal = self._ordinals[mapping.path] = len(self.modules)
            self.modules.append(LoadedModule(mapping.path, self._facts(mapping)))
        return ordinal

    def _facts(self, mapping: Mapping) -> ElfFacts | None:
        path = file_path(mapping)
        if path is None:
            return None
        held = self._files.get(mapping.path)
        if is_deleted(mapping) and held is None:
            self.notes.append(f"{basename(path)} was deleted or replaced while the program ran, so it cannot be named")
            return None
        try:
            with open_regular(path, self._sysroot) if held is None else open_regular(held) as stream:
                return read_elf_facts(stream)
        except OSError as error:
            self.notes.append(f"no names from {basename(path)}: {error.strerror or error}")
        except (ParseError, ValueError) as error:
            self.notes.append(f"no names from {basename(path)}: {error}")
        return None


def _unloaded(mappings: Sequence[Mapping], earlier: Iterable[str]) -> list[Mapping]:
    """The executable mappings that were there once and are not any more, newest first."""
    still = {(m.start, m.end, m.path) for m in mappings}
    found: dict[tuple[int, int, str], Mapping] = {}
    for line in earlier:
        try:
            mapping = parse_mapping(line.encode("utf-8", "surrogateescape"))
        except (ParseError, UnicodeEncodeError):
            continue
        key = (mapping.start, mapping.end, mapping.path)
        if mapping.executable and file_path(mapping) and key not in still:
            found.pop(key, None)
            found[key] = mapping
    return list(reversed(found.values()))[:MAX_EARLIER]
