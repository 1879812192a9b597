"""Finds functions, files and lines of addresses, and the calls that were inlined there, as a symbolizer does.

A unit that contains a wanted address is read alone, its DIEs and its lines, and released again. Which unit that is,
.debug_aranges tells; else the units' own ranges; else the line programs of units without ranges. For a program of 100
MB the first takes 10 ms, the second 30 us a unit, and to run all its line programs takes 300 ms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from memtui_parsers.dwarf.abbreviations import Tables
from memtui_parsers.dwarf.line_header import whole_path
from memtui_parsers.dwarf.line_program import Lines, UnitLines
from memtui_parsers.dwarf.names import Names, Trail
from memtui_parsers.dwarf.ranges import Ranges, Spans, within
from memtui_parsers.dwarf.scopes import Scope, Scopes
from memtui_parsers.dwarf.sections import DwarfSections
from memtui_parsers.dwarf.split import OpenSplit, split_unit
from memtui_parsers.dwarf.strings import Strings, Text
from memtui_parsers.dwarf.units import DW_UT_SPLIT_TYPE, DW_UT_TYPE, Unit, read_unit, units, units_over
from memtui_parsers.errors import ParseError

# The largest int of a C compiler; a larger line number is damage.
MAX_LINE = (1 << 31) - 1
MAX_UNIT_BYTES = 1 << 30
# Deeper than any compiler inlines; the calls in the middle of a longer chain are dropped.
MAX_CHAIN = 500
# A file with so many damaged programs is given up.
MAX_DAMAGED = 1000
# The answers of so many units are finished together; those of all units in a compressed file, where going back is slow.
BATCH_UNITS = 8


class Call(NamedTuple):
    """A function that contains an address. ``function`` is its linkage name, None if unknown or not needed.

    ``line`` is 0 for code without a line. ``inlined``: the function's code is part of the next one's.
    """

    function: str | None
    file: str | None
    line: int
    inlined: bool


# Costs a quarter of a call of the class.
new_call: Callable[[tuple[str | None, str | None, int, bool]], Call] = partial(tuple.__new__, Call)

Answer = tuple[int, tuple[Call, ...]]


@dataclass(slots=True)
class Troubles:
    """The parts that could not be read: damaged units counted by reason, and a reason by .dwo file (``split``)."""

    damaged: Counter[str] = field(default_factory=Counter)
    split: dict[str, str] = field(default_factory=dict)
    missing_alternate: bool = False


def find_calls(
    sections: DwarfSections,
    wanted: Sequence[int],
    *,
    lowest: int = 1,
    named: Collection[int] | None = None,
    alternate: DwarfSections | None = None,
    open_split: OpenSplit | None = None,
    troubles: Troubles | None = None,
) -> Iterator[Answer]:
    """Yield (address, calls) unit by unit for those of ``wanted`` (ascending, distinct) that DWARF knows.

    The calls are innermost first. The first call has the line of the line program, each other one the line where it
    calls the one before it. The last call is the function itself. Its name is not read for the addresses in ``named``,
    whose functions are known from a symbol table (None: nothing is known). ``lowest`` is the lowest address of the
    program's code: functions below it were dropped by the linker. A path stays relative when its base is unknown.
    ``alternate`` is the file into which dwz moved shared DIEs. Damaged units are skipped and noted in ``troubles``.
    Raises ParseError when the file can no longer be read.
    """
    search = _Search(sections, lowest, named, alternate, open_split, troubles or Troubles())
    answered: set[int] = set()
    for address, calls in search.answers(list(wanted)):
        if address not in answered:
            answered.add(address)
            yield address, calls


class _Search:
    """A search in one file."""

    def __init__(
        self,
        sections: DwarfSections,
        lowest: int,
        named: Collection[int] | None,
        alternate: DwarfSections | None,
        open_split: OpenSplit | None,
        troubles: Troubles,
    ) -> None:
        self._sections = sections
        self._lowest = lowest
        self._named = named
        self._open_split = open_split
        self._troubles = troubles
        self._tables = Tables(sections)
        self._strings = Strings(sections, alternate)
        self._names = Names(sections, self._tables, alternate)
        self._walk = _Walk(sections, self._tables, self._names, lowest=lowest)
        self._lines = Lines(sections, self._strings, lowest)

    def answers(self, wanted: list[int]) -> Iterator[Answer]:
        batch: list[_Part] = []
        for part in self._parts(wanted):
            batch.append(part)
            if len(batch) >= BATCH_UNITS and self._sections.seekable:
                yield from self._finished(batch)
                batch = []
        yield from self._finished(batch)

    def _parts(self, wanted: list[int]) -> Iterator[_Part]:
        info, aranges = self._sections.info, self._sections.aranges
        over = units_over(aranges, wanted, self._sections.order) if aranges and info else {}
        left = set(wanted).difference(*over.values())
        # Line programs of units that state their addresses; units that state none, by line program; units by offset.
        with_ranges: set[int] = set()
        without_ranges: dict[int, Unit] = {}
        units_read: dict[int, Unit] = {}
        if left and info is not None:
            for unit in units(info, self._tables, self._sections.order):
                spans = self._stated_spans(unit)
                if unit.lines is not None and spans:
                    with_ranges.add(unit.lines)
                elif unit.lines is not None and unit.kind not in (DW_UT_TYPE, DW_UT_SPLIT_TYPE):
                    without_ranges.setdefault(unit.lines, unit)
                addresses = left.intersection(within(wanted, spans, self._lowest))
                if addresses:
                    left -= addresses
                    over[unit.offset] = sorted(addresses.union(over.get(unit.offset, ())))
                    units_read[unit.offset] = unit
        for offset in sorted(over):
            part = self._part(offset, units_read.get(offset), over[offset])
            if part is not None:
                yield part
        if left:
            yield from self._by_lines(sorted(left), with_ranges, without_ranges)

    def _stated_spans(self, unit: Unit) -> Spans:
        """Return the ranges that a unit states; it may state none and have code."""
        try:
            spans = Ranges(unit, self._sections).of(unit.low, unit.high, unit.ranges)
        except ParseError:
            return []
        return [span for span in spans if span[0] >= self._lowest]

    def _part(self, offset: int, unit: Unit | None, addresses: list[int]) -> _Part | None:
        """Return the answers of the unit at ``offset`` for ``addresses``; None when it cannot be read."""
        assert self._sections.info is not None
        try:
            unit = unit or read_unit(self._sections.info, self._tables, offset, self._sections.order)
        except ParseError as error:
            self._troubles.damaged[error.reason] += 1
            return None
        part = _Part(unit)
        self._take_scopes(part, unit, addresses)
        if unit.lines is not None:
            try:
                part.take_lines(self._lines.run(unit.lines, addresses, all_files=True))
            except ParseError as error:
                self._troubles.damaged[error.reason] += 1
        return part

    def _by_lines(self, left: list[int], with_ranges: set[int], without_ranges: dict[int, Unit]) -> Iterator[_Part]:
        """Yield the answers of the line programs whose units state no ranges, or are unknown."""
        damaged = 0
        for offset in self._lines.programs():
            if offset in with_ranges or not left:
                continue
            try:
                lines = self._lines.run(offset, left)
            except ParseError:
                damaged += 1
                if damaged > MAX_DAMAGED:
                    return
                continue
            if not lines.rows:
                continue
            unit = without_ranges.get(offset)
            part = _Part(unit)
            if unit is not None:
                self._take_scopes(part, unit, sorted(lines.rows))
            part.take_lines(lines)
            yield part
            left = [address for address in left if address not in lines.rows]

    def _take_scopes(self, part: _Part, unit: Unit, addresses: list[int]) -> None:
        try:
            if unit.split_name is not None:
                self._take_split(part, unit, addresses)
                return
            ranges = Ranges(unit, self._sections)
            self._walk.take_scopes(part, unit, ranges, addresses, self._named, gcc=self._gcc(unit))
        except ParseError as error:
            self._troubles.damaged[error.reason] += 1

    def _take_split(self, part: _Part, unit: Unit, addresses: list[int]) -> None:
        """Take the scopes of a unit whose DIEs are in a .dwo file."""
        name = self._strings.text(unit.string(unit.split_name)) or ""
        if self._open_split is None or unit.split_id is None:
            return
        directory = self._strings.text(unit.string(unit.directory))
        with self._open_split(name, directory, unit.split_id) as sections:
            if sections is None:
                self._troubles.split[name] = "it is not here"
                return
            tables = Tables(sections)
            try:
                inner = split_unit(sections, tables, unit.split_id)
                walk = _Walk(sections, tables, Names(sections, tables), lowest=self._lowest)
                ranges = Ranges(inner, sections, skeleton=(unit, self._sections))
                walk.take_scopes(part, inner, ranges, addresses, self._named, gcc=False)
                # Read now, and kept as inline strings, because the file is closed again.
                texts = Strings(sections).texts(value for value in part.names.values() if value is not None)
            except ParseError as error:
                self._troubles.split[name] = error.reason
                return
        for die, value in part.names.items():
            text = None if value is None else texts[value]
            part.names[die] = None if text is None else text.encode("utf-8", "surrogateescape")

    def _gcc(self, unit: Unit) -> bool:
        strings = self._sections.strings
        if strings is not None and not getattr(strings, "seekable", True):
            return False  # not worth decompressing the section for
        return (self._strings.text(unit.string(unit.producer)) or "").startswith("GNU ")

    def _finished(self, parts: list[_Part]) -> Iterator[Answer]:
        """Read the strings of all parts together, in ascending order, and yield the answers."""
        trails = {die: trail for part in parts for die, trail in part.trails.items()}
        names = self._names.finish(trails) if trails else {}
        self._troubles.missing_alternate |= self._names.missing_alternate
        values: set[Text] = set()
        for part in parts:
            part.names.update((die, names.get(die)) for die in part.trails)
            values.update(value for value in (*part.names.values(), part.directory) if value is not None)
        texts = self._strings.texts(values)
        for part in parts:
            yield from _answers(part, texts)


@dataclass(slots=True)
class _Part:
    """The answers of one unit for its addresses, before its strings are read.

    ``scopes`` are the innermost by address, ``calls`` are all, outer before inner. ``files`` are the line program's
    paths by index. ``names`` are by DIE, as in Scope.die; ``trails`` lead to names in other units.
    """

    unit: Unit | None
    version: int = 0
    rows: dict[int, tuple[int, int]] = field(default_factory=dict)
    scopes: dict[int, Scope] = field(default_factory=dict)
    calls: list[Scope] = field(default_factory=list)
    files: dict[int, str | None] = field(default_factory=dict)
    names: dict[int, Text | None] = field(default_factory=dict)
    trails: dict[int, Trail] = field(default_factory=dict)

    def take_lines(self, lines: UnitLines) -> None:
        """Take the rows, and the paths of all files. Called after the scopes were taken, which name files, too."""
        files = {file for file, _ in lines.rows.values()}
        files.update(scope.file for scope in self.calls if scope.parent is not None)
        self.rows, self.version = lines.rows, lines.version
        self.files = {index: lines.files.path(index) for index in files}

    @property
    def directory(self) -> Text | None:
        """The compilation's directory, if a path is relative to it."""
        if self.unit is None or all(path is None or path[0] == "/" for path in self.files.values()):
            return None
        return self.unit.string(self.unit.directory)


class _Walk:
    """Walks the DIEs of the units of one file."""

    def __init__(self, sections: DwarfSections, tables: Tables, names: Names, *, lowest: int) -> None:
        self._sections = sections
        self._tables = tables
        self._names = names
        self._lowest = lowest

    def take_scopes(
        self, part: _Part, unit: Unit, ranges: Ranges, addresses: list[int], named: Collection[int] | None, *, gcc: bool
    ) -> None:
        """Add the scopes that contain ``addresses``, and their names, to ``part``. Raises ParseError.

        ``gcc``: GCC made the unit (see Scopes).
        """
        if unit.size > MAX_UNIT_BYTES or self._sections.info is None:
            raise ParseError("a unit is too large")
        data = self._sections.info.read(unit.offset, unit.size)
        table = self._tables.at(unit.table, unit.encoding)
        scopes = Scopes(data, unit, table, ranges, lowest=self._lowest, last_child_has_no_sibling=gcc)
        part.scopes, part.calls = scopes.find(addresses, addresses if named is None else named)
        dies = {scope.die for scope in part.calls if scope.parent is not None or named is None}
        for address, scope in part.scopes.items():
            if named is not None and address not in named:
                while scope.parent is not None:
                    scope = scope.parent
                dies.add(scope.die)
        part.names, part.trails = self._names.in_unit(dies, unit, table, data)


def _answers(part: _Part, texts: Mapping[Text, str | None]) -> Iterator[Answer]:
    """Yield each address with its calls. ``texts`` are the strings of ``part.names`` and ``part.directory``."""
    directory = None if part.directory is None else texts.get(part.directory)
    files = {
        index: None if path is None else whole_path(path, part.version, directory) for index, path in part.files.items()
    }
    names = {die: None if value is None else texts.get(value) for die, value in part.names.items()}
    chains = _chains(part.calls, files, names)
    for address in part.rows.keys() | part.scopes.keys():
        file, line = part.rows.get(address, (-1, 0))
        path = files.get(file)
        scope = part.scopes.get(address)
        if not 0 < line <= MAX_LINE:
            line = 0
        if scope is not None:
            name, inlined, callers = chains[id(scope)]
            yield address, (new_call((name, path, line if path else 0, inlined)), *callers)
        elif path is not None:
            yield address, (Call(None, path, line, False),)


def _chains(
    calls: Sequence[Scope], files: Mapping[int, str | None], names: Mapping[int, str | None]
) -> dict[int, tuple[str | None, bool, tuple[Call, ...]]]:
    """Return by a scope's id(): its name, whether it is inlined, and its outer calls, which many addresses share."""
    chains: dict[int, tuple[str | None, bool, tuple[Call, ...]]] = {}
    for scope in calls:
        parent, die, file, line = scope
        if parent is None:
            chains[id(scope)] = (names.get(die), False, ())
            continue
        name, inlined, outer = chains[id(parent)]
        path = files.get(file)
        callers = (new_call((name, path, line if path and 0 < line <= MAX_LINE else 0, inlined)), *outer)
        if len(callers) > MAX_CHAIN:
            callers = (*callers[: MAX_CHAIN - 1], callers[-1])
        chains[id(scope)] = (names.get(die), True, callers)
    return chains
