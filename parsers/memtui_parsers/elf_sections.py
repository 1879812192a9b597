"""What a section holds, uncompressed, piece by piece: no section is ever in memory as a whole."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO, Protocol

from memtui_parsers.elf_image import SHF_COMPRESSED, ElfImage, Section, read_at
from memtui_parsers.errors import ParseError

ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD = 1, 2
CHUNK_BYTES = 256 * 1024
MAX_STRING_BYTES = 4096


class SectionReader(Protocol):
    """``size`` is in bytes, uncompressed; read() gives fewer bytes at the end and raises ParseError for damage."""

    size: int

    def read(self, offset: int, size: int) -> bytes: ...


class _Stored:
    def __init__(self, stream: BinaryIO, offset: int, size: int) -> None:
        self.size = size
        self._stream = stream
        self._offset = offset

    def read(self, offset: int, size: int) -> bytes:
        return read_at(self._stream, self._offset + offset, min(size, self.size - offset))


class _Deflated:
    """Inflates forward and keeps only what was asked for last: going back starts over, so read in ascending order."""

    def __init__(self, stream: BinaryIO, offset: int, stored: int, size: int) -> None:
        self.size = size
        self._stream = stream
        self._begin, self._end = offset, offset + stored
        self._restart()

    def read(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        if offset < self._window_at:
            self._restart()
        while self._window_at + len(self._window) < offset + size:
            # The window always begins at or before what is wanted, and holds no more than one chunk beside it.
            drop = min(max(offset - self._window_at, 0), len(self._window))
            del self._window[:drop]
            self._window_at += drop
            more = self._inflate()
            if not more:
                raise ParseError("a compressed section is cut short")
            self._window += more
        start = offset - self._window_at
        return bytes(self._window[start : start + size])

    def _restart(self) -> None:
        self._inflater = zlib.decompressobj()
        self._next = self._begin
        self._window = bytearray()
        self._window_at = 0

    def _inflate(self) -> bytes:
        """At most one chunk more, empty at the end: a bomb unfolds no faster than it is asked for."""
        while not self._inflater.eof:
            source = self._inflater.unconsumed_tail
            if not source:
                source = read_at(self._stream, self._next, min(CHUNK_BYTES, self._end - self._next))
                self._next += len(source)
                if not source:
                    return b""
            try:
                found = self._inflater.decompress(source, CHUNK_BYTES)
            except zlib.error as error:
                raise ParseError("a compressed section is damaged", excerpt=str(error)) from error
            if found:
                return found
        return b""


def open_section(stream: BinaryIO, image: ElfImage, name: str) -> SectionReader | None:
    """The section of this name, or its old compressed form (.zdebug_line); None when there is neither.

    Raises ParseError for a compression that cannot be read: anything but zlib.
    """
    section = image.section(name)
    if section is not None:
        return (
            _compressed(stream, image, section) if section.flags & SHF_COMPRESSED else _stored(stream, image, section)
        )
    old = image.section(name.replace(".debug", ".zdebug"))
    if old is None:
        return None
    head = read_at(stream, old.offset, 12)
    if len(head) < 12 or head[:4] != b"ZLIB":
        return _stored(stream, image, old)
    return _Deflated(stream, old.offset + 12, old.size - 12, int.from_bytes(head[4:], "big"))


def read_string(reader: SectionReader | None, offset: int) -> str | None:
    """The text at ``offset`` of a string section, at most 4096 bytes of it; None where there is none."""
    if reader is None or offset >= reader.size:
        return None
    return reader.read(offset, MAX_STRING_BYTES).partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _stored(stream: BinaryIO, image: ElfImage, section: Section) -> _Stored:
    return _Stored(stream, section.offset, max(0, min(section.size, image.size - section.offset)))


def _compressed(stream: BinaryIO, image: ElfImage, section: Section) -> _Deflated:
    # Elf64_Chdr: type, reserved, size, alignment; Elf32_Chdr: type, size, alignment.
    layout = struct.Struct(image.order + ("I4xQ8x" if image.bits == 64 else "II4x"))
    head = read_at(stream, section.offset, layout.size)
    if len(head) < layout.size:
        raise ParseError("a compressed section is cut short")
    kind, size = layout.unpack(head)
    if kind == ELFCOMPRESS_ZSTD:
        raise ParseError("its debug information is compressed with zstd, which cannot be read")
    if kind != ELFCOMPRESS_ZLIB:
        raise ParseError(f"its debug information is compressed in an unknown way ({kind})")
    return _Deflated(stream, section.offset + layout.size, section.size - layout.size, size)
