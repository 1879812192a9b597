"""Finds the linkage name of a function's DIE: its own, or that of its abstract origin or declaration, in any unit."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Collection
from typing import NamedTuple

from memtui_parsers.dwarf.abbreviations import DW_AT_ABSTRACT_ORIGIN, Layout, Table, Tables, fixed_fields
from memtui_parsers.dwarf.forms import ALTERNATE_STRINGS, REF4, STRP, Encoding, StringAt, read_form
from memtui_parsers.dwarf.scopes import ALTERNATE, NO_ORIGIN, reference
from memtui_parsers.dwarf.sections import DwarfSections
from memtui_parsers.dwarf.strings import Text
from memtui_parsers.dwarf.units import Unit, Written, read_unit, unit_places
from memtui_parsers.elf.numbers import Order, uleb
from memtui_parsers.errors import ParseError

DW_AT_NAME, DW_AT_SPECIFICATION, DW_AT_LINKAGE_NAME, DW_AT_MIPS_LINKAGE_NAME = 0x03, 0x47, 0x6E, 0x2007
_REFERENCES = (DW_AT_SPECIFICATION, DW_AT_ABSTRACT_ORIGIN)
_FIXED_FORMS = {
    DW_AT_NAME: frozenset({STRP}),
    DW_AT_LINKAGE_NAME: frozenset({STRP}),
    DW_AT_MIPS_LINKAGE_NAME: frozenset({STRP}),
    DW_AT_SPECIFICATION: frozenset({REF4}),
    DW_AT_ABSTRACT_ORIGIN: frozenset({REF4}),
}
# An inlined call has an origin, which has a declaration; a longer chain is a circle.
MAX_HOPS = 16
MAX_KEPT_UNITS = 4096
# A function's DIE has some 50 bytes; it may contain a name of 16 kB.
DIE_BYTES = 256
MAX_DIE_BYTES = 64 * 1024


class _Step(NamedTuple):
    """The linkage name and plain name of one DIE, and the DIE that it refers to (an offset as in Scope.die)."""

    linkage_name: Text | None
    name: Text | None
    onward: int


class _NameFields(NamedTuple):
    """Unpacks names and reference of DIEs with fixed places. The index of each in the result is None if missing."""

    unpack: Callable[[bytes, int], tuple[int, ...]]
    linkage_name: int | None
    name: int | None
    onward: int | None

    @classmethod
    def of(cls, layout: Layout, encoding: Encoding) -> _NameFields | None:
        unpacking = fixed_fields(layout.attributes, encoding, _FIXED_FORMS)
        if unpacking is None:
            return None
        unpacker, fields = unpacking
        indices = {name: index for name, (index, _) in fields.items()}
        linkage_name = indices.get(DW_AT_LINKAGE_NAME, indices.get(DW_AT_MIPS_LINKAGE_NAME))
        onward = indices.get(DW_AT_ABSTRACT_ORIGIN, indices.get(DW_AT_SPECIFICATION))
        return cls(unpacker.unpack_from, linkage_name, indices.get(DW_AT_NAME), onward)


class Trail(NamedTuple):
    """The state of a search that goes on in another unit: the next DIE, and the first plain name that was met."""

    onward: int
    name: Text | None
    hops: int


class Names:
    """The names of one file's DIEs. ``missing_alternate``: some are in a file of dwz's that is missing."""

    def __init__(self, sections: DwarfSections, tables: Tables, alternate: DwarfSections | None = None) -> None:
        self.missing_alternate = False
        self._order: Order = sections.order
        self._sections = sections
        self._tables = tables
        self._alternate = Names(alternate, Tables(alternate)) if alternate else None
        self._places: list[tuple[int, int]] | None = None
        self._units: dict[int, Unit] = {}
        self._name_fields: dict[Layout, _NameFields | None] = {}

    def in_unit(
        self, dies: Collection[int], unit: Unit, table: Table, data: bytes
    ) -> tuple[dict[int, Text | None], dict[int, Trail]]:
        """Return the names within ``unit``, of which ``data`` is all, and the trails that are left to finish().

        Offsets are as in Scope.die. A damaged DIE has no name.
        """
        names: dict[int, Text | None] = {}
        trails: dict[int, Trail] = {}
        start, end = unit.offset, unit.offset + len(data)
        short, name_fields = table.short, self._name_fields
        for die in dies:
            onward = die
            name = linkage_name = None
            hops = 0
            while start <= onward < end and linkage_name is None and hops < MAX_HOPS:
                try:
                    at = onward - start
                    layout = short[data[at]] if data[at] < 128 else None
                    fields = name_fields.get(layout) if layout is not None else None
                    if fields is None or fields.linkage_name is not None or fields.name is not None:
                        linkage_name, plain, onward = self._step(data, at, unit, table)
                    else:
                        # Most DIEs on the way have a reference only.
                        plain, values = None, fields.unpack(data, at + 1)
                        onward = NO_ORIGIN if fields.onward is None else start + values[fields.onward]
                except (ParseError, IndexError, struct.error):
                    onward = NO_ORIGIN
                    break
                name = name or plain
                hops += 1
            if linkage_name is not None or onward == NO_ORIGIN or hops == MAX_HOPS:
                names[die] = linkage_name or name
            else:
                trails[die] = Trail(onward, name, hops)
        return names, trails

    def finish(self, trails: dict[int, Trail]) -> dict[int, Text | None]:
        """Return the names of DIEs that refer to other units, which are read in ascending order."""
        names: dict[int, Text | None] = {}
        left = dict(trails)
        while left:
            # Many refer to the same DIE.
            steps = self._steps({trail.onward for trail in left.values()})
            ahead: dict[int, Trail] = {}
            for die, trail in left.items():
                step = steps.get(trail.onward)
                name = trail.name or (step.name if step else None)
                if step is None or step.linkage_name or step.onward == NO_ORIGIN or trail.hops > MAX_HOPS:
                    names[die] = (step.linkage_name if step else None) or name
                else:
                    ahead[die] = Trail(step.onward, name, trail.hops + 1)
            left = ahead
        return names

    def _steps(self, places: Collection[int]) -> dict[int, _Step]:
        steps: dict[int, _Step] = {}
        elsewhere = {place - ALTERNATE for place in places if place >= ALTERNATE}
        if elsewhere and self._alternate is None:
            self.missing_alternate = True
        elif elsewhere and self._alternate is not None:
            for place, step in self._alternate._steps(elsewhere).items():
                onward = step.onward if step.onward == NO_ORIGIN else step.onward + ALTERNATE
                steps[place + ALTERNATE] = _Step(_moved(step.linkage_name), _moved(step.name), onward)
        for place in sorted(place for place in places if 0 <= place < ALTERNATE):
            try:
                steps[place] = self._step_at(place)
            except (ParseError, IndexError, struct.error):
                continue
        return steps

    def _step_at(self, place: int) -> _Step:
        unit = self._unit_of(place)
        table = self._tables.at(unit.table, unit.encoding)
        assert self._sections.info is not None
        left = unit.offset + unit.size - place
        try:
            return self._step(self._sections.info.read(place, min(DIE_BYTES, left)), 0, unit, table)
        except (ParseError, IndexError, struct.error):
            return self._step(self._sections.info.read(place, min(MAX_DIE_BYTES, left)), 0, unit, table)

    def _unit_of(self, place: int) -> Unit:
        info = self._sections.info
        if info is None:
            raise ParseError("a unit is missing")
        if self._places is None:
            self._places = list(unit_places(info, self._order))
        index = bisect_right(self._places, (place, 1 << 80)) - 1
        if index < 0 or place >= sum(self._places[index]):
            raise ParseError("a unit is missing")
        offset = self._places[index][0]
        unit = self._units.get(offset)
        if unit is None:
            if len(self._units) > MAX_KEPT_UNITS:
                self._units.clear()
            unit = self._units[offset] = read_unit(info, self._tables, offset, self._order)
        return unit

    def _step(self, data: bytes, at: int, unit: Unit, table: Table) -> _Step:
        code, at = uleb(data, at)
        layout = table.layout(code)
        try:
            fields = self._name_fields[layout]
        except KeyError:
            fields = self._name_fields[layout] = _NameFields.of(layout, unit.encoding)
        if fields is None:
            return self._step_written(layout, data, at, unit)
        values = fields.unpack(data, at)
        return _Step(
            None if fields.linkage_name is None else StringAt(".debug_str", values[fields.linkage_name]),
            None if fields.name is None else StringAt(".debug_str", values[fields.name]),
            NO_ORIGIN if fields.onward is None else unit.offset + values[fields.onward],
        )

    def _step_written(self, layout: Layout, data: bytes, at: int, unit: Unit) -> _Step:
        attributes: dict[int, Written] = {}
        for name, form, constant in layout.attributes:
            value, at = read_form(form, data, at, unit.encoding, constant)
            if name in _FIXED_FORMS:
                attributes[name] = (form, value)
        onward = NO_ORIGIN
        for attribute in _REFERENCES:
            if attribute in attributes:
                onward = reference(attributes[attribute], unit.offset)
        linkage_name = _text(attributes.get(DW_AT_LINKAGE_NAME) or attributes.get(DW_AT_MIPS_LINKAGE_NAME), unit)
        return _Step(linkage_name, _text(attributes.get(DW_AT_NAME), unit), onward)


def _text(written: Written | None, unit: Unit) -> Text | None:
    value = written[1] if written else None
    return unit.string(value) if isinstance(value, bytes | StringAt) else None


def _moved(value: Text | None) -> Text | None:
    """Mark a string as one of the file into which dwz moved DIEs."""
    return StringAt(ALTERNATE_STRINGS, value.place) if isinstance(value, StringAt) else value
