"""What an ELF file says of itself: how it is loaded, what it needs, how its debug file is found."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from memtui_parsers.elf_image import ElfImage, Section, Segment, read_at, read_image
from memtui_parsers.errors import ParseError
from memtui_parsers.values import Mapping

MAX_DYNAMIC_ENTRIES = 8192
MAX_STRING_BYTES = 4096
MAX_NOTES_BYTES = 64 * 1024
MAX_BUILD_ID_BYTES = 64  # SHA-1 has 20; ld --build-id=0x… may give any
MAX_STRING_TABLE_BYTES = 1 << 30
PAGE_BYTES = 4096

DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH, DT_FLAGS_1 = 1, 5, 14, 15, 29, 0x6FFFFFFB
DF_1_PIE = 0x08000000
NT_GNU_BUILD_ID = 3


@dataclass(frozen=True, slots=True)
class LoadSegment:
    """``file_size`` bytes at ``file_offset`` of the file appear at ``vaddr``; ``flags`` are ELF's: 1 execute, 2 write, 4 read."""

    file_offset: int
    vaddr: int
    file_size: int
    flags: int


@dataclass(frozen=True, slots=True)
class ElfFacts:
    """``machine`` as in 'x86-64' or 'aarch64', ``kind`` 'exec' or 'dyn' (others: 'rel', 'core').

    ``interpreter`` None: fully static, or a library. ``build_id`` is hex, '' when there is none. ``debuglink`` is the name
    of the separate debug file and its CRC32. ``has_debug_info`` is about DWARF proper, which a stripped file's .eh_frame is not.
    """

    machine: str
    bits: int
    little_endian: bool
    kind: str
    interpreter: str | None
    is_pie: bool
    needed: tuple[str, ...]
    soname: str | None
    rpath: str | None
    runpath: str | None
    build_id: str
    debuglink: tuple[str, int] | None
    has_symtab: bool
    has_debug_info: bool
    segments: tuple[LoadSegment, ...]

    @property
    def is_program(self) -> bool:
        """Whether it is meant to be run rather than loaded."""
        return self.kind == "exec" or self.is_pie

    @property
    def is_static(self) -> bool:
        """A program that no dynamic loader touches: LD_PRELOAD means nothing to it."""
        return self.is_program and self.interpreter is None


def read_elf_facts(stream: BinaryIO) -> ElfFacts:
    """Raises ParseError for what is no ELF file, is cut short, or cannot be true."""
    return facts_of(stream, read_image(stream))


def facts_of(stream: BinaryIO, image: ElfImage) -> ElfFacts:
    """The facts of an image that was read already."""
    loads = tuple(LoadSegment(s.offset, s.vaddr, s.file_size, s.flags) for s in image.segments if s.kind == "PT_LOAD")
    interpreter = None
    for segment in image.segments:
        if segment.kind == "PT_INTERP":
            interpreter = _text(read_at(stream, segment.offset, min(segment.file_size, MAX_STRING_BYTES)))
    tags, needed = _dynamic(stream, image, loads)
    soname = _string(tags.get(DT_SONAME))
    flags = tags.get(DT_FLAGS_1, 0)
    # ld says DF_1_PIE since 2.26; before that only its interpreter tells a program, and libc has one as well as a soname.
    is_pie = image.kind == "dyn" and (
        (isinstance(flags, int) and bool(flags & DF_1_PIE)) or (interpreter is not None and soname is None)
    )
    return ElfFacts(
        machine=image.machine,
        bits=image.bits,
        little_endian=image.little_endian,
        kind=image.kind,
        interpreter=interpreter or None,
        is_pie=is_pie,
        needed=needed,
        soname=soname,
        rpath=_string(tags.get(DT_RPATH)),
        runpath=_string(tags.get(DT_RUNPATH)),
        build_id=_build_id(stream, image),
        debuglink=_debuglink(stream, image),
        has_symtab=image.section(".symtab") is not None,
        has_debug_info=image.section(".debug_info", ".zdebug_info") is not None,
        segments=loads,
    )


def elf_vaddr(address: int, mapping: Mapping, segments: Collection[LoadSegment]) -> int | None:
    """The virtual address in the ELF file of an address that lies in ``mapping`` of it.

    Through the file offset, so it holds wherever the loader put the file and whatever base it was linked at. Neighbouring
    segments may share a page of the file; the segment that owns the byte wins, then one whose flags fit the mapping's.
    """
    if not mapping.start <= address < mapping.end:
        return None
    offset = address - mapping.start + mapping.offset
    owners = [s for s in segments if s.file_offset <= offset < s.file_offset + s.file_size]
    if not owners:
        owners = [s for s in segments if _page_down(s.file_offset) <= offset < _page_up(s.file_offset + s.file_size)]
    if not owners:
        return None
    fitting = [s for s in owners if bool(s.flags & 1) == mapping.executable]
    owner = (fitting or owners)[0]
    vaddr = offset - owner.file_offset + owner.vaddr
    return vaddr if vaddr >= 0 else None


def defined_symbols(stream: BinaryIO, names: Collection[str]) -> set[str]:
    """Which of these linkage names the file defines, in .dynsym or .symtab. Raises ParseError."""
    return set(symbol_addresses(stream, names))


def symbol_addresses(stream: BinaryIO, names: Collection[str]) -> dict[str, int]:
    """Where the file defines which of these linkage names: .dynsym before .symtab, virtual addresses of the ELF file.

    The string tables are searched first, so that a library without any of them costs one read of its strings. Raises ParseError.
    """
    image = read_image(stream)
    missing = {name.encode() for name in names}
    found: dict[bytes, int] = {}
    for section_kind in ("SHT_DYNSYM", "SHT_SYMTAB"):
        for section in image.sections:
            if section.kind == section_kind and missing:
                for name, value in _defined_in(stream, image, section, missing):
                    found.setdefault(name, value)
                missing -= found.keys()
    return {name.decode(): value for name, value in found.items()}


def _defined_in(
    stream: BinaryIO, image: ElfImage, section: Section, names: Collection[bytes]
) -> Iterator[tuple[bytes, int]]:
    if section.link >= len(image.sections):
        return
    table = image.sections[section.link]
    if table.size > MAX_STRING_TABLE_BYTES:
        raise ParseError(f"a string table of {table.size} bytes is too large")
    strings = read_at(stream, table.offset, table.size)
    wanted = {start: name for name in names for start in _occurrences(strings, name + b"\0")}
    if not wanted:
        return
    # Elf64_Sym: name, info, other, shndx, value, size; Elf32_Sym: name, value, size, info, other, shndx.
    wide = image.bits == 64
    layout = struct.Struct(image.order + ("I2xHQ8x" if wide else "II6xH"))
    data = read_at(stream, section.offset, min(section.size, image.size))
    for name_start, *rest in layout.iter_unpack(data[: len(data) - len(data) % layout.size]):
        index, value = rest if wide else reversed(rest)
        if index and name_start in wanted:
            yield wanted[name_start], value


def _occurrences(strings: bytes, name: bytes) -> Iterator[int]:
    """Every place a name can start at: linkers let a name share the tail of a longer one."""
    start = strings.find(name)
    while start >= 0:
        yield start
        start = strings.find(name, start + 1)


def _dynamic(
    stream: BinaryIO, image: ElfImage, loads: tuple[LoadSegment, ...]
) -> tuple[dict[int, int | str], tuple[str, ...]]:
    """The dynamic section: the last value of each tag (strings resolved) and DT_NEEDED in order."""
    segment = next((s for s in image.segments if s.kind == "PT_DYNAMIC"), None)
    if segment is None:
        return {}, ()
    pair = struct.Struct(image.order + ("QQ" if image.bits == 64 else "II"))
    data = read_at(stream, segment.offset, min(segment.file_size, MAX_DYNAMIC_ENTRIES * pair.size))
    entries: list[tuple[int, int]] = []
    for tag, value in pair.iter_unpack(data[: len(data) - len(data) % pair.size]):
        if tag == 0:
            break
        entries.append((tag, value))
    strings = next((_file_offset(value, loads) for tag, value in entries if tag == DT_STRTAB), None)
    tags: dict[int, int | str] = {}
    needed: list[str] = []
    for tag, value in entries:
        if tag in (DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH):
            text = "" if strings is None else _text(read_at(stream, strings + value, MAX_STRING_BYTES))
            if text and tag == DT_NEEDED:
                needed.append(text)
            elif text:
                tags[tag] = text
        else:
            tags[tag] = value
    return tags, tuple(needed)


def _build_id(stream: BinaryIO, image: ElfImage) -> str:
    areas: list[Section | Segment] = [s for s in image.sections if s.kind == "SHT_NOTE"]
    areas += [s for s in image.segments if s.kind == "PT_NOTE"]
    for area in areas:
        size = area.size if isinstance(area, Section) else area.file_size
        for owner, kind, content in _notes(read_at(stream, area.offset, min(size, MAX_NOTES_BYTES)), image.order):
            if owner == b"GNU\0" and kind == NT_GNU_BUILD_ID and content:
                return content[:MAX_BUILD_ID_BYTES].hex()
    return ""


def _notes(data: bytes, order: str) -> Iterator[tuple[bytes, int, bytes]]:
    """Names and contents are padded to 4 bytes; 8-byte notes (.note.gnu.property) have sizes that suit both."""
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(order + "III", data, at)
        name_at = at + 12
        content_at = name_at + (name_size + 3 & ~3)
        yield data[name_at : name_at + name_size], kind, data[content_at : content_at + size]
        at = content_at + (size + 3 & ~3)


def _debuglink(stream: BinaryIO, image: ElfImage) -> tuple[str, int] | None:
    """.gnu_debuglink: a file name, zeros up to a multiple of 4, the CRC32 of the debug file."""
    section = image.section(".gnu_debuglink")
    if section is None:
        return None
    data = read_at(stream, section.offset, min(section.size, MAX_STRING_BYTES))
    name, found, _ = data.partition(b"\0")
    crc_at = len(name) + 4 & ~3
    if not found or not name or crc_at + 4 > len(data):
        return None
    return name.decode("utf-8", "surrogateescape"), struct.unpack_from(image.order + "I", data, crc_at)[0]


def _file_offset(vaddr: int, loads: tuple[LoadSegment, ...]) -> int | None:
    for load in loads:
        if load.vaddr <= vaddr < load.vaddr + load.file_size:
            return vaddr - load.vaddr + load.file_offset
    return None


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _string(value: int | str | None) -> str | None:
    return value if isinstance(value, str) else None


def _page_down(offset: int) -> int:
    return offset & -PAGE_BYTES


def _page_up(offset: int) -> int:
    return offset + PAGE_BYTES - 1 & -PAGE_BYTES
