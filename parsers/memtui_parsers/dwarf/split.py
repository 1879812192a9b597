"""Reads split DWARF: DIEs in a .dwo file for each object, or all in one .dwp (DWARF 5, sections 3.1.2 and 7.3.5)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from memtui_parsers.dwarf.abbreviations import Tables
from memtui_parsers.dwarf.sections import DwarfSections
from memtui_parsers.dwarf.units import Unit, units
from memtui_parsers.elf.numbers import Order
from memtui_parsers.elf.sections import SectionReader, Slice
from memtui_parsers.errors import ParseError

# Opens the file that a skeleton unit names: (name, the compilation's directory, id). None when it is missing.
OpenSplit = Callable[[str, str | None, int], AbstractContextManager[DwarfSections | None]]

# The columns of a .dwp's index by section number: version 2 is GNU's, version 5 the standard's.
_COLUMNS = {
    2: {1: "info", 3: "abbreviations", 6: "string_offsets"},
    5: {1: "info", 3: "abbreviations", 6: "string_offsets", 8: "range_lists"},
}
MAX_INDEX_BYTES = 64 << 20


def split_unit(sections: DwarfSections, tables: Tables, split_id: int) -> Unit:
    """Return the unit with this id in a .dwo file's sections. Raises ParseError when the file is of another build."""
    order: Order = sections.order
    if sections.info is not None:
        for unit in units(sections.info, tables, order):
            if unit.split_id == split_id:
                return unit
    raise ParseError("it is of another build")


class Package:
    """A .dwp file, whose index tells the parts of its sections by unit. Raises ParseError for a damaged index."""

    def __init__(self, sections: DwarfSections, index: SectionReader) -> None:
        self._sections = sections
        data = index.read(0, MAX_INDEX_BYTES)
        order = "<" if sections.order == "little" else ">"
        try:
            # Version 5 has two bytes of version and two unused ones.
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
        """Return the sections that the .dwo file with this id had; None for an unknown id."""
        row = self._rows.get(split_id)
        if row is None:
            return None
        parts: dict[str, Any] = {}
        for column, name in enumerate(self._names):
            section = getattr(self._sections, name) if name else None
            if name and section is not None:
                place = (row - 1) * len(self._names) + column
                parts[name] = Slice(section, self._offsets[place], self._sizes[place])
        return replace(self._sections, **parts)
