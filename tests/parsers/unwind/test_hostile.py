"""Call frame information that is damaged: an answer or a refusal, soon."""

from __future__ import annotations

import io
import random
import time

import pytest

from memtui_parsers.elf.image import read_image
from memtui_parsers.errors import ParseError
from memtui_parsers.unwind.frame_programs import (
    MAX_PROGRAM_BYTES,
    MAX_REMEMBERED,
    Alignment,
    CfaRule,
    FrameRow,
    row_at,
)
from memtui_parsers.unwind.frame_table import FrameTable, read_frame_table
from tests.fixtures.real_binaries import binary

MUTATIONS = 400


def no_pointer(place: int) -> tuple[int, int]:
    raise ParseError("no pointers here")


def run(program: bytes) -> FrameRow:
    return row_at(program, Alignment(1, -8), FrameRow(CfaRule(7, 8), {}), 0, 1 << 62, no_pointer)


@pytest.mark.parametrize(
    "program",
    [
        b"\x0b",  # restores a state that was never remembered
        b"\x0a" * (MAX_REMEMBERED + 1),
        b"\x0c\xff\xff\xff\x0f\x00",  # a register of a high number
        b"\x07\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
        b"\x10\x06\xff\x7f",  # an expression beyond the end
        b"\x3f",
        b"\x00" * (MAX_PROGRAM_BYTES + 1),
    ],
)
def test_a_program_that_is_refused(program: bytes) -> None:
    with pytest.raises(ParseError):
        run(program)


def test_a_restored_register_is_as_the_cie_has_it() -> None:
    assert run(b"\x86\x02\xc6").rules == {}


@pytest.mark.parametrize("name", ["ls", "static"])
def test_damaged_files(name: str) -> None:
    whole = binary(name).read_bytes()
    image = read_image(io.BytesIO(whole))
    places = [(s.offset, s.size) for s in image.sections if s.name in (".eh_frame", ".eh_frame_hdr")]
    dice = random.Random(1)
    began = time.process_time()
    for _ in range(MUTATIONS if name == "ls" else 20):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 20)):
            offset, size = dice.choice(places)
            data[offset + dice.randrange(size)] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        try:
            table = read_frame_table(io.BytesIO(bytes(data)), image)
        except ParseError:
            continue
        assert table is not None
        _ask_all_over(table, image.loads[-1].vaddr, dice)
    assert time.process_time() - began < 60


def _ask_all_over(table: FrameTable, end: int, dice: random.Random) -> None:
    for _ in range(20):
        try:
            table.frame_at(dice.randrange(end))
        except ParseError:
            continue


def test_a_file_that_is_cut() -> None:
    whole = binary("ls").read_bytes()
    image = read_image(io.BytesIO(whole))
    section = next(s for s in image.sections if s.name == ".eh_frame")
    table = read_frame_table(io.BytesIO(whole[: section.offset + section.size // 2]), image)
    assert table is not None
    _ask_all_over(table, image.loads[-1].vaddr, random.Random(2))
