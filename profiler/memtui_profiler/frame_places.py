"""Where the frames of a report lie: in which object file, and at which virtual address of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from posixpath import basename

from memtui_parsers.clean_text import clean
from memtui_parsers.elf_facts import ElfFacts, read_elf_facts
from memtui_parsers.errors import ParseError
from memtui_parsers.maps import parse_mapping
from memtui_parsers.values import Frame, Mapping, Module
from memtui_profiler.collect_request import CollectRequest
from memtui_profiler.report_modules import ModuleFinder, Place
from memtui_profiler.session.rows import LeakFrame, ModuleRow
from memtui_profiler.whereabouts import Whereabouts


class FramePlaces:
    """A frame that says its module and offset lies there; of others ``mappings`` tell. ``notes`` say what may be wrong."""

    def __init__(self, request: CollectRequest, mappings: Sequence[Mapping]) -> None:
        self.notes: list[str] = []
        self._request = request
        self._where = Whereabouts.of(request)
        self._modules: list[Module] = []
        self._ordinals: dict[Module, int] = {}
        # Of the frames that are to be named: the lowest and the highest address by module.
        self._to_name: dict[int, tuple[int, int]] = {}
        self._other_builds: set[int] = set()
        # Those whose file is the one that ran: a run's own report is collected while the file is there.
        self._sure: set[int] = set()
        found = _mappings(request.extra_maps, mappings)
        self._finder = ModuleFinder(found, (), self._where) if found else None

    def of(self, frame: Frame) -> Place:
        module, offset = frame.module, frame.offset
        sure = False
        named = frame.function or frame.linkage_name
        if self._finder is not None and frame.address and (module is None or offset is None):
            place = self._finder.place(frame.address, module.build_id if module else "")
            if place.module is not None:
                loaded = self._finder.modules[place.module]
                offset = place.offset
                sure = loaded.facts is not None and not self._request.bare
                # The report may know which build ran; the file at its path may be another by now.
                module = module or Module(loaded.path)
                if loaded.trouble and not named and loaded.trouble not in self.notes:
                    self.notes.append(loaded.trouble)
        if module is None:
            return Place()
        ordinal = self._ordinals.get(module)
        if ordinal is None:
            ordinal = self._ordinals[module] = len(self._modules)
            self._modules.append(module)
        if sure:
            self._sure.add(ordinal)
        if offset is not None and not named:
            low, high = self._to_name.get(ordinal, (offset, offset))
            self._to_name[ordinal] = min(low, offset), max(high, offset)
        return Place(ordinal, offset)

    def rows(self) -> list[ModuleRow]:
        """Of all modules so far. One whose build the report does not know gets that of the file which names its frames."""
        return [
            ModuleRow(
                self._request.report, ordinal, clean(module.path), clean(module.build_id or self._build_id(ordinal))
            )
            for ordinal, module in enumerate(self._modules)
        ]

    def wanting(self, row: LeakFrame, chain: Sequence[Frame]) -> bool:
        """Whether the file that ran can say more of a frame than its report does. Asked after rows()."""
        if row.module is None or row.offset is None or row.module in self._other_builds:
            return False
        # What the report has named is looked up again only where it is certain that the file is the one that ran. valgrind
        # says of inlined calls only what they are called in their class, and in text of no file where it is.
        sure = row.module in self._sure
        if len(chain) != 1:
            return sure
        frame = chain[0]
        if not (frame.function or frame.linkage_name):
            return True
        if frame.line is None:
            return sure or bool(self._modules[row.module].build_id)
        return sure and "/" not in (frame.file or "")

    def _build_id(self, ordinal: int) -> str:
        path, bare = self._modules[ordinal].path, self._request.bare
        # A bare report may be of any time: only of what it names itself there is nothing to be claimed.
        if not path.startswith("/") or (bare and ordinal not in self._to_name):
            return ""
        try:
            found = self._where.open(path)
            with found.stream as stream:
                facts = read_elf_facts(stream)
                changed_s = os.fstat(stream.fileno()).st_mtime
        except (OSError, ParseError, ValueError):
            return ""  # symbolize() says what stands in the way
        if bare and not _has_code(facts, self._to_name[ordinal]):
            why = self._where.other_build(found, "", "")
            self.notes.append(f"no names from {basename(path)}: {why}: it has no code at some of the addresses")
            self._other_builds.add(ordinal)
            return ""
        # A copy is as new as its making: of one that a user has put there, its time says nothing.
        if bare and not self._where.moved and changed_s > os.stat(self._request.dump or "").st_mtime:
            self.notes.append(f"{basename(path)} is newer than this report: its names may be wrong")
        return facts.build_id


def _has_code(facts: ElfFacts, reach: tuple[int, int]) -> bool:
    """Whether both ends lie where its code does; they are return addresses, so a call lies before each."""
    code = [(s.vaddr, s.vaddr + s.file_size) for s in facts.segments if s.flags & 1]
    return all(any(start <= address - 1 < end for start, end in code) for address in reach)


def _mappings(lines: Iterable[str], told: Sequence[Mapping]) -> list[Mapping]:
    """Those of the run as it was seen, the last at each address, then what the report itself tells."""
    found = {mapping.start: mapping for mapping in told}
    for line in lines:
        try:
            mapping = parse_mapping(line.encode("utf-8", "surrogateescape"))
        except (ParseError, UnicodeEncodeError):
            continue
        found[mapping.start] = mapping
    return list(found.values())
