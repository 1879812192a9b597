"""Where the runtimes of languages have their memory: by addresses and rights of what they map without a name, or by its content.

Other allocators of the same process map such memory, too. A name is given only to what cannot be theirs; else it names both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from memtui_parsers.procfs.smaps import ResidentMapping
from memtui_profiler.process.foreign_memory import ReadMemory
from memtui_profiler.process.pymalloc import holds_arenas

_GIB = 1 << 30


class Runtime(NamedTuple):
    """``name_of`` names an anonymous mapping; '' for one that is not known to be the runtime's."""

    name_of: Callable[[ResidentMapping], str]


def runtime_of(program: str, entries: Iterable[ResidentMapping], read: ReadMemory) -> Runtime | None:
    """The runtime in a process, by its program's base name and what is mapped; None where no known one is."""
    go, jvm, v8 = False, False, _V8.fullmatch(program) is not None
    python = _PYTHON.fullmatch(program) is not None
    v8_alone = _ONLY_V8.fullmatch(program) is not None
    for entry in entries:
        base = entry.mapping.path.rpartition("/")[2]
        jvm = jvm or base.startswith("libjvm.so")
        python = python or base.startswith("libpython")
        v8 = v8 or base.startswith(("libnode.so", "libv8"))
        v8_alone = v8_alone and not base.startswith("libmimalloc") and not base.endswith(".node")
        go = go or _is_go(entry)
    if jvm:
        return Runtime(_java)
    if v8:
        return Runtime(partial(_v8, "V8 heap" if v8_alone else "V8 heap or another allocator's"))
    if go:
        return Runtime(_go)
    return Runtime(partial(_python, read)) if python else None


_V8 = re.compile(r"node(js)?|node-?[\d.]+|electron|d8|deno|chrome|chromium")
# mimalloc, which many modules of Node have in them, and Chromium's PartitionAlloc take such addresses as V8 does.
_ONLY_V8 = re.compile(r"node(js)?|node-?[\d.]+|d8")
_PYTHON = re.compile(r"python[\d.]*")
# Go asks for its arenas at 0x00c0 << 32, and if that is taken at the same address in the next TiB (runtime/malloc.go, mallocinit).
_GO_ARENAS, _GO_SPAN = 0xC0 << 32, 64 << 30


def _is_anonymous(entry: ResidentMapping) -> bool:
    return not entry.mapping.path and not entry.mapping.inode and entry.mapping.permissions[3] == "p"


def _is_go(entry: ResidentMapping) -> bool:
    return _is_anonymous(entry) and 0 <= entry.mapping.start - _GO_ARENAS < _GO_SPAN


def _go(entry: ResidentMapping) -> str:
    return "Go heap" if _is_go(entry) else ""


def _java(entry: ResidentMapping) -> str:
    """HotSpot: code it has made is executable; a heap of less than 32 GiB lies below that address (compressed pointers).

    So do the classes in Java 8 to 15, and again from 22 on, as far as there is room.
    """
    if not _is_anonymous(entry):
        return ""
    if entry.mapping.executable:
        return "Java code (JIT)"
    return "Java heap or classes" if entry.mapping.start < 32 * _GIB else ""


def _v8(heap_name: str, entry: ResidentMapping) -> str:
    """V8 takes chunks at random addresses, aligned to 256 KiB, far from where the kernel puts what has no address of its own."""
    if not _is_anonymous(entry):
        return ""
    if entry.mapping.executable:
        return "V8 code (JIT)"
    far = entry.mapping.start < 0x5500_0000_0000 and entry.mapping.start > 4 * _GIB
    return heap_name if far and entry.mapping.start % (256 << 10) == 0 else ""


def _python(read: ReadMemory, entry: ResidentMapping) -> str:
    plain = _is_anonymous(entry) and entry.mapping.permissions[:3] == "rw-"
    return "Python objects (arenas)" if plain and holds_arenas(read, entry.mapping) else ""
