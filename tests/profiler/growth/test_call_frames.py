"""Call frame information of real binaries, as pyelftools reads it too, and of damaged ones."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any, cast

import pytest
from elftools.dwarf.callframe import FDE, RegisterRule
from elftools.elf.elffile import ELFFile

from memtui_parsers.errors import ParseError
from memtui_profiler.growth.call_frames import CallFrames, Row, Rule
from tests.fixtures.call_server import library
from tests.fixtures.growing import growing_program
from tests.fixtures.leaky import build

LIBRARIES = ("libc.so.6", "libstdc++.so.6", "libtcmalloc.so.4", "libjemalloc.so.2", "libm.so.6")
_KINDS = {
    RegisterRule.UNDEFINED: "undefined",
    RegisterRule.OFFSET: "at",
    RegisterRule.VAL_OFFSET: "value",
    RegisterRule.REGISTER: "register",
    RegisterRule.EXPRESSION: "at expression",
    RegisterRule.VAL_EXPRESSION: "expression",
}
MOST_FUNCTIONS = 400


def files() -> list[Path]:
    found = [Path(library(name)) for name in LIBRARIES]
    return [path for path in (*found, growing_program(), build("static").path) if path.is_absolute() and path.exists()]


def as_rule(rule: RegisterRule) -> Rule:
    kind, argument = _KINDS[rule.type], cast(Any, rule.arg)
    return Rule(kind, 0, bytes(argument)) if "expression" in kind else Rule(kind, argument or 0)


def as_row(line: dict[Any, Any], *, signal: bool) -> Row:
    """A row of pyelftools."""
    cfa = line["cfa"]
    rules = {
        register: as_rule(rule)
        for register, rule in line.items()
        if isinstance(rule, RegisterRule) and rule.type != RegisterRule.SAME_VALUE
    }
    if cfa.expr is not None:
        return Row(0, 0, bytes(cfa.expr), rules, signal)
    return Row(cfa.reg, cfa.offset, b"", rules, signal)


def table_of(entry: FDE) -> list[dict[Any, Any]]:
    """The rows of a function; none where pyelftools does not know an operation, as that of GNU for sizes of arguments."""
    try:
        return entry.get_decoded().table
    except ValueError:
        return []


def test_rows_are_those_of_pyelftools() -> None:
    dice = random.Random(1)
    compared = signals = expressions = 0
    for path in files():
        with open(path, "rb") as stream, open(path, "rb") as other:
            frames = CallFrames(stream)
            entries = [entry for entry in ELFFile(other).get_dwarf_info().EH_CFI_entries() if isinstance(entry, FDE)]
            chosen = dice.sample(entries, min(MOST_FUNCTIONS, len(entries)))
            chosen += [entry for entry in entries if is_signals(entry)]
            for entry in chosen:
                end = entry["initial_location"] + entry["address_range"]
                for line in table_of(entry):
                    # Of two rows at one address the later one holds.
                    later = [other for other in table_of(entry) if other["pc"] == line["pc"]][-1]
                    if line["pc"] >= end or line is not later:
                        continue
                    row = frames.row(line["pc"])
                    assert row is not None, (path, hex(line["pc"]))
                    if row.expression:
                        row = Row(0, 0, row.expression, row.rules, row.signal)
                    assert row == as_row(line, signal=is_signals(entry)), (path, hex(line["pc"]))
                    compared += 1
                    signals += row.signal
                    expressions += bool(row.expression)
    assert compared > 3000 and expressions and signals


def is_signals(entry: FDE) -> bool:
    return b"S" in cast(Any, entry.cie).header["augmentation"]


def test_nothing_is_said_of_what_is_no_function() -> None:
    with open(library("libc.so.6"), "rb") as stream:
        frames = CallFrames(stream)
    assert frames.row(0) is None and frames.row(1 << 60) is None


def test_a_file_without_call_frames_is_refused() -> None:
    for data in (b"", b"\x7fELF" + b"\0" * 60, b"#!/bin/sh\n"):
        with pytest.raises(ParseError):
            CallFrames(io.BytesIO(data))


def test_damage_raises_nothing_else_and_takes_no_time() -> None:
    dice = random.Random(2)
    with open(library("libm.so.6"), "rb") as stream:
        sound = CallFrames(stream)
        stream.seek(0)
        whole = stream.read()
    section = sound.image.section(".eh_frame")
    header = sound.image.section(".eh_frame_hdr")
    assert section is not None and header is not None
    starts = [sound._base + start for start in sound._starts][:: max(1, len(sound._starts) // 60)]
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(dice.choice((1, 20, 2000))):
            part = dice.choice((section, section, section, header))
            data[part.offset + dice.randrange(part.size)] = dice.choice((0, 0xFF, 0x80, 0x0A, dice.randrange(256)))
        try:
            damaged = CallFrames(io.BytesIO(bytes(data)))
        except ParseError:
            continue
        for start in starts:
            try:
                damaged.row(start + dice.randrange(64))
            except ParseError:
                continue
