"""Which function an address lies in, by bisecting the symbol tables."""

from __future__ import annotations

import contextlib
import io
import lzma
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from memtui_parsers.elf_image import ElfImage, Section, read_at, read_image
from memtui_parsers.errors import ParseError

# Ten million entries of 24 bytes; a whole browser has six.
MAX_TABLE_BYTES = 256 << 20
MAX_NAME_BYTES = 16 * 1024
MAX_MINI_DEBUG_BYTES = 64 << 20

STT_FUNC, STT_GNU_IFUNC = 2, 10
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
# How far back to look for a function that a smaller one lies inside of.
MAX_STEPS_BACK = 16


@dataclass(frozen=True, slots=True)
class _Table:
    """One symbol table's bytes, and where in the file its names are. ``order`` lists its functions by address."""

    stream: BinaryIO
    data: bytes
    entry: struct.Struct
    wide: bool
    names_at: int
    names_size: int
    starts: array[int]
    order: array[int]

    def symbol(self, place: int) -> tuple[int, int, int, int]:
        """Of the function at ``place`` in address order: start, size, binding, name's place in the string table."""
        fields = self.entry.unpack_from(self.data, self.order[place] * self.entry.size)
        if self.wide:
            name, info, _, _, value, size = fields
        else:
            name, value, size, info, _, _ = fields
        return value, size, info >> 4, name


class FunctionTable:
    """Functions by address. Names are read from the file when asked for: the stream must stay open."""

    def __init__(self, tables: Sequence[_Table]) -> None:
        self._tables = tables

    def __len__(self) -> int:
        return sum(len(table.starts) for table in self._tables)

    def name_at(self, vaddr: int) -> str | None:
        """The linkage name of the innermost function over ``vaddr``, without its symbol version.

        Of aliases: a global one, with the fewest underscores in front, then the longest. A function of no stated size
        (assembly) reaches up to the next one. Raises ParseError when the file can no longer be read.
        """
        return self.names_at((vaddr,)).get(vaddr)

    def names_at(self, addresses: Iterable[int]) -> dict[int, str]:
        """As name_at(), for those of ``addresses`` that lie in a function. Ascending ones cost least."""
        found: dict[int, str] = {}
        # What the last function of each table was, and from where to where that holds.
        known = [(0, 0, (0, 0, 0, ""))] * len(self._tables)
        for vaddr in addresses:
            best: tuple[int, int, int, str] | None = None
            for number, table in enumerate(self._tables):
                start, end, named = known[number]
                if not start <= vaddr < end:
                    start, end, named = known[number] = _named_at(table, vaddr)
                if named[3] and (best is None or _better(named, best)):
                    best = named
            if best is not None:
                found[vaddr] = best[3]
        return found


def read_functions(stream: BinaryIO, image: ElfImage | None = None) -> FunctionTable:
    """The functions of .symtab or else .dynsym, and of .gnu_debugdata (Fedora's compressed table of what .dynsym lacks).

    Raises ParseError.
    """
    image = image or read_image(stream)
    tables = _tables(stream, image)
    mini = image.section(".gnu_debugdata")
    if mini and image.section(".symtab") is None:
        # Damaged, it leaves the exported names.
        with contextlib.suppress(ParseError):
            inner = io.BytesIO(_decompressed(read_at(stream, mini.offset, min(mini.size, MAX_MINI_DEBUG_BYTES))))
            tables += _tables(inner, read_image(inner))
    return FunctionTable(tables)


def _tables(stream: BinaryIO, image: ElfImage) -> list[_Table]:
    sections = [s for s in image.sections if s.kind in ("SHT_SYMTAB", "SHT_DYNSYM") and s.link < len(image.sections)]
    # .symtab holds all that .dynsym does, in every file that ld, gold, lld or mold writes.
    whole = [s for s in sections if s.kind == "SHT_SYMTAB"]
    return [_table(stream, image, section) for section in whole or sections]


def _table(stream: BinaryIO, image: ElfImage, section: Section) -> _Table:
    if section.size > MAX_TABLE_BYTES:
        raise ParseError(f"a symbol table of {section.size} bytes is too large")
    wide = image.bits == 64
    # Elf64_Sym: name, info, other, shndx, value, size; Elf32_Sym: name, value, size, info, other, shndx.
    entry = struct.Struct(image.order + ("IBBHQQ" if wide else "IIIBBH"))
    data = read_at(stream, section.offset, section.size)
    data = data[: len(data) - len(data) % entry.size]
    names = image.sections[section.link]
    if wide:
        kinds = struct.Struct(image.order + "4xBxHQ8x").iter_unpack(data)
    else:
        kinds = (
            (info, index, value) for value, info, index in struct.Struct(image.order + "4xI4xBxH").iter_unpack(data)
        )
    functions = (STT_FUNC, STT_GNU_IFUNC)
    # One integer per function sorts faster than a pair, and takes a third of the memory.
    keys = [
        value << 32 | place
        for place, (info, index, value) in enumerate(kinds)
        if info & 15 in functions and index and value
    ]
    keys.sort()
    starts = array("Q", [key >> 32 for key in keys])
    order = array("I", [key & 0xFFFFFFFF for key in keys])
    return _Table(stream, data, entry, wide, names.offset, names.size, starts, order)


def _named_at(table: _Table, vaddr: int) -> tuple[int, int, tuple[int, int, int, str]]:
    """The innermost function over ``vaddr``, ranked and named ('': none), and from ``vaddr`` on up to where that is so."""
    place = bisect_right(table.starts, vaddr) - 1
    best = (0, 0, 0, "")
    until = table.starts[place + 1] if place + 1 < len(table.starts) else 1 << 64
    for start, size, binding, name in _covering(table, place, vaddr):
        if size:
            until = min(until, start + size)
        text = _name(table, name)
        rank = (STB_LOCAL, STB_WEAK, STB_GLOBAL).index(binding) if binding in (0, 1, 2) else 2
        found = (start, rank, len(text.lstrip("_")) - len(text), text)
        if text and (not best[3] or _better(found, best)):
            best = found
    return vaddr, until, best


def _covering(table: _Table, place: int, vaddr: int) -> list[tuple[int, int, int, int]]:
    """(start, size, binding, name) of every alias of the innermost function over ``vaddr``, looked for from ``place`` down."""
    if place < 0:
        return []
    nearest = table.starts[place]
    found: list[tuple[int, int, int, int]] = []
    sizeless: list[tuple[int, int, int, int]] = []
    for step in range(place, max(-1, place - MAX_STEPS_BACK), -1):
        symbol = table.symbol(step)
        start, size = symbol[:2]
        if found and start != found[0][0]:
            break
        if start <= vaddr < start + size:
            found.append(symbol)
        elif size == 0 and start == nearest:
            sizeless.append(symbol)
    return found or sizeless


def _name(table: _Table, start: int) -> str:
    if start >= table.names_size:
        return ""
    for size in (256, MAX_NAME_BYTES):
        data = read_at(table.stream, table.names_at + start, min(size, table.names_size - start))
        text, end, _ = data.partition(b"\0")
        if end:
            break
    at = text.find(b"@", 1)
    return (text if at < 0 else text[:at]).decode("utf-8", "surrogateescape")


def _better(one: tuple[int, int, int, str], other: tuple[int, int, int, str]) -> bool:
    if one[:3] != other[:3]:
        return one[:3] > other[:3]
    return (len(one[3]), other[3]) > (len(other[3]), one[3])


def _decompressed(data: bytes) -> bytes:
    try:
        return lzma.LZMADecompressor(memlimit=MAX_MINI_DEBUG_BYTES * 2).decompress(data, MAX_MINI_DEBUG_BYTES)
    except (lzma.LZMAError, EOFError) as error:
        raise ParseError("damaged .gnu_debugdata", excerpt=str(error)) from error
