"""Runs a line program (DWARF 5, section 6.2.5) and keeps only the rows that answer an address."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from memtui_parsers.dwarf_forms import address_struct, sleb, text, uleb
from memtui_parsers.dwarf_line_header import LineHeader
from memtui_parsers.errors import ParseError

DW_LNE_END_SEQUENCE, DW_LNE_SET_ADDRESS, DW_LNE_DEFINE_FILE = 1, 2, 3
NEVER = 1 << 65
ADDRESSES = (1 << 64) - 1


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
    except IndexError as error:
        raise ParseError("a line program is cut short") from error
    return answers


def _run(header: LineHeader, wanted: Sequence[int], lowest: int, answers: Answers) -> None:
    # This loop sees every opcode of every program: it is one function on local names for its speed's sake.
    data = header.unit
    base, scale, operations = header.opcode_base, header.min_instruction_bytes, header.max_operations
    line_base, line_range = header.line_base, header.line_range
    operand_counts = header.operand_counts
    set_address = address_struct(header.encoding.address_bytes, header.encoding.order)
    dead = (1 << 8 * set_address.size) - 2
    advances = [max(0, opcode - base) // line_range * scale for opcode in range(256)]
    steps = [line_base + max(0, opcode - base) % line_range for opcode in range(256)]
    vliw = operations > 1
    count = len(wanted)
    at, end = header.program_at, len(data)
    # ``limit`` is the first wanted address that the row before may answer: -1 before a sequence's first row, NEVER past
    # the last one and in dead sequences. ``place`` is its index in ``wanted``.
    address = place = operation = 0
    limit = -1
    file = line = row_file = row_line = 1

    while at < end:
        opcode = data[at]
        at += 1
        if opcode >= base:
            if vliw:
                ahead = operation + (opcode - base) // line_range
                address += scale * (ahead // operations)
                operation = ahead % operations
            else:
                address += advances[opcode]
            line += steps[opcode]
        elif opcode == 5 or opcode == 12:  # set_column, set_isa
            while data[at] > 127:
                at += 1
            at += 1
            continue
        elif opcode == 6 or opcode == 7 or opcode == 10 or opcode == 11:  # statement, block, prologue, epilogue
            continue
        elif opcode == 3:  # advance_line
            amount, at = sleb(data, at)
            line += amount
            continue
        elif opcode == 1:  # copy
            pass
        elif opcode == 0:
            size, at = uleb(data, at)
            following = at + size
            if size == 0 or following > end:
                raise ParseError("an extended opcode is cut short")
            kind = data[at]
            if kind == DW_LNE_SET_ADDRESS:
                if size - 1 != set_address.size:
                    raise ParseError(f"an address of {size - 1} bytes")
                target = set_address.unpack_from(data, at + 1)[0]
                if target < lowest or target >= dead:
                    limit = NEVER
                elif target < address or limit == NEVER:
                    limit = -1
                address, operation, at = target, 0, following
                continue
            if kind != DW_LNE_END_SEQUENCE:
                if kind == DW_LNE_DEFINE_FILE:
                    name, after = text(data, at + 1)
                    answers.files.append((name.decode("utf-8", "surrogateescape"), uleb(data, after)[0]))
                at = following
                continue
            if limit < address:
                _settle(wanted, place if limit >= 0 else count, address, (row_file, row_line), answers.rows)
            address = operation = 0
            limit = -1
            file = line = row_file = row_line = 1
            at = following
            continue
        elif opcode == 8 or opcode == 2:  # const_add_pc, advance_pc
            if opcode == 8:
                amount = (255 - base) // line_range
            else:
                amount, at = uleb(data, at)
            ahead = operation + amount
            address = address + scale * (ahead // operations) & ADDRESSES
            operation = ahead % operations
            continue
        elif opcode == 4:  # set_file
            file, at = uleb(data, at)
            continue
        elif opcode == 9:  # fixed_advance_pc
            address = address + int.from_bytes(data[at : at + 2], header.encoding.order) & ADDRESSES
            operation = 0
            at += 2
            continue
        else:
            for _ in range(operand_counts[opcode]):
                _, at = uleb(data, at)
            continue
        # A row: what lies between the last one and this is answered by the last one.
        if address > limit:
            if limit < 0:
                place = bisect_left(wanted, address)
            else:
                place = _settle(wanted, place, address, (row_file, row_line), answers.rows)
            limit = wanted[place] if place < count else NEVER
        row_file, row_line = file, line


def _settle(
    wanted: Sequence[int], place: int, before: int, row: tuple[int, int], rows: dict[int, tuple[int, int]]
) -> int:
    """Answer what is wanted from ``place`` up to the address ``before``; the place that comes next."""
    while place < len(wanted) and wanted[place] < before:
        rows.setdefault(wanted[place], row)
        place += 1
    return place
