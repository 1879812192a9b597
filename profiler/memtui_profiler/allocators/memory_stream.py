"""Has the target write into a stream of its own and reads what came, for functions that print to a FILE*.

The FILE* that fmemopen returns cannot be had, so the stream is found in libc's list of all streams (_IO_list_all): it
is the one whose cookie begins with the address of our buffer. (open_memstream's streams are not in that list.) libc
flushes all streams at exit, so the buffer lies in the target's own heap: it must be there even when memtui and its
scratch memory are gone.
"""

from __future__ import annotations

from dataclasses import dataclass

from memtui_profiler.allocators.base import STATS_TIMEOUT_S, Caller, Memory, Symbols
from memtui_profiler.errors import UserError

# Just below 128 KiB, from where on glibc maps a block on its own, and freeing it moves the bounds for later ones.
BUFFER_BYTES = 120 << 10
MAX_STREAMS = 10_000

# struct _IO_FILE of x86-64 and aarch64, which is part of glibc's ABI; the cookie follows it and its vtable.
_CHAIN_AT = 104
_COOKIE_AT = 224
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class StreamFunctions:
    """Addresses in the target."""

    list_all: int
    fmemopen: int
    fclose: int
    posix_memalign: int
    free: int


def find_stream_functions(symbols: Symbols) -> StreamFunctions | None:
    names = ("_IO_list_all", "fmemopen", "fclose", "posix_memalign", "free")
    found = [address for name in names if (address := symbols.address_of(name)) is not None]
    return StreamFunctions(*found) if len(found) == len(names) else None


def text_written(caller: Caller, functions: StreamFunctions, writer: int, first_argument: int) -> bytes | None:
    """What ``writer(first_argument, stream)`` writes, cut at BUFFER_BYTES. Five calls into the target.

    None when the stream cannot be found: it then stays open for good, so do not try again. Raises UserError as Caller
    does; what was allocated until then stays in the target, for it may still be writing there.
    """
    caller.write(caller.scratch, bytes(8) + b"w\0")
    caller.call(functions.posix_memalign, caller.scratch, 16, BUFFER_BYTES, timeout_s=STATS_TIMEOUT_S)
    buffer = _word(caller, caller.scratch)
    if not buffer:
        raise UserError("cannot ask glibc malloc in detail", "the process has no memory left", "release some first")
    caller.write(buffer, b"\0")
    caller.call(functions.fmemopen, buffer, BUFFER_BYTES, caller.scratch + 8, timeout_s=STATS_TIMEOUT_S)
    stream = _find_stream(caller, functions.list_all, buffer)
    if stream is None:
        return None
    caller.call(writer, first_argument, stream, timeout_s=STATS_TIMEOUT_S)
    caller.call(functions.fclose, stream, timeout_s=STATS_TIMEOUT_S)
    text = caller.read(buffer, BUFFER_BYTES).partition(b"\0")[0]
    caller.call(functions.free, buffer, timeout_s=STATS_TIMEOUT_S)
    return text


def _find_stream(memory: Memory, list_all: int, buffer: int) -> int | None:
    """Streams come and go while the list is walked; the new one is at its head, or close."""
    for _ in range(_ATTEMPTS):
        try:
            stream = _walk(memory, list_all, buffer)
        except UserError:
            continue
        if stream is not None:
            return stream
    return None


def _walk(memory: Memory, list_all: int, buffer: int) -> int | None:
    stream = _word(memory, list_all)
    for _ in range(MAX_STREAMS):
        if not stream:
            break
        if _buffer_of(memory, stream) == buffer:
            return stream
        stream = _word(memory, stream + _CHAIN_AT)
    return None


def _buffer_of(memory: Memory, stream: int) -> int | None:
    """What the cookie points to, if it is a stream with a cookie; in other streams anything stands in that place."""
    try:
        return _word(memory, _word(memory, stream + _COOKIE_AT))
    except UserError:
        return None


def _word(memory: Memory, address: int) -> int:
    return int.from_bytes(memory.read(address, 8), "little")
