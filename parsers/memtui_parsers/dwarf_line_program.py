"""Runs a line program (DWARF 5, section 6.2.5) and keeps only the rows that answer an address."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from memtui_parsers.dwarf_forms import address_struct, text, uleb
from memtui_parsers.dwarf_line_header import LineHeader
from memtui_parsers.errors import ParseError

DW_LNE_END_SEQUENCE, DW_LNE_SET_ADDRESS, DW_LNE_DEFINE_FILE = 1, 2, 3
NEVER = 1 << 65
ADDRESSES = (1 << 64) - 1
# The longest one defines a file: its name and three numbers. Vendors have extensions of their own.
MAX_EXTENDED_BYTES = 64 * 1024


@dataclass(slots=True)
class Answers:
    """Per address (index of the file, line); line 0 means that the compiler made the code of no line. ``files`` were defined."""

    rows: dict[int, tuple[int, int]] = field(default_factory=dict)
    files: list[tuple[str, int]] = field(default_factory=list)


def run_line_program(header: LineHeader, wanted: Sequence[int], lowest: int) -> Answers:
    """The rows over the addresses in ``wanted`` (ascending); an address the program says nothing of is left out.

    A row holds from its address up to the next one's; of several at one address the last. Sequences that begin below
    ``lowest``, where the program has no code, or at the top of the address space belong to functions that the linker
    dropped. Raises ParseError when the program is cut short; what was found until then is lost, as its rows may be wrong.
    """
    answers = Answers()
    try:
        _run(header, wanted, lowest, answers)
    except StopIteration as error:
        raise ParseError("a line program is cut short") from error
    return answers


def _run(header: LineHeader, wanted: Sequence[int], lowest: int, answers: Answers) -> None:
    # This loop sees every opcode of every program: one function, on local names and a bytes iterator, for its speed's sake;
    # the branches stand in the order of how often compilers write them.
    base, scale, operations = header.opcode_base, header.min_instruction_bytes, header.max_operations
    line_base, line_range = header.line_base, header.line_range
    operand_counts = header.operand_counts
    set_address = address_struct(header.encoding.address_bytes, header.encoding.order)
    dead = (1 << 8 * set_address.size) - 2
    advances = [max(0, opcode - base) // line_range * scale for opcode in range(256)]
    steps = [line_base + max(0, opcode - base) % line_range for opcode in range(256)]
    vliw = operations > 1
    count = len(wanted)
    # ``limit`` is the first wanted address that the row before may answer: -1 before a sequence's first row, NEVER past
    # the last one and in dead sequences. ``place`` is its index in ``wanted``.
    address = place = operation = 0
    limit = -1
    file = line = row_file = row_line = 1
    data = iter(header.unit[header.program_at :])

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
        elif opcode == 1:  # copy
            pass
        elif opcode == 3:  # advance_line
            byte = next(data)
            line += byte if byte < 0x40 else byte - 0x80 if byte < 0x80 else _signed(byte, data)
            continue
        elif opcode == 6:  # negate_stmt
            continue
        elif opcode == 4:  # set_file
            byte = next(data)
            file = byte if byte < 0x80 else _unsigned(byte, data)
            continue
        elif opcode == 0:
            body = _extended(data)
            kind = body[0]
            if kind == DW_LNE_SET_ADDRESS:
                if len(body) - 1 != set_address.size:
                    raise ParseError(f"an address of {len(body) - 1} bytes")
                target = set_address.unpack_from(body, 1)[0]
                if target < lowest or target >= dead:
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
        else:  # what moves neither address nor line, and what nobody knows
            for _ in range(operand_counts[opcode]):
                while next(data) > 127:
                    pass
            continue
        # A row: what lies between the last one and this is answered by the last one.
        if address > limit:
            if limit < 0:
                place = bisect_left(wanted, address)
            else:
                place = _settle(wanted, place, address, (row_file, row_line), answers.rows)
            limit = wanted[place] if place < count else NEVER
        row_file, row_line = file, line


def _extended(data: Iterator[int]) -> bytes:
    """An extended opcode and its operands, which state their own length."""
    size = _unsigned(next(data), data)
    body = bytes(islice(data, min(size, MAX_EXTENDED_BYTES)))
    if size == 0 or len(body) < size:
        raise ParseError("an extended opcode is cut short")
    return body


def _unsigned(byte: int, data: Iterator[int]) -> int:
    """A ULEB128 number whose first byte was read."""
    return _leb128(byte, data)[0]


def _signed(byte: int, data: Iterator[int]) -> int:
    """A SLEB128 number whose first byte was read."""
    value, bits = _leb128(byte, data)
    return value - (1 << bits) if value >> (bits - 1) else value


def _leb128(byte: int, data: Iterator[int]) -> tuple[int, int]:
    """(value, how many bits were written of it). Raises ParseError for more than 64."""
    value, bits = byte & 0x7F, 7
    while byte > 127:
        if bits >= 70:
            raise ParseError("a number is too long")
        byte = next(data)
        value |= (byte & 0x7F) << bits
        bits += 7
    return value, bits


def _settle(
    wanted: Sequence[int], place: int, before: int, row: tuple[int, int], rows: dict[int, tuple[int, int]]
) -> int:
    """Answer what is wanted from ``place`` up to the address ``before``; the place that comes next."""
    while place < len(wanted) and wanted[place] < before:
        rows.setdefault(wanted[place], row)
        place += 1
    return place
