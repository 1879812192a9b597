"""What a running process has mapped, and where its functions and variables are: read from the very files that it runs.

A file may have been deleted or replaced since, and its path may mean another file here than in the target's mount namespace.
So it is opened through /proc/PID/map_files or /proc/PID/exe, which are the mapped files themselves (proc(5)), and only where
that is not permitted by its path below /proc/PID/root, if the inode there is still the one that is mapped.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from memtui_parsers.elf_facts import LoadSegment, elf_vaddr, symbol_addresses
from memtui_parsers.elf_image import ElfImage, read_image
from memtui_parsers.errors import ParseError
from memtui_parsers.maps import file_path, is_deleted, parse_maps
from memtui_parsers.values import Mapping
from memtui_profiler.debug_files import open_regular

MAX_CODE_BYTES = 256 << 20
_ADDRESS_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class LoadedModule:
    """An ELF file in a process: ``bias`` is what to add to a virtual address of the file."""

    path: str
    bias: int
    mappings: tuple[Mapping, ...]
    image: ElfImage


class ProcessImage:
    """The modules of ``pid`` as they are now; made anew after an exec or a dlopen. Raises OSError when they may not be read."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.mappings = mappings_of(pid)
        self.modules = tuple(self._modules())
        self._found: dict[str, int | None] = {}

    def address_of(self, name: str) -> int | None:
        """The first definition in the order of ``modules``: the program, then its libraries. None: there is none."""
        if name not in self._found:
            self.look_up((name,))
        return self._found[name]

    def look_up(self, names: Collection[str]) -> None:
        """Find many names in one reading of each file; address_of() has them at once then."""
        missing = [name for name in names if name not in self._found]
        for module in self.modules:
            if not missing:
                break
            with contextlib.suppress(OSError, ParseError), self.open(module) as stream:
                for name, value in symbol_addresses(stream, missing).items():
                    self._found[name] = (module.bias + value) & _ADDRESS_MASK
            missing = [name for name in missing if name not in self._found]
        self._found.update(dict.fromkeys(missing))

    def addresses_in(self, module: LoadedModule, names: Collection[str]) -> dict[str, int]:
        """As address_of(), of one module alone: what another one interposes does not count. Raises OSError, ParseError."""
        with self.open(module) as stream:
            found = symbol_addresses(stream, names)
        return {name: (module.bias + value) & _ADDRESS_MASK for name, value in found.items()}

    def module_of(self, address: int) -> LoadedModule | None:
        return next((m for m in self.modules if any(p.start <= address < p.end for p in m.mappings)), None)

    def mapping_of(self, address: int) -> Mapping | None:
        return mapping_at(self.mappings, address)

    def code_of(self, module: LoadedModule) -> Iterator[tuple[int, bytes]]:
        """The executable parts of a module: address and bytes. Raises OSError."""
        with self.open(module) as stream:
            for mapping in module.mappings:
                if mapping.executable:
                    stream.seek(mapping.offset)
                    yield mapping.start, stream.read(min(mapping.end - mapping.start, MAX_CODE_BYTES))

    def open(self, module: LoadedModule) -> BinaryIO:
        """The file itself. Raises OSError when it cannot be had any more."""
        return open_mapped(self.pid, module.mappings[0])

    def _modules(self) -> Iterator[LoadedModule]:
        by_file: dict[tuple[str, int], list[Mapping]] = {}
        for mapping in self.mappings:
            path = file_path(mapping)
            if path is not None:
                by_file.setdefault((path, mapping.inode), []).append(mapping)
        for (path, _), mappings in by_file.items():
            if not any(mapping.executable for mapping in mappings):
                continue
            with contextlib.suppress(OSError, ParseError), open_mapped(self.pid, mappings[0]) as stream:
                image = read_image(stream)
                loads = [
                    LoadSegment(s.offset, s.vaddr, s.file_size, s.flags) for s in image.segments if s.kind == "PT_LOAD"
                ]
                vaddr = elf_vaddr(mappings[0].start, mappings[0], loads)
                if vaddr is not None:
                    yield LoadedModule(path, mappings[0].start - vaddr, tuple(mappings), image)


def mappings_of(pid: int) -> tuple[Mapping, ...]:
    """What is mapped at this moment. Raises OSError."""
    with open(f"/proc/{pid}/maps", "rb") as stream:
        return parse_maps(stream.read())


def mapping_at(mappings: Iterable[Mapping], address: int) -> Mapping | None:
    return next((m for m in mappings if m.start <= address < m.end), None)


def open_mapped(pid: int, mapping: Mapping) -> BinaryIO:
    """The very file that is mapped there, while the process lives. Raises OSError when it is not to be had."""
    try:
        return open_regular(f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}")
    except OSError:
        path = file_path(mapping)
        if path is None:
            raise
    for candidate in (f"/proc/{pid}/exe", f"/proc/{pid}/root{path}"):
        if candidate.endswith(path) and is_deleted(mapping):
            continue
        with contextlib.suppress(OSError):
            stream = open_regular(candidate)
            if os.fstat(stream.fileno()).st_ino == mapping.inode:
                return stream
            stream.close()
    raise FileNotFoundError(path)
