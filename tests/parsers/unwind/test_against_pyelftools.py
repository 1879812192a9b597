"""Rows of call frame information of real binaries are those that pyelftools decodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile

from memtui_parsers.elf.image import read_image
from memtui_parsers.unwind.frame_programs import FrameRow, Place
from memtui_parsers.unwind.frame_table import FrameTable, read_frame_table
from tests.fixtures.real_binaries import binary

# Of a file's functions; all of python's take pyelftools 8 s.
MOST_FUNCTIONS = 700
NAMES = {
    Place.AT_CFA: "OFFSET",
    Place.CFA_PLUS: "VAL_OFFSET",
    Place.REGISTER: "REGISTER",
    Place.AT_EXPRESSION: "EXPRESSION",
    Place.EXPRESSION: "VAL_EXPRESSION",
    Place.UNDEFINED: "UNDEFINED",
}


def table_of(path: Path) -> FrameTable:
    with path.open("rb") as stream:
        table = read_frame_table(stream, read_image(stream))
    assert table is not None
    return table


def decoded(path: Path) -> Iterator[tuple[int, dict[Any, Any]]]:
    """(the last address of each row, the row) by pyelftools, of functions from all over the file."""
    with path.open("rb") as stream:
        entries = [entry for entry in ELFFile(stream).get_dwarf_info().EH_CFI_entries() if isinstance(entry, FDE)]
        for entry in entries[:: len(entries) // MOST_FUNCTIONS + 1]:
            try:
                rows = entry.get_decoded().table
            except ValueError:  # its own message about an operation that it does not know cannot be written
                continue
            ends = [*(row["pc"] for row in rows[1:]), entry["initial_location"] + entry["address_range"]]
            for row, end in zip(rows, ends, strict=True):
                if row["pc"] < end:
                    yield end - 1, row


def as_theirs(row: FrameRow) -> dict[int, tuple[str, object]]:
    return {
        register: (NAMES[rule.place], rule.expression or (None if rule.place is Place.UNDEFINED else rule.number))
        for register, rule in row.rules.items()
    }


def theirs(row: dict[Any, Any]) -> dict[int, tuple[str, object]]:
    return {
        register: (rule.type, bytes(rule.arg) if isinstance(rule.arg, list) else rule.arg)
        for register, rule in row.items()
        if register not in ("pc", "cfa") and rule.type != "SAME_VALUE"
    }


@pytest.mark.parametrize("name", ["libc", "libstdc++", "python", "redis", "libjemalloc", "ls", "static", "no-pie"])
def test_rows(name: str) -> None:
    path = binary(name)
    table = table_of(path)
    compared = 0
    for address, row in decoded(path):
        frame = table.frame_at(address)
        assert frame is not None, hex(address)
        cfa, their_cfa = frame.row.cfa, row["cfa"]
        if their_cfa.expr is not None:
            assert cfa.expression == bytes(their_cfa.expr)
        else:
            assert (cfa.register, cfa.offset, cfa.expression) == (their_cfa.reg, their_cfa.offset, b"")
        assert as_theirs(frame.row) == theirs(row), hex(address)
        compared += 1
    assert compared > 10


@pytest.mark.parametrize("name", ["libc", "ls"])
def test_a_table_made_of_the_entries_says_the_same(name: str) -> None:
    path = binary(name)
    table = table_of(path)
    own = table.indexed()
    for address, _ in decoded(path):
        assert own.frame_at(address) == table.frame_at(address)


def test_an_address_in_no_function() -> None:
    assert table_of(binary("libc")).frame_at(0) is None
    assert table_of(binary("libc")).frame_at(1 << 60) is None
