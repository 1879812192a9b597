"""An ELF file as its header tables describe it: sections, segments, and bounded reading of what they hold.

pyelftools decodes the header structures; everything else of it is left aside, because it reads hash tables, strings and
compressed sections without a limit, and the files here belong to whoever is being looked at.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, BinaryIO

from memtui_parsers.errors import ParseError

# Linked files have some 40 sections and 15 segments; each costs 30 us to decode.
MAX_HEADERS = 4096
MAX_NAME_BYTES = 256

SHF_COMPRESSED = 0x800
PF_X = 1


@dataclass(frozen=True, slots=True)
class Section:
    """``kind`` is pyelftools' word ('SHT_SYMTAB'); ``offset`` and ``size`` bytes in the file, ``address`` in the image."""

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
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(stream)
        header = elf.header
        size = stream.seek(0, io.SEEK_END)
        raw_sections = _raw_sections(elf, stream, size)
        segments = tuple(_segment(raw) for raw in _raw_segments(elf, stream, size, raw_sections))
    except ELFError as error:
        raise ParseError("not an ELF file, or cut short", excerpt=str(error)) from error
    except (AttributeError, KeyError, TypeError, UnicodeDecodeError, ValueError, OverflowError) as error:
        if isinstance(error, ParseError):
            raise
        raise ParseError("damaged ELF header", excerpt=str(error)) from error
    return ElfImage(
        machine=_machine(str(header["e_machine"])),
        bits=elf.elfclass,
        little_endian=elf.little_endian,
        kind=str(header["e_type"]).removeprefix("ET_").lower(),
        size=size,
        sections=_named(raw_sections, header["e_shstrndx"], stream),
        segments=segments,
    )


def read_at(stream: BinaryIO, offset: int, size: int) -> bytes:
    """What the file holds there, fewer bytes at its end. Raises ParseError when the stream cannot be read."""
    if offset < 0 or size <= 0 or offset >= 1 << 63:
        return b""
    try:
        stream.seek(offset)
        return stream.read(size)
    except (OSError, ValueError, MemoryError) as error:
        raise ParseError("cannot be read", excerpt=str(error)) from error


def _raw_sections(elf: Any, stream: BinaryIO, file_size: int) -> list[Any]:
    from elftools.common.utils import struct_parse

    start, step, count = elf["e_shoff"], elf["e_shentsize"], elf["e_shnum"]
    if start == 0:
        return []
    if count == 0:
        # A count over 0xff00 stands in the first section's size (gABI 4, sh.header): more than we take in any case.
        count = struct_parse(elf.structs.Elf_Shdr, stream, start)["sh_size"]
    _check_table("section", start, step, count, file_size, elf.structs.Elf_Shdr.sizeof())
    return [struct_parse(elf.structs.Elf_Shdr, stream, start + i * step) for i in range(count)]


def _raw_segments(elf: Any, stream: BinaryIO, file_size: int, sections: list[Any]) -> list[Any]:
    from elftools.common.utils import struct_parse

    start, step, count = elf["e_phoff"], elf["e_phentsize"], elf["e_phnum"]
    if start == 0 or count == 0:
        return []
    if count == 0xFFFF and sections:
        count = sections[0]["sh_info"]
    _check_table("segment", start, step, count, file_size, elf.structs.Elf_Phdr.sizeof())
    return [struct_parse(elf.structs.Elf_Phdr, stream, start + i * step) for i in range(count)]


def _check_table(what: str, start: int, step: int, count: int, file_size: int, least_step: int) -> None:
    if count > MAX_HEADERS:
        raise ParseError(f"{count} {what} headers are too many")
    if count and step < least_step:
        raise ParseError(f"{what} headers of {step} bytes are too small")
    if start + step * count > file_size:
        raise ParseError(f"cut short: its {what} headers lie beyond its end")


def _named(raw: list[Any], names_index: int, stream: BinaryIO) -> tuple[Section, ...]:
    if raw and names_index == 0xFFFF:
        names_index = raw[0]["sh_link"]
    names = b""
    if 0 < names_index < len(raw):
        table = raw[names_index]
        names = read_at(stream, table["sh_offset"], min(table["sh_size"], MAX_HEADERS * MAX_NAME_BYTES))
    return tuple(
        Section(
            name=_name(names, entry["sh_name"]),
            kind=str(entry["sh_type"]),
            flags=entry["sh_flags"],
            address=entry["sh_addr"],
            offset=entry["sh_offset"],
            size=entry["sh_size"],
            link=entry["sh_link"],
            entry_size=entry["sh_entsize"],
        )
        for entry in raw
    )


def _name(names: bytes, start: int) -> str:
    end = names.find(b"\0", start, start + MAX_NAME_BYTES)
    return names[start : end if end >= 0 else start + MAX_NAME_BYTES].decode("utf-8", "replace")


def _segment(raw: Any) -> Segment:
    return Segment(str(raw["p_type"]), raw["p_flags"], raw["p_offset"], raw["p_vaddr"], raw["p_filesz"])


def _machine(name: str) -> str:
    names = {"EM_X86_64": "x86-64", "EM_386": "i386", "EM_PPC64": "ppc64", "EM_S390": "s390x", "EM_RISCV": "riscv"}
    return names.get(name, name.removeprefix("EM_").lower())
