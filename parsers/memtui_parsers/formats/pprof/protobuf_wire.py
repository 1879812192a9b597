"""Reads the wire format of protocol buffers (protobuf.dev, "Encoding"), as far as a pprof profile needs it.

It is our own because the format is simple (a tag, then a number or bytes), and because only one field is in memory
here, while the protobuf package needs the whole message. For 10 MB of 200,000 samples the package takes 0.8 s of CPU
and 21 ms to import, our reader 1.6 s with the sums by stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from memtui_parsers.errors import ParseError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELD_BYTES = 16 << 20
CHUNK_BYTES = 1 << 16
MAX_VARINT_BYTES = 10

Value = int | bytes


class CutShortError(ParseError):
    """The data ends inside of a field."""

    def __init__(self) -> None:
        super().__init__("the file ends in the middle")


def stream_fields(stream: BinaryIO) -> Iterator[tuple[int, Value]]:
    """Yield (number, value) of a message's fields in order, with one field of at most 16 MiB in memory.

    Raises ParseError, which is CutShortError where the stream ends too early.
    """
    data, at = b"", 0
    while True:
        # A tag and a length fit into twenty bytes.
        while len(data) - at < 2 * MAX_VARINT_BYTES and (more := stream.read(CHUNK_BYTES)):
            data = data[at:] + more
            at = 0
        if at == len(data):
            return
        tag, start = _varint(data, at)
        if tag & 7 == BYTES:
            length, start = _varint(data, start)
            if length > MAX_FIELD_BYTES:
                raise ParseError("a field of more than 16 MiB: no profile, or a damaged one")
            while len(data) - start < length:
                more = stream.read(max(CHUNK_BYTES, length - (len(data) - start)))
                if not more:
                    raise CutShortError
                data = data[start:] + more
                start = 0
            at = start + length
            yield tag >> 3, data[start:at]
        else:
            value, at = _scalar(data, start, tag & 7)
            yield tag >> 3, value


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Yield (number, value) of the fields of a message that is in memory. Raises ParseError."""
    at, end = 0, len(message)
    while at < end:
        # Most tags and values are one byte.
        tag = message[at]
        at += 1
        if tag > 127:
            tag, at = _varint(message, at - 1)
        if tag & 7 == BYTES:
            length, at = _varint(message, at)
            if length > end - at:
                raise CutShortError
            at += length
            yield tag >> 3, message[at - length : at]
        else:
            value, at = _scalar(message, at, tag & 7)
            yield tag >> 3, value


def packed(value: Value) -> list[int]:
    """Return the values of a repeated integer field, whether packed or single. Raises ParseError."""
    if isinstance(value, int):
        return [value]
    if value.isascii():
        return list(value)
    numbers: list[int] = []
    number = shift = 0
    for byte in value:
        number |= (byte & 127) << shift
        if byte > 127:
            shift += 7
            if shift >= 7 * MAX_VARINT_BYTES:
                raise ParseError("a number of more than 64 bits")
        else:
            numbers.append(number)
            number = shift = 0
    if shift:
        raise CutShortError
    return numbers


def signed(value: int) -> int:
    """Return the value of an int64 field, whose negative numbers are written as their two's complement."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    for byte in data[at : at + MAX_VARINT_BYTES]:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at + shift // 7
    if shift == 7 * MAX_VARINT_BYTES:
        raise ParseError("a number of more than 64 bits")
    raise CutShortError


def _scalar(data: bytes, at: int, wire_type: int) -> tuple[int, int]:
    if wire_type == VARINT:
        return _varint(data, at)
    size = {FIXED64: 8, FIXED32: 4}.get(wire_type)
    if size is None:
        raise ParseError(f"no field has the wire type {wire_type}")
    if len(data) - at < size:
        raise CutShortError
    return int.from_bytes(data[at : at + size], "little"), at + size
