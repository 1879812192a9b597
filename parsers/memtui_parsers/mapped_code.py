"""Whether a file can be the one of which a maps file shows the code: what can be told where no build-id is known."""

from __future__ import annotations

from collections.abc import Iterable

from memtui_parsers.elf_facts import ElfFacts
from memtui_parsers.maps import file_path
from memtui_parsers.values import Mapping

# In bytes. x86 has one size; on aarch64, ppc64 and others it is the kernel's choice.
PAGE_SIZE = 4096
OTHER_PAGE_SIZES = (PAGE_SIZE, 16384, 65536)


def code_ranges(mappings: Iterable[Mapping]) -> dict[str, tuple[int, int]]:
    """By path as the maps have it, from where to where in its file the executable mappings reach."""
    found: dict[str, tuple[int, int]] = {}
    for mapping in mappings:
        if mapping.executable and file_path(mapping):
            start, end = mapping.offset, mapping.offset + mapping.end - mapping.start
            low, high = found.get(mapping.path, (start, end))
            found[mapping.path] = min(low, start), max(high, end)
    return found


def may_be_mapped(mapped: tuple[int, int], facts: ElfFacts) -> bool:
    """Whether the file's code, in whole pages, reaches from and to where the range that code_ranges() found does.

    Loaders map a segment whole. What lies between is not compared: programs move their text to huge pages.
    """
    code = [segment for segment in facts.segments if segment.flags & 1 and segment.file_size]
    if not code:
        return False
    start = min(segment.file_offset for segment in code)
    end = max(segment.file_offset + segment.file_size for segment in code)
    pages = (PAGE_SIZE,) if facts.machine in ("x86-64", "i386") else OTHER_PAGE_SIZES
    return any(
        mapped[0] == start & -page and mapped[1] in (end + page - 1 & -page, _musl_end(facts, page)) for page in pages
    )


def _musl_end(facts: ElfFacts, page: int) -> int | None:
    """To where musl maps a library whose first segment is its code: all of it that way at first, then the others over it."""
    first, *others = sorted(facts.segments, key=lambda segment: segment.vaddr)
    if not (first.flags & 1 and others):
        return None
    return (first.file_offset & -page) + (others[0].vaddr & -page) - (first.vaddr & -page)
