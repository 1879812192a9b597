"""The sections that functions and lines are read from, of one file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import BinaryIO

from memtui_parsers.dwarf_forms import Order
from memtui_parsers.elf_image import ElfImage
from memtui_parsers.elf_sections import SectionReader, open_section


@dataclass(frozen=True, slots=True)
class DwarfSections:
    """None: the file has no such section. ``little_endian`` is the ELF file's, ``address_bytes`` too (4 or 8)."""

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
    little_endian: bool = True
    address_bytes: int = 8

    @property
    def order(self) -> Order:
        return "little" if self.little_endian else "big"

    @property
    def seekable(self) -> bool:
        """Whether going back costs nothing: no section has to be decompressed anew for it."""
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

# These are read back and forth; lines and DIEs, the large ones, in ascending order.
HELD = frozenset({"abbreviations", "strings", "line_strings", "string_offsets", "addresses", "ranges", "range_lists"})
MAX_HELD_BYTES = 32 << 20


def open_dwarf(stream: BinaryIO, image: ElfImage, *, split: bool = False) -> DwarfSections | None:
    """None where there is neither .debug_line nor .debug_info. ``split``: of a .dwo or .dwp file, whose names end in .dwo.

    Raises ParseError for sections whose compression cannot be read.
    """
    suffix = ".dwo" if split else ""
    found = {
        field: open_section(stream, image, name + suffix, hold=MAX_HELD_BYTES if field in HELD else 0)
        for field, name in NAMES.items()
    }
    if found["line"] is None and found["info"] is None:
        return None
    return DwarfSections(**found, little_endian=image.little_endian, address_bytes=image.bits // 8)
