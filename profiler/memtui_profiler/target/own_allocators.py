"""The allocators that a program has in its own file: one in the place of malloc, and heaps beside it."""

from __future__ import annotations

from collections.abc import Sequence, Set

from memtui_parsers.elf.facts import ElfFacts
from memtui_parsers.elf.image import read_image
from memtui_parsers.errors import ParseError
from memtui_profiler.allocators import kinds
from memtui_profiler.allocators.kind import AllocatorKind
from memtui_profiler.allocators.signs import MALLOC, built_in
from memtui_profiler.target.libraries import Loaded


def present_in(binary: str) -> tuple[AllocatorKind, ...]:
    """The allocators in the program's own file."""
    try:
        with open(binary, "rb") as stream:
            return built_in(stream, read_image(stream))
    except (OSError, ParseError, ValueError):  # mmap's, of an empty file
        return ()


def own_malloc(symbols: Set[str], facts: ElfFacts, present: Sequence[AllocatorKind]) -> str:
    """The name of the malloc that the program itself defines, and so gets before any library's; '' when there is none.

    A static program always has one; it is named only where it is known.
    """
    if facts.is_static:
        return next((kind.name for kind in present if not kind.beside_malloc), "")
    name = next((kind.name for kind in present if not (kind.is_runtime or kind.of_libc)), "a malloc of its own")
    return name if MALLOC in symbols else ""


def own_heap(
    symbols: Set[str], facts: ElfFacts, present: Sequence[AllocatorKind], loaded: Loaded
) -> AllocatorKind | None:
    """The heap that the program has under other names than malloc; None: all its memory comes from malloc, or mmap."""
    for kind in present:
        if kind.is_runtime or not (kind.of_libc or facts.is_static or MALLOC in symbols):
            return kind
    names = [library.name for library in loaded.needed]
    runtimes = (kind for kind in kinds() if kind.beside_malloc)
    return next((kind for kind in runtimes if any(name.startswith(kind.runtime_libraries) for name in names)), None)
