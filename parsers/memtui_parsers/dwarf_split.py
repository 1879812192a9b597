"""Split DWARF: DIEs in a .dwo file beside each object, or all in one .dwp (DWARF 5, sections 3.1.2 and 7.3.5)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from memtui_parsers.dwarf_abbreviations import Tables
from memtui_parsers.dwarf_forms import Order
from memtui_parsers.dwarf_sections import DwarfSections
from memtui_parsers.dwarf_units import Unit, units
from memtui_parsers.elf_sections import SectionReader, Slice
from memtui_parsers.errors import ParseError

# What opens the file that a skeleton names: (its name, the compilation's directory, its id). None where it is not here.
OpenSplit = Callable[[str, str | None, int], AbstractContextManager[DwarfSections | None]]

# Columns of a .dwp's index by the section's number: version 2 is GNU's, version 5 the standard's.
_COLUMNS = {
    2: {1: "info", 3: "abbreviations", 6: "string_offsets"},
    5: {1: "info", 3: "abbreviations", 6: "string_offsets", 8: "range_lists"},
}
MAX_INDEX_BYTES = 64 << 20


def split_unit(sections: DwarfSections, tables: Tables, split_id: int) -> Unit:
    """The unit of this id in a .dwo file's sections. Raises ParseError when there is none: it is of another build."""
    order: Order = sections.order
    if sections.info is not None:
        for unit in units(sections.info, tables, order):
            if unit.split_id == split_id:
                return unit
    raise ParseError("it is of another build")


class Package:
    """A .dwp file: which parts of its sections are whose. Raises ParseError for an index that cannot be read."""

    def __init__(self, sections: DwarfSections, index: SectionReader) -> None:
        self._sections = sections
        data = index.read(0, MAX_INDEX_BYTES)
        order = "<" if sections.little_endian else ">"
        try:
            # Version 5 writes two bytes and leaves two empty.
            version = struct.unpack_from(order + "H", data)[0]
            columns, used, slots = struct.unpack_from(order + "4xIII", data)
            if version not in _COLUMNS or columns > 16 or slots > len(data):
                raise ParseError(f"an index of version {version}")
            ids = struct.unpack_from(f"{order}{slots}Q", data, 16)
            rows = struct.unpack_from(f"{order}{slots}I", data, 16 + 8 * slots)
            kinds = struct.unpack_from(f"{order}{columns}I", data, 16 + 12 * slots)
            tables_at = 16 + 12 * slots + 4 * columns
            count = used * columns
            self._offsets = struct.unpack_from(f"{order}{count}I", data, tables_at)
            self._sizes = struct.unpack_from(f"{order}{count}I", data, tables_at + 4 * count)
        except struct.error as error:
            raise ParseError("an index is cut short") from error
        self._names = [_COLUMNS[version].get(kind) for kind in kinds]
        self._rows = {split_id: row for split_id, row in zip(ids, rows, strict=True) if 0 < row <= used}

    def sections_of(self, split_id: int) -> DwarfSections | None:
        """What the .dwo file of this id would have had; None when it is not in here."""
        row = self._rows.get(split_id)
        if row is None:
            return None
        parts: dict[str, Any] = {}
        for column, name in enumerate(self._names):
            whole = getattr(self._sections, name) if name else None
            if name and whole is not None:
                place = (row - 1) * len(self._names) + column
                parts[name] = Slice(whole, self._offsets[place], self._sizes[place])
        return replace(self._sections, **parts)
