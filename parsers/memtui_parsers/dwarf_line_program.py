"""Runs a line program (DWARF 5, section 6.2.5) and keeps only the rows that answer an address."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from memtui_parsers.dwarf_forms import address_struct, text, uleb
from memtui_parsers.dwarf_line_header import LineHeader
from memtui_parsers.dwarf_line_sequences import line_sequences
from memtui_parsers.errors import ParseError

DW_LNE_END_SEQUENCE, DW_LNE_SET_ADDRESS, DW_LNE_DEFINE_FILE, DW_LNE_SET_DISCRIMINATOR = 1, 2, 3, 4
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
    try:
        return _run_some(header, wanted, lowest) or _run_all(header, wanted, lowest)
    except StopIteration as error:
        raise ParseError("a line program is cut short") from error


def _run_all(header: LineHeader, wanted: Sequence[int], lowest: int) -> Answers:
    answers = Answers()
    _run(_Special.of(header), header.unit[header.program_at :], wanted, lowest, answers)
    return answers


def _run_some(header: LineHeader, wanted: Sequence[int], lowest: int) -> Answers | None:
    """As _run_all(), without the sequences that cannot answer; None where these cannot be told apart for sure.

    Compilers give each function a sequence, so of a program that few addresses are wanted from most is passed over.
    """
    pieces = line_sequences(header)
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
    """What each special opcode of a program adds to the address and to the line."""

    header: LineHeader
    advances: list[int]
    steps: list[int]

    @classmethod
    def of(cls, header: LineHeader) -> _Special:
        base, scale, lines = header.opcode_base, header.min_instruction_bytes, header.line_range
        advances = [max(0, opcode - base) // lines * scale for opcode in range(256)]
        return cls(header, advances, [header.line_base + max(0, opcode - base) % lines for opcode in range(256)])


def _run(special: _Special, code: bytes, wanted: Sequence[int], lowest: int, answers: Answers) -> bool:
    """Run ``code`` until all of ``wanted`` is answered. False where it ends, and not with the end of a sequence."""
    # This loop sees every opcode of every program: one function, on local names and a bytes iterator, for its speed's sake;
    # the branches stand in the order of how often compilers write them.
    header, advances, steps = special.header, special.advances, special.steps
    base, scale, operations = header.opcode_base, header.min_instruction_bytes, header.max_operations
    line_range = header.line_range
    operand_counts = header.operand_counts
    set_address = address_struct(header.encoding.address_bytes, header.encoding.order)
    dead = (1 << 8 * set_address.size) - 2
    vliw = operations > 1
    count, goal = len(wanted), len(answers.rows) + len(wanted)
    # ``limit`` is the first wanted address that the row before may answer: -1 before a sequence's first row, NEVER past
    # the last one and in dead sequences. ``place`` is its index in ``wanted``.
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
            if limit == NEVER and len(answers.rows) == goal:
                return True
        row_file, row_line = file, line
    return limit == -1


def _extended(size: int, data: Iterator[int]) -> bytes:
    """An extended opcode and its operands, whose ``size`` in bytes was read from its first byte on."""
    size = _unsigned(size, data)
    body = bytes(islice(data, min(size, MAX_EXTENDED_BYTES)))
    if size == 0 or len(body) < size:
        raise ParseError("an extended opcode is cut short")
    return body


def _unsigned(byte: int, data: Iterator[int]) -> int:
    """A ULEB128 number whose first byte was read."""
    value, bits = byte & 0x7F, 7
    while byte > 127:
        if bits >= 70:
            raise ParseError("a number is too long")
        byte = next(data)
        value |= (byte & 0x7F) << bits
        bits += 7
    return value


def _signed(byte: int, more: int, data: Iterator[int]) -> int:
    """A SLEB128 number of three bytes or more, of which two were read."""
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
    """Answer what is wanted from ``place`` up to the address ``before``; the place that comes next."""
    while place < len(wanted) and wanted[place] < before:
        rows.setdefault(wanted[place], row)
        place += 1
    return place
