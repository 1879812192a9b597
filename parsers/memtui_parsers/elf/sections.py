"""Reads sections piece by piece and decompresses them: a large section is never in memory as a whole.

pyelftools decompresses a section into memory at once, whatever size its header states.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, Protocol

from memtui_parsers.elf.image import SHF_COMPRESSED, ElfImage, Section, read_at
from memtui_parsers.elf.numbers import Order
from memtui_parsers.errors import ParseError

ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD = 1, 2
CHUNK_BYTES = 256 * 1024
# Linkage names of templates reach some kB; most strings are short.
SHORT_STRING_BYTES = 256
MAX_STRING_BYTES = 16 * 1024
# The limit on what is decompressed of a section in all: going back starts it over, and a file could make that frequent.
MAX_PASSES = 40
MIN_LIMIT_BYTES = 1 << 28
# ld, gas and objcopy write Zstandard windows of at most 8 MiB; a frame may demand a gigabyte.
MAX_ZSTD_WINDOW_LOG = 25


class SectionReader(Protocol):
    """A section of ``size`` bytes (uncompressed). read() returns fewer bytes at its end; ParseError means damage."""

    size: int

    def read(self, offset: int, size: int) -> bytes: ...


class Decompressor(Protocol):
    """The interface of lzma.LZMADecompressor: decompress() returns at most ``max_length`` bytes and keeps the rest."""

    @property
    def needs_input(self) -> bool: ...

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


# What makes a decompressor, and the error that it raises for damaged data.
Codec = tuple[Callable[[], Decompressor], type[Exception]]


class _Stored:
    seekable = True

    def __init__(self, stream: BinaryIO, offset: int, size: int) -> None:
        self.size = size
        self._stream = stream
        self._offset = offset

    def read(self, offset: int, size: int) -> bytes:
        return read_at(self._stream, self._offset + offset, min(size, self.size - offset)) if offset >= 0 else b""


class _Compressed:
    """Decompresses forward and keeps only what was read last: going back starts over, so read in ascending order."""

    seekable = False

    def __init__(self, stored: _Stored, size: int, codec: Codec) -> None:
        self.size = size
        self._stored = stored
        self._decompressor, self._error = codec
        self._left = MAX_PASSES * size + MIN_LIMIT_BYTES
        self._restart()

    def read(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        if offset < self._window_at:
            self._restart()
        while self._window_at + len(self._window) < offset + size:
            # The window begins at or before ``offset``, and has at most one chunk more than what is read.
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
        """Decompress at most one chunk, empty at the end, so that a bomb takes no more memory than is read."""
        while not self._inner.eof:
            source = b""
            if self._inner.needs_input:
                source = self._stored.read(self._next, CHUNK_BYTES)
                self._next += len(source)
                if not source:
                    return b""
            try:
                chunk = self._inner.decompress(source, CHUNK_BYTES)
            except self._error as error:
                raise ParseError("a compressed section is damaged", excerpt=str(error)) from error
            if chunk:
                return chunk
        return b""


class Zlib:
    """zlib's decompressor with the interface of the others."""

    def __init__(self, window_bits: int = zlib.MAX_WBITS) -> None:
        self._inner = zlib.decompressobj(window_bits)

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


_ZLIB: Codec = (Zlib, zlib.error)


def zstd_codec() -> Codec:
    """Zstandard's codec. Its package is imported here, as few files are compressed this way."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MAX_ZSTD_WINDOW_LOG}
    return partial(zstd.ZstdDecompressor, options=options), zstd.ZstdError


class InMemory:
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
    """Serves small reads near each other from the last ``size`` bytes that were read."""

    def __init__(self, reader: SectionReader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._data = b""
        self._start = 0

    def number(self, offset: int, size: int, order: Order) -> int:
        """Read an unsigned number of ``size`` bytes. Raises ParseError at the end of the section."""
        at = offset - self._start
        if not 0 <= at <= len(self._data) - size:
            self._data = self._reader.read(offset, self._size)
            self._start, at = offset, 0
            if len(self._data) < size:
                raise ParseError("cut short")
        return int.from_bytes(self._data[at : at + size], order)


def open_section(stream: BinaryIO, image: ElfImage, name: str, *, in_memory: int = 0) -> SectionReader | None:
    """Open the section of this name, or its old compressed form (.zdebug_line); None when there is neither.

    A compressed section of up to ``in_memory`` bytes is decompressed into memory. Raises ParseError for an unknown
    compression.
    """
    reader = _open(stream, image, name)
    if isinstance(reader, _Compressed) and reader.size <= in_memory:
        return InMemory(reader.read(0, reader.size))
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
    return _Compressed(_Stored(stream, old.offset + 12, old.size - 12), int.from_bytes(head[4:], "big"), _ZLIB)


def read_string(reader: SectionReader | None, offset: int) -> str | None:
    """Return the text at ``offset`` of a string section, at most 16 KiB of it; None beyond the section."""
    if reader is None or not 0 <= offset < reader.size:
        return None
    text, end, _ = reader.read(offset, SHORT_STRING_BYTES).partition(b"\0")
    if not end:
        text = reader.read(offset, MAX_STRING_BYTES).partition(b"\0")[0]
    return text.decode("utf-8", "surrogateescape")


def _stored(stream: BinaryIO, image: ElfImage, section: Section) -> _Stored:
    return _Stored(stream, section.offset, max(0, min(section.size, image.size - section.offset)))


def _compressed(stream: BinaryIO, image: ElfImage, section: Section) -> _Compressed:
    # Elf64_Chdr: type, reserved, size, alignment; Elf32_Chdr: type, size, alignment.
    layout = struct.Struct(image.order + ("I4xQ8x" if image.bits == 64 else "II4x"))
    head = read_at(stream, section.offset, layout.size)
    if len(head) < layout.size:
        raise ParseError("a compressed section is cut short")
    kind, size = layout.unpack(head)
    if kind not in (ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD):
        raise ParseError(f"its section {section.name} is compressed in an unknown way ({kind})")
    stored = _Stored(stream, section.offset + layout.size, section.size - layout.size)
    return _Compressed(stored, size, zstd_codec() if kind == ELFCOMPRESS_ZSTD else _ZLIB)
