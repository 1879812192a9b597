"""Reads the header tables of an ELF file (sections and segments), and bytes of the file within bounds.

It is our own because a launch reads a dozen files before the screen appears: to import pyelftools costs 35 ms of CPU,
and each file 3 ms (here 0.2). pyelftools also reads hash tables, strings and compressed sections without a limit, while
these files are not trusted. tests/parsers/elf compares the results of both. Layouts: System V ABI, "Object Files"
(elf(5)).
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from memtui_parsers.errors import ParseError

# Linked files have some 40 sections and 15 segments.
MAX_HEADERS = 4096
MAX_NAME_BYTES = 256

SHF_COMPRESSED = 0x800
PF_X = 1

_IDENT_BYTES = 16
_MANY = 0xFFFF  # the count or index does not fit, and is in the first section header

_SECTION_KINDS = {
    0: "SHT_NULL", 1: "SHT_PROGBITS", 2: "SHT_SYMTAB", 3: "SHT_STRTAB", 4: "SHT_RELA", 5: "SHT_HASH", 6: "SHT_DYNAMIC",
    7: "SHT_NOTE", 8: "SHT_NOBITS", 9: "SHT_REL", 11: "SHT_DYNSYM",
}  # fmt: skip
_SEGMENT_KINDS = {
    1: "PT_LOAD", 2: "PT_DYNAMIC", 3: "PT_INTERP", 4: "PT_NOTE", 6: "PT_PHDR", 7: "PT_TLS",
    0x6474E550: "PT_GNU_EH_FRAME",
}  # fmt: skip
_FILE_KINDS = {0: "none", 1: "rel", 2: "exec", 3: "dyn", 4: "core"}
_MACHINES = {
    2: "sparc", 3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 43: "sparcv9", 62: "x86-64",
    183: "aarch64", 243: "riscv", 258: "loongarch",
}  # fmt: skip


class _Header(NamedTuple):
    """The fields of the file header that are needed, after its 16 bytes of identification."""

    type: int
    machine: int
    segments_at: int
    sections_at: int
    segment_bytes: int
    segment_count: int
    section_bytes: int
    section_count: int
    names_index: int


class _RawSection(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


_HEADER = {32: "HH8xII6xHHHHH", 64: "HH12xQQ6xHHHHH"}
_SECTION = {32: "10I", 64: "IIQQQQIIQQ"}
# type, offset, vaddr, paddr, filesz, memsz, flags, align; in 64 bits the flags come second.
_SEGMENT = {32: "8I", 64: "IIQQQQQQ"}
_SEGMENT_64_BYTES = struct.calcsize("=" + _SEGMENT[64])


@dataclass(frozen=True, slots=True)
class Section:
    """A section header. ``kind`` is the ABI's name ('SHT_SYMTAB') or the number in hex.

    ``offset`` and ``size`` are bytes in the file, ``address`` is a virtual address.
    """

    name: str
    kind: str
    flags: int
    address: int
    offset: int
    size: int
    link: int
    entry_size: int

    @property
    def in_file(self) -> bool:
        """Whether the file has its bytes: a separate debug file has none for what stayed in the binary."""
        return self.kind not in ("SHT_NOBITS", "SHT_NULL")


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header: ``file_size`` bytes at ``offset`` of the file are loaded at ``vaddr``."""

    kind: str
    flags: int
    offset: int
    vaddr: int
    file_size: int

    @property
    def executable(self) -> bool:
        return bool(self.flags & PF_X)


@dataclass(frozen=True, slots=True)
class ElfImage:
    """``machine`` is a name such as 'x86-64', ``kind`` 'exec', 'dyn', 'rel', 'core' or a number, ``size`` in bytes."""

    machine: str
    bits: int
    little_endian: bool
    kind: str
    size: int
    sections: tuple[Section, ...]
    segments: tuple[Segment, ...]

    @property
    def order(self) -> str:
        """The byte order as a prefix of struct's formats."""
        return "<" if self.little_endian else ">"

    @property
    def loads(self) -> tuple[Segment, ...]:
        """The segments that are loaded into memory."""
        return tuple(segment for segment in self.segments if segment.kind == "PT_LOAD")

    def section(self, *names: str) -> Section | None:
        """The first section of one of these names that has bytes in the file."""
        return next((s for s in self.sections if s.name in names and s.in_file), None)


def read_image(stream: BinaryIO) -> ElfImage:
    """Read the header tables. Raises ParseError for what is no ELF file, is truncated, or contradicts itself."""
    ident = read_at(stream, 0, _IDENT_BYTES)
    if len(ident) < _IDENT_BYTES or ident[:4] != b"\x7fELF":
        raise ParseError("not an ELF file, or cut short", excerpt=ident)
    if ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise ParseError("damaged ELF header", excerpt=ident)
    bits, order = 32 * ident[4], "<" if ident[5] == 1 else ">"
    layout = struct.Struct(order + _HEADER[bits])
    raw = read_at(stream, _IDENT_BYTES, layout.size)
    if len(raw) < layout.size:
        raise ParseError("not an ELF file, or cut short", excerpt=ident)
    header = _Header(*layout.unpack(raw))
    size = _size_of(stream)
    sections = _raw_sections(stream, header, struct.Struct(order + _SECTION[bits]), size)
    return ElfImage(
        machine=_MACHINES.get(header.machine, f"machine {header.machine}"),
        bits=bits,
        little_endian=order == "<",
        kind=_FILE_KINDS.get(header.type, str(header.type)),
        size=size,
        sections=_named(sections, header.names_index, stream),
        segments=_segments(stream, header, struct.Struct(order + _SEGMENT[bits]), size, sections),
    )


def read_at(stream: BinaryIO, offset: int, size: int) -> bytes:
    """Return ``size`` bytes at ``offset``, fewer at the file's end. Raises ParseError if the stream cannot be read."""
    if offset < 0 or size <= 0 or offset >= 1 << 63:
        return b""
    try:
        if type(stream) is io.BufferedReader:
            # Half the time of a seek and a read through the buffer.
            return os.pread(stream.fileno(), size, offset)
        stream.seek(offset)
        return stream.read(size)
    except (OSError, ValueError, MemoryError) as error:
        raise ParseError("cannot be read", excerpt=str(error)) from error


def _size_of(stream: BinaryIO) -> int:
    try:
        return stream.seek(0, io.SEEK_END)
    except (OSError, ValueError) as error:
        raise ParseError("cannot be read", excerpt=str(error)) from error


def _raw_sections(stream: BinaryIO, header: _Header, layout: struct.Struct, file_size: int) -> list[_RawSection]:
    if header.sections_at == 0:
        return []
    count = header.section_count
    if count == 0:
        # A count over 0xff00 is in the first section's size (gABI 4, sh.header).
        first = read_at(stream, header.sections_at, layout.size)
        count = _RawSection(*layout.unpack(first)).size if len(first) == layout.size else 0
    table = _table(stream, "section", (header.sections_at, header.section_bytes, count), layout, file_size)
    return [_RawSection(*fields) for fields in table]


def _segments(
    stream: BinaryIO, header: _Header, layout: struct.Struct, file_size: int, sections: list[_RawSection]
) -> tuple[Segment, ...]:
    count = header.segment_count
    if header.segments_at == 0 or count == 0:
        return ()
    if count == _MANY and sections:
        count = sections[0].info
    segments = []
    for fields in _table(stream, "segment", (header.segments_at, header.segment_bytes, count), layout, file_size):
        if layout.size == _SEGMENT_64_BYTES:
            kind, flags, offset, vaddr, _, in_file, _, _ = fields
        else:
            kind, offset, vaddr, _, in_file, _, flags, _ = fields
        segments.append(Segment(_SEGMENT_KINDS.get(kind, hex(kind)), flags, offset, vaddr, in_file))
    return tuple(segments)


def _table(
    stream: BinaryIO, what: str, place: tuple[int, int, int], layout: struct.Struct, file_size: int
) -> list[tuple[int, ...]]:
    """Return the entries of a header table at (start, step, count). Raises ParseError for an incomplete table."""
    start, step, count = place
    if count > MAX_HEADERS:
        raise ParseError(f"{count} {what} headers are too many")
    if count and step < layout.size:
        raise ParseError(f"{what} headers of {step} bytes are too small")
    if start + step * count > file_size:
        raise ParseError(f"cut short: its {what} headers lie beyond its end")
    raw = read_at(stream, start, step * count)
    if len(raw) < step * count:
        raise ParseError(f"cut short: its {what} headers lie beyond its end")
    return [layout.unpack_from(raw, at * step) for at in range(count)]


def _named(raw: list[_RawSection], names_index: int, stream: BinaryIO) -> tuple[Section, ...]:
    if raw and names_index == _MANY:
        names_index = raw[0].link
    names = b""
    if 0 < names_index < len(raw):
        table = raw[names_index]
        names = read_at(stream, table.offset, min(table.size, MAX_HEADERS * MAX_NAME_BYTES))
    return tuple(
        Section(_name(names, name), _SECTION_KINDS.get(kind, hex(kind)), flags, address, offset, size, link, entry_size)
        for name, kind, flags, address, offset, size, link, _, _, entry_size in raw
    )


def _name(names: bytes, start: int) -> str:
    end = names.find(b"\0", start, start + MAX_NAME_BYTES)
    return names[start : end if end >= 0 else start + MAX_NAME_BYTES].decode("utf-8", "replace")
