"""Reads the addresses that a DIE covers: .debug_ranges, and .debug_rnglists (DWARF 5, sections 2.17 and 7.25)."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence

from memtui_parsers.dwarf.forms import ADDR, ADDRESS_INDICES, RNGLISTX, Encoding
from memtui_parsers.dwarf.sections import DwarfSections
from memtui_parsers.dwarf.units import Unit, Written
from memtui_parsers.elf.numbers import address_struct
from memtui_parsers.elf.sections import Window
from memtui_parsers.errors import ParseError

END, BASE_ADDRESSX, STARTX_ENDX, STARTX_LENGTH, OFFSET_PAIR, BASE_ADDRESS, START_END, START_LENGTH = range(8)

# An unrolled loop gives one DIE some hundred ranges; a whole unit has as many as it has functions.
MAX_RANGES = 1 << 16
# The limit over all lists of a unit, however often each is read, against files made to waste time.
MAX_UNIT_RANGES = 1 << 22
WINDOW_BYTES = 64 * 1024
MAX_LIST_BYTES = 1 << 20

Spans = list[tuple[int, int]]


class Ranges:
    """The addresses of one unit's DIEs. ``skeleton``: for a unit of a .dwo file, the linked unit and its sections."""

    def __init__(self, unit: Unit, sections: DwarfSections, skeleton: tuple[Unit, DwarfSections] | None = None) -> None:
        outer, linked = skeleton or (unit, sections)
        self._encoding: Encoding = unit.encoding
        self._address = address_struct(unit.encoding.address_bytes, unit.encoding.order)
        self._pair = struct.Struct(self._address.format + self._address.format[1:])
        self._address_base = outer.address_base
        self._indexed = Window(linked.addresses, WINDOW_BYTES) if linked.addresses else None
        # Before version 5 a .dwo file leaves its ranges in the linked file.
        lists = linked.ranges if unit.encoding.version < 5 else sections.range_lists
        self._lists = lists
        self._window, self._window_at = b"", 0
        self._parse = self._list if unit.encoding.version >= 5 else self._pairs
        self._lists_base = (outer.ranges_base or 0) if skeleton and unit.encoding.version < 5 else 0
        header_bytes = 12 if unit.encoding.offset_bytes == 4 else 20
        self._index_base = header_bytes if skeleton or unit.ranges_base is None else unit.ranges_base
        self._left = MAX_UNIT_RANGES
        self._base = 0 if outer.low is None else self.address(outer.low)

    def address(self, written: Written) -> int:
        """Return the address that an attribute states. Raises ParseError for another form."""
        form, value = written
        if not isinstance(value, int):
            raise ParseError("an address that is none")
        if form in ADDRESS_INDICES:
            return self._at_index(value)
        if form == ADDR:
            return value
        raise ParseError(f"an address of form 0x{form:x}")

    def of(self, low: Written | None, high: Written | None, ranges: Written | None) -> Spans:
        """Return the ranges [start, end) of a DIE with these attributes; none without code. Raises ParseError."""
        if ranges is not None and isinstance(ranges[1], int):
            form, value = ranges[0], ranges[1]
            spans: Spans = []
            self._read(self._list_at(value) if form == RNGLISTX else value, (), spans)
            return spans
        if low is None or high is None:
            return []
        start = self.address(low)
        end = high[1]
        if high[0] == ADDR or high[0] in ADDRESS_INDICES:
            end = self.address(high)
        elif isinstance(end, int):
            end += start
        return [(start, end)] if isinstance(end, int) and start < end else []

    def over(self, offset: int, addresses: list[int]) -> list[int]:
        """Return those of ``addresses`` (ascending) that the list at ``offset`` covers. Raises ParseError."""
        return self._read(offset, addresses, None)

    def _read(self, offset: int, addresses: Sequence[int], spans: Spans | None) -> list[int]:
        # Most lists are in the window that was read for the one before.
        at = offset + self._lists_base - self._window_at
        if 0 <= at < len(self._window):
            try:
                return self._parse(self._window, at, addresses, spans)
            except (IndexError, struct.error):
                pass
        if self._lists is None:
            raise ParseError("ranges are missing")
        for size in (WINDOW_BYTES, MAX_LIST_BYTES):
            if spans:
                spans.clear()
            self._window_at = offset + self._lists_base
            self._window = self._lists.read(self._window_at, size)
            try:
                return self._parse(self._window, 0, addresses, spans)
            except (IndexError, struct.error):
                continue
        raise ParseError("a list of ranges is cut short")

    def _list(self, data: bytes, at: int, addresses: Sequence[int], spans: Spans | None) -> list[int]:
        # This runs for every second inlined call: local names, the usual kind first, numbers of two bytes decoded in
        # place.
        base, address, address_bytes = self._base, self._address.unpack_from, self._address.size
        first, last = (addresses[0], addresses[-1]) if addresses else (1 << 64, -1)
        single = len(addresses) == 1
        covered: list[int] = []
        count = 0
        while True:
            kind = data[at]
            at += 1
            if kind == OFFSET_PAIR:
                start = data[at]
                at += 1
                if start > 127:
                    more = data[at]
                    if more > 127:
                        start, at = _uleb(data, at - 1)
                    else:
                        start, at = start & 0x7F | more << 7, at + 1
                end = data[at]
                at += 1
                if end > 127:
                    more = data[at]
                    if more > 127:
                        end, at = _uleb(data, at - 1)
                    else:
                        end, at = end & 0x7F | more << 7, at + 1
                start += base
                end += base
            elif kind == END:
                break
            elif kind == BASE_ADDRESS:
                base = address(data, at)[0]
                at += address_bytes
                continue
            elif kind == BASE_ADDRESSX:
                index, at = _uleb(data, at)
                base = self._at_index(index)
                continue
            else:
                start, end, at = self._rare(kind, data, at)
            if start < end:
                count += 1
                if spans is not None:
                    spans.append((start, end))
                elif start <= last and end > first:
                    if single:
                        covered = [first]
                        break
                    place = bisect_left(addresses, start)
                    covered += addresses[place : bisect_left(addresses, end, place)]
                if count > MAX_RANGES:
                    raise ParseError("more ranges than a DIE can have")
        return self._within_limit(count, covered)

    def _rare(self, kind: int, data: bytes, at: int) -> tuple[int, int, int]:
        """Read an entry of the other kinds: (start, end, place after it)."""
        if kind in (START_END, START_LENGTH):
            start, at = self._address.unpack_from(data, at)[0], at + self._address.size
        elif kind in (STARTX_ENDX, STARTX_LENGTH):
            index, at = _uleb(data, at)
            start = self._at_index(index)
        else:
            raise ParseError(f"unknown kind of range {kind}")
        if kind == START_END:
            return start, self._address.unpack_from(data, at)[0], at + self._address.size
        value, at = _uleb(data, at)
        return start, self._at_index(value) if kind == STARTX_ENDX else start + value, at

    def _pairs(self, data: bytes, at: int, addresses: Sequence[int], spans: Spans | None) -> list[int]:
        base, pair, size = self._base, self._pair.unpack_from, self._pair.size
        highest = (1 << 8 * self._address.size) - 1
        first, last = (addresses[0], addresses[-1]) if addresses else (1 << 64, -1)
        covered: list[int] = []
        count = 0
        while True:
            start, end = pair(data, at)
            at += size
            if start < end:
                start += base
                end += base
                count += 1
                if spans is not None:
                    spans.append((start, end))
                elif start <= last and end > first:
                    place = bisect_left(addresses, start)
                    covered += addresses[place : bisect_left(addresses, end, place)]
                if count > MAX_RANGES:
                    raise ParseError("more ranges than a DIE can have")
            elif start == highest:
                base = end
            elif start == end == 0:
                break
        return self._within_limit(count, covered)

    def _within_limit(self, count: int, covered: list[int]) -> list[int]:
        """Count a list's ranges and addresses towards the unit's limit; return the addresses, each once."""
        self._left -= count + len(covered)
        if self._left < 0:
            raise ParseError("more ranges than a unit can have")
        return covered if len(covered) < 2 else sorted(set(covered))

    def _list_at(self, index: int) -> int:
        """Return the place of list ``index`` of the unit's table."""
        if self._lists is None:
            raise ParseError("ranges are missing")
        size = self._encoding.offset_bytes
        entry = self._lists.read(self._index_base + index * size, size)
        if len(entry) < size:
            raise ParseError("ranges are missing")
        return self._index_base + int.from_bytes(entry, self._encoding.order)

    def _at_index(self, index: int) -> int:
        if self._indexed is None:
            raise ParseError("indexed addresses are missing")
        size = self._address.size
        return self._indexed.number(self._address_base + index * size, size, self._encoding.order)


def within(addresses: Sequence[int], spans: Spans, lowest: int) -> list[int]:
    """Return those of ``addresses`` (ascending) in any of ``spans`` that starts at ``lowest`` or above."""
    covered: set[int] = set()
    for start, end in spans:
        if start >= lowest:
            place = bisect_left(addresses, start)
            covered.update(addresses[place : bisect_left(addresses, end, place)])
    return sorted(covered)


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number. Raises IndexError at the end of the data, where the caller reads more."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ParseError("a number is too long")
