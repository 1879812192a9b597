"""Reads attribute values by their forms (DWARF 5, section 7.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from memtui_parsers.elf.numbers import Order, fixed, sleb, text, uleb
from memtui_parsers.errors import ParseError

# Forms of fixed width.
_FIXED = {
    0x0B: 1, 0x05: 2, 0x06: 4, 0x07: 8, 0x1E: 16,  # data1, 2, 4, 8, 16
    0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8, 0x0C: 1,  # ref1, 2, 4, 8, flag
    0x20: 8, 0x1C: 4, 0x24: 8,  # ref_sig8, ref_sup4, ref_sup8
    0x29: 1, 0x2A: 2, 0x2B: 3, 0x2C: 4,  # addrx1 to addrx4
}  # fmt: skip
_STRX_FIXED = {0x25: 1, 0x26: 2, 0x27: 3, 0x28: 4}
_BLOCKS = {0x0A: 1, 0x03: 2, 0x04: 4}
_ULEB = frozenset({0x0F, 0x15, 0x1B, 0x22, 0x23, 0x1F01})  # udata, ref_udata, addrx, loclistx, rnglistx, GNU_addr_index
_STRX = frozenset({0x1A, 0x1F02})  # strx, GNU_str_index
STRING, STRP, LINE_STRP, SDATA, ADDR, BLOCK, EXPRLOC = 0x08, 0x0E, 0x1F, 0x0D, 0x01, 0x09, 0x18
SEC_OFFSET, REF_ADDR, STRP_SUP, GNU_REF_ALT, GNU_STRP_ALT = 0x17, 0x10, 0x1D, 0x1F20, 0x1F21
INDIRECT, FLAG_PRESENT, IMPLICIT_CONST = 0x16, 0x19, 0x21
DATA1, DATA2, DATA4, DATA8, REF4, RNGLISTX = 0x0B, 0x05, 0x06, 0x07, 0x13, 0x23
_OFFSETS = frozenset({STRP, LINE_STRP, SEC_OFFSET, STRP_SUP, GNU_REF_ALT, GNU_STRP_ALT})
# Indices of .debug_addr.
ADDRESS_INDICES = frozenset({0x1B, 0x1F01, 0x29, 0x2A, 0x2B, 0x2C})
# References to a DIE of the same unit, and to one of the file into which dwz moved shared DIEs.
UNIT_REFERENCES = frozenset({0x11, 0x12, REF4, 0x14, 0x15})
ALTERNATE_REFERENCES = frozenset({GNU_REF_ALT, 0x1C, 0x24})
# The section of a StringAt in the .debug_str of that file.
ALTERNATE_STRINGS = "alternate .debug_str"


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a unit is encoded: byte order, bytes in an offset (4 or 8) and in an address, DWARF version."""

    order: Order
    offset_bytes: int
    address_bytes: int
    version: int


class StringAt(NamedTuple):
    """The place of a string in .debug_str or .debug_line_str, or an index of .debug_str_offsets.

    Unit.string() turns such an index into the place of an entry of ``entry_bytes``.
    """

    section: str
    place: int
    entry_bytes: int = 4


Value = int | bytes | StringAt | None

_STRING_SECTIONS = {
    STRP: ".debug_str",
    LINE_STRP: ".debug_line_str",
    STRP_SUP: ALTERNATE_STRINGS,
    GNU_STRP_ALT: ALTERNATE_STRINGS,
    **dict.fromkeys(_STRX_FIXED, ".debug_str_offsets"),
}


def fixed_size(form: int, encoding: Encoding) -> int | None:
    """Return the bytes of each value of this form; None when they vary, or the form is unknown."""
    if form in _FIXED:
        return _FIXED[form]
    if form in _OFFSETS:
        return encoding.offset_bytes
    if form in _STRX_FIXED:
        return _STRX_FIXED[form]
    if form == ADDR:
        return encoding.address_bytes
    if form == REF_ADDR:
        # In DWARF 2 it has the width of an address.
        return encoding.address_bytes if encoding.version == 2 else encoding.offset_bytes
    return 0 if form in (FLAG_PRESENT, IMPLICIT_CONST) else None


def read_form(form: int, data: bytes, at: int, encoding: Encoding, constant: int = 0) -> tuple[Value, int]:
    """Return an attribute's value (None for a block) and the place after it. Raises ParseError for an unknown form."""
    if form == IMPLICIT_CONST:
        return constant, at
    if form == FLAG_PRESENT:
        return 1, at
    size = fixed_size(form, encoding)
    if size is not None:
        value, at = fixed(data, at, size, encoding.order)
        section = _STRING_SECTIONS.get(form)
        return (StringAt(section, value) if section else value), at
    if form == STRING:
        return text(data, at)
    if form in _ULEB:
        return uleb(data, at)
    if form in _STRX:
        value, at = uleb(data, at)
        return StringAt(".debug_str_offsets", value), at
    if form == SDATA:
        return sleb(data, at)
    if form in _BLOCKS or form in (BLOCK, EXPRLOC):
        size, at = fixed(data, at, _BLOCKS[form], encoding.order) if form in _BLOCKS else uleb(data, at)
        if at + size > len(data):
            raise ParseError("a block is cut short")
        return None, at + size
    if form == INDIRECT:
        inner, at = uleb(data, at)
        if inner in (INDIRECT, IMPLICIT_CONST):
            raise ParseError("an indirect form of an indirect form")
        return read_form(inner, data, at, encoding)
    raise ParseError(f"unknown DWARF form 0x{form:x}")
