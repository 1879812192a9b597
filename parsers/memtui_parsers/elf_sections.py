"""What a section holds, uncompressed, piece by piece: no large section is ever in memory as a whole."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

from memtui_parsers.dwarf_forms import Order
from memtui_parsers.elf_image import SHF_COMPRESSED, ElfImage, Section, read_at
from memtui_parsers.errors import ParseError
from memtui_parsers.zstd import Decompressor, zstd_decompressor

ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD = 1, 2
CHUNK_BYTES = 256 * 1024
# Linkage names of templates reach some kB; most strings are short.
SHORT_STRING_BYTES = 256
MAX_STRING_BYTES = 16 * 1024
# How much of a compressed section is unfolded before whoever made it is taken to waste our time: going back starts it over.
MAX_ROUNDS = 40
FREE_BYTES = 1 << 28


class SectionReader(Protocol):
    """``size`` is in bytes, uncompressed; read() gives fewer bytes at the end and raises ParseError for damage."""

    size: int

    def read(self, offset: int, size: int) -> bytes: ...


class _Stored:
    seekable = True

    def __init__(self, stream: BinaryIO, offset: int, size: int) -> None:
        self.size = size
        self._stream = stream
        self._offset = offset

    def read(self, offset: int, size: int) -> bytes:
        return read_at(self._stream, self._offset + offset, min(size, self.size - offset)) if offset >= 0 else b""


class _Folded:
    """Unfolds forward and keeps only what was asked for last: going back starts over, so read in ascending order."""

    seekable = False

    def __init__(self, stored: _Stored, size: int, decompressor: Callable[[], Decompressor]) -> None:
        self.size = size
        self._stored = stored
        self._decompressor = decompressor
        self._left = MAX_ROUNDS * size + FREE_BYTES
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
            more = self._more()
            if not more:
                raise ParseError("a compressed section is cut short")
            self._window += more
            self._left -= len(more)
            if self._left < 0:
                raise ParseError("a compressed section would have to be read too often")
        start = offset - self._window_at
        return bytes(self._window[start : start + size])

    def _restart(self) -> None:
        self._inner = self._decompressor()
        self._next = 0
        self._window = bytearray()
        self._window_at = 0

    def _more(self) -> bytes:
        """At most one chunk more, empty at the end: a bomb unfolds no faster than it is asked for."""
        while not self._inner.eof:
            source = b""
            if self._inner.needs_input:
                source = self._stored.read(self._next, CHUNK_BYTES)
                self._next += len(source)
                if not source:
                    return b""
            try:
                found = self._inner.decompress(source, CHUNK_BYTES)
            except (zlib.error, EOFError, ValueError) as error:
                raise ParseError("a compressed section is damaged", excerpt=str(error)) from error
            if found:
                return found
        return b""


class _Zlib:
    """zlib's decompressor under the names that all later ones have."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj()

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._inner.eof

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class Held:
    """A section in memory."""

    seekable = True

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size] if offset >= 0 else b""


class Slice:
    """A part of a section, such as one unit's in a .dwp file."""

    def __init__(self, reader: SectionReader, offset: int, size: int) -> None:
        self.size = max(0, min(size, reader.size - offset))
        self.seekable = getattr(reader, "seekable", True)
        self._reader = reader
        self._offset = offset

    def read(self, offset: int, size: int) -> bytes:
        return self._reader.read(self._offset + offset, min(size, self.size - offset)) if offset >= 0 else b""


class Window:
    """Small reads near each other: the last ``size`` bytes that were read are kept."""

    def __init__(self, reader: SectionReader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._data = b""
        self._start = 0

    def at(self, offset: int, more: int = 0) -> tuple[bytes, int]:
        """Bytes, and where in them ``offset`` is. With ``more`` they begin there and are at least so many, if there are.

        Raises IndexError where the section has nothing.
        """
        at = offset - self._start
        if more or not 0 <= at < len(self._data):
            self._data = self._reader.read(offset, max(more, self._size))
            self._start, at = offset, 0
            if not self._data:
                raise IndexError
        return self._data, at

    def number(self, offset: int, size: int, order: Order) -> int:
        """Raises ParseError where the section has no such bytes."""
        at = offset - self._start
        if not 0 <= at <= len(self._data) - size:
            self._data = self._reader.read(offset, self._size)
            self._start, at = offset, 0
            if len(self._data) < size:
                raise ParseError("cut short")
        return int.from_bytes(self._data[at : at + size], order)


def open_section(stream: BinaryIO, image: ElfImage, name: str, *, hold: int = 0) -> SectionReader | None:
    """The section of this name, or its old compressed form (.zdebug_line); None when there is neither.

    A compressed one of up to ``hold`` bytes is unfolded into memory. Raises ParseError for a compression that cannot be read.
    """
    reader = _open(stream, image, name)
    if isinstance(reader, _Folded) and reader.size <= hold:
        return Held(reader.read(0, reader.size))
    return reader


def _open(stream: BinaryIO, image: ElfImage, name: str) -> SectionReader | None:
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
    return _Folded(_Stored(stream, old.offset + 12, old.size - 12), int.from_bytes(head[4:], "big"), _Zlib)


def read_string(reader: SectionReader | None, offset: int) -> str | None:
    """The text at ``offset`` of a string section, at most 16 KiB of it; None where there is none."""
    if reader is None or not 0 <= offset < reader.size:
        return None
    text, end, _ = reader.read(offset, SHORT_STRING_BYTES).partition(b"\0")
    if not end:
        text = reader.read(offset, MAX_STRING_BYTES).partition(b"\0")[0]
    return text.decode("utf-8", "surrogateescape")


def _stored(stream: BinaryIO, image: ElfImage, section: Section) -> _Stored:
    return _Stored(stream, section.offset, max(0, min(section.size, image.size - section.offset)))


def _compressed(stream: BinaryIO, image: ElfImage, section: Section) -> _Folded:
    # Elf64_Chdr: type, reserved, size, alignment; Elf32_Chdr: type, size, alignment.
    layout = struct.Struct(image.order + ("I4xQ8x" if image.bits == 64 else "II4x"))
    head = read_at(stream, section.offset, layout.size)
    if len(head) < layout.size:
        raise ParseError("a compressed section is cut short")
    kind, size = layout.unpack(head)
    decompressor: Callable[[], Decompressor] = _Zlib
    if kind == ELFCOMPRESS_ZSTD:
        decompressor = _zstd(section.name)
    elif kind != ELFCOMPRESS_ZLIB:
        raise ParseError(f"its section {section.name} is compressed in an unknown way ({kind})")
    stored = _Stored(stream, section.offset + layout.size, section.size - layout.size)
    return _Folded(stored, size, decompressor)


def _zstd(name: str) -> Callable[[], Decompressor]:
    def make() -> Decompressor:
        found = zstd_decompressor()
        if found is None:
            raise ParseError(f"its section {name} is compressed with zstd: install libzstd1 (libzstd.so.1) to read it")
        return found

    make()
    return make
