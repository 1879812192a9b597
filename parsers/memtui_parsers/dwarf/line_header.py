"""Reads the header of a line program, with its directories and files (DWARF 5, section 6.2.4, and versions 2 to 4)."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass

from memtui_parsers.dwarf.forms import Encoding, StringAt, Value, read_form
from memtui_parsers.elf.numbers import Order, fixed, initial_length, text, uleb
from memtui_parsers.errors import ParseError

DW_LNCT_PATH, DW_LNCT_DIRECTORY_INDEX = 1, 2
VERSIONS = (2, 3, 4, 5)

# Returns a string of another section; None when it is missing.
Resolve = Callable[[StringAt], str | None]


@dataclass(frozen=True, slots=True)
class LineHeader:
    """``unit`` is the program from its length on, ``tables_at`` the place of its tables, ``program_at`` of opcodes."""

    unit: bytes
    encoding: Encoding
    tables_at: int
    program_at: int
    min_instruction_bytes: int
    max_operations: int
    line_base: int
    line_range: int
    opcode_base: int
    operand_counts: bytes


def read_line_header(unit: bytes, order: Order, address_bytes: int) -> LineHeader:
    """Decode what the opcodes need. ``address_bytes`` is the ELF file's, which versions before 5 do not state.

    Raises ParseError for another version, and for a header that contradicts itself.
    """
    _, offset_bytes, at = initial_length(unit, order)
    version, at = fixed(unit, at, 2, order)
    if version not in VERSIONS:
        raise ParseError(f"line programs of DWARF {version}")
    if version >= 5:
        address_bytes, at = fixed(unit, at, 1, order)
        at += 1  # the size of a segment selector, 0 everywhere
    header_length, at = fixed(unit, at, offset_bytes, order)
    program_at = at + header_length
    min_instruction_bytes, at = fixed(unit, at, 1, order)
    max_operations = 1
    if version >= 4:
        max_operations, at = fixed(unit, at, 1, order)
    at += 1  # default_is_stmt, which does not matter: an address has a line in both cases
    line_base, at = fixed(unit, at, 1, order)
    line_range, at = fixed(unit, at, 1, order)
    opcode_base, at = fixed(unit, at, 1, order)
    tables_at = at + max(0, opcode_base - 1)
    if line_range == 0 or opcode_base == 0 or not tables_at <= program_at <= len(unit):
        raise ParseError("a line program's header cannot be true")
    return LineHeader(
        unit=unit,
        encoding=Encoding(order, offset_bytes, address_bytes, version),
        tables_at=tables_at,
        program_at=program_at,
        min_instruction_bytes=min_instruction_bytes,
        max_operations=max(1, max_operations),
        line_base=line_base - 256 if line_base > 127 else line_base,
        line_range=line_range,
        opcode_base=opcode_base,
        operand_counts=b"\0" + unit[at:tables_at],
    )


@dataclass(frozen=True, slots=True)
class FileTable:
    """Directories as written, and files as (name, index of the directory). Before version 5 both indices start at 1."""

    version: int
    directories: tuple[str, ...]
    files: tuple[tuple[str, int], ...]

    def path(self, index: int) -> str | None:
        """Return the file's path, which may be relative to the compilation's directory; None for an unknown index."""
        first = 0 if self.version >= 5 else 1
        if not first <= index < len(self.files) + first:
            return None
        name, directory_index = self.files[index - first]
        parts = [name]
        # Directory 0 is the compilation's own; version 5 has it in the table, older ones in .debug_info. In Debian's
        # builds it is relative, and must not be joined to itself.
        if first <= directory_index < len(self.directories) + first:
            parts.insert(0, self.directories[directory_index - first])
        if not parts[0].startswith("/") and self.version >= 5 and directory_index > 0 and self.directories:
            parts.insert(0, self.directories[0])
        return posixpath.normpath(posixpath.join(*parts)) if any(parts) else None


def whole_path(path: str, version: int, compilation_directory: str | None) -> str:
    """Join a relative ``path`` to the directory where the compiler ran; it stays relative when that is unknown."""
    if path.startswith("/") or not compilation_directory or (version >= 5 and compilation_directory[0] != "/"):
        return path
    return posixpath.normpath(posixpath.join(compilation_directory, path))


def read_file_table(header: LineHeader, defined: list[tuple[str, int]], resolve: Resolve) -> FileTable:
    """Read the tables. ``defined`` are the files that opcodes of the program added. Raises ParseError."""
    if header.encoding.version >= 5:
        return _tables_5(header, resolve)
    unit = header.unit[: header.program_at]
    directories: list[str] = []
    at = header.tables_at
    while True:
        name, at = text(unit, at)
        if not name:
            break
        directories.append(_decode(name))
    files: list[tuple[str, int]] = []
    while True:
        name, at = text(unit, at)
        if not name:
            break
        directory, at = uleb(unit, at)
        _, at = uleb(unit, at)  # time of modification
        _, at = uleb(unit, at)  # size
        files.append((_decode(name), directory))
    return FileTable(header.encoding.version, tuple(directories), (*files, *defined))


def _tables_5(header: LineHeader, resolve: Resolve) -> FileTable:
    directories, at = _entries_5(header, header.tables_at)
    files, _ = _entries_5(header, at)
    # .debug_line_str is read in ascending order, which is fastest when it is compressed.
    places = {name for name, _ in (*directories, *files) if isinstance(name, StringAt)}
    strings = {place: resolve(place) for place in sorted(places)}

    def text_of(value: Value) -> str:
        if isinstance(value, StringAt):
            return strings[value] or ""
        return _decode(value) if isinstance(value, bytes) else ""

    return FileTable(
        header.encoding.version,
        tuple(text_of(name) for name, _ in directories),
        tuple((text_of(name), directory) for name, directory in files),
    )


def _entries_5(header: LineHeader, at: int) -> tuple[list[tuple[Value, int]], int]:
    unit = header.unit[: header.program_at]
    format_count, at = fixed(unit, at, 1, header.encoding.order)
    formats: list[tuple[int, int]] = []
    for _ in range(format_count):
        content, at = uleb(unit, at)
        form, at = uleb(unit, at)
        formats.append((content, form))
    count, at = uleb(unit, at)
    if count > len(unit):
        raise ParseError("more table entries than bytes")
    entries: list[tuple[Value, int]] = []
    for _ in range(count):
        name: Value = None
        directory = 0
        for content, form in formats:
            value, at = read_form(form, unit, at, header.encoding)
            if content == DW_LNCT_PATH:
                name = value
            elif content == DW_LNCT_DIRECTORY_INDEX and isinstance(value, int):
                directory = value
        entries.append((name, directory))
    return entries, at


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
