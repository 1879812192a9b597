"""Reads numbers and texts of ELF sections and DWARF. Each function returns a value and the place after it."""

from __future__ import annotations

import struct
from typing import Literal

from memtui_parsers.errors import ParseError

Order = Literal["little", "big"]


def uleb(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number. Raises ParseError at the end of the data, and for more than 70 bits."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ParseError("a number is cut short or too long")


def uleb_bytes(value: int) -> bytes:
    """Write ``value`` as an unsigned LEB128 number, in as few bytes as possible."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def sleb(data: bytes, at: int) -> tuple[int, int]:
    """Read a signed LEB128 number, as uleb() does."""
    value, end = uleb(data, at)
    bits = 7 * (end - at)
    return (value - (1 << bits) if value >> (bits - 1) else value), end


def fixed(data: bytes, at: int, size: int, order: Order) -> tuple[int, int]:
    """Read an unsigned number of ``size`` bytes. Raises ParseError at the end of the data."""
    end = at + size
    if end > len(data):
        raise ParseError("cut short")
    return int.from_bytes(data[at:end], order), end


def text(data: bytes, at: int) -> tuple[bytes, int]:
    """Read a string up to a zero byte. Raises ParseError when there is none."""
    end = data.find(b"\0", at)
    if end < 0:
        raise ParseError("a string without an end")
    return data[at:end], end + 1


def initial_length(data: bytes, order: Order) -> tuple[int, int, int]:
    """Read a unit's length: (bytes that follow, bytes in an offset (4 or 8), place after it). Raises ParseError."""
    length, at = fixed(data, 0, 4, order)
    if length == 0xFFFFFFFF:
        length, at = fixed(data, at, 8, order)
        return length, 8, at
    if length >= 0xFFFFFFF0:
        raise ParseError("a reserved length")
    return length, 4, at


def address_struct(size: int, order: Order) -> struct.Struct:
    """Return the layout of an address. Raises ParseError unless it has 4 or 8 bytes."""
    if size not in (4, 8):
        raise ParseError(f"addresses of {size} bytes")
    return struct.Struct(("<" if order == "little" else ">") + ("Q" if size == 8 else "I"))
