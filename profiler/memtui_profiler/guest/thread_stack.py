"""The stack of a thread as glibc's own descriptor has it: the mapping around it may hold other stacks as well.

Layout: struct pthread of glibc's nptl/descr.h, at the thread pointer. The offset of the fields differs between versions, so they
are searched for: a block that begins below the stack pointer and ends just above the descriptor can only be the stack.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from memtui_profiler.errors import UserError
from memtui_profiler.guest.memory import ProcessMemory

_PAGE_BYTES = 4096
# A thread pointer is aligned so (TCB_ALIGNMENT); the words that point to itself are tcb and self of tcbhead_t.
_ALIGNMENT_BYTES = 64
_WORDS_APART = _ALIGNMENT_BYTES // 8
_SELF_AT = 16
_DESCRIPTOR_BYTES = 3 << 10
# Above the thread pointer lie the descriptor and what thread-local storage is aligned by.
_MOST_ABOVE_BYTES = 16 << 10
_SIZE_LIMIT_BYTES = 1 << 40  # no pointer passes for a size
# Between a stack pointer and the descriptor lie the frames and the thread-local variables.
_SEARCHED_BYTES = 16 << 20
MOST_LOCAL_BYTES = 12 << 20


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """Addresses: ``low`` the lowest one above the guard, ``high`` the end, ``thread_pointer`` where fs points to."""

    low: int
    high: int
    thread_pointer: int


def thread_stack(pointer: int, end: int, memory: ProcessMemory) -> ThreadStack | None:
    """Return the stack of the thread whose stack pointer is ``pointer``, in a mapping that ends at ``end``.

    None when the thread is on another stack than it was made with, or was not made by glibc.
    """
    at = _thread_pointer(pointer, end, memory)
    if at is None:
        return None
    words = _words_at(at, min(end, at + _DESCRIPTOR_BYTES), memory)
    for block, size, guard in zip(words, words[1:], words[2:], strict=False):
        high = block + size
        if block < pointer < at < high <= at + _MOST_ABOVE_BYTES and guard < size < _SIZE_LIMIT_BYTES:
            low = (block + guard + _PAGE_BYTES - 1) & -_PAGE_BYTES
            return ThreadStack(low, high, at) if low < pointer else None
    return None


def runs(function: int, stack: ThreadStack, memory: ProcessMemory) -> bool:
    """Whether the thread was made to run ``function``: its descriptor has it as the start routine."""
    end = min(stack.high, stack.thread_pointer + _DESCRIPTOR_BYTES)
    return function in _words_at(stack.thread_pointer, end, memory)


def _thread_pointer(pointer: int, end: int, memory: ProcessMemory) -> int | None:
    """The first descriptor above the stack pointer."""
    at = pointer & -_ALIGNMENT_BYTES
    limit = min(end, pointer + _SEARCHED_BYTES) & -_ALIGNMENT_BYTES
    while at < limit:
        next_page = min(limit, _next_page(at))
        words = _words_at(at, next_page, memory)[::_WORDS_APART]
        for here, word in zip(range(at, next_page, _ALIGNMENT_BYTES), words, strict=False):
            if here == word and _words_at(here + _SELF_AT, here + _SELF_AT + 8, memory) == (here,):
                return here
        if not words:
            return None
        at = next_page
    return None


def _words_at(at: int, end: int, memory: ProcessMemory) -> tuple[int, ...]:
    """The words up to ``end``, or to the first page that cannot be read: glibc 2.42 has guard pages inside mappings."""
    words: list[int] = []
    while at + 8 <= end:
        size = (min(end, _next_page(at)) - at) & ~7
        try:
            words += struct.unpack(f"<{size // 8}Q", memory.read(at, size))
        except UserError:
            break
        at += size
    return tuple(words)


def _next_page(address: int) -> int:
    return (address & -_PAGE_BYTES) + _PAGE_BYTES
