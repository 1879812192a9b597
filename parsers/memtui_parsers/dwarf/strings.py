"""Reads the strings of DWARF: in .debug_str, .debug_line_str, or the file into which dwz moved shared strings."""

from __future__ import annotations

from collections.abc import Iterable

from memtui_parsers.dwarf.forms import ALTERNATE_STRINGS, StringAt
from memtui_parsers.dwarf.sections import DwarfSections
from memtui_parsers.elf.numbers import Order
from memtui_parsers.elf.sections import SectionReader, read_string

# The limit on strings that are kept; the linkage names of 10,000 inlined functions are some MB.
MAX_KEPT_CHARS = 16 << 20

# Strings that are closer together than this are read in blocks.
NEAR_BYTES = 8 * 1024
BLOCK_BYTES = 128 * 1024

Text = bytes | StringAt


class Strings:
    """The strings of one file. ``alternate`` is the file into which dwz moved shared strings, if there is one."""

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
        """Return the texts of ``values``, None for missing strings. Raises ParseError for damaged sections.

        They are read in ascending order, which is fastest in a compressed section.
        """
        if self._kept_chars > MAX_KEPT_CHARS:
            self._kept.clear()
            self._kept_chars = 0
        texts: dict[Text, str | None] = {}
        places: dict[StringAt, StringAt | None] = {}
        for value in set(values):
            if isinstance(value, bytes):
                texts[value] = value.decode("utf-8", "surrogateescape")
            else:
                places[value] = value
        for value in sorted(v for v in places if v.section == ".debug_str_offsets"):
            places[value] = self._indexed(value)
        self._read_all(sorted({p for p in places.values() if p is not None and p not in self._kept}))
        for value, place in places.items():
            texts[value] = None if place is None else self._kept[place]
        return texts

    def text(self, value: Text | None) -> str | None:
        """Return the text of one value."""
        return None if value is None else self.texts((value,))[value]

    def at(self, place: StringAt) -> str | None:
        """Return the string at a place of a section of strings."""
        try:
            return self._kept[place]
        except KeyError:
            text = self._kept[place] = read_string(self._sections.get(place.section), place.place)
            self._kept_chars += len(text or "")
            return text

    def _read_all(self, places: list[StringAt]) -> None:
        """Read and keep the strings at ``places`` (ascending); those near each other in a section are read together."""
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
