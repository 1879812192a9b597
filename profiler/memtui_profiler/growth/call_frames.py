"""How to leave a function at an address: the call frame information of an ELF file, .eh_frame (LSB core 10.6, DWARF 5 section 6.4).

The files are the target's and are not trusted: numbers, programs, stacks and tables have bounds.
"""

from __future__ import annotations

import bisect
import struct
from array import array
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from memtui_parsers.elf.image import ElfImage, read_at, read_image
from memtui_parsers.elf.numbers import fixed, sleb, text, uleb
from memtui_parsers.errors import ParseError

RSP, RBP, RETURN = 7, 6, 16  # the psABI's numbers; RETURN is rip

MAX_SECTION_BYTES = 64 << 20
MAX_ENTRIES = 1_000_000
_MOST_OPERATIONS = 4096
_MOST_STATES = 64
_WORD_MASK = (1 << 64) - 1
# DW_EH_PE_*: how a pointer is written, and what it is relative to.
_FORMATS = {0: "<Q", 2: "<H", 3: "<I", 4: "<Q", 10: "<h", 11: "<i", 12: "<q"}
_RELATIVE, _TO_ITSELF, _TO_TABLE = 0x70, 0x10, 0x30
_SORTED_TABLE = 0x3B


class Rule(NamedTuple):
    """How a register of the caller is found. ``kind``: 'at' the CFA plus ``value``, the 'value' CFA plus ``value``, in 'register'
    ``value``, 'undefined', or by ``expression``: 'at expression', 'expression'.
    """

    kind: str
    value: int = 0
    expression: bytes = b""


@dataclass(frozen=True, slots=True)
class Row:
    """The frame at an address. Its canonical frame address (CFA): ``register`` plus ``offset``, or ``expression`` if there is one.

    ``signal``: it was interrupted, not called.
    """

    register: int
    offset: int
    expression: bytes
    rules: dict[int, Rule]
    signal: bool = False

    @property
    def is_outermost(self) -> bool:
        """Whether it has no caller."""
        rule = self.rules.get(RETURN)
        return rule is not None and rule.kind == "undefined"


class _Cie(NamedTuple):
    code: int
    data: int
    encoding: int
    augmented: bool
    signal: bool
    row: Row


class CallFrames:
    """The call frame information of one file. Raises ParseError for what is no ELF file of 64 bits, or has none."""

    def __init__(self, stream: BinaryIO) -> None:
        self.image: ElfImage = read_image(stream)
        section = self.image.section(".eh_frame")
        if self.image.bits != 64 or not self.image.little_endian or section is None or section.size > MAX_SECTION_BYTES:
            raise ParseError("no call frame information")
        self._data = read_at(stream, section.offset, section.size)
        self._address = section.address
        self._cies: dict[int, _Cie] = {}
        self._base, self._starts, self._places = self._table(stream)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, about."""
        return len(self._data) + 2 * self._starts.itemsize * len(self._starts)

    def row(self, vaddr: int) -> Row | None:
        """The frame at a virtual address of the file; None where nothing is said of it. Raises ParseError for damage."""
        at = bisect.bisect_right(self._starts, vaddr - self._base) - 1
        if at < 0:
            return None
        place = self._base + self._places[at] - self._address
        length, back, body = self._head(place)
        cie = self._cie(place + 4 - back)
        start, at = self._pointer(body, cie.encoding)
        size, at = self._pointer(at, cie.encoding & 15)
        if not start <= vaddr < start + size:
            return None
        if cie.augmented:
            skipped, at = uleb(self._data, at)
            at += skipped
        return self._run(cie, at, place + 4 + length, start, vaddr)

    def _table(self, stream: BinaryIO) -> tuple[int, array[int], array[int]]:
        """(base, where functions start, the place of each one's entry), from .eh_frame_hdr, else by reading all entries.

        The numbers are relative to ``base``, and sorted; of a large program there are a million.
        """
        header = self.image.section(".eh_frame_hdr")
        if header is not None and 12 <= header.size <= MAX_SECTION_BYTES:
            data = read_at(stream, header.offset, header.size)
            form = _FORMATS.get(data[1] & 15) if len(data) >= 12 else None
            if form is not None and (data[0], data[2], data[3]) == (1, 3, _SORTED_TABLE):
                at = 4 + struct.calcsize(form)
                count, at = fixed(data, at, 4, "little")
                numbers = array("i", data[at : at + 8 * min(count, (len(data) - at) // 8)])
                return header.address, numbers[::2], numbers[1::2]
        return self._read_all()

    def _read_all(self) -> tuple[int, array[int], array[int]]:
        found: list[tuple[int, int]] = []
        at = 0
        while at + 8 <= len(self._data) and len(found) < MAX_ENTRIES:
            length, back = struct.unpack_from("<II", self._data, at)
            if length == 0:
                break
            if back:
                start, _ = self._pointer(at + 8, self._cie(at + 4 - back).encoding)
                if start < 1 << 63:
                    found.append((start, self._address + at))
            at += 4 + length
        found.sort()
        return 0, array("q", [start for start, _ in found]), array("q", [place for _, place in found])

    def _head(self, place: int) -> tuple[int, int, int]:
        """(length, distance to the CIE, place of what follows) of an entry."""
        if not 0 <= place <= len(self._data) - 8:
            raise ParseError("an entry outside .eh_frame")
        length, back = struct.unpack_from("<II", self._data, place)
        if length >= 0xFFFFFFF0:
            raise ParseError("an entry of 64 bits")
        return length, back, place + 8

    def _pointer(self, at: int, encoding: int) -> tuple[int, int]:
        form = _FORMATS.get(encoding & 15)
        if form is None or not 0 <= at <= len(self._data) - struct.calcsize(form):
            raise ParseError("a pointer that cannot be read")
        value = int(struct.unpack_from(form, self._data, at)[0])
        if encoding & _RELATIVE == _TO_ITSELF:
            value += self._address + at
        elif encoding & _RELATIVE:
            raise ParseError("a pointer relative to what is not known")
        return value & _WORD_MASK, at + struct.calcsize(form)

    def _cie(self, place: int) -> _Cie:
        known = self._cies.get(place)
        if known is not None:
            return known
        data = self._data
        length, back, at = self._head(place)
        if back:
            raise ParseError("an entry that is no CIE")
        version, at = fixed(data, at, 1, "little")
        letters, at = text(data, at)
        code, at = uleb(data, at)
        factor, at = sleb(data, at)
        _, at = fixed(data, at, 1, "little") if version == 1 else uleb(data, at)
        encoding = 0
        if letters.startswith(b"z"):
            size, inside = uleb(data, at)
            at = inside + size
            for letter in letters[1:16]:
                if letter == ord("R"):
                    encoding, inside = fixed(data, inside, 1, "little")
                elif letter == ord("L"):
                    inside += 1
                elif letter == ord("P"):
                    personality, inside = fixed(data, inside, 1, "little")
                    inside += struct.calcsize(_FORMATS.get(personality & 15, "<Q"))
        bare = _Cie(code, factor, encoding, letters.startswith(b"z"), b"S" in letters, Row(RSP, 8, b"", {}))
        self._cies[place] = cie = bare._replace(row=self._run(bare, at, place + 4 + length, 0, 0))
        return cie

    def _run(self, cie: _Cie, at: int, end: int, location: int, target: int) -> Row:
        """The row that a call frame program has come to at ``target``."""
        data = self._data
        if end > len(data):
            raise ParseError("an entry that is cut short")
        register, offset, expression = cie.row.register, cie.row.offset, cie.row.expression
        rules = dict(cie.row.rules)
        states: list[tuple[int, int, bytes, dict[int, Rule]]] = []
        for _ in range(_MOST_OPERATIONS):
            if at >= end:
                break
            op = data[at]
            at += 1
            low = op & 63
            if op >= 0xC0:  # restore
                _restore(rules, cie, low)
            elif op >= 0x80:  # offset
                number, at = uleb(data, at)
                rules[low] = Rule("at", number * cie.data)
            elif op >= 0x40 or 1 <= op <= 4:  # advance_loc, set_loc, advance_loc1, 2, 4
                if op >= 0x40:
                    location += low * cie.code
                elif op == 1:
                    location, at = self._pointer(at, cie.encoding)
                else:
                    number, at = fixed(data, at, 1 << (op - 2), "little")
                    location += number * cie.code
                if location > target:
                    break
            elif op == 0x0A:  # remember_state
                if len(states) >= _MOST_STATES:
                    raise ParseError("too many states")
                states.append((register, offset, expression, dict(rules)))
            elif op == 0x0B:  # restore_state
                if not states:
                    raise ParseError("no state to go back to")
                register, offset, expression, rules = states.pop()
            elif op == 0x0F:  # def_cfa_expression
                expression, at = _block(data, at)
            elif op == 0x0E:  # def_cfa_offset
                offset, at = uleb(data, at)
            elif op == 0x13:  # def_cfa_offset_sf
                number, at = sleb(data, at)
                offset = number * cie.data
            elif op == 0x2E:  # GNU_args_size
                _, at = uleb(data, at)
            elif op not in (0, 0x2D):  # nop, GNU_window_save
                which, at = uleb(data, at)
                if op == 0x0C:  # def_cfa
                    register, expression = which, b""
                    offset, at = uleb(data, at)
                elif op == 0x12:  # def_cfa_sf
                    register, expression = which, b""
                    number, at = sleb(data, at)
                    offset = number * cie.data
                elif op == 0x0D:  # def_cfa_register
                    register, expression = which, b""
                else:
                    at = _rule(data, at, op, which, rules, cie)
        return Row(register, offset, expression, rules, cie.signal)


def _rule(data: bytes, at: int, op: int, which: int, rules: dict[int, Rule], cie: _Cie) -> int:
    """Set the rule of one register, and return the place behind the operation."""
    if op in (0x10, 0x16):  # expression, val_expression
        block, at = _block(data, at)
        rules[which] = Rule("at expression" if op == 0x10 else "expression", 0, block)
    elif op == 0x07:  # undefined
        rules[which] = Rule("undefined")
    elif op == 0x08:  # same_value
        rules.pop(which, None)
    elif op == 0x06:  # restore_extended
        _restore(rules, cie, which)
    elif op in (0x05, 0x09, 0x14, 0x2F):  # offset_extended, register, val_offset, GNU_negative_offset_extended
        number, at = uleb(data, at)
        if op == 0x09:
            rules[which] = Rule("register", number)
        else:
            rules[which] = Rule("value" if op == 0x14 else "at", number * (-cie.data if op == 0x2F else cie.data))
    elif op in (0x11, 0x15):  # offset_extended_sf, val_offset_sf
        number, at = sleb(data, at)
        rules[which] = Rule("at" if op == 0x11 else "value", number * cie.data)
    else:
        raise ParseError(f"call frame operation {op}")
    return at


def _restore(rules: dict[int, Rule], cie: _Cie, which: int) -> None:
    initial = cie.row.rules.get(which)
    if initial is None:
        rules.pop(which, None)
    else:
        rules[which] = initial


def _block(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = uleb(data, at)
    if size > len(data) - at:
        raise ParseError("an expression that is cut short")
    return data[at : at + size], at + size
