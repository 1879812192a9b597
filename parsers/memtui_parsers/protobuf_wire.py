"""The wire format of protocol buffers (protobuf.dev, "Encoding"), as much of it as a pprof profile needs."""

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
    """(number, value) of a message's fields in order, holding one of them at a time: 16 MiB at most.

    Raises ParseError, which is CutShortError where the stream ends too early.
    """
    held, at = b"", 0
    while True:
        # A tag and a length fit into twenty bytes.
        while len(held) - at < 2 * MAX_VARINT_BYTES and (more := stream.read(CHUNK_BYTES)):
            held = held[at:] + more
            at = 0
        if at == len(held):
            return
        tag, start = _varint(held, at)
        if tag & 7 == BYTES:
            length, start = _varint(held, start)
            if length > MAX_FIELD_BYTES:
                raise ParseError("a field of more than 16 MiB: no profile, or a damaged one")
            while len(held) - start < length:
                more = stream.read(max(CHUNK_BYTES, length - (len(held) - start)))
                if not more:
                    raise CutShortError
                held = held[start:] + more
                start = 0
            at = start + length
            yield tag >> 3, held[start:at]
        else:
            value, at = _scalar(held, start, tag & 7)
            yield tag >> 3, value


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """(number, value) of the fields of a message that is in memory. Raises ParseError."""
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
    """A repeated integer: packed into one field, or one of its single values. Raises ParseError."""
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
    """What an int64 field means: negative numbers are written as their two's complement."""
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
