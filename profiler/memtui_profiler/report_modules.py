"""Where the addresses of a dump lie: in which object file, and at which virtual address of that file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from posixpath import basename

from memtui_parsers.elf_facts import ElfFacts, elf_vaddr, read_elf_facts
from memtui_parsers.errors import ParseError
from memtui_parsers.leak_id import is_allocator_module
from memtui_parsers.mapped_code import code_ranges, may_be_mapped
from memtui_parsers.maps import MappingIndex, file_path, is_deleted, parse_mapping
from memtui_parsers.values import Mapping
from memtui_profiler.whereabouts import Whereabouts

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
    """``path`` as the kernel has it, ``(deleted)`` and all. ``facts`` None: the file cannot be read, or is another by now.

    ``trouble`` says then why; '' where it is no file at all.
    """

    path: str
    facts: ElfFacts | None
    trouble: str = ""

    @property
    def build_id(self) -> str:
        return self.facts.build_id if self.facts else ""


class ModuleFinder:
    """Looks addresses up in the mappings of a dump, then in what was mapped ``earlier`` in the run (oldest first).

    ``modules`` grows as addresses are looked up, ``notes`` says what stood in the way. ``compare``: a file may be of another
    time than the dump; it is read only where its code is as long, and as far into it, as what was mapped of it.
    """

    def __init__(
        self,
        mappings: Sequence[Mapping],
        earlier: Iterable[str] = (),
        where: Whereabouts | None = None,
        *,
        compare: bool = False,
    ) -> None:
        self.modules: list[LoadedModule] = []
        self.notes: list[str] = []
        self._index = MappingIndex(mappings)
        self._earlier = _unloaded(mappings, earlier)
        self._where = where or Whereabouts()
        self._mapped = code_ranges(mappings) if compare else {}
        self._ordinals: dict[str, int] = {}
        self._unloaded: set[str] = set()

    def place(self, address: int, build_id: str = "") -> Place:
        """``address`` is a return address: the call lies before it, which is in another mapping for a last instruction.

        ``build_id``: of the file that ran, where the report knows it.
        """
        mapping = self._mapping(address - 1)
        if mapping is None or not mapping.path or not (mapping.executable or file_path(mapping)):
            return Place()
        ordinal = self._module(mapping, build_id)
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

    def _module(self, mapping: Mapping, build_id: str) -> int:
        ordinal = self._ordinals.get(mapping.path)
        if ordinal is None:
            ordinal = self._ordinals[mapping.path] = len(self.modules)
            loaded = self._load(mapping, build_id)
            self.modules.append(loaded)
            if loaded.trouble:
                self.notes.append(loaded.trouble)
        return ordinal

    def _load(self, mapping: Mapping, build_id: str) -> LoadedModule:
        path = file_path(mapping)
        if path is None:
            return LoadedModule(mapping.path, None)
        name = basename(path)
        if is_deleted(mapping) and not self._where.moved and mapping.path not in self._where.files:
            why = f"{name} was deleted or replaced while the program ran, so it cannot be named"
            return LoadedModule(mapping.path, None, why)
        try:
            found = self._where.open(mapping.path, build_id)
            with found.stream as stream:
                facts = read_elf_facts(stream)
        except OSError as error:
            return LoadedModule(mapping.path, None, f"no names from {name}: {error.strerror or error}")
        except (ParseError, ValueError) as error:
            return LoadedModule(mapping.path, None, f"no names from {name}: {error}")
        mapped = self._mapped.get(mapping.path)
        if build_id and facts.build_id != build_id:
            why = self._where.other_build(found, facts.build_id, build_id)
        elif mapped and not may_be_mapped(mapped, facts):
            why = f"{found.here} is another build: its code is not where the dump has it mapped"
        else:
            return LoadedModule(mapping.path, facts)
        return LoadedModule(mapping.path, None, f"no names from {name}: {why}")


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
