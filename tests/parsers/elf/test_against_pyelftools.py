"""Sections, segments, facts and functions of real files against pyelftools, which reads all of a file and checks nothing.

It is 10 to 70 times slower than the readers here, so of a large symbol table some hundred functions are compared: the whole
module takes some seconds of CPU.
"""

from __future__ import annotations

import subprocess
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_P_TYPE_BASE, ENUM_SH_TYPE_AMD64
from elftools.elf.sections import NoteSection, SymbolTableSection
from elftools.elf.segments import InterpSegment

from memtui_parsers.elf.facts import facts_of, symbol_addresses
from memtui_parsers.elf.image import ElfImage, read_image
from memtui_parsers.elf.sections import open_section
from memtui_parsers.elf.symbols import read_functions
from tests.fixtures.real_binaries import BUILDS, INSTALLED, binary, built

FUNCTIONS = 400
FILES = [*INSTALLED, *BUILDS]

Function = tuple[int, int, str]  # address, size, name without its symbol version


@contextmanager
def opened(path: Path) -> Iterator[tuple[ElfImage, ELFFile]]:
    with path.open("rb") as stream:
        yield read_image(stream), ELFFile(stream)


def number(kind: str | int, table: Mapping[str, int]) -> int:
    """The number of a type that pyelftools or we give a name, or in hex."""
    if isinstance(kind, int):
        return kind
    return int(kind, 16) if kind.startswith("0x") else table[kind]


def first(texts: list[str]) -> str | None:
    return texts[0] if texts else None


@pytest.mark.parametrize("name", FILES)
def test_sections_are_those_of_pyelftools(name: str) -> None:
    with opened(binary(name)) as (ours, theirs):
        assert [
            (s.name, number(s.kind, ENUM_SH_TYPE_AMD64), s.flags, s.address, s.offset, s.size, s.link, s.entry_size)
            for s in ours.sections
        ] == [
            (
                s.name,
                number(s["sh_type"], ENUM_SH_TYPE_AMD64),
                s["sh_flags"],
                s["sh_addr"],
                s["sh_offset"],
                s["sh_size"],
                s["sh_link"],
                s["sh_entsize"],
            )
            for s in theirs.iter_sections()
        ]
        assert len(ours.sections) > 5


@pytest.mark.parametrize("name", FILES)
def test_segments_are_those_of_pyelftools(name: str) -> None:
    with opened(binary(name)) as (ours, theirs):
        assert [(number(s.kind, ENUM_P_TYPE_BASE), s.flags, s.offset, s.vaddr, s.file_size) for s in ours.segments] == [
            (number(s["p_type"], ENUM_P_TYPE_BASE), s["p_flags"], s["p_offset"], s["p_vaddr"], s["p_filesz"])
            for s in theirs.iter_segments()
        ]
        assert len(ours.segments) > 2


@pytest.mark.parametrize("name", FILES)
def test_facts_are_those_of_pyelftools(name: str) -> None:
    path = binary(name)
    with path.open("rb") as stream:
        facts = facts_of(stream, read_image(stream))
        theirs = ELFFile(stream)
        assert (facts.bits, facts.little_endian) == (theirs.elfclass, theirs.little_endian)
        assert f"ET_{facts.kind.upper()}" == theirs["e_type"]
        interpreters = [s.get_interp_name() for s in theirs.iter_segments() if isinstance(s, InterpSegment)]
        assert facts.interpreter == first(interpreters)
        tags: dict[str, list[str]] = {"DT_NEEDED": [], "DT_SONAME": [], "DT_RPATH": [], "DT_RUNPATH": []}
        for section in theirs.iter_sections():
            if isinstance(section, DynamicSection):
                for tag in section.iter_tags():
                    if tag.entry.d_tag in tags:
                        tags[tag.entry.d_tag].append(getattr(tag, tag.entry.d_tag.removeprefix("DT_").lower()))
        assert list(facts.needed) == tags["DT_NEEDED"]
        assert facts.soname == first(tags["DT_SONAME"])
        assert facts.rpath == first(tags["DT_RPATH"])
        assert facts.runpath == first(tags["DT_RUNPATH"])
        notes = [n for s in theirs.iter_sections() if isinstance(s, NoteSection) for n in s.iter_notes()]
        assert facts.build_id == next((n["n_desc"] for n in notes if n["n_type"] == "NT_GNU_BUILD_ID"), "")
        assert facts.has_symtab == (theirs.get_section_by_name(".symtab") is not None)


def their_functions(theirs: ELFFile) -> list[Function]:
    """Those of .symtab, else of .dynsym, by address."""
    tables = [s for s in theirs.iter_sections() if isinstance(s, SymbolTableSection)]
    tables = [s for s in tables if s["sh_type"] == "SHT_SYMTAB"] or [s for s in tables if s["sh_type"] == "SHT_DYNSYM"]
    return sorted(
        (symbol["st_value"], symbol["st_size"], symbol.name[:1] + symbol.name[1:].partition("@")[0])
        for table in tables
        for symbol in table.iter_symbols()
        # STT_LOOS is what pyelftools calls STT_GNU_IFUNC.
        if symbol["st_info"]["type"] in ("STT_FUNC", "STT_LOOS", "STT_GNU_IFUNC")
        and symbol["st_shndx"] != "SHN_UNDEF"
        and symbol["st_value"]
    )


def over(functions: list[Function], starts: list[int], address: int) -> set[str]:
    """The names that the innermost function over ``address`` has; one without a size reaches up to the next."""
    place = bisect_right(starts, address)
    covering = [f for f in functions[:place] if f[0] <= address < f[0] + f[1]]
    if not covering:
        covering = [f for f in functions[:place] if f[1] == 0 and f[0] == starts[place - 1]]
    return {name for start, _, name in covering if start == covering[-1][0]}


@pytest.mark.parametrize("name", FILES)
def test_functions_are_those_of_pyelftools(name: str) -> None:
    path = binary(name)
    with path.open("rb") as stream:
        theirs = their_functions(ELFFile(stream))
        ours = read_functions(stream)
        assert len(ours) == len(theirs)
        starts = [start for start, _, _ in theirs]
        chosen = theirs[:: max(1, len(theirs) // FUNCTIONS)]
        addresses = {
            address
            for start, size, _ in chosen
            for address in (start - 1, start, start + size // 2, start + size - 1, start + size)
        }
        answers = ours.names_at(sorted(addresses))
        for address in addresses:
            names = over(theirs, starts, address)
            assert (answers.get(address) in names) if names else address not in answers, hex(address)


@pytest.mark.parametrize("name", ["libc", "libstdc++", "libtcmalloc", "static", "no-pie"])
def test_addresses_of_named_functions_are_those_of_pyelftools(name: str) -> None:
    path = binary(name)
    with path.open("rb") as stream:
        theirs: dict[str, set[int]] = {}
        for start, _, function in their_functions(ELFFile(stream)):
            theirs.setdefault(function, set()).add(start)
        chosen = [*theirs][:: max(1, len(theirs) // 50)]
        found = symbol_addresses(stream, chosen)
        assert found.keys() == set(chosen)
        for function, address in found.items():
            assert address in theirs[function], function


@pytest.mark.parametrize("how", ["zlib", "zlib-gnu", "zstd"])
def test_compressed_sections_hold_what_pyelftools_reads_uncompressed(how: str, tmp_path: Path) -> None:
    original, packed = built("unoptimized"), tmp_path / "packed"
    done = subprocess.run(
        ["objcopy", f"--compress-debug-sections={how}", str(original), str(packed)], capture_output=True, text=True
    )
    if how == "zstd" and done.returncode:
        pytest.skip("this objcopy knows no zstd")
    assert not done.returncode, done.stderr
    with original.open("rb") as plain, packed.open("rb") as stream:
        image = read_image(stream)
        names = [s.name for s in ELFFile(plain).iter_sections() if s.name.startswith(".debug_")]
        assert ".debug_info" in names and packed.stat().st_size < original.stat().st_size
        for section in names:
            ours, theirs = open_section(stream, image, section), ELFFile(plain).get_section_by_name(section)
            assert ours is not None and theirs is not None
            assert ours.read(0, ours.size) == theirs.data(), section
