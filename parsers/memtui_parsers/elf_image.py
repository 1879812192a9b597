"""An ELF file as its header tables describe it: sections, segments, and bounded reading of what they hold.

Read with struct and not with pyelftools: a launch looks at a dozen files before there is a screen, where importing pyelftools
alone cost 35 ms of CPU and each file 3 ms (here 0.2); and it reads hash tables, strings and compressed sections without a
limit, while the files here belong to whoever is being looked at. Layouts: System V ABI, "Object Files" (elf(5)).
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
_MANY = 0xFFFF  # the count or index that does not fit stands in the first section header

_SECTION_KINDS = {
    0: "SHT_NULL",
    1: "SHT_PROGBITS",
    2: "SHT_SYMTAB",
    3: "SHT_STRTAB",
    4: "SHT_RELA",
    5: "SHT_HASH",
    6: "SHT_DYNAMIC",
    7: "SHT_NOTE",
    8: "SHT_NOBITS",
    9: "SHT_REL",
    11: "SHT_DYNSYM",
}
_SEGMENT_KINDS = {1: "PT_LOAD", 2: "PT_DYNAMIC", 3: "PT_INTERP", 4: "PT_NOTE", 6: "PT_PHDR", 7: "PT_TLS"}
_FILE_KINDS = {0: "none", 1: "rel", 2: "exec", 3: "dyn", 4: "core"}
_MACHINES = {
    2: "sparc",
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    43: "sparcv9",
    62: "x86-64",
    183: "aarch64",
    243: "riscv",
    258: "loongarch",
}


class _Header(NamedTuple):
    """The file header after its 16 bytes of identification."""

    type: int
    machine: int
    version: int
    entry: int
    segments_at: int
    sections_at: int
    flags: int
    header_bytes: int
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


_HEADER = {32: "HHIIIIIHHHHHH", 64: "HHIQQQIHHHHHH"}
_SECTION = {32: "10I", 64: "IIQQQQIIQQ"}
# type, offset, vaddr, paddr, filesz, memsz, flags, align; in 64 bits the flags come second.
_SEGMENT = {32: "8I", 64: "IIQQQQQQ"}
_SEGMENT_64_BYTES = struct.calcsize("=" + _SEGMENT[64])


@dataclass(frozen=True, slots=True)
class Section:
    """``kind`` is the ABI's word ('SHT_SYMTAB') or its number in hex; ``offset`` and ``size`` are bytes in the file.

    ``address`` is where it stands in the image.
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
        """False in a separate debug file for what stayed in the binary."""
        return self.kind not in ("SHT_NOBITS", "SHT_NULL")


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header: ``file_size`` bytes at ``offset`` of the file appear at ``vaddr``."""

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
    """``machine`` as in 'x86-64', ``kind`` 'exec', 'dyn', 'rel', 'core' or a number; ``size`` of the file in bytes."""

    machine: str
    bits: int
    little_endian: bool
    kind: str
    size: int
    sections: tuple[Section, ...]
    segments: tuple[Segment, ...]

    @property
    def order(self) -> str:
        """The byte order as struct wants it."""
        return "<" if self.little_endian else ">"

    def section(self, *names: str) -> Section | None:
        """The first section of one of these names that has bytes in the file."""
        return next((s for s in self.sections if s.name in names and s.in_file), None)


def read_image(stream: BinaryIO) -> ElfImage:
    """Decode the header tables. Raises ParseError for what is no ELF file, is cut short, or cannot be true."""
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
    """What the file holds there, fewer bytes at its end. Raises ParseError when the stream cannot be read."""
    if offset < 0 or size <= 0 or offset >= 1 << 63:
        return b""
    try:
        if type(stream) is io.BufferedReader:
            # Half of what a seek and a read through the buffer take.
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
        # A count over 0xff00 stands in the first section's size (gABI 4, sh.header): more than we take in any case.
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
    found = []
    for fields in _table(stream, "segment", (header.segments_at, header.segment_bytes, count), layout, file_size):
        if layout.size == _SEGMENT_64_BYTES:
            kind, flags, offset, vaddr, _, in_file, _, _ = fields
        else:
            kind, offset, vaddr, _, in_file, _, flags, _ = fields
        found.append(Segment(_SEGMENT_KINDS.get(kind, hex(kind)), flags, offset, vaddr, in_file))
    return tuple(found)


def _table(
    stream: BinaryIO, what: str, place: tuple[int, int, int], layout: struct.Struct, file_size: int
) -> list[tuple[int, ...]]:
    """The entries of a header table at (start, step, count), whole or not at all."""
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
        Section(
            name=_name(names, entry.name),
            kind=_SECTION_KINDS.get(entry.kind, hex(entry.kind)),
            flags=entry.flags,
            address=entry.address,
            offset=entry.offset,
            size=entry.size,
            link=entry.link,
            entry_size=entry.entry_size,
        )
        for entry in raw
    )


def _name(names: bytes, start: int) -> str:
    end = names.find(b"\0", start, start + MAX_NAME_BYTES)
    return names[start : end if end >= 0 else start + MAX_NAME_BYTES].decode("utf-8", "replace")
