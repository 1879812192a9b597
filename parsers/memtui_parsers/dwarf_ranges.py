"""Which addresses a DIE covers: .debug_ranges up to DWARF 4, .debug_rnglists since (DWARF 5, sections 2.17 and 7.25)."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence

from memtui_parsers.dwarf_forms import (
    ADDR,
    ADDRESS_INDICES,
    RNGLISTX,
    Encoding,
    address_struct,
)
from memtui_parsers.dwarf_sections import DwarfSections
from memtui_parsers.dwarf_units import Unit, Written
from memtui_parsers.elf_sections import Window
from memtui_parsers.errors import ParseError

END, BASE_ADDRESSX, STARTX_ENDX, STARTX_LENGTH, OFFSET_PAIR, BASE_ADDRESS, START_END, START_LENGTH = range(8)

# An unrolled loop gives one DIE some hundred ranges; a whole unit has as many as it has functions.
MAX_RANGES = 1 << 16
# Over all lists of a unit, however often they are asked for: what stops a file that was made to take forever.
MAX_UNIT_RANGES = 1 << 22
WINDOW_BYTES = 64 * 1024
MAX_LIST_BYTES = 1 << 20

Spans = list[tuple[int, int]]


class Ranges:
    """The addresses of one unit's DIEs. ``skeleton``: for a .dwo file's, the unit in the linked file, and that file."""

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
        """Raises ParseError for what is no address."""
        form, value = written
        if not isinstance(value, int):
            raise ParseError("an address that is none")
        if form in ADDRESS_INDICES:
            return self._at_index(value)
        if form == ADDR:
            return value
        raise ParseError(f"an address of form 0x{form:x}")

    def of(self, low: Written | None, high: Written | None, ranges: Written | None) -> Spans:
        """From, and up to but not with. Empty for a DIE without code. Raises ParseError."""
        if ranges is not None and isinstance(ranges[1], int):
            form, value = ranges[0], ranges[1]
            return self.spans(self._list_at(value) if form == RNGLISTX else value)
        if low is None or high is None:
            return []
        start = self.address(low)
        end = high[1]
        if high[0] == ADDR or high[0] in ADDRESS_INDICES:
            end = self.address(high)
        elif isinstance(end, int):
            end += start
        return [(start, end)] if isinstance(end, int) and start < end else []

    def spans(self, offset: int) -> Spans:
        """What the list at ``offset`` covers. Raises ParseError."""
        found: Spans = []
        self._read(offset, (), found)
        return found

    def over(self, offset: int, addresses: list[int]) -> list[int]:
        """Which of ``addresses`` (ascending) the list at ``offset`` covers. Raises ParseError."""
        return self._read(offset, addresses, None)

    def _read(self, offset: int, addresses: Sequence[int], spans: Spans | None) -> list[int]:
        # Most lists are in what was read for the one before.
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
        # This is read for every second inlined call: on local names, the usual kind first, numbers of two bytes in place.
        base, address, address_bytes = self._base, self._address.unpack_from, self._address.size
        first, last = (addresses[0], addresses[-1]) if addresses else (1 << 64, -1)
        single = len(addresses) == 1
        found: list[int] = []
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
                        found = [first]
                        break
                    place = bisect_left(addresses, start)
                    found += addresses[place : bisect_left(addresses, end, place)]
                if count > MAX_RANGES:
                    raise ParseError("more ranges than a DIE can have")
        self._left -= count + len(found)
        if self._left < 0:
            raise ParseError("more ranges than a unit can have")
        return found if len(found) < 2 else sorted(set(found))

    def _rare(self, kind: int, data: bytes, at: int) -> tuple[int, int, int]:
        """(start, end, what comes after) of ranges that state both."""
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
        found: list[int] = []
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
                    found += addresses[place : bisect_left(addresses, end, place)]
                if count > MAX_RANGES:
                    raise ParseError("more ranges than a DIE can have")
            elif start == highest:
                base = end
            elif start == end == 0:
                break
        self._left -= count + len(found)
        if self._left < 0:
            raise ParseError("more ranges than a unit can have")
        return found if len(found) < 2 else sorted(set(found))

    def _list_at(self, index: int) -> int:
        """Where list ``index`` of the unit's table begins."""
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
    """Those of ``addresses`` (ascending) that lie in one of ``spans``, but for those that begin below ``lowest``."""
    found: set[int] = set()
    for start, end in spans:
        if start >= lowest:
            place = bisect_left(addresses, start)
            found.update(addresses[place : bisect_left(addresses, end, place)])
    return sorted(found)


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    """As uleb(), but IndexError at the end of what was read."""
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
