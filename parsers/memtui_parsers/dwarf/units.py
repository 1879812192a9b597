"""Reads the header and the first DIE of units in .debug_info: their lines, addresses, and places of their strings."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memtui_parsers.dwarf.abbreviations import DW_AT_HIGH_PC, DW_AT_LOW_PC, DW_AT_RANGES, Tables
from memtui_parsers.dwarf.forms import Encoding, StringAt, Value, read_form
from memtui_parsers.elf.numbers import Order, fixed, initial_length, uleb
from memtui_parsers.elf.sections import SectionReader
from memtui_parsers.errors import ParseError

DW_AT_STMT_LIST, DW_AT_COMP_DIR, DW_AT_PRODUCER = 0x10, 0x1B, 0x25
DW_AT_STR_OFFSETS_BASE, DW_AT_ADDR_BASE, DW_AT_RNGLISTS_BASE, DW_AT_DWO_NAME = 0x72, 0x73, 0x74, 0x76
DW_AT_GNU_DWO_NAME, DW_AT_GNU_DWO_ID, DW_AT_GNU_RANGES_BASE, DW_AT_GNU_ADDR_BASE = 0x2130, 0x2131, 0x2132, 0x2133
DW_UT_TYPE, DW_UT_SKELETON, DW_UT_SPLIT_COMPILE, DW_UT_SPLIT_TYPE = 2, 4, 5, 6

# The first DIE has some 100 bytes, and perhaps 10 kB of inline strings.
ROOT_BYTES = 16 * 1024
MAX_UNITS = 1 << 20

# An attribute's form and value.
Written = tuple[int, Value]


@dataclass(frozen=True, slots=True)
class Unit:
    """``offset`` and ``size`` are in .debug_info, ``children`` is the place in the unit after the first DIE.

    ``table`` is an offset in .debug_abbrev, ``lines`` one in .debug_line. ``directory``, ``producer`` and
    ``split_name`` are bytes when written inline. ``split_name`` is the .dwo file that contains the unit's DIEs,
    ``split_id`` its unit there.
    """

    offset: int
    size: int
    children: int
    encoding: Encoding
    table: int
    kind: int = 0
    lines: int | None = None
    directory: bytes | StringAt | None = None
    producer: bytes | StringAt | None = None
    low: Written | None = None
    high: Written | None = None
    ranges: Written | None = None
    address_base: int = 0
    ranges_base: int | None = None
    strings_base: int | None = None
    split_name: bytes | StringAt | None = None
    split_id: int | None = None

    def string(self, value: bytes | StringAt | None) -> bytes | StringAt | None:
        """Return ``value``, with an index turned into a place in .debug_str_offsets."""
        if not isinstance(value, StringAt) or value.section != ".debug_str_offsets":
            return value
        base = self.strings_base
        if base is None:
            # A .dwo file has one table, after its header; before version 5 it has no header.
            base = 0 if self.encoding.version < 5 else 8 if self.encoding.offset_bytes == 4 else 16
        size = self.encoding.offset_bytes
        return StringAt(value.section, base + value.place * size, size)


def units(info: SectionReader, tables: Tables, order: Order) -> Iterator[Unit]:
    """Yield every unit in order, without damaged ones, up to the first damaged length."""
    for offset, _ in unit_places(info, order):
        try:
            yield read_unit(info, tables, offset, order)
        except ParseError:
            continue


def unit_places(info: SectionReader, order: Order) -> Iterator[tuple[int, int]]:
    """Yield (offset, size) of every unit in order, up to the first damaged length."""
    at = 0
    for _ in range(MAX_UNITS):
        head = info.read(at, 12)
        if len(head) < 11:
            return
        try:
            length, _, after = initial_length(head, order)
        except ParseError:
            return
        yield at, after + length
        at += after + max(length, 1)


def read_unit(info: SectionReader, tables: Tables, offset: int, order: Order) -> Unit:
    """Read the unit at ``offset``. Raises ParseError."""
    data = info.read(offset, ROOT_BYTES)
    length, offset_bytes, at = initial_length(data, order)
    size = at + length
    data = data[:size]
    version, at = fixed(data, at, 2, order)
    if not 2 <= version <= 5:
        raise ParseError(f"DWARF {version}")
    kind = 0
    split_id: int | None = None
    if version >= 5:
        kind, at = fixed(data, at, 1, order)
        address_bytes, at = fixed(data, at, 1, order)
        table, at = fixed(data, at, offset_bytes, order)
        if kind in (DW_UT_SKELETON, DW_UT_SPLIT_COMPILE):
            split_id, at = fixed(data, at, 8, order)
        at += 8 + offset_bytes if kind in (DW_UT_TYPE, DW_UT_SPLIT_TYPE) else 0
    else:
        table, at = fixed(data, at, offset_bytes, order)
        address_bytes, at = fixed(data, at, 1, order)
    if address_bytes not in (4, 8):
        raise ParseError(f"addresses of {address_bytes} bytes")
    encoding = Encoding(order, offset_bytes, address_bytes, version)
    code, at = uleb(data, at)
    attributes: dict[int, Written] = {}
    for name, form, constant in tables.root(table, encoding, code).attributes:
        value, at = read_form(form, data, at, encoding, constant)
        attributes.setdefault(name, (form, value))
    if split_id is None:
        split_id = _number(attributes, DW_AT_GNU_DWO_ID)
    return Unit(
        offset=offset,
        size=size,
        children=at,
        encoding=encoding,
        table=table,
        kind=kind,
        lines=_number(attributes, DW_AT_STMT_LIST),
        directory=_text(attributes, DW_AT_COMP_DIR),
        producer=_text(attributes, DW_AT_PRODUCER),
        low=attributes.get(DW_AT_LOW_PC),
        high=attributes.get(DW_AT_HIGH_PC),
        ranges=attributes.get(DW_AT_RANGES),
        address_base=_number(attributes, DW_AT_ADDR_BASE, DW_AT_GNU_ADDR_BASE) or 0,
        ranges_base=_number(attributes, DW_AT_RNGLISTS_BASE, DW_AT_GNU_RANGES_BASE),
        strings_base=_number(attributes, DW_AT_STR_OFFSETS_BASE),
        split_name=_text(attributes, DW_AT_DWO_NAME, DW_AT_GNU_DWO_NAME),
        split_id=split_id,
    )


def _number(attributes: dict[int, Written], *names: int) -> int | None:
    return next((value for name in names if isinstance(value := attributes.get(name, (0, None))[1], int)), None)


def _text(attributes: dict[int, Written], *names: int) -> bytes | StringAt | None:
    return next(
        (value for name in names if isinstance(value := attributes.get(name, (0, None))[1], bytes | StringAt)), None
    )


def units_over(aranges: SectionReader, wanted: Sequence[int], order: Order) -> dict[int, list[int]]:
    """Return the addresses in ``wanted`` (ascending) by unit (offset in .debug_info), as .debug_aranges tells.

    The first unit that claims an address has it. Compilers may omit the section, or units in it, so the other addresses
    must be looked for elsewhere.
    """
    addresses_by_unit: dict[int, list[int]] = {}
    claimed: set[int] = set()
    at = 0
    for _ in range(MAX_UNITS):
        head = aranges.read(at, 12)
        if len(head) < 12:
            break
        try:
            length, _, after = initial_length(head, order)
            if length > aranges.size - at:
                break
            unit, over = _set_over(aranges.read(at, after + length), wanted, order)
        except ParseError:
            break
        if over := over - claimed:
            claimed |= over
            addresses_by_unit[unit] = sorted(over.union(addresses_by_unit.get(unit, ())))
        at += after + length
    return addresses_by_unit


def _set_over(body: bytes, wanted: Sequence[int], order: Order) -> tuple[int, set[int]]:
    _, offset_bytes, at = initial_length(body, order)
    version, at = fixed(body, at, 2, order)
    unit, at = fixed(body, at, offset_bytes, order)
    address_bytes, at = fixed(body, at, 1, order)
    if version != 2 or address_bytes not in (4, 8):
        return unit, set()
    at += 1  # the size of a segment selector
    at += -at % (2 * address_bytes)
    pair = struct.Struct(("<" if order == "little" else ">") + ("QQ" if address_bytes == 8 else "II"))
    tuples = body[at : len(body) - (len(body) - at) % pair.size]
    over: set[int] = set()
    count = len(wanted)
    for start, size in pair.iter_unpack(tuples):
        place = bisect_left(wanted, start)
        if place < count and wanted[place] < start + size:
            over.update(wanted[place : bisect_left(wanted, start + size, place)])
    return unit, over
