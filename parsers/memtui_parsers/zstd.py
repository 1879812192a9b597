"""Zstandard without a package for it: Python 3.14 has one, and libzstd.so.1 is on nearly every Linux machine.

The stream is unfolded in pieces: neither what comes in nor what goes out has to be in memory whole.
"""

from __future__ import annotations

import ctypes
from typing import Protocol

from memtui_parsers.errors import ParseError

# ld, gas and objcopy write windows of at most 8 MiB; a frame may ask for a gigabyte.
MAX_WINDOW_LOG = 25
_WINDOW_LOG_MAX = 100  # ZSTD_d_windowLogMax


class Decompressor(Protocol):
    """As lzma.LZMADecompressor: ``max_length`` bounds what comes out, the rest waits inside."""

    @property
    def needs_input(self) -> bool: ...

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def zstd_decompressor() -> Decompressor | None:
    """None on a machine that has nothing which reads it."""
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # since Python 3.14
    except ImportError:
        library = _library()
        return _Stream(library) if library else None
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG})  # type: ignore[no-any-return, unused-ignore]


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer."""

    _fields_ = (("bytes", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t))


def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libzstd.so.1")
        library.ZSTD_createDStream.restype = ctypes.c_void_p
        library.ZSTD_createDStream.argtypes = []
        library.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
        library.ZSTD_DCtx_setParameter.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        library.ZSTD_decompressStream.restype = ctypes.c_size_t
        library.ZSTD_decompressStream.argtypes = [
            ctypes.c_void_p,
            ctypes.POINTER(_Buffer),
            ctypes.POINTER(_Buffer),
        ]
        library.ZSTD_isError.argtypes = [ctypes.c_size_t]
        library.ZSTD_getErrorName.restype = ctypes.c_char_p
        library.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
    except (OSError, AttributeError):
        return None
    return library


class _Stream:
    """One libzstd stream."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._stream = library.ZSTD_createDStream()
        if not self._stream:
            raise MemoryError
        library.ZSTD_DCtx_setParameter(self._stream, _WINDOW_LOG_MAX, MAX_WINDOW_LOG)
        self._held = b""
        self.needs_input = True
        self.eof = False

    def __del__(self) -> None:
        if self._stream:
            self._library.ZSTD_freeDStream(self._stream)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Raises ParseError for what is no Zstandard, or wants more memory than it should."""
        self._held += data
        out = ctypes.create_string_buffer(max_length)
        source = _Buffer(ctypes.cast(ctypes.c_char_p(self._held), ctypes.c_void_p), len(self._held), 0)
        target = _Buffer(ctypes.cast(out, ctypes.c_void_p), max_length, 0)
        result = self._library.ZSTD_decompressStream(self._stream, ctypes.byref(target), ctypes.byref(source))
        if self._library.ZSTD_isError(result):
            raise ParseError("a compressed section is damaged", excerpt=self._library.ZSTD_getErrorName(result))
        self._held = self._held[source.pos :]
        self.eof = result == 0
        # A full output means that there may be more inside.
        self.needs_input = not self.eof and target.pos < max_length and not self._held
        return out.raw[: target.pos]
