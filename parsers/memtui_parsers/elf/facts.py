"""Reads the facts of an ELF file for a launch: how it is loaded, what it needs, how its debug file is found.

Also which mappings can be of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from memtui_parsers.elf.image import ElfImage, Section, Segment, read_at, read_image
from memtui_parsers.elf.numbers import uleb
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import file_path
from memtui_parsers.values import Mapping

MAX_LINK_BYTES = 8192
MAX_DYNAMIC_ENTRIES = 8192
MAX_STRING_BYTES = 4096
MAX_NOTES_BYTES = 64 * 1024
MAX_BUILD_ID_BYTES = 64  # SHA-1 has 20; ld --build-id=0x… may give any
MAX_STRING_TABLE_BYTES = 1 << 30
# x86 has one page size; on aarch64, ppc64 and others the kernel chooses it.
PAGE_BYTES = 4096
OTHER_PAGES_BYTES = (PAGE_BYTES, 16384, 65536)

DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH, DT_FLAGS_1 = 1, 5, 14, 15, 29, 0x6FFFFFFB
DF_1_PIE = 0x08000000
NT_GNU_BUILD_ID = 3
STB_GLOBAL = 1


@dataclass(frozen=True, slots=True)
class ElfFacts:
    """``machine`` is a name such as 'x86-64', ``kind`` 'exec', 'dyn', 'rel' or 'core'.

    ``interpreter`` is None for a fully static program and for a library. ``build_id`` is hex, '' when there is none.
    ``debuglink`` is the name of the separate debug file and its CRC32. ``has_debug_info``: there is a .debug_info
    section.
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
    segments: tuple[Segment, ...]

    @property
    def is_program(self) -> bool:
        """Whether it is a program and no library."""
        return self.kind == "exec" or self.is_pie

    @property
    def is_static(self) -> bool:
        """Whether it is a program without a dynamic loader, for which LD_PRELOAD has no effect."""
        return self.is_program and self.interpreter is None


class AlternateLink(NamedTuple):
    """Another file into which dwz moved what several files share.

    ``name`` is a path, relative to the folder of the file that has the link; ``build_id`` is hex.
    """

    name: str
    build_id: str


def read_elf_facts(stream: BinaryIO) -> ElfFacts:
    """Read the facts of a file. Raises ParseError for what is no ELF file, is truncated, or contradicts itself."""
    return facts_of(stream, read_image(stream))


def facts_of(stream: BinaryIO, image: ElfImage) -> ElfFacts:
    """Read the facts of a file whose image was read already."""
    interpreter = None
    for segment in image.segments:
        if segment.kind == "PT_INTERP":
            interpreter = _text(read_at(stream, segment.offset, min(segment.file_size, MAX_STRING_BYTES)))
    tags, needed = _dynamic(stream, image)
    soname = _string(tags.get(DT_SONAME))
    flags = tags.get(DT_FLAGS_1, 0)
    # ld sets DF_1_PIE since 2.26. In older files an interpreter marks a program; libc has one too, and a soname.
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
        segments=image.loads,
    )


def elf_vaddr(address: int, mapping: Mapping, segments: Collection[Segment]) -> int | None:
    """Translate an address in a mapping of the file to a virtual address of the ELF file; None for one outside of both.

    The file offset links the two, so the load address and the link base do not matter. Neighbouring segments may share
    a page of the file: the segment that contains the byte is taken first, then one whose flags fit the mapping.
    """
    if not mapping.start <= address < mapping.end:
        return None
    offset = address - mapping.start + mapping.offset
    owners = [s for s in segments if s.offset <= offset < s.offset + s.file_size]
    if not owners:
        page = offset & -PAGE_BYTES
        owners = [s for s in segments if s.offset & -PAGE_BYTES <= page < s.offset + s.file_size]
    if not owners:
        return None
    fitting = [s for s in owners if s.executable == mapping.executable]
    owner = (fitting or owners)[0]
    vaddr = offset - owner.offset + owner.vaddr
    return vaddr if vaddr >= 0 else None


def code_ranges(mappings: Iterable[Mapping]) -> dict[str, tuple[int, int]]:
    """Return the range of file offsets, [start, end), that executable mappings cover, by path as the maps have it."""
    ranges: dict[str, tuple[int, int]] = {}
    for mapping in mappings:
        if mapping.executable and file_path(mapping):
            start, end = mapping.offset, mapping.offset + mapping.end - mapping.start
            low, high = ranges.get(mapping.path, (start, end))
            ranges[mapping.path] = min(low, start), max(high, end)
    return ranges


def may_be_mapped(mapped: tuple[int, int], facts: ElfFacts) -> bool:
    """Whether the file's code, in whole pages, starts and ends where the range ``mapped`` of code_ranges() does.

    Loaders map whole segments. What lies between is not compared, as programs move their text to huge pages.
    """
    code = [segment for segment in facts.segments if segment.executable and segment.file_size]
    if not code:
        return False
    start = min(segment.offset for segment in code)
    end = max(segment.offset + segment.file_size for segment in code)
    pages = (PAGE_BYTES,) if facts.machine in ("x86-64", "i386") else OTHER_PAGES_BYTES
    return any(
        mapped[0] == start & -page and mapped[1] in (end + page - 1 & -page, _musl_end(facts, page)) for page in pages
    )


def _musl_end(facts: ElfFacts, page: int) -> int | None:
    """The end that musl maps of a library that begins with its code: first all of it, then other segments over it."""
    first, *others = sorted(facts.segments, key=lambda segment: segment.vaddr)
    if not (first.executable and others):
        return None
    return (first.offset & -page) + (others[0].vaddr & -page) - (first.vaddr & -page)


def defined_symbols(stream: BinaryIO, names: Collection[str]) -> set[str]:
    """Return those of ``names`` (linkage names) that the file defines in .dynsym or .symtab. Raises ParseError."""
    return set(symbol_addresses(stream, names))


def imported_symbols(stream: BinaryIO) -> set[str]:
    """Return the names that the file takes from others and cannot do without (weak ones it can). Raises ParseError."""
    image = read_image(stream)
    section = next((section for section in image.sections if section.kind == "SHT_DYNSYM"), None)
    if section is None or section.link >= len(image.sections):
        return set()
    table = image.sections[section.link]
    if table.size > MAX_STRING_TABLE_BYTES:
        raise ParseError(f"a string table of {table.size} bytes is too large")
    strings = read_at(stream, table.offset, table.size)
    # As in _defined_in(), with the binding in the upper half of info.
    wide = image.bits == 64
    layout = struct.Struct(image.order + ("IBxH16x" if wide else "I8xBxH"))
    data = read_at(stream, section.offset, min(section.size, image.size))
    names = set()
    for name_start, info, index in layout.iter_unpack(data[: len(data) - len(data) % layout.size]):
        if not index and info >> 4 == STB_GLOBAL:
            name = strings[name_start : name_start + MAX_STRING_BYTES].partition(b"\0")[0]
            names.add(name.decode("utf-8", "surrogateescape"))
    return names


def symbol_addresses(stream: BinaryIO, names: Collection[str]) -> dict[str, int]:
    """Return the virtual addresses of those of ``names`` (linkage names) that the file defines, .dynsym before .symtab.

    The string tables are searched first, so that a library without any of them costs one read of its strings.
    Raises ParseError.
    """
    return _addresses(stream, read_image(stream), names, ("SHT_DYNSYM", "SHT_SYMTAB"))


def exported_symbols(stream: BinaryIO, names: Collection[str]) -> set[str]:
    """Return those of ``names`` that the file defines in .dynsym, or in .symtab where it has no .dynsym, as a static program.

    The .symtab of a large program takes some 10 ms a name. Raises ParseError.
    """
    image = read_image(stream)
    dynamic = any(section.kind == "SHT_DYNSYM" for section in image.sections)
    return set(_addresses(stream, image, names, ("SHT_DYNSYM" if dynamic else "SHT_SYMTAB",)))


def _addresses(
    stream: BinaryIO, image: ElfImage, names: Collection[str], section_kinds: Collection[str]
) -> dict[str, int]:
    missing = {name.encode() for name in names}
    addresses: dict[bytes, int] = {}
    for section_kind in section_kinds:
        for section in image.sections:
            if section.kind == section_kind and missing:
                for name, value in _defined_in(stream, image, section, missing):
                    addresses.setdefault(name, value)
                missing -= addresses.keys()
    return {name.decode(): value for name, value in addresses.items()}


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
    """Yield every place where a name can start: linkers let a name share the tail of a longer one."""
    start = strings.find(name)
    while start >= 0:
        yield start
        start = strings.find(name, start + 1)


def alternate_link(stream: BinaryIO, image: ElfImage) -> AlternateLink | None:
    """Read .gnu_debugaltlink, or .debug_sup of DWARF 5; None for a file without a link.

    Raises ParseError when the stream cannot be read.
    """
    section = image.section(".gnu_debugaltlink", ".debug_sup")
    if section is None:
        return None
    data = read_at(stream, section.offset, min(section.size, MAX_LINK_BYTES))
    is_standard = section.name == ".debug_sup"
    # The standard's section begins with two bytes of version, and one that is set in the other file itself.
    if is_standard and (len(data) < 3 or data[2]):
        return None
    name, end, rest = data[3 if is_standard else 0 :].partition(b"\0")
    if not name or not end:
        return None
    if is_standard:
        try:
            size, at = uleb(rest, 0)
        except ParseError:
            return None
        rest = rest[at : at + size]
    return AlternateLink(name.decode("utf-8", "surrogateescape"), rest.hex())


def _dynamic(stream: BinaryIO, image: ElfImage) -> tuple[dict[int, int | str], tuple[str, ...]]:
    """Read the dynamic section: the last value of each tag (strings resolved), and DT_NEEDED in order."""
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
    strings = next((_file_offset(value, image.loads) for tag, value in entries if tag == DT_STRTAB), None)
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
    """Yield (owner, type, content). Both texts are padded to 4 bytes; the sizes of 8-byte notes fit both paddings."""
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(order + "III", data, at)
        name_at = at + 12
        content_at = name_at + (name_size + 3 & ~3)
        yield data[name_at : name_at + name_size], kind, data[content_at : content_at + size]
        at = content_at + (size + 3 & ~3)


def _debuglink(stream: BinaryIO, image: ElfImage) -> tuple[str, int] | None:
    """Read .gnu_debuglink: a file name, zeros up to a multiple of 4, the CRC32 of the debug file."""
    section = image.section(".gnu_debuglink")
    if section is None:
        return None
    data = read_at(stream, section.offset, min(section.size, MAX_STRING_BYTES))
    name, end, _ = data.partition(b"\0")
    crc_at = len(name) + 4 & ~3
    if not end or not name or crc_at + 4 > len(data):
        return None
    return name.decode("utf-8", "surrogateescape"), struct.unpack_from(image.order + "I", data, crc_at)[0]


def _file_offset(vaddr: int, loads: tuple[Segment, ...]) -> int | None:
    holding = (load for load in loads if load.vaddr <= vaddr < load.vaddr + load.file_size)
    return next((vaddr - load.vaddr + load.offset for load in holding), None)


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _string(value: int | str | None) -> str | None:
    return value if isinstance(value, str) else None
