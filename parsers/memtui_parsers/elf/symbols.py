"""Finds the function that contains an address, by bisecting the symbol tables.

Names for 10,000 addresses take 0.18 s of CPU with unpacked tables; pyelftools' iter_symbols() takes 2 to 4 times as
long.
"""

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

from memtui_parsers.elf.image import ElfImage, Section, read_at, read_image
from memtui_parsers.errors import ParseError

# Ten million entries of 24 bytes; a whole browser has six.
MAX_TABLE_BYTES = 256 << 20
MAX_NAME_BYTES = 16 * 1024
MAX_MINI_DEBUG_BYTES = 64 << 20

STT_FUNC, STT_GNU_IFUNC = 2, 10
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
# How many symbols before an address are looked at for a function that contains smaller ones.
MAX_STEPS_BACK = 16

# Start, binding (2: global, 1: weak, 0: local), minus the number of leading underscores, name ('': no function).
_Function = tuple[int, int, int, str]
_NO_FUNCTION: _Function = (0, 0, 0, "")


@dataclass(frozen=True, slots=True)
class _Table:
    """A symbol table's bytes, and the place of its names in the file.

    ``starts`` are its functions' addresses, ascending, and ``order`` their indices in the table.
    """

    stream: BinaryIO
    data: bytes
    entry: struct.Struct
    wide: bool
    names_at: int
    names_size: int
    starts: array[int]
    order: array[int]

    def symbol(self, place: int) -> tuple[int, int, int, int]:
        """Return (start, size, binding, place of the name) of the function at ``place`` in address order."""
        fields = self.entry.unpack_from(self.data, self.order[place] * self.entry.size)
        if self.wide:
            name, info, _, _, value, size = fields
        else:
            name, value, size, info, _, _ = fields
        return value, size, info >> 4, name


class FunctionTable:
    """Functions by address. Names are read from the file on demand: the stream must stay open."""

    def __init__(self, tables: Sequence[_Table]) -> None:
        self._tables = tables

    def __len__(self) -> int:
        return sum(len(table.starts) for table in self._tables)

    def names_at(self, addresses: Iterable[int]) -> dict[int, str]:
        """Return the names of the innermost functions by address in ``addresses``, which cost least in ascending order.

        They are linkage names without symbol versions. Among aliases a global one is taken, then one with the fewest
        leading underscores, then the longest. A function without a size (assembly) extends to the next one. Raises
        ParseError when the file can no longer be read.
        """
        names: dict[int, str] = {}
        # The last answer of each table, with the range of addresses that it holds for.
        last = [(0, 0, _NO_FUNCTION)] * len(self._tables)
        for vaddr in addresses:
            best = _NO_FUNCTION
            for number, table in enumerate(self._tables):
                start, end, function = last[number]
                if not start <= vaddr < end:
                    start, end, function = last[number] = _function_at(table, vaddr)
                if function[3] and (not best[3] or _rank(function) > _rank(best)):
                    best = function
            if best[3]:
                names[vaddr] = best[3]
        return names


def read_functions(stream: BinaryIO, image: ElfImage | None = None) -> FunctionTable:
    """Read the functions of .symtab, else of .dynsym and .gnu_debugdata (Fedora's table of what .dynsym lacks).

    Raises ParseError.
    """
    image = image or read_image(stream)
    tables = _tables(stream, image)
    mini = image.section(".gnu_debugdata")
    if mini and image.section(".symtab") is None:
        # When it is damaged, the exported names remain.
        with contextlib.suppress(ParseError, lzma.LZMAError, EOFError):
            packed = read_at(stream, mini.offset, min(mini.size, MAX_MINI_DEBUG_BYTES))
            decompressor = lzma.LZMADecompressor(memlimit=MAX_MINI_DEBUG_BYTES * 2)
            inner = io.BytesIO(decompressor.decompress(packed, MAX_MINI_DEBUG_BYTES))
            tables += _tables(inner, read_image(inner))
    return FunctionTable(tables)


def _tables(stream: BinaryIO, image: ElfImage) -> list[_Table]:
    sections = [s for s in image.sections if s.kind in ("SHT_SYMTAB", "SHT_DYNSYM") and s.link < len(image.sections)]
    # .symtab contains all of .dynsym in every file that ld, gold, lld or mold writes.
    complete = [s for s in sections if s.kind == "SHT_SYMTAB"]
    return [_table(stream, image, section) for section in complete or sections]


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
    # An integer per function sorts faster than a pair, and takes a third of the memory.
    keys = [
        value << 32 | place
        for place, (info, index, value) in enumerate(kinds)
        if info & 15 in functions and index and value
    ]
    keys.sort()
    starts = array("Q", [key >> 32 for key in keys])
    order = array("I", [key & 0xFFFFFFFF for key in keys])
    return _Table(stream, data, entry, wide, names.offset, names.size, starts, order)


def _function_at(table: _Table, vaddr: int) -> tuple[int, int, _Function]:
    """Return the range [vaddr, end) within one innermost function, and that function."""
    place = bisect_right(table.starts, vaddr) - 1
    best = _NO_FUNCTION
    end = table.starts[place + 1] if place + 1 < len(table.starts) else 1 << 64
    for start, size, binding, name in _covering(table, place, vaddr):
        if size:
            end = min(end, start + size)
        text = _name(table, name)
        if text:
            preference = (STB_LOCAL, STB_WEAK, STB_GLOBAL).index(binding) if binding in (0, 1, 2) else 2
            best = max(best, (start, preference, len(text.lstrip("_")) - len(text), text), key=_rank)
    return vaddr, end, best


def _rank(function: _Function) -> tuple[object, ...]:
    """The order of functions, the best last: the longest name, and the first by letters of equally long ones."""
    start, preference, underscores, text = function
    return bool(text), start, preference, underscores, len(text), [-ord(letter) for letter in text]


def _covering(table: _Table, place: int, vaddr: int) -> list[tuple[int, int, int, int]]:
    """Return (start, size, binding, name) of every alias of the innermost function that contains ``vaddr``.

    ``place`` is the last function that starts at or before it.
    """
    if place < 0:
        return []
    nearest = table.starts[place]
    aliases: list[tuple[int, int, int, int]] = []
    sizeless: list[tuple[int, int, int, int]] = []
    for candidate in range(place, max(-1, place - MAX_STEPS_BACK), -1):
        symbol = table.symbol(candidate)
        start, size = symbol[:2]
        if aliases and start != aliases[0][0]:
            break
        if start <= vaddr < start + size:
            aliases.append(symbol)
        elif size == 0 and start == nearest:
            sizeless.append(symbol)
    return aliases or sizeless


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
