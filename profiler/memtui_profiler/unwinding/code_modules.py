"""The code that a process has mapped, and the call frame information of each file of it."""

from __future__ import annotations

import bisect
import ctypes
import io
import os
from dataclasses import dataclass, field
from typing import BinaryIO

from memtui_parsers.elf.facts import elf_vaddr
from memtui_parsers.elf.image import ElfImage, read_image
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import file_path
from memtui_parsers.unwind.frame_table import Frame, FrameTable, read_frame_table
from memtui_parsers.values import Mapping
from memtui_profiler.process.image import mappings_of, open_mapped

VDSO = "[vdso]"
MAX_FILES = 4096
MAX_BYTES = 256 << 20


@dataclass(slots=True)
class _File:
    """``table``: None where the file has no call frame information."""

    image: ElfImage
    table: FrameTable | None


@dataclass(slots=True)
class CodeModules:
    """The executable mappings of ``pid`` at the last refresh(). A file is read when an address in it is first asked for.

    Files are kept up to MAX_FILES and MAX_BYTES of call frame information, and then read anew.
    """

    pid: int
    _mappings: list[Mapping] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)
    _files: dict[tuple[str, int], _File | None] = field(default_factory=dict)
    _bytes: int = 0

    def refresh(self) -> bool:
        """Read the mappings anew, and return whether other code is mapped now. Raises OSError when that is not possible."""
        mappings = [mapping for mapping in mappings_of(self.pid) if mapping.executable]
        if mappings == self._mappings or not mappings:  # one that has just ended has none
            return False
        self._mappings = mappings
        self._starts = [mapping.start for mapping in mappings]
        return True

    def is_code(self, address: int) -> bool:
        """Whether the process can have run an instruction there."""
        return self._mapping(address) is not None

    def frame_at(self, address: int) -> Frame | None:
        """What the call frame information of the file there says; None where it has none. ``Frame.start`` is the file's.

        Raises ParseError for a file that cannot be read: what it has is not known then.
        """
        mapping = self._mapping(address)
        if mapping is None or not (file_path(mapping) or mapping.path == VDSO):
            return None  # made at run time
        file = self._file(mapping)
        if file is None:
            raise ParseError("the file cannot be read")
        if file.table is None:
            return None
        if mapping.path == VDSO:
            vaddr: int | None = address - mapping.start
        else:
            vaddr = elf_vaddr(address, mapping, file.image.loads)
        return None if vaddr is None else file.table.frame_at(vaddr)

    def _mapping(self, address: int) -> Mapping | None:
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._mappings[index].end:
            return None
        return self._mappings[index]

    def _file(self, mapping: Mapping) -> _File | None:
        key = (mapping.path, mapping.inode)
        if key not in self._files:
            if len(self._files) >= MAX_FILES or self._bytes >= MAX_BYTES:
                self._files, self._bytes = {}, 0
            file = self._files[key] = self._read(mapping)
            self._bytes += 0 if file is None or file.table is None else file.table.size_bytes
        return self._files[key]

    def _read(self, mapping: Mapping) -> _File | None:
        try:
            if mapping.path == VDSO:
                return _read(io.BytesIO(_own_vdso()))
            with open_mapped(self.pid, mapping) as stream:
                return _read(stream)
        except (OSError, ParseError):
            return None


def _read(stream: BinaryIO) -> _File:
    image = read_image(stream)
    return _File(image, read_frame_table(stream, image))


def _own_vdso() -> bytes:
    """The vdso of this process: the kernel gives every 64-bit process the same. b"" where there is none."""
    mapping = next((mapping for mapping in mappings_of(os.getpid()) if mapping.path == VDSO), None)
    return b"" if mapping is None else ctypes.string_at(mapping.start, mapping.end - mapping.start)
