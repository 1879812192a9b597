"""File and line of addresses, from the line programs of .debug_line, one at a time in memory.

pyelftools keeps every row of every program (1.2 GiB for 100 MB of DWARF, STYLE.md); here only those that answer an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from memtui_parsers.dwarf_forms import Order, initial_length
from memtui_parsers.dwarf_line_header import FileTable, read_file_table, read_line_header
from memtui_parsers.dwarf_line_program import run_line_program
from memtui_parsers.dwarf_sections import DwarfSections
from memtui_parsers.dwarf_strings import Strings
from memtui_parsers.errors import ParseError

MAX_PROGRAM_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class UnitLines:
    """What one program answers: per address the file's index in ``files``, and the line, 0 where the code is of none."""

    version: int
    rows: dict[int, tuple[int, int]]
    files: FileTable

    def paths(self, indices: Iterable[int]) -> dict[int, str | None]:
        """The paths of these files, relative to the compilation's directory where they say no more."""
        return {index: self.files.path(index) for index in set(indices)}


class Lines:
    """The programs of one file. ``lowest`` is where its code begins: see run_line_program()."""

    def __init__(self, sections: DwarfSections, strings: Strings, lowest: int) -> None:
        self._line = sections.line
        self._strings = strings
        self._order: Order = sections.order
        self._address_bytes = sections.address_bytes
        self._lowest = lowest

    def programs(self) -> Iterator[int]:
        """Where each begins in .debug_line; ends where the chain of lengths breaks."""
        at = 0
        while self._line is not None and at < self._line.size:
            try:
                length, _, after = initial_length(self._line.read(at, 12), 0, self._order)
            except ParseError:
                return
            if length == 0 or length > self._line.size - at:
                return
            yield at
            at += after + length

    def run(self, offset: int, wanted: Sequence[int], *, all_files: bool = False) -> UnitLines:
        """What the program at ``offset`` says of the addresses in ``wanted`` (ascending).

        The line is the innermost inlined call's. ``files`` is empty where nothing is answered and ``all_files`` not asked for.
        Raises ParseError for a damaged program.
        """
        header = read_line_header(self._program(offset), self._order, self._address_bytes)
        answers = run_line_program(header, wanted, self._lowest)
        version = header.encoding.version
        if not answers.rows and not all_files:
            return UnitLines(version, {}, FileTable(version, (), ()))
        return UnitLines(version, answers.rows, read_file_table(header, answers.files, self._strings.at))

    def _program(self, offset: int) -> bytes:
        if self._line is None:
            raise ParseError("there are no lines")
        length, _, after = initial_length(self._line.read(offset, 12), 0, self._order)
        if length > min(MAX_PROGRAM_BYTES, self._line.size):
            raise ParseError("a line program is too long")
        return self._line.read(offset, after + length)
