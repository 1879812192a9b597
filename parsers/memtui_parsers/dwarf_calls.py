"""Functions, files and lines of addresses, with the calls that were inlined there: what a symbolizer answers.

A unit that holds a wanted address is read alone, its DIEs and its lines, and let go again. Which unit that is says
.debug_aranges, else each unit's own ranges, else what the line programs answer of units that state none. The first costs
10 ms for a program of 100 MB, the second 30 us a unit, and running all its line programs 300 ms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from memtui_parsers.dwarf_abbreviations import Tables
from memtui_parsers.dwarf_lines import Lines
from memtui_parsers.dwarf_names import Names
from memtui_parsers.dwarf_ranges import Ranges, Spans, within
from memtui_parsers.dwarf_sections import DwarfSections
from memtui_parsers.dwarf_split import OpenSplit, split_unit
from memtui_parsers.dwarf_strings import Strings, Text
from memtui_parsers.dwarf_unit_calls import Answer, Call, Part, Walk, answers
from memtui_parsers.dwarf_units import DW_UT_SPLIT_TYPE, DW_UT_TYPE, Unit, read_unit, units, units_over
from memtui_parsers.errors import ParseError

# A file that has nothing but damaged programs is given up after so many.
MAX_DAMAGED = 1000
# Answers wait for those of so many units; for all, where the file is compressed and going back in it is dear.
BATCH_UNITS = 8


@dataclass(slots=True)
class Troubles:
    """What stood in the way. ``damaged`` counts units by reason, ``split`` says of .dwo files what is wrong with them."""

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
    """(address, calls) for those of ``wanted`` (ascending, distinct) that DWARF knows, unit by unit; innermost call first.

    The last call is the function itself, which need not be named for the addresses in ``named``: they lie in a known one (None:
    nothing is known of any). The first has the line of the line program; each other one the line that it calls the one before
    from. ``lowest`` is where the program's code begins: functions below it are ones that the linker dropped. A path is relative
    when nothing says to what. ``alternate`` is the file dwz moved shared DIEs to. Damaged units are passed over, and said in
    ``troubles``. Raises ParseError when the file can no longer be read.
    """
    search = _Search(sections, lowest, named, alternate, open_split, troubles or Troubles())
    answered: set[int] = set()
    for address, calls in search.answers(list(wanted)):
        if address not in answered:
            answered.add(address)
            yield address, calls


class _Search:
    """One file's sections and terms."""

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
        self._tables = Tables.of(sections)
        self._strings = Strings(sections, alternate)
        self._names = Names(sections, self._tables, alternate)
        self._walk = Walk(sections, self._tables, self._names, lowest=lowest)
        self._lines = Lines(sections, self._strings, lowest)

    def answers(self, wanted: list[int]) -> Iterator[Answer]:
        batch: list[Part] = []
        for part in self._parts(wanted):
            batch.append(part)
            if len(batch) >= BATCH_UNITS and self._sections.seekable:
                yield from self._finished(batch)
                batch = []
        yield from self._finished(batch)

    def _parts(self, wanted: list[int]) -> Iterator[Part]:
        info, aranges = self._sections.info, self._sections.aranges
        over = units_over(aranges, wanted, self._sections.order) if aranges and info else {}
        left = set(wanted).difference(*over.values())
        # Line programs of units that state their addresses, and units that state none.
        stated: set[int] = set()
        silent: dict[int, Unit] = {}
        known: dict[int, Unit] = {}
        if left and info is not None:
            for unit in units(info, self._tables, self._sections.order):
                spans = self._stated(unit)
                if unit.lines is not None and spans:
                    stated.add(unit.lines)
                elif unit.lines is not None and unit.kind not in (DW_UT_TYPE, DW_UT_SPLIT_TYPE):
                    silent.setdefault(unit.lines, unit)
                addresses = left.intersection(within(wanted, spans, self._lowest))
                if addresses:
                    left -= addresses
                    over[unit.offset] = sorted(addresses.union(over.get(unit.offset, ())))
                    known[unit.offset] = unit
        for offset in sorted(over):
            part = self._part(offset, known.get(offset), over[offset])
            if part is not None:
                yield part
        if left:
            yield from self._by_lines(sorted(left), stated, silent)

    def _stated(self, unit: Unit) -> Spans:
        """The addresses that a unit itself says it has; none may mean that it does not say."""
        try:
            spans = Ranges(unit, self._sections).of(unit.low, unit.high, unit.ranges)
        except ParseError:
            return []
        return [span for span in spans if span[0] >= self._lowest]

    def _part(self, offset: int, unit: Unit | None, addresses: list[int]) -> Part | None:
        """What the unit at ``offset`` says of ``addresses``; None when it cannot be read."""
        assert self._sections.info is not None
        try:
            unit = unit or read_unit(self._sections.info, self._tables, offset, self._sections.order)
        except ParseError as error:
            self._troubles.damaged[error.reason] += 1
            return None
        part = Part(unit)
        self._take_scopes(part, unit, addresses)
        if unit.lines is not None:
            try:
                part.take_lines(self._lines.run(unit.lines, addresses, all_files=True))
            except ParseError as error:
                self._troubles.damaged[error.reason] += 1
        return part

    def _by_lines(self, left: list[int], stated: set[int], silent: dict[int, Unit]) -> Iterator[Part]:
        """What those programs answer whose units state no addresses, or are not known."""
        damaged = 0
        for offset in self._lines.programs():
            if offset in stated or not left:
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
            unit = silent.get(offset)
            part = Part(unit)
            if unit is not None:
                self._take_scopes(part, unit, sorted(lines.rows))
            part.take_lines(lines)
            yield part
            left = [address for address in left if address not in lines.rows]

    def _take_scopes(self, part: Part, unit: Unit, addresses: list[int]) -> None:
        try:
            if unit.split_name is not None:
                self._take_split(part, unit, addresses)
                return
            ranges = Ranges(unit, self._sections)
            self._walk.take_scopes(part, unit, ranges, addresses, self._named, gcc=self._gcc(unit))
        except ParseError as error:
            self._troubles.damaged[error.reason] += 1

    def _take_split(self, part: Part, unit: Unit, addresses: list[int]) -> None:
        """The unit's DIEs are in another file."""
        name = self._strings.text(unit.string(unit.split_name)) or ""
        if self._open_split is None or unit.split_id is None:
            return
        directory = self._strings.text(unit.string(unit.directory))
        with self._open_split(name, directory, unit.split_id) as sections:
            if sections is None:
                self._troubles.split[name] = "it is not here"
                return
            tables = Tables.of(sections)
            try:
                inner = split_unit(sections, tables, unit.split_id)
                walk = Walk(sections, tables, Names(sections, tables), lowest=self._lowest)
                ranges = Ranges(inner, sections, skeleton=(unit, self._sections))
                walk.take_scopes(part, inner, ranges, addresses, self._named, gcc=False)
                # Read now, and held as if they stood in the unit: the file is closed again.
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
            return False  # not worth unfolding the section for
        return (self._strings.text(unit.string(unit.producer)) or "").startswith("GNU ")

    def _finished(self, parts: list[Part]) -> Iterator[Answer]:
        """Read the strings, of all parts at once and in ascending order."""
        trails = {die: trail for part in parts for die, trail in part.trails.items()}
        ends = self._names.finish(trails) if trails else {}
        self._troubles.missing_alternate |= self._names.missing_alternate
        values: set[Text] = set()
        for part in parts:
            part.names.update((die, ends.get(die)) for die in part.trails)
            values.update(value for value in (*part.names.values(), part.directory) if value is not None)
        texts = self._strings.texts(values)
        for part in parts:
            yield from answers(part, texts)


__all__ = ["Call", "Troubles", "find_calls"]
