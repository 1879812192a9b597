"""The modules a running process has mapped, and the addresses of their functions and variables.

A file may have been deleted or replaced since, and its path may mean another file in the target's mount namespace than here. So
it is opened through /proc/PID/map_files or /proc/PID/exe, which are the mapped files themselves (proc(5)), and where that is not
permitted by its path below /proc/PID/root, if the inode there is still the mapped one.
"""

from __future__ import annotations

import bisect
import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from memtui_parsers.elf.facts import elf_vaddr, symbol_addresses
from memtui_parsers.elf.image import ElfImage, read_image
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import file_path, is_deleted, parse_maps
from memtui_parsers.values import Mapping
from memtui_profiler.files import open_regular
from memtui_profiler.process.foreign_memory import memory_of
from memtui_profiler.process.load_order import biases_in_load_order

MAX_CODE_BYTES = 256 << 20
_ADDRESS_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class LoadedModule:
    """An ELF file in a process. ``bias`` plus a virtual address of the file is an address in the process."""

    path: str
    bias: int
    mappings: tuple[Mapping, ...]
    image: ElfImage


class ProcessImage:
    """The modules of ``pid`` at this moment: make a new one after an exec or a dlopen. Raises OSError when they may not be read."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.mappings = mappings_of(pid)
        self.modules = tuple(self._in_load_order(list(self._modules())))
        self._addresses: dict[str, int | None] = {}

    @property
    def is_static(self) -> bool:
        """Whether the program has no loader, and so no library."""
        return len(self.modules) == 1

    def address_of(self, name: str) -> int | None:
        """The address of the first definition in the order of ``modules``, which the dynamic loader took. None: there is none."""
        if name not in self._addresses:
            self._addresses[name] = next(self._definitions(name), None)
        return self._addresses[name]

    def _definitions(self, name: str) -> Iterator[int]:
        for module in self.modules:
            with contextlib.suppress(OSError, ParseError):
                yield from self.addresses_in(module, (name,)).values()

    def addresses_in(self, module: LoadedModule, names: Collection[str]) -> dict[str, int]:
        """Addresses by name in one module alone, whatever other modules interpose. Raises OSError, ParseError."""
        with self.open(module) as stream:
            values = symbol_addresses(stream, names)
        return {name: (module.bias + value) & _ADDRESS_MASK for name, value in values.items()}

    def code_of(self, module: LoadedModule) -> Iterator[tuple[int, bytes]]:
        """(address, bytes) of each executable part of a module. Raises OSError."""
        with self.open(module) as stream:
            for mapping in module.mappings:
                if mapping.executable:
                    stream.seek(mapping.offset)
                    yield mapping.start, stream.read(min(mapping.end - mapping.start, MAX_CODE_BYTES))

    def open(self, module: LoadedModule) -> BinaryIO:
        """Open the module's file itself. Raises OSError when that is not possible any more."""
        return open_mapped(self.pid, module.mappings[0])

    def _in_load_order(self, modules: list[LoadedModule]) -> list[LoadedModule]:
        """As the loader has them, the others after them; in the order of addresses where it tells nothing."""
        if not modules:
            return modules
        with memory_of(Path(f"/proc/{self.pid}")) as read:
            biases = biases_in_load_order(modules[0].image, modules[0].bias, read)
        order = {bias: index for index, bias in enumerate(dict.fromkeys(biases))}
        return sorted(modules, key=lambda module: order.get(module.bias, len(order)))

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
                vaddr = elf_vaddr(mappings[0].start, mappings[0], image.loads)
                if vaddr is not None:
                    yield LoadedModule(path, mappings[0].start - vaddr, tuple(mappings), image)


def mappings_of(pid: int) -> tuple[Mapping, ...]:
    """The mappings of a process at this moment. Raises OSError."""
    with open(f"/proc/{pid}/maps", "rb") as stream:
        return parse_maps(stream.read())


def mapping_at(mappings: Sequence[Mapping], address: int) -> Mapping | None:
    """The mapping that holds ``address``, of mappings in the kernel's order; None where nothing is mapped."""
    found = bisect.bisect_right(mappings, address, key=lambda mapping: mapping.start) - 1
    return mappings[found] if found >= 0 and address < mappings[found].end else None


def open_mapped(pid: int, mapping: Mapping) -> BinaryIO:
    """Open the file that is mapped there, while the process lives. Raises OSError when that is not possible."""
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
