"""The strings of DWARF, most of which stand elsewhere: in .debug_str, .debug_line_str, or the file that dwz shared them into."""

from __future__ import annotations

from collections.abc import Iterable

from memtui_parsers.dwarf_forms import ALTERNATE_STRINGS, Order, StringAt
from memtui_parsers.dwarf_sections import DwarfSections
from memtui_parsers.elf_sections import SectionReader, read_string

# What is kept of strings that were read; the linkage names of 10,000 inlined functions are some MB.
MAX_KEPT_CHARS = 16 << 20

# Strings that lie closer together than this are read in blocks.
NEAR_BYTES = 8 * 1024
BLOCK_BYTES = 128 * 1024

Text = bytes | StringAt


class Strings:
    """Of one file. ``alternate`` is the file that dwz moved shared strings to, where that is here."""

    def __init__(self, sections: DwarfSections, alternate: DwarfSections | None = None) -> None:
        self._order: Order = sections.order
        self._offsets = sections.string_offsets
        self._sections: dict[str, SectionReader | None] = {
            ".debug_str": sections.strings,
            ".debug_line_str": sections.line_strings,
            ALTERNATE_STRINGS: alternate.strings if alternate else None,
        }
        self._kept: dict[StringAt, str | None] = {}
        self._kept_chars = 0

    def texts(self, values: Iterable[Text]) -> dict[Text, str | None]:
        """None for strings that are not there.

        Read in ascending order, as a compressed section wants it. Raises ParseError for damaged sections.
        """
        if self._kept_chars > MAX_KEPT_CHARS:
            self._kept.clear()
            self._kept_chars = 0
        found: dict[Text, str | None] = {}
        places: dict[StringAt, StringAt | None] = {}
        for value in set(values):
            if isinstance(value, bytes):
                found[value] = value.decode("utf-8", "surrogateescape")
            else:
                places[value] = value
        for value in sorted((v for v in places if v.section == ".debug_str_offsets"), key=_place):
            places[value] = self._indexed(value)
        self._read_all(sorted({p for p in places.values() if p is not None and p not in self._kept}))
        for value, found_at in places.items():
            found[value] = None if found_at is None else self._kept[found_at]
        return found

    def text(self, value: Text | None) -> str | None:
        """One of them."""
        return None if value is None else self.texts((value,))[value]

    def at(self, place: StringAt) -> str | None:
        """One that stands in a section of strings."""
        try:
            return self._kept[place]
        except KeyError:
            text = self._kept[place] = read_string(self._sections.get(place.section), place.place)
            self._kept_chars += len(text or "")
            return text

    def _read_all(self, places: list[StringAt]) -> None:
        """Keep the strings at ``places`` (ascending); those of a section that are near each other are read together."""
        for section, reader in self._sections.items():
            here = [place for place in places if place.section == section]
            near = len(here) > 1 and here[-1].place - here[0].place < len(here) * NEAR_BYTES
            block, start = b"", 0
            for place in here:
                at = place.place - start
                end = block.find(b"\0", at) if 0 <= at < len(block) else -1
                if end < 0 and near and reader is not None:
                    block, start, at = reader.read(place.place, BLOCK_BYTES), place.place, 0
                    end = block.find(b"\0")
                if end < 0:
                    self.at(place)
                else:
                    self._kept[place] = block[at:end].decode("utf-8", "surrogateescape")
                    self._kept_chars += end - at

    def _indexed(self, value: StringAt) -> StringAt | None:
        if self._offsets is None:
            return None
        data = self._offsets.read(value.place, value.entry_bytes)
        return StringAt(".debug_str", int.from_bytes(data, self._order)) if len(data) == value.entry_bytes else None


def _place(value: StringAt) -> tuple[str, int]:
    return value.section, value.place
