"""The places of a report's frames: which object file, and which virtual address in it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from posixpath import basename, dirname, join, normpath

from memtui_parsers.clean_text import clean
from memtui_parsers.elf.facts import ElfFacts, facts_of
from memtui_parsers.elf.image import read_image
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import file_path, parse_map_lines
from memtui_parsers.report.leak_id import is_runtime_module
from memtui_parsers.values import Frame, Mapping, Module
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.session.rows import LeakFrame, ModuleRow
from memtui_profiler.symbols.module_finder import ModuleFinder, ModulePlace

# Addresses that units in .dwo files refer to (DWARF 5, 7.3.2; before it GNU's extension, by the same name).
_SPLIT_DWARF = ".debug_addr"


class FramePlaces:
    """A frame's own module and offset, or else those by ``mappings``. ``notes`` say which names are missing or may be wrong."""

    def __init__(self, request: CollectRequest, mappings: Sequence[Mapping]) -> None:
        self.notes: list[str] = []
        self._request = request
        self._file_finder = request.file_finder
        self._modules: list[Module] = []
        self._ordinals: dict[Module, int] = {}
        # The lowest and the highest address of the frames without a name, by module.
        self._unnamed: dict[int, tuple[int, int]] = {}
        self._other_builds: set[int] = set()
        # Modules whose file is here, of whichever build.
        self._read: set[int] = set()
        self._has_names = False
        # Modules whose debug information is partly in files of its own, which valgrind does not open.
        self._split: set[int] = set()
        # Modules whose file is certainly the one that ran: a run's own report is collected while the file is there.
        self._certain: set[int] = set()
        all_mappings = _mappings(request.extra_maps, mappings)
        self._mapped = [path for mapping in all_mappings if (path := file_path(mapping)) is not None]
        self._module_finder = ModuleFinder(all_mappings, (), self._file_finder) if all_mappings else None

    def of(self, frame: Frame) -> ModulePlace:
        """The place of a frame; its module number is that of rows()."""
        module, offset = frame.module, frame.offset
        certain = False
        named = frame.function or frame.linkage_name
        self._has_names = self._has_names or bool(named)
        if self._module_finder is not None and frame.address and (module is None or offset is None):
            place = self._module_finder.place(frame.address, module.build_id if module else "")
            if place.module is not None:
                mapped = self._module_finder.modules[place.module]
                offset = place.offset
                certain = mapped.facts is not None and not self._request.bare
                # The report may know which build ran; the file at its path may be another by now.
                module = module or Module(mapped.path)
                if mapped.trouble and not named and mapped.trouble not in self.notes:
                    self.notes.append(mapped.trouble)
        if module is None:
            return ModulePlace()
        if self._request.bare and not self._file_finder.moved and not named and not module.build_id:
            # A row of its own: frames that the report names itself are as it has them.
            module = replace(module, unchecked=True)
        ordinal = self._ordinals.get(module)
        if ordinal is None:
            ordinal = self._ordinals[module] = len(self._modules)
            self._modules.append(module)
        if certain:
            self._certain.add(ordinal)
        if offset is not None and not named:
            low, high = self._unnamed.get(ordinal, (offset, offset))
            self._unnamed[ordinal] = min(low, offset), max(high, offset)
        return ModulePlace(ordinal, offset)

    def rows(self) -> list[ModuleRow]:
        """A row for each module so far; without a build-id in the report it gets that of the file that names its frames.

        A library that was loaded by a relative path gets its whole path, where there is such a file.
        """
        self._modules = [replace(module, path=self._whole_path(module.path)) for module in self._modules]
        number = self._request.report
        rows = [
            ModuleRow(number, ordinal, clean(module.path), clean(module.build_id or self._build_id(ordinal)))
            for ordinal, module in enumerate(self._modules)
        ]
        unchecked = {n for n in self._read if self._modules[n].unchecked}
        note, rows = mark_unchecked(rows, unchecked, all_names=not self._has_names and unchecked == self._read)
        self.notes += note
        return rows

    def _whole_path(self, path: str) -> str:
        """Return the path of a library that a report names by a relative one; ``path`` where no file is there, or it is whole."""
        relative = normpath(path)
        if not path or path.startswith(("/", "[")) or relative.startswith(".."):
            return path
        for candidate in dict.fromkeys((*self._loaded(relative), *(join(one, relative) for one in self._folders()))):
            try:
                self._file_finder.open(candidate).stream.close()
            except (OSError, ValueError):
                continue
            return candidate
        return path

    def _loaded(self, relative: str) -> list[str]:
        return [path for path in self._mapped if path.endswith(f"/{relative}")]

    def _folders(self) -> list[str]:
        """Return where the target was started; of a report by itself the likely places: its own folder, and the program's."""
        request = self._request
        if not request.bare:
            return [] if request.cwd is None else [request.cwd]
        own = (
            module.path
            for module in self._modules
            if module.path.startswith("/") and not is_runtime_module(module.path)
        )
        return [os.path.abspath(dirname(request.dump or "") or "."), *map(dirname, own)]

    def wanting(self, row: LeakFrame, chain: Sequence[Frame]) -> bool:
        """Whether the file that ran can tell more of a frame than its report does. Call rows() first."""
        if row.module is None or row.offset is None or row.module in self._other_builds:
            return False
        # Named frames are looked up again only where the file is certainly the one that ran. valgrind gives inlined calls
        # without their class, of split DWARF not at all, and in its text output files without their folder.
        certain = row.module in self._certain
        if len(chain) != 1:
            return certain
        frame = chain[0]
        if not (frame.function or frame.linkage_name):
            return True
        if frame.line is None:
            return certain or bool(self._modules[row.module].build_id)
        return certain and ("/" not in (frame.file or "") or row.module in self._split)

    def _build_id(self, ordinal: int) -> str:
        path, bare = self._modules[ordinal].path, self._request.bare
        # A bare report may be of any time: a module whose frames it names itself gets no build-id from a file of today.
        if not path.startswith("/") or (bare and ordinal not in self._unnamed):
            return ""
        try:
            file = self._file_finder.open(path)
            with file.stream as stream:
                image = read_image(stream)
                facts = facts_of(stream, image)
                self._read.add(ordinal)
                if image.section(_SPLIT_DWARF) is not None:
                    self._split.add(ordinal)
                changed_s = os.fstat(stream.fileno()).st_mtime
        except (OSError, ParseError, ValueError):
            return ""  # symbolize() adds the note
        if bare and not _has_code(facts, self._unnamed[ordinal]):
            why = self._file_finder.why_not(file, "", "")
            self.notes.append(f"no names from {basename(path)}: {why}: it has no code at some of the addresses")
            self._other_builds.add(ordinal)
            self._read.discard(ordinal)
            return ""
        # The time of a file that a user has copied there is that of the copy.
        if bare and not self._file_finder.moved and changed_s > os.stat(self._request.dump or "").st_mtime:
            self.notes.append(f"{basename(path)} is newer than this report: its names may be wrong")
        return facts.build_id


def mark_unchecked(
    rows: Sequence[ModuleRow], unchecked: Collection[int], *, all_names: bool
) -> tuple[list[str], list[ModuleRow]]:
    """Return a note on the modules whose names may be of another build, and the rows with these marked.

    ``all_names``: the report has no other names. Then the note says enough: a mark on each frame would say nothing more.
    """
    if not unchecked:
        return [], list(rows)
    why = "of this machine: the report has no build-id to compare"
    if all_names:
        return [f"all names are from files {why}"], list(rows)
    files = list(dict.fromkeys(basename(row.path) for row in rows if row.ordinal in unchecked))
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    note = f"names marked unchecked are from {', '.join(files[:3])}{more} {why}"
    return [note], [row._replace(unchecked=1) if row.ordinal in unchecked else row for row in rows]


def _has_code(facts: ElfFacts, reach: tuple[int, int]) -> bool:
    """Whether the file has code before both ends of ``reach``, which are return addresses: the call lies before."""
    code = [(s.vaddr, s.vaddr + s.file_size) for s in facts.segments if s.flags & 1]
    return all(any(start <= address - 1 < end for start, end in code) for address in reach)


def _mappings(lines: Iterable[str], reported: Sequence[Mapping]) -> list[Mapping]:
    """The mappings that were seen in the run, the last at each address, then the report's own."""
    seen = parse_map_lines(lines)
    return list({mapping.start: mapping for mapping in (*reported, *seen)}.values())
