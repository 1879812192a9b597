"""Opens the sections of one file from which functions and lines are read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import BinaryIO

from memtui_parsers.elf.image import ElfImage
from memtui_parsers.elf.numbers import Order
from memtui_parsers.elf.sections import SectionReader, open_section


@dataclass(frozen=True, slots=True)
class DwarfSections:
    """The sections of a file, None for a missing one. Byte order and ``address_bytes`` (4 or 8) are the ELF file's."""

    line: SectionReader | None = None
    info: SectionReader | None = None
    abbreviations: SectionReader | None = None
    aranges: SectionReader | None = None
    strings: SectionReader | None = None
    line_strings: SectionReader | None = None
    string_offsets: SectionReader | None = None
    addresses: SectionReader | None = None
    ranges: SectionReader | None = None
    range_lists: SectionReader | None = None
    order: Order = "little"
    address_bytes: int = 8

    @property
    def seekable(self) -> bool:
        """Whether going back in a section costs nothing, as none of them has to be decompressed again."""
        return all(getattr(reader, "seekable", True) for reader in (getattr(self, f.name) for f in fields(self)))


NAMES = {
    "line": ".debug_line",
    "info": ".debug_info",
    "abbreviations": ".debug_abbrev",
    "aranges": ".debug_aranges",
    "strings": ".debug_str",
    "line_strings": ".debug_line_str",
    "string_offsets": ".debug_str_offsets",
    "addresses": ".debug_addr",
    "ranges": ".debug_ranges",
    "range_lists": ".debug_rnglists",
}

# These are read back and forth, so they are decompressed into memory; lines and DIEs are read in ascending order.
IN_MEMORY = frozenset(
    {"abbreviations", "strings", "line_strings", "string_offsets", "addresses", "ranges", "range_lists"}
)
MAX_IN_MEMORY_BYTES = 32 << 20


def open_dwarf(stream: BinaryIO, image: ElfImage, *, split: bool = False) -> DwarfSections | None:
    """Open a file's sections; None where there is neither .debug_line nor .debug_info.

    ``split``: the file is a .dwo or .dwp file, whose section names end in .dwo. Raises ParseError for an unknown
    compression.
    """
    suffix = ".dwo" if split else ""
    readers = {
        field: open_section(stream, image, name + suffix, in_memory=MAX_IN_MEMORY_BYTES if field in IN_MEMORY else 0)
        for field, name in NAMES.items()
    }
    if readers["line"] is None and readers["info"] is None:
        return None
    return DwarfSections(**readers, order="little" if image.little_endian else "big", address_bytes=image.bits // 8)
