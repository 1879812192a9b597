"""Where the sequences of a line program begin and end, without running it: what need not be run is passed over in C.

A sequence ends with an extended opcode of three bytes, and the next one begins with what sets its first row's registers and
its address. Those bytes may also be operands of other opcodes, so whoever uses this checks that a piece ends where it should.
"""

from __future__ import annotations

import re
from functools import lru_cache

from memtui_parsers.dwarf_line_header import LineHeader

# What the standard's opcodes 1 to 12 have for operands; of a compiler with others nothing is known here.
STANDARD_COUNTS = bytes([0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])

Piece = tuple[int, int, tuple[int, ...]]


def line_sequences(header: LineHeader) -> list[Piece]:
    """(begin, end, addresses that are set in it) of pieces of ``header.unit``, each one or more whole sequences.

    Empty where they cannot be told. A piece may begin with addresses that the linker set to 0.
    """
    if header.operand_counts != STANDARD_COUNTS[: header.opcode_base] or header.opcode_base < 10:
        return []
    boundary, set_address = _patterns(header.encoding.address_bytes)
    size, order = header.encoding.address_bytes, header.encoding.order
    unit = header.unit
    ends = [found.end() for found in boundary.finditer(unit, header.program_at)]
    pieces: list[Piece] = []
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
    # Not behind what may be an opcode with an operand, or its operand's first byte; advance_pc comes before most ends, its
    # operand is rarely one of these. Looked at afterwards, so that the three bytes are searched for first.
    end = rb"\x00\x01\x01"
    behind = rb"(?<![\x02-\x05\x09\x0c\x80-\xff]" + end + rb")(?<!\x09." + end + rb")"
    registers = rb"(?:[\x03-\x05][\x80-\xff]*[\x00-\x7f]|\x06|\x00\x02\x04.)*"
    boundary = end + behind + rb"(?=" + registers + set_address + rb")"
    return re.compile(boundary, re.DOTALL), re.compile(set_address + b".{%d}" % address_bytes, re.DOTALL)
