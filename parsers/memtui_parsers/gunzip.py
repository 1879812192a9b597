"""Reads a file that may be compressed by gzip, with a bound on what comes out of it."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

MAGIC = b"\x1f\x8b"
MAX_OUTPUT_BYTES = 1 << 30
_IN_BYTES = 1 << 15
_GZIP = 16 + zlib.MAX_WBITS


class Gunzip(io.RawIOBase):
    """The unpacked bytes of ``packed``; ``trouble`` says why they end early, '' while they do not.

    Members that follow each other are one file. Damage ends the file instead of raising: what was whole before is still of use.
    """

    def __init__(self, packed: BinaryIO, most_bytes: int = MAX_OUTPUT_BYTES) -> None:
        super().__init__()
        self.trouble = ""
        self._packed = packed
        self._left_bytes = most_bytes
        self._inflate = zlib.decompressobj(_GZIP)
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
            if self._inflate.eof:
                if not self._begin_member():
                    return b""
            elif not self._input:
                self._input = self._packed.read(_IN_BYTES)
                if not self._input:
                    self.trouble = "the compressed file ends in the middle"
                    return b""
            try:
                out = self._inflate.decompress(self._input, most_bytes)
            except zlib.error:
                self.trouble = "the compressed file is damaged"
                return b""
            self._input = self._inflate.unconsumed_tail
            if out:
                return out
        return b""

    def _begin_member(self) -> bool:
        """Whether another one follows; zero bytes may stand between."""
        rest = self._inflate.unused_data or self._packed.read(_IN_BYTES)
        while rest and not rest.strip(b"\0"):
            rest = self._packed.read(_IN_BYTES)
        self._input = rest.lstrip(b"\0")
        if self._input:
            self._inflate = zlib.decompressobj(_GZIP)
        return bool(self._input)
