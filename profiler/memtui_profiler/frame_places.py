"""Where the frames of a report lie: in which object file, and at which virtual address of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from posixpath import basename

from memtui_parsers.clean_text import clean
from memtui_parsers.elf_facts import read_elf_facts
from memtui_parsers.errors import ParseError
from memtui_parsers.maps import parse_mapping
from memtui_parsers.values import Frame, Mapping, Module
from memtui_profiler.collect_request import CollectRequest
from memtui_profiler.debug_files import open_regular
from memtui_profiler.report_modules import ModuleFinder, Place
from memtui_profiler.session.rows import LeakFrame, ModuleRow


class FramePlaces:
    """A frame that says its module and offset lies there; of others ``mappings`` tell. ``notes`` say what may be wrong."""

    def __init__(self, request: CollectRequest, mappings: Sequence[Mapping]) -> None:
        self.notes: list[str] = []
        self._request = request
        self._sysroot = None if request.sysroot is None else Path(request.sysroot)
        self._modules: list[Module] = []
        self._ordinals: dict[Module, int] = {}
        self._to_name: set[int] = set()
        found = _mappings(request.extra_maps, mappings)
        self._finder = ModuleFinder(found, (), self._sysroot, request.files) if found else None

    def of(self, frame: Frame) -> Place:
        module, offset = frame.module, frame.offset
        if self._finder is not None and frame.address and (module is None or offset is None):
            place = self._finder.place(frame.address)
            if place.module is not None:
                offset = place.offset
                # The report may know which build ran; the file at its path may be another by now.
                module = module or Module(self._finder.modules[place.module].path)
        if module is None:
            return Place()
        ordinal = self._ordinals.get(module)
        if ordinal is None:
            ordinal = self._ordinals[module] = len(self._modules)
            self._modules.append(module)
        if offset is not None and not (frame.function or frame.linkage_name):
            self._to_name.add(ordinal)
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
        """Whether the file that ran can say more of a frame than its report does."""
        if row.module is None or row.offset is None or len(chain) != 1:
            return False
        named = chain[0].function or chain[0].linkage_name
        # What the report has named is looked up again only where it is certain that the file is the one that ran.
        return not named or (chain[0].line is None and bool(self._modules[row.module].build_id))

    def _build_id(self, ordinal: int) -> str:
        path, bare = self._modules[ordinal].path, not self._request.checker
        # A bare report may be of any time: only of what it names itself there is nothing to be claimed.
        if not path.startswith("/") or (bare and ordinal not in self._to_name):
            return ""
        held = self._request.files.get(path)
        try:
            with open_regular(held or path, None if held else self._sysroot) as stream:
                if bare and os.fstat(stream.fileno()).st_mtime > os.stat(self._request.dump or "").st_mtime:
                    self.notes.append(f"{basename(path)} is newer than this report: its names may be wrong")
                return read_elf_facts(stream).build_id
        except (OSError, ParseError, ValueError):
            return ""  # symbolize() says what stands in the way


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
