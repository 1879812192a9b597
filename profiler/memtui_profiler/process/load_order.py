"""The order in which the dynamic loader took a process's modules: whose definition of a function the others use.

Addresses do not tell it: the loader fills gaps that the kernel leaves at random, so a library that is loaded later may lie
before or after (of two preloaded allocators the second lay before libc in 8 starts of 150).
"""

from __future__ import annotations

import struct

from memtui_parsers.elf.image import ElfImage
from memtui_profiler.process.foreign_memory import ReadMemory

DT_DEBUG = 21
MAX_DYNAMIC_BYTES = 64 << 10
# A process has a few hundred libraries; a chain that the target's memory makes endless ends here.
MAX_MODULES = 65_536
_WORD = {32: "I", 64: "Q"}


def biases_in_load_order(program: ElfImage, bias: int, read: ReadMemory) -> list[int]:
    """What was added to the addresses of each module, the program's first; empty where the loader has not begun.

    ``program`` is loaded at ``bias``. Its DT_DEBUG points to the loader's r_debug, which begins the list of modules
    (<link.h>: ``struct r_debug``, ``struct link_map``; glibc's, musl's and the BSDs' alike).
    """
    word = struct.Struct(program.order + _WORD[program.bits])

    def pointer(address: int) -> int:
        data = read(address, word.size)
        return int(word.unpack(data)[0]) if data else 0

    debug = _debug_address(program, bias, read)
    entry = pointer(debug + word.size) if debug else 0
    biases: list[int] = []
    while entry and len(biases) < MAX_MODULES:
        biases.append(pointer(entry))
        entry = pointer(entry + 3 * word.size)
    return biases


def _debug_address(program: ElfImage, bias: int, read: ReadMemory) -> int:
    segment = next((s for s in program.segments if s.kind == "PT_DYNAMIC"), None)
    if segment is None:
        return 0
    pair = struct.Struct(program.order + 2 * _WORD[program.bits])
    size = min(segment.file_size, MAX_DYNAMIC_BYTES) // pair.size * pair.size
    entries = pair.iter_unpack(read(bias + segment.vaddr, size))
    return next((value for tag, value in entries if tag == DT_DEBUG), 0)
