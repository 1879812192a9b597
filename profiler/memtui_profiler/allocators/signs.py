"""Which allocators a file has built in, also under other names than malloc, and where its symbols are stripped.

Functions and sections tell for certain. Where neither does, an allocator's own messages in the read-only data do: they
stay in a stripped file. Searching them takes some 0.3 ms a MiB and allocator.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import BinaryIO

from memtui_parsers.elf.facts import exported_symbols
from memtui_parsers.elf.image import ElfImage
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import DELETED
from memtui_profiler.allocators import kinds
from memtui_profiler.allocators.kind import AllocatorKind
from memtui_profiler.process.image import LoadedModule, ProcessImage

MALLOC = "malloc"
# Of the read-only data of one file. node has 45 MiB.
MAX_TEXT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """An allocator in a file of a running process. ``hidden``: the file defines no malloc, so it has other names there."""

    kind: AllocatorKind
    path: str
    hidden: bool


def built_in(stream: BinaryIO, image: ElfImage, *, thorough: bool = False) -> tuple[AllocatorKind, ...]:
    """The allocators that a file has in it. Raises OSError, ParseError.

    ``thorough``: more of them by their messages where one is known by its symbols, as libarrow has jemalloc and mimalloc.
    """
    names = {name for kind in kinds() for name in (*kind.symbols, kind.unless) if name}
    defined = exported_symbols(stream, names)
    possible = [kind for kind in kinds() if kind.unless not in defined]
    sure = tuple(
        kind
        for kind in possible
        if any(name in defined for name in kind.symbols) or (kind.sections and image.section(*kind.sections))
    )
    if sure and not thorough:
        return sure
    return (*sure, *_by_texts(stream, image, [kind for kind in possible if kind.texts and kind not in sure]))


def _by_texts(stream: BinaryIO, image: ElfImage, possible: Collection[AllocatorKind]) -> tuple[AllocatorKind, ...]:
    ranges = [(s.offset, s.size) for s in image.sections if s.name == ".rodata"]
    # Without section headers (strip --strip-sections) constants lie in a read-only segment, or with the code.
    ranges = ranges or [(s.offset, s.file_size) for s in image.loads if not image.sections]
    with mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as data:
        return tuple(
            kind
            for kind in possible
            if any(
                data.find(text, start, start + min(size, MAX_TEXT_BYTES)) >= 0
                for start, size in ranges
                for text in kind.texts
            )
        )


def built_into(process: ProcessImage) -> list[BuiltIn]:
    """The allocators in the files that a process has mapped, those of the program itself first."""
    found = []
    for module in process.modules:
        with contextlib.suppress(OSError, ParseError, ValueError):  # mmap's, of an empty file
            found += _in_module(process, module)
    return found


def _in_module(process: ProcessImage, module: LoadedModule) -> list[BuiltIn]:
    name = os.path.basename(module.path.removesuffix(DELETED))
    with process.open(module) as stream:
        by_sign = built_in(stream, module.image, thorough=module is not process.modules[0])
        hidden = not exported_symbols(stream, {MALLOC})
    by_name = [kind for kind in kinds() if name.startswith((*kind.libraries, *kind.runtime_libraries))]
    return [BuiltIn(kind, module.path, hidden) for kind in dict.fromkeys((*by_sign, *by_name))]
