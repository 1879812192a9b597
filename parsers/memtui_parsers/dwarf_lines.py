"""File and line of addresses, by streaming through the line programs of .debug_line.

pyelftools keeps every row of every program (1.2 GiB for 100 MB of DWARF, STYLE.md); here one program at a time is in
memory, and of its rows only those that answer an address. .debug_aranges, where there is one, says which programs to run first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from memtui_parsers.dwarf_forms import Order, StringAt, initial_length
from memtui_parsers.dwarf_line_header import FileTable, read_file_table, read_line_header
from memtui_parsers.dwarf_line_program import run_line_program
from memtui_parsers.dwarf_units import Unit, string_offset, units, units_at, units_over
from memtui_parsers.elf_image import ElfImage
from memtui_parsers.elf_sections import SectionReader, open_section, read_string
from memtui_parsers.errors import ParseError

MAX_PROGRAM_BYTES = 256 << 20
# What an int in a C compiler holds; a number beyond it is damage.
MAX_LINE = (1 << 31) - 1
# A file that has nothing but damaged programs is given up after so many.
MAX_DAMAGED = 1000


@dataclass(frozen=True, slots=True)
class DwarfSections:
    """The sections that lines are read from, of one file."""

    line: SectionReader
    info: SectionReader | None = None
    abbreviations: SectionReader | None = None
    aranges: SectionReader | None = None
    strings: SectionReader | None = None
    line_strings: SectionReader | None = None
    string_offsets: SectionReader | None = None


def open_dwarf(stream: BinaryIO, image: ElfImage) -> DwarfSections | None:
    """None where there is no .debug_line. Raises ParseError for sections whose compression cannot be read."""
    line = open_section(stream, image, ".debug_line")
    if line is None:
        return None
    names = (".debug_info", ".debug_abbrev", ".debug_aranges", ".debug_str", ".debug_line_str", ".debug_str_offsets")
    return DwarfSections(line, *(open_section(stream, image, name) for name in names))


def find_lines(
    sections: DwarfSections, wanted: Sequence[int], *, little_endian: bool, address_bytes: int, lowest: int = 1
) -> Iterator[tuple[int, str, int]]:
    """(address, path, line) for those of ``wanted`` (ascending, distinct) that a row covers, program by program.

    The line is the innermost inlined call's; 0 where the compiler made the code of no line. ``lowest`` is where the
    program's code begins: rows below it belong to functions that the linker dropped. A path is relative when nothing says
    to what. Damaged programs are passed over. Raises ParseError when the file can no longer be read.
    """
    search = _Search(sections, "little" if little_endian else "big", address_bytes, lowest, wanted)
    answered: set[int] = set()
    for address, path, line in search.rows():
        if address not in answered:
            answered.add(address)
            yield address, path, line
            if len(answered) == len(wanted):
                return


Row = tuple[int, str, int]


@dataclass(frozen=True, slots=True)
class _Found:
    """What one program answered: per address the file's index in the table, and the line."""

    table: FileTable
    rows: dict[int, tuple[int, int]]

    def needs_directory(self) -> bool:
        return any(self.table.needs_directory(file) for file in {file for file, _ in self.rows.values()})

    def paths(self, directory: str | None) -> Iterator[Row]:
        paths = {file: self.table.path(file, directory) for file in {file for file, _ in self.rows.values()}}
        for address, (file, line) in self.rows.items():
            path = paths[file]
            if path is not None:
                yield address, path, line if 0 < line <= MAX_LINE else 0


class _Search:
    """One file's sections and terms, and what is wanted of it."""

    def __init__(
        self, sections: DwarfSections, order: Order, address_bytes: int, lowest: int, wanted: Sequence[int]
    ) -> None:
        self._sections = sections
        self._order: Order = order
        self._address_bytes = address_bytes
        self._lowest = lowest
        self._wanted = wanted

    def rows(self) -> Iterator[Row]:
        """Every answer of every program, the likely programs first; an address may come more than once."""
        likely = self._likely_units()
        for offset in sorted(likely):
            unit = likely[offset]
            program = _program(self._sections.line, offset, self._order)
            found = self._run(program) if program else None
            if found:
                yield from found.paths(self._text(unit) if found.needs_directory() else None)
        # Relative paths wait for the end: their directories cost a walk over the root DIEs of all units.
        homeless: list[tuple[int, _Found]] = []
        damaged = 0
        for offset, program in _programs(self._sections.line, self._order):
            if offset in likely:
                continue
            found = self._run(program)
            if found is None:
                damaged += 1
                if damaged > MAX_DAMAGED:
                    break
            elif found.needs_directory():
                homeless.append((offset, found))
            else:
                yield from found.paths(None)
        directories = self._directories({offset for offset, _ in homeless}) if homeless else {}
        for offset, found in homeless:
            yield from found.paths(directories.get(offset))

    def _likely_units(self) -> dict[int, Unit]:
        """The units that .debug_aranges names, by the offset of their line program."""
        s = self._sections
        if s.aranges is None or s.info is None or s.abbreviations is None:
            return {}
        offsets = units_over(s.aranges, self._wanted, self._order)
        found = units_at(s.info, s.abbreviations, offsets, self._order)
        return {unit.lines: unit for unit in found if unit.lines is not None}

    def _run(self, program: bytes) -> _Found | None:
        """None: the program is damaged."""
        try:
            header = read_line_header(program, self._order, self._address_bytes)
            answers = run_line_program(header, self._wanted, self._lowest)
            if not answers.rows:
                return _Found(FileTable(header.encoding.version, (), ()), {})
            return _Found(read_file_table(header, answers.files, self._string), answers.rows)
        except ParseError:
            return None

    def _directories(self, offsets: set[int]) -> dict[int, str]:
        """The compilation directories of these programs, by one walk over the units' root DIEs."""
        s = self._sections
        if s.info is None or s.abbreviations is None:
            return {}
        named = [u for u in units(s.info, s.abbreviations, self._order) if u.lines in offsets and u.directory]
        # In the order of their places, as a compressed string section wants it.
        named.sort(key=lambda u: u.directory.place if isinstance(u.directory, StringAt) else 0)
        texts = {u.lines: self._text(u) for u in named}
        return {lines: text for lines, text in texts.items() if lines is not None and text}

    def _text(self, unit: Unit) -> str | None:
        """A unit's compilation directory."""
        value = unit.directory
        if isinstance(value, bytes):
            return value.decode("utf-8", "surrogateescape")
        if value is not None and value.section == ".debug_str_offsets":
            place = string_offset(self._sections.string_offsets, value.place, unit.offset_bytes, self._order)
            return None if place is None else read_string(self._sections.strings, place)
        return None if value is None else self._string(value)

    def _string(self, value: StringAt) -> str | None:
        readers = {".debug_str": self._sections.strings, ".debug_line_str": self._sections.line_strings}
        return read_string(readers.get(value.section), value.place)


def _programs(line: SectionReader, order: Order) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of every unit of .debug_line, in order; ends where the chain of lengths breaks."""
    at = 0
    while at < line.size:
        head = line.read(at, 12)
        try:
            length, _, after = initial_length(head, 0, order)
        except ParseError:
            return
        if length == 0 or length > line.size - at:
            return
        if length <= MAX_PROGRAM_BYTES:
            yield at, line.read(at, after + length)
        at += after + length


def _program(line: SectionReader, offset: int, order: Order) -> bytes | None:
    head = line.read(offset, 12)
    try:
        length, _, after = initial_length(head, 0, order)
    except ParseError:
        return None
    return line.read(offset, after + length) if length <= min(MAX_PROGRAM_BYTES, line.size) else None
