"""Finds the function that contains an address, and the calls that were inlined there, by a walk over a unit's DIEs.

Only functions that contain a wanted address are entered, and in them only blocks and inlined calls that contain one.
All other DIEs are skipped by their sibling's offset or their size, without being decoded.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple

from memtui_parsers.dwarf.abbreviations import (
    DW_AT_ABSTRACT_ORIGIN,
    DW_AT_CALL_FILE,
    DW_AT_CALL_LINE,
    DW_AT_HIGH_PC,
    DW_AT_LOW_PC,
    DW_AT_RANGES,
    DW_TAG_INLINED_SUBROUTINE,
    WANTED,
    Layout,
    Table,
)
from memtui_parsers.dwarf.forms import ALTERNATE_REFERENCES, REF_ADDR, UNIT_REFERENCES, read_form
from memtui_parsers.dwarf.ranges import Ranges, within
from memtui_parsers.dwarf.units import Unit, Written
from memtui_parsers.elf.numbers import uleb
from memtui_parsers.errors import ParseError

# Deeper than any compiler inlines.
MAX_NESTED = 4096

# Added to the offset of a DIE in the file into which dwz moved shared DIEs.
ALTERNATE = 1 << 70
NO_ORIGIN = -1


class Scope(NamedTuple):
    """An inlined call, or a function, which has no ``parent``.

    ``die`` is the DIE that has its name, as an offset in .debug_info, with ALTERNATE added for the other file. ``file``
    and ``line`` are the place of the call.
    """

    parent: Scope | None
    die: int
    file: int
    line: int


# Costs a quarter of a call of the class; scopes are made by the ten thousand.
new_scope: Callable[[tuple[Scope, int, int, int]], Scope] = partial(tuple.__new__, Scope)


class Scopes:
    """The scopes of one unit. ``last_child_has_no_sibling``: GCC omits a sibling's offset for last children only."""

    def __init__(
        self, data: bytes, unit: Unit, table: Table, ranges: Ranges, *, lowest: int, last_child_has_no_sibling: bool
    ) -> None:
        self._data = data
        self._unit = unit
        self._table = table
        self._ranges = ranges
        self._lowest = lowest
        self._last_child_has_no_sibling = last_child_has_no_sibling
        self._offset = struct.Struct("<I" if unit.encoding.order == "little" else ">I").unpack_from
        self._innermost: dict[int, Scope] = {}
        self._calls: list[Scope] = []

    def find(self, wanted: list[int], sure: Collection[int]) -> tuple[dict[int, Scope], list[Scope]]:
        """Return the innermost scope by address in ``wanted`` (ascending), and all scopes, outer before inner.

        ``sure`` are the addresses that are known to be in a function. Compilers put functions at the top of a unit;
        when one of these addresses is in none there, all DIEs are walked. Raises ParseError for a damaged unit.
        """
        try:
            self._functions(wanted, self._table.outer, jump=True)
            missing = [address for address in wanted if address in sure and address not in self._innermost]
            if missing:
                self._functions(missing, self._table.linear, jump=False)
        except (IndexError, struct.error) as error:
            raise ParseError("a unit is cut short") from error
        return self._innermost, self._calls

    def _functions(self, wanted: list[int], steps: list[int], *, jump: bool) -> None:
        data, offset, short, lowest = self._data, self._offset, self._table.short, self._lowest
        count = len(wanted)
        at, stop = self._unit.children, len(data)
        while at < stop:
            step = steps[data[at]]
            if step > 0:
                at += step
                continue
            if step < 0:
                following = offset(data, at - step)[0]
                if following <= at:
                    raise ParseError("a sibling that comes before")
                at = following
                continue
            code, body = data[at], at + 1
            if code < 128:
                layout = short[code] or self._table.layout(code)
            else:
                code, body = uleb(data, at)
                if code == 0:
                    at = body
                    continue
                layout = self._table.layout(code)
            if layout.is_function:
                bounds = layout.bounds
                if bounds is None:
                    over = self._over_written(layout, self._attributes(layout, body), wanted)
                elif bounds.has_ranges:
                    over = self._ranges.over(bounds.pick((*bounds.unpack(data, body), 0))[0], wanted)
                else:
                    low, high, *_ = bounds.pick((*bounds.unpack(data, body), 0))
                    if not bounds.absolute:
                        high += low
                    place = bisect_left(wanted, low)
                    over = []
                    # Functions that the linker dropped are at 0.
                    if place < count and wanted[place] < high and low >= lowest:
                        over = wanted[place : bisect_left(wanted, high, place)]
                if over:
                    scope = Scope(None, self._unit.offset + at, 0, 0)
                    self._calls.append(scope)
                    self._innermost.update(dict.fromkeys(over, scope))
                    if layout.children:
                        self._inlined(layout.end(data, body), over, scope)
            at = (layout.next_sibling(data, body) if jump else 0) or layout.end(data, body)

    def _inlined(self, at: int, hits: list[int], scope: Scope) -> None:
        """Walk the children at ``at`` of a function that contains ``hits``."""
        # Most time is spent here and in _functions: local names, and the attributes of a layout unpacked at once.
        data, offset, steps, innermost = self._data, self._offset, self._table.inner, self._innermost
        short, calls, in_ranges = self._table.short, self._calls, self._ranges.over
        # The addresses of this level that are in no child yet, their number in the outer levels, the end of its DIE.
        level, waiting, level_end = hits, 0, 0
        around: list[tuple[list[int], Scope, int]] = []
        nothing: list[int] = []
        zero, unit, last_child_has_no_sibling = (0,), self._unit.offset, self._last_child_has_no_sibling
        while True:
            step = steps[data[at]]
            if step > 0:
                at += step
                continue
            if step < 0:
                following = offset(data, at - step)[0]
                if following <= at:
                    raise ParseError("a sibling that comes before")
                at = following
                continue
            code = data[at]
            if code < 128:
                layout, at = short[code], at + 1
            else:
                code, at = uleb(data, at)
                layout = self._table.layout(code)
            if code:
                if layout is None:
                    raise ParseError("an abbreviation is missing")
                body = at
                bounds = layout.bounds
                inner, over, end = scope, nothing, 0
                if not (level and layout.is_scope):
                    end = layout.next_sibling(data, body)
                elif bounds is None:
                    end = layout.next_sibling(data, body)
                    written = self._attributes(layout, body)
                    over = self._over_written(layout, written, level)
                    if over and layout.tag == DW_TAG_INLINED_SUBROUTINE:
                        inner = self._call(written, scope)
                else:
                    low, high, die, file, line, end = bounds.pick(bounds.unpack(data, body) + zero)
                    if bounds.has_ranges:
                        over = in_ranges(low, level)
                    else:
                        if not bounds.absolute:
                            high += low
                        if high > level[0] and low <= level[-1]:
                            place = bisect_left(level, low)
                            over = level[place : bisect_left(level, high, place)]
                    if over and layout.tag == DW_TAG_INLINED_SUBROUTINE:
                        inner = new_scope((scope, unit + die, file, line))
                if over:
                    if inner is not scope:
                        calls.append(inner)
                        if len(over) == 1:
                            innermost[over[0]] = inner
                        else:
                            innermost.update(dict.fromkeys(over, inner))
                    at = body + layout.size if layout.size >= 0 else layout.end(data, body)
                    if not layout.children:
                        continue
                    # A block without addresses claims none: its children tell.
                    left = _without(level, over) if layout.has_code else level
                else:
                    if end:
                        if end <= at:
                            raise ParseError("a sibling that comes before")
                        at = end
                        continue
                    at = body + layout.size if layout.size >= 0 else layout.end(data, body)
                    if not layout.children:
                        continue
                    if last_child_has_no_sibling:
                        at = 0
                    left = level
                if at:
                    if len(around) > MAX_NESTED:
                        raise ParseError("DIEs are nested too deep")
                    around.append((left, scope, level_end))
                    waiting += len(left)
                    level, scope, level_end = over, inner, end
                    continue
            # The level ends. With ``at`` 0 the walk continues after its DIE; if that is a last child, it ends a level
            # more.
            while True:
                if not waiting:
                    return
                after = at or level_end
                level, scope, level_end = around.pop()
                waiting -= len(level)
                at = after if level or not level_end else 0
                if at:
                    break

    def _attributes(self, layout: Layout, at: int) -> dict[int, Written]:
        """Read the attributes in WANTED of a DIE whose attributes have no fixed places."""
        attributes: dict[int, Written] = {}
        for name, form, constant in layout.attributes:
            value, at = read_form(form, self._data, at, self._unit.encoding, constant)
            if name in WANTED:
                attributes[name] = (form, value)
        return attributes

    def _over_written(self, layout: Layout, written: dict[int, Written], addresses: list[int]) -> list[int]:
        if not layout.has_code:
            return addresses
        low, high, ranges = (written.get(name) for name in (DW_AT_LOW_PC, DW_AT_HIGH_PC, DW_AT_RANGES))
        return within(addresses, self._ranges.of(low, high, ranges), self._lowest)

    def _call(self, written: dict[int, Written], scope: Scope) -> Scope:
        file, line = (written.get(name, (0, 0))[1] for name in (DW_AT_CALL_FILE, DW_AT_CALL_LINE))
        die = reference(written.get(DW_AT_ABSTRACT_ORIGIN), self._unit.offset)
        return Scope(scope, die, file if isinstance(file, int) else 0, line if isinstance(line, int) else 0)


def reference(written: Written | None, unit: int) -> int:
    """Return the target of a reference from the unit at ``unit``, as in Scope.die; NO_ORIGIN for none."""
    if written is None or not isinstance(written[1], int):
        return NO_ORIGIN
    form, value = written[0], written[1]
    if form in UNIT_REFERENCES:
        return unit + value
    if form == REF_ADDR:
        return value
    return ALTERNATE + value if form in ALTERNATE_REFERENCES else NO_ORIGIN


def _without(addresses: list[int], claimed: list[int]) -> list[int]:
    if len(claimed) == len(addresses):
        return []
    gone = set(claimed)
    return [address for address in addresses if address not in gone]
