"""Reads a file that may be compressed by gzip or zstd, with a bound on what comes out of it.

It is written on zlib because the standard library's gzip.GzipFile reads a file name in the header byte by byte: 20 MB
of one took 1.1 s of CPU (here 0.014). Behind io.BufferedReader it also loses up to a buffer of good bytes before
the damage.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

from memtui_parsers.elf.sections import Codec, Zlib, zstd_codec

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MAX_OUTPUT_BYTES = 1 << 30
_IN_BYTES = 1 << 15
_GZIP: Codec = (partial(Zlib, 16 + zlib.MAX_WBITS), zlib.error)


class Unpacked(io.RawIOBase):
    """The unpacked bytes of ``packed``. ``trouble`` says why they end early, else it is ''.

    Several members are one file. Damage ends the file instead of raising, as the bytes before it are still useful.
    """

    def __init__(self, packed: BinaryIO, codec: Codec, most_bytes: int) -> None:
        super().__init__()
        self.trouble = ""
        self._packed = packed
        self._left_bytes = most_bytes
        self._new_member, self._error = codec
        self._member = self._new_member()
        self._input = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # typeshed's Buffer is not in 3.10
        out = self._next(min(len(buffer), self._left_bytes))
        self._left_bytes -= len(out)
        buffer[: len(out)] = out
        return len(out)

    def _next(self, most_bytes: int) -> bytes:
        if not most_bytes and not self.trouble:
            self.trouble = "the compressed file holds more than memtui unpacks: the rest is left out"
        while not self.trouble:
            if self._member.eof:
                if not self._begin_member():
                    return b""
            elif self._member.needs_input and not self._input:
                self._input = self._packed.read(_IN_BYTES)
                if not self._input:
                    self.trouble = "the compressed file ends in the middle"
                    return b""
            try:
                out = self._member.decompress(self._input, most_bytes)
            except self._error:
                self.trouble = "the compressed file is damaged, or takes more memory to unpack than memtui gives"
                return b""
            self._input = b""
            if out:
                return out
        return b""

    def _begin_member(self) -> bool:
        """Begin the next member, if there is one; zero bytes may precede it."""
        rest = self._member.unused_data or self._packed.read(_IN_BYTES)
        while rest and not rest.strip(b"\0"):
            rest = self._packed.read(_IN_BYTES)
        self._input = rest.lstrip(b"\0")
        if self._input:
            self._member = self._new_member()
        return bool(self._input)


def gunzip(packed: BinaryIO, most_bytes: int = MAX_OUTPUT_BYTES) -> Unpacked:
    return Unpacked(packed, _GZIP, most_bytes)


def unzstd(packed: BinaryIO, most_bytes: int = MAX_OUTPUT_BYTES) -> Unpacked:
    return Unpacked(packed, zstd_codec(), most_bytes)


def unpacker(head: bytes) -> Callable[[BinaryIO, int], Unpacked] | None:
    """What unpacks a file that begins so; None for one that is not compressed by gzip or zstd."""
    if head.startswith(GZIP_MAGIC):
        return gunzip
    return unzstd if head.startswith(ZSTD_MAGIC) else None
