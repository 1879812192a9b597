"""Units, ranges, line rows and scopes of real debug information against pyelftools, which decodes every DIE and every row.

It is 10 to 70 times slower than the readers here and keeps all that it decodes, so of a file with many units some are compared
and of a unit some hundred addresses: the whole module takes some seconds of CPU.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest
from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.dwarf.ranges import BaseAddressEntry
from elftools.elf.elffile import ELFFile

from memtui_parsers.dwarf.abbreviations import Tables
from memtui_parsers.dwarf.calls import find_calls
from memtui_parsers.dwarf.forms import SEC_OFFSET
from memtui_parsers.dwarf.line_program import Lines
from memtui_parsers.dwarf.ranges import Ranges
from memtui_parsers.dwarf.sections import DwarfSections, open_dwarf
from memtui_parsers.dwarf.strings import Strings
from memtui_parsers.dwarf.units import units
from memtui_parsers.elf.image import read_image
from tests.fixtures.real_binaries import BUILDS, binary

UNITS = 24
ADDRESSES = 300

WITH_DWARF = [name for name in BUILDS if name not in ("stripped", "separate-debug")]
SCOPES = ("DW_TAG_lexical_block", "DW_TAG_inlined_subroutine", "DW_TAG_try_block", "DW_TAG_catch_block")

Spans = list[tuple[int, int]]


@dataclass(frozen=True)
class Both:
    """One file in both readers. ``lowest`` is where its code begins."""

    ours: DwarfSections
    theirs: DWARFInfo
    lowest: int

    def units(self) -> list[CompileUnit]:
        """Some of the file's, evenly spread."""
        every = list(self.theirs.iter_CUs())
        return every[:: max(1, len(every) // UNITS)]


@contextmanager
def opened(name: str) -> Iterator[Both]:
    with binary(name).open("rb") as stream:
        image = read_image(stream)
        ours = open_dwarf(stream, image)
        if ours is None:
            pytest.skip(f"{name} has no debug information here")
        lowest = min(s.vaddr for s in image.segments if s.kind == "PT_LOAD" and s.executable)
        yield Both(ours, ELFFile(stream).get_dwarf_info(), lowest)


def their_spans(die: DIE) -> Spans:
    """The addresses that a DIE covers, by its ranges or its low and high address."""
    unit, attributes = die.cu, die.attributes
    if "DW_AT_ranges" in attributes:
        lists = unit.dwarfinfo.range_lists()
        assert lists is not None and isinstance(unit, CompileUnit)
        top = unit.get_top_DIE().attributes
        base = top["DW_AT_low_pc"].value if "DW_AT_low_pc" in top else 0
        spans = []
        for entry in lists.get_range_list_at_offset(attributes["DW_AT_ranges"].value, unit):
            if isinstance(entry, BaseAddressEntry):
                base = entry.base_address
            elif entry.begin_offset < entry.end_offset:
                start = 0 if entry.is_absolute else base
                spans.append((start + entry.begin_offset, start + entry.end_offset))
        return spans
    if "DW_AT_low_pc" not in attributes or "DW_AT_high_pc" not in attributes:
        return []
    low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
    end = high.value if high.form.startswith("DW_FORM_addr") else low + high.value
    return [(low, end)] if low < end else []


def spread(addresses: set[int]) -> list[int]:
    ordered = sorted(addresses)
    return ordered[:: max(1, len(ordered) // ADDRESSES)]


@pytest.mark.parametrize("name", ["python", *WITH_DWARF])
def test_units_are_those_of_pyelftools(name: str) -> None:
    with opened(name) as both:
        assert both.ours.info is not None
        strings = Strings(both.ours)
        ours = {unit.offset: unit for unit in units(both.ours.info, Tables(both.ours), both.ours.order)}
        assert list(ours) == [unit.cu_offset for unit in both.theirs.iter_CUs()]
        for theirs in both.units():
            unit = ours[theirs.cu_offset]
            top = theirs.get_top_DIE()
            assert unit.size == theirs["unit_length"] + theirs.structs.initial_length_field_size()
            assert unit.encoding.version == theirs["version"]
            assert unit.encoding.address_bytes == theirs["address_size"]
            assert unit.encoding.offset_bytes == theirs.structs.dwarf_format // 8
            assert unit.table == theirs["debug_abbrev_offset"]
            lines = top.attributes.get("DW_AT_stmt_list")
            assert unit.lines == (lines and lines.value)
            for value, attribute in ((unit.directory, "DW_AT_comp_dir"), (unit.producer, "DW_AT_producer")):
                text = top.attributes.get(attribute)
                assert strings.text(unit.string(value)) == (text and text.value.decode())
            if unit.split_name is None:
                spans = Ranges(unit, both.ours).of(unit.low, unit.high, unit.ranges)
                assert spans == their_spans(top)
        assert ours


@pytest.mark.parametrize("name", ["python", "dwarf4", "dwarf5", "dwarf64", "many-ranges", "unoptimized", "zlib"])
def test_ranges_of_all_scopes_are_those_of_pyelftools(name: str) -> None:
    compared = 0
    with opened(name) as both:
        assert both.ours.info is not None
        ours = {unit.offset: unit for unit in units(both.ours.info, Tables(both.ours), both.ours.order)}
        for theirs in both.units()[:8]:
            ranges = Ranges(ours[theirs.cu_offset], both.ours)
            for die in theirs.iter_DIEs():
                written = die.attributes.get("DW_AT_ranges")
                if written is not None and written.form == "DW_FORM_sec_offset":
                    spans = their_spans(die)
                    assert ranges.of(None, None, (SEC_OFFSET, written.value)) == spans
                    covered = [start for start, _ in spans]
                    assert ranges.over(written.value, sorted(covered)) == sorted(set(covered))
                    compared += 1
    assert compared


def their_rows(both: Both, unit: CompileUnit) -> tuple[dict[int, tuple[int, int]], list[str]]:
    """(file's index, line) by address, for some addresses about the rows of the unit's program; and its file names."""
    program = both.theirs.line_program_for_CU(unit)
    assert program is not None
    sequences: list[list[tuple[int, int, int]]] = [[]]
    for entry in program.get_entries():
        if entry.state is not None:
            sequences[-1].append((entry.state.address, entry.state.file, entry.state.line))
            if entry.state.end_sequence:
                sequences.append([])
    answers: dict[int, tuple[int, int]] = {}
    for rows in sequences:
        if not rows or rows[0][0] < both.lowest:
            continue
        for (start, file, line), (end, _, _) in pairwise(rows):
            for address in {start, start + 1, end - 1}:
                if start <= address < end:
                    answers.setdefault(address, (file, line))
    return answers, [posixpath.basename(file.name.decode()) for file in program["file_entry"]]


# pyelftools reads no line program of DWARF 5 with offsets of 64 bits.
@pytest.mark.parametrize("name", ["python", *(n for n in WITH_DWARF if n != "dwarf64")])
def test_line_rows_are_those_of_pyelftools(name: str) -> None:
    compared = 0
    with opened(name) as both:
        lines = Lines(both.ours, Strings(both.ours), both.lowest)
        for unit in both.units():
            answers, names = their_rows(both, unit)
            wanted = spread(set(answers))
            ours = lines.run(unit.get_top_DIE().attributes["DW_AT_stmt_list"].value, wanted)
            assert ours.rows == {address: answers[address] for address in wanted}
            first = 0 if ours.version >= 5 else 1
            for file in {file for file, _ in ours.rows.values()}:
                path = ours.files.path(file)
                assert path is not None and posixpath.basename(path) == names[file - first]
            compared += len(wanted)
    assert compared > 20


def name_of(die: DIE) -> str | None:
    """A function's linkage name, else its plain one, wherever it is written."""
    plain = None
    for _ in range(10):
        for attribute in ("DW_AT_linkage_name", "DW_AT_MIPS_linkage_name"):
            if attribute in die.attributes:
                return str(die.attributes[attribute].value.decode())
        if plain is None and "DW_AT_name" in die.attributes:
            plain = die.attributes["DW_AT_name"].value.decode()
        onward = next((a for a in ("DW_AT_abstract_origin", "DW_AT_specification") if a in die.attributes), None)
        if onward is None:
            return plain
        die = die.get_DIE_from_attribute(onward)
    raise AssertionError("references in a circle")


def inside(die: DIE, address: int) -> list[DIE]:
    """The inlined calls over ``address`` in a function or block, the outermost first."""
    for child in die.iter_children():
        if child.tag in SCOPES:
            spans = their_spans(child)
            if any(start <= address < end for start, end in spans):
                return [*([child] if child.tag == "DW_TAG_inlined_subroutine" else []), *inside(child, address)]
            if not spans and child.tag == "DW_TAG_lexical_block" and (found := inside(child, address)):
                return found
    return []


# The DIEs of split units are in other files, which pyelftools does not look for.
@pytest.mark.parametrize("name", ["python", *(n for n in WITH_DWARF if not n.startswith("split"))])
def test_functions_and_inlined_calls_are_those_of_pyelftools(name: str) -> None:
    compared = inlined = 0
    with opened(name) as both:
        for unit in both.units():
            functions = [die for die in unit.iter_DIEs() if die.tag == "DW_TAG_subprogram" and their_spans(die)]
            covering = {
                address: die
                for die in functions
                for start, end in their_spans(die)
                if start >= both.lowest
                for address in range(start, end, max(1, (end - start) // 20))
            }
            wanted = spread(set(covering))
            answers = dict(find_calls(both.ours, wanted, lowest=both.lowest))
            for address in wanted:
                calls = inside(covering[address], address)
                expected = [name_of(die) for die in (covering[address], *calls)]
                assert [call.function for call in reversed(answers[address])] == expected, hex(address)
                called_from = [die.attributes["DW_AT_call_line"].value for die in calls]
                assert [call.line for call in reversed(answers[address][1:])] == called_from, hex(address)
                assert [call.inlined for call in reversed(answers[address])] == [False, *(True for _ in calls)]
                compared, inlined = compared + 1, inlined + len(calls)
    assert compared > 20 and (inlined > 20 or name not in ("dwarf4", "dwarf5"))
