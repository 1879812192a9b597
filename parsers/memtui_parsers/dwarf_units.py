"""What a compilation unit says of itself in .debug_info: its line program and its directory. No other DIE is read."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from memtui_parsers.dwarf_forms import (
    IMPLICIT_CONST,
    Encoding,
    Order,
    StringAt,
    fixed,
    initial_length,
    read_form,
    sleb,
    uleb,
)
from memtui_parsers.elf_sections import SectionReader
from memtui_parsers.errors import ParseError

DW_AT_STMT_LIST, DW_AT_COMP_DIR, DW_AT_STR_OFFSETS_BASE = 0x10, 0x1B, 0x72
DW_UT_TYPE, DW_UT_SKELETON, DW_UT_SPLIT_COMPILE, DW_UT_SPLIT_TYPE = 2, 4, 5, 6

# A root DIE is some 100 bytes, its strings inline perhaps 10 kB; its abbreviation is the first of its table.
ROOT_BYTES = 16 * 1024
ABBREVIATION_BYTES = 4 * 1024
MAX_UNITS = 1 << 20


@dataclass(frozen=True, slots=True)
class Unit:
    """``offset`` in .debug_info; ``lines`` its program's offset in .debug_line; ``directory`` b'...' when written inline."""

    offset: int
    lines: int | None
    directory: bytes | StringAt | None
    offset_bytes: int


def units(info: SectionReader, abbreviations: SectionReader, order: Order) -> Iterator[Unit]:
    """Every unit, in order. A unit that cannot be read is passed over; ends where the chain of lengths breaks."""
    at = 0
    for _ in range(MAX_UNITS):
        head = info.read(at, 12)
        if len(head) < 11:
            return
        try:
            length, _, after = initial_length(head, 0, order)
        except ParseError:
            return
        yield from units_at(info, abbreviations, (at,), order)
        at += after + max(length, 1)


def units_at(
    info: SectionReader, abbreviations: SectionReader, offsets: Collection[int], order: Order
) -> Iterator[Unit]:
    """The units at these offsets of .debug_info, ascending."""
    for offset in sorted(offsets):
        try:
            yield read_unit(info, abbreviations, offset, order)
        except ParseError:
            continue


def read_unit(info: SectionReader, abbreviations: SectionReader, offset: int, order: Order) -> Unit:
    """The root DIE's attributes that lead to lines. Raises ParseError."""
    data = info.read(offset, ROOT_BYTES)
    length, offset_bytes, at = initial_length(data, 0, order)
    data = data[: at + length]
    version, at = fixed(data, at, 2, order)
    if version >= 5:
        kind, at = fixed(data, at, 1, order)
        address_bytes, at = fixed(data, at, 1, order)
        table, at = fixed(data, at, offset_bytes, order)
        at += 8 if kind in (DW_UT_SKELETON, DW_UT_SPLIT_COMPILE) else 0
        at += 8 + offset_bytes if kind in (DW_UT_TYPE, DW_UT_SPLIT_TYPE) else 0
    else:
        table, at = fixed(data, at, offset_bytes, order)
        address_bytes, at = fixed(data, at, 1, order)
    if not 2 <= version <= 5:
        raise ParseError(f"DWARF {version}")
    encoding = Encoding(order, offset_bytes, address_bytes, version)
    code, at = uleb(data, at)
    lines: int | None = None
    strings_base = 0
    directory: bytes | StringAt | None = None
    for attribute, form, constant in _abbreviation(abbreviations.read(table, ABBREVIATION_BYTES), code):
        value, at = read_form(form, data, at, encoding, constant)
        if attribute == DW_AT_STMT_LIST and isinstance(value, int):
            lines = value
        elif attribute == DW_AT_STR_OFFSETS_BASE and isinstance(value, int):
            strings_base = value
        elif attribute == DW_AT_COMP_DIR and isinstance(value, bytes | StringAt):
            directory = value
    if isinstance(directory, StringAt) and directory.section == ".debug_str_offsets":
        directory = StringAt(directory.section, strings_base + directory.place * offset_bytes)
    return Unit(offset, lines, directory, offset_bytes)


def _abbreviation(data: bytes, code: int) -> Iterator[tuple[int, int, int]]:
    """(attribute, form, implicit constant) of one abbreviation. Raises ParseError when the table does not hold it."""
    at = 0
    while True:
        here, at = uleb(data, at)
        if here == 0:
            raise ParseError("an abbreviation is missing")
        _, at = uleb(data, at)  # tag
        at += 1  # whether it has children
        while True:
            attribute, at = uleb(data, at)
            form, at = uleb(data, at)
            constant = 0
            if form == IMPLICIT_CONST:
                constant, at = sleb(data, at)
            if attribute == 0 and form == 0:
                break
            if here == code:
                yield attribute, form, constant
        if here == code:
            return


def units_over(aranges: SectionReader, wanted: Sequence[int], order: Order) -> set[int]:
    """Offsets in .debug_info of the units that .debug_aranges says hold one of the addresses in ``wanted`` (ascending).

    Compilers may leave the section out, or units out of it, so what it does not name has to be looked for elsewhere.
    """
    found: set[int] = set()
    at = 0
    for _ in range(MAX_UNITS):
        head = aranges.read(at, 12)
        if len(head) < 12:
            break
        try:
            length, _, after = initial_length(head, 0, order)
            if length > aranges.size - at:
                break
            body = aranges.read(at, after + length)
            found |= _set_over(body, wanted, order)
        except ParseError:
            break
        at += after + length
    return found


def _set_over(body: bytes, wanted: Sequence[int], order: Order) -> set[int]:
    _, offset_bytes, at = initial_length(body, 0, order)
    version, at = fixed(body, at, 2, order)
    unit, at = fixed(body, at, offset_bytes, order)
    address_bytes, at = fixed(body, at, 1, order)
    if version != 2 or address_bytes not in (4, 8):
        return set()
    at += 1  # the size of a segment selector
    at += -at % (2 * address_bytes)
    pair = struct.Struct(("<" if order == "little" else ">") + ("QQ" if address_bytes == 8 else "II"))
    tuples = body[at : len(body) - (len(body) - at) % pair.size]
    count = len(wanted)
    for start, size in pair.iter_unpack(tuples):
        place = bisect_left(wanted, start)
        if place < count and wanted[place] < start + size:
            return {unit}
    return set()


def string_offset(offsets: SectionReader | None, place: int, offset_bytes: int, order: Order) -> int | None:
    """What .debug_str_offsets holds at ``place``: an offset in .debug_str."""
    if offsets is None:
        return None
    data = offsets.read(place, offset_bytes)
    return int.from_bytes(data, order) if len(data) == offset_bytes else None
