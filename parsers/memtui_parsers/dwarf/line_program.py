"""Runs the line programs of .debug_line (DWARF 5, section 6.2.5) and keeps only the rows that answer an address.

Most of a program is skipped without being run: the ends of its sequences are searched for as bytes, in C, and only the
sequences that can contain a wanted address are run. A sequence ends with an extended opcode of three bytes, and the
next one begins with what sets the registers of its first row and its address. The same bytes can be operands of other
opcodes, so the run checks that each piece ends with a sequence, and the whole program is run otherwise.

One program at a time is in memory.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from memtui_parsers.dwarf.line_header import FileTable, LineHeader, read_file_table, read_line_header
from memtui_parsers.dwarf.sections import DwarfSections
from memtui_parsers.dwarf.strings import Strings
from memtui_parsers.elf.numbers import Order, address_struct, initial_length, text, uleb
from memtui_parsers.errors import ParseError

DW_LNE_END_SEQUENCE, DW_LNE_SET_ADDRESS, DW_LNE_DEFINE_FILE, DW_LNE_SET_DISCRIMINATOR = 1, 2, 3, 4
# The numbers of operands of the standard's opcodes 1 to 12. Sequences are not searched for where a compiler has others.
STANDARD_COUNTS = bytes([0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
NEVER = 1 << 65
ADDRESSES = (1 << 64) - 1
# The longest one defines a file: its name and three numbers. Vendors have extensions of their own.
MAX_EXTENDED_BYTES = 64 * 1024
MAX_PROGRAM_BYTES = 256 << 20

_Piece = tuple[int, int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class UnitLines:
    """The answers of one program: (index in ``files``, line) by address; line 0 means that the code has no line."""

    version: int
    rows: dict[int, tuple[int, int]]
    files: FileTable


class Lines:
    """The line programs of one file. ``lowest`` is the lowest address of its code: see run_line_program()."""

    def __init__(self, sections: DwarfSections, strings: Strings, lowest: int) -> None:
        self._line = sections.line
        self._strings = strings
        self._order: Order = sections.order
        self._address_bytes = sections.address_bytes
        self._lowest = lowest

    def programs(self) -> Iterator[int]:
        """Yield the place of each program in .debug_line, up to the first damaged length."""
        at = 0
        while self._line is not None and at < self._line.size:
            try:
                length, _, after = initial_length(self._line.read(at, 12), self._order)
            except ParseError:
                return
            if length == 0 or length > self._line.size - at:
                return
            yield at
            at += after + length

    def run(self, offset: int, wanted: Sequence[int], *, all_files: bool = False) -> UnitLines:
        """Run the program at ``offset`` for the addresses in ``wanted`` (ascending).

        A line is the innermost inlined call's. Without answers, ``files`` is filled only if ``all_files``. Raises
        ParseError for a damaged program.
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
        length, _, after = initial_length(self._line.read(offset, 12), self._order)
        if length > min(MAX_PROGRAM_BYTES, self._line.size):
            raise ParseError("a line program is too long")
        return self._line.read(offset, after + length)


@dataclass(slots=True)
class Answers:
    """(index of the file, line) by address; line 0: the code has no line. ``files`` are those that opcodes added."""

    rows: dict[int, tuple[int, int]] = field(default_factory=dict)
    files: list[tuple[str, int]] = field(default_factory=list)


def run_line_program(header: LineHeader, wanted: Sequence[int], lowest: int) -> Answers:
    """Return the rows for the addresses in ``wanted`` (ascending) that the program covers.

    A row covers the addresses up to the next row; of several rows at one address the last one counts. Sequences that
    begin below ``lowest``, where the program has no code, or at the top of the address space are of functions that the
    linker dropped. Raises ParseError for a truncated program, without its rows, as they may be wrong.
    """
    try:
        answers = _run_some(header, wanted, lowest)
        if answers is None:
            answers = Answers()
            _run(_Special.of(header), header.unit[header.program_at :], wanted, lowest, answers)
        return answers
    except StopIteration as error:
        raise ParseError("a line program is cut short") from error


def _run_some(header: LineHeader, wanted: Sequence[int], lowest: int) -> Answers | None:
    """Run only the sequences that can contain an address; None where these cannot be told for sure.

    Compilers write a sequence for each function, so for a few addresses most of a program is skipped.
    """
    pieces = _sequences(header)
    if len(pieces) < 2:
        return None
    starts = sorted((address, piece) for piece, (_, _, addresses) in enumerate(pieces) for address in addresses)
    keys = [start for start, _ in starts]
    chosen: dict[int, list[int]] = {}
    for address in wanted:
        place = bisect_right(keys, address) - 1
        if place >= 0:
            chosen.setdefault(starts[place][1], []).append(address)
    answers = Answers()
    special = _Special.of(header)
    for piece in sorted(chosen):
        begin, end, _ = pieces[piece]
        if not _run(special, header.unit[begin:end], chosen[piece], lowest, answers):
            return None
    return answers if len(answers.rows) == len(wanted) else None


@dataclass(frozen=True, slots=True)
class _Special:
    """The values that each special opcode of a program adds to the address and to the line."""

    header: LineHeader
    advances: list[int]
    steps: list[int]

    @classmethod
    def of(cls, header: LineHeader) -> _Special:
        base, scale, lines = header.opcode_base, header.min_instruction_bytes, header.line_range
        advances = [max(0, opcode - base) // lines * scale for opcode in range(256)]
        return cls(header, advances, [header.line_base + max(0, opcode - base) % lines for opcode in range(256)])


def _run(special: _Special, code: bytes, wanted: Sequence[int], lowest: int, answers: Answers) -> bool:
    """Run ``code`` until all of ``wanted`` is answered; return False when it ends within a sequence."""
    # For speed, this loop over every opcode is one function on local names and an iterator of bytes, with its branches
    # in the order of how often compilers write the opcodes.
    header, advances, steps = special.header, special.advances, special.steps
    base, scale, operations = header.opcode_base, header.min_instruction_bytes, header.max_operations
    line_range = header.line_range
    operand_counts = header.operand_counts
    set_address = address_struct(header.encoding.address_bytes, header.encoding.order)
    dropped = (1 << 8 * set_address.size) - 2
    vliw = operations > 1
    count, goal = len(wanted), len(answers.rows) + len(wanted)
    # ``limit`` is the first wanted address that the last row may cover: -1 before a sequence's first row, NEVER after
    # the last address and in dropped sequences. ``place`` is its index in ``wanted``.
    address = place = operation = 0
    limit = -1
    file = line = row_file = row_line = 1
    data = iter(code)

    for opcode in data:
        if opcode >= base:
            if vliw:
                ahead = operation + (opcode - base) // line_range
                address += scale * (ahead // operations)
                operation = ahead % operations
            else:
                address += advances[opcode]
            line += steps[opcode]
        elif opcode == 5:  # set_column
            while next(data) > 127:
                pass
            continue
        elif opcode == 3:  # advance_line
            byte = next(data)
            if byte < 0x80:
                line += byte if byte < 0x40 else byte - 0x80
                continue
            more = next(data)
            if more < 0x80:
                line += (byte & 0x7F) + (more << 7) - (0 if more < 0x40 else 0x4000)
            else:
                line += _signed(byte, more, data)
            continue
        elif opcode == 1:  # copy
            if address <= limit:
                row_file, row_line = file, line
                continue
        elif opcode == 6:  # negate_stmt
            continue
        elif opcode == 4:  # set_file
            byte = next(data)
            file = byte if byte < 0x80 else _unsigned(byte, data)
            continue
        elif opcode == 0:
            size = next(data)
            if size == 2 or size == 3:
                kind = next(data)
                if kind == DW_LNE_SET_DISCRIMINATOR:
                    for _ in range(size - 1):
                        next(data)
                    continue
                body = bytes((kind, *islice(data, size - 1)))
            else:
                body = _extended(size, data)
            kind = body[0]
            if kind == DW_LNE_SET_ADDRESS:
                if len(body) - 1 != set_address.size:
                    raise ParseError(f"an address of {len(body) - 1} bytes")
                target = set_address.unpack_from(body, 1)[0]
                if target < lowest or target >= dropped:
                    limit = NEVER
                elif target < address or limit == NEVER:
                    limit = -1
                address, operation = target, 0
            elif kind == DW_LNE_END_SEQUENCE:
                if 0 <= limit < address:
                    _settle(wanted, place, address, (row_file, row_line), answers.rows)
                address = operation = 0
                limit = -1
                file = line = row_file = row_line = 1
            elif kind == DW_LNE_DEFINE_FILE:
                name, after = text(body, 1)
                answers.files.append((name.decode("utf-8", "surrogateescape"), uleb(body, after)[0]))
            continue
        elif opcode == 8 or opcode == 2:  # const_add_pc, advance_pc
            ahead = operation + ((255 - base) // line_range if opcode == 8 else _unsigned(next(data), data))
            address = address + scale * (ahead // operations) & ADDRESSES
            operation = ahead % operations
            continue
        elif opcode == 9:  # fixed_advance_pc
            address = address + int.from_bytes((next(data), next(data)), header.encoding.order) & ADDRESSES
            operation = 0
            continue
        else:  # opcodes that change neither address nor line, and unknown ones
            for _ in range(operand_counts[opcode]):
                while next(data) > 127:
                    pass
            continue
        # A new row: the last row covers the addresses between the two.
        if address > limit:
            if limit < 0:
                place = bisect_left(wanted, address)
            else:
                place = _settle(wanted, place, address, (row_file, row_line), answers.rows)
            limit = wanted[place] if place < count else NEVER
            if limit == NEVER and len(answers.rows) == goal:
                return True
        row_file, row_line = file, line
    return limit == -1


def _extended(size: int, data: Iterator[int]) -> bytes:
    """Read an extended opcode with its operands. ``size`` is the first byte of their number of bytes."""
    size = _unsigned(size, data)
    body = bytes(islice(data, min(size, MAX_EXTENDED_BYTES)))
    if size == 0 or len(body) < size:
        raise ParseError("an extended opcode is cut short")
    return body


def _unsigned(byte: int, data: Iterator[int]) -> int:
    """Read the rest of an unsigned LEB128 number after its first byte."""
    value, bits = byte & 0x7F, 7
    while byte > 127:
        if bits >= 70:
            raise ParseError("a number is too long")
        byte = next(data)
        value |= (byte & 0x7F) << bits
        bits += 7
    return value


def _signed(byte: int, more: int, data: Iterator[int]) -> int:
    """Read the rest of a signed LEB128 number of three bytes or more after its first two."""
    value, bits = byte & 0x7F | (more & 0x7F) << 7, 14
    while more > 127:
        if bits >= 70:
            raise ParseError("a number is too long")
        more = next(data)
        value |= (more & 0x7F) << bits
        bits += 7
    return value - (1 << bits) if value >> (bits - 1) else value


def _settle(
    wanted: Sequence[int], place: int, before: int, row: tuple[int, int], rows: dict[int, tuple[int, int]]
) -> int:
    """Answer the wanted addresses from ``place`` on that are below ``before``; return the next place."""
    while place < len(wanted) and wanted[place] < before:
        rows.setdefault(wanted[place], row)
        place += 1
    return place


def _sequences(header: LineHeader) -> list[_Piece]:
    """Return (begin, end, addresses that it sets) of pieces of ``header.unit``, each of one or more complete sequences.

    The list is empty where pieces cannot be told. A piece may begin with addresses that the linker set to 0.
    """
    if header.operand_counts != STANDARD_COUNTS[: header.opcode_base] or header.opcode_base < 10:
        return []
    boundary, set_address = _patterns(header.encoding.address_bytes)
    size, order = header.encoding.address_bytes, header.encoding.order
    unit = header.unit
    ends = [end.end() for end in boundary.finditer(unit, header.program_at)]
    pieces: list[_Piece] = []
    begin = header.program_at
    for end in (*ends, len(unit)):
        places = set_address.finditer(unit, begin, end)
        addresses = tuple(int.from_bytes(unit[m.end() - size : m.end()], order) for m in places)
        if addresses:
            pieces.append((begin, end, addresses))
        begin = end
    return pieces


@lru_cache(maxsize=2)
def _patterns(address_bytes: int) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    set_address = rb"\x00" + re.escape(bytes([address_bytes + 1])) + rb"\x02"
    # Not after what may be an opcode with an operand, or the operand's first byte. advance_pc precedes most ends, and
    # its operand is rarely one of these. The lookbehind follows the three bytes, so that these are searched for first.
    end = rb"\x00\x01\x01"
    behind = rb"(?<![\x02-\x05\x09\x0c\x80-\xff]" + end + rb")(?<!\x09." + end + rb")"
    registers = rb"(?:[\x03-\x05][\x80-\xff]*[\x00-\x7f]|\x06|\x00\x02\x04.)*"
    boundary = end + behind + rb"(?=" + registers + set_address + rb")"
    return re.compile(boundary, re.DOTALL), re.compile(set_address + b".{%d}" % address_bytes, re.DOTALL)
