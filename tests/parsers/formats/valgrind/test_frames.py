"""Lines that no tool of valgrind writes: a frame takes time linear in its length."""

from __future__ import annotations

import time

import pytest

from memtui_parsers.formats.stack_table import StackTable
from memtui_parsers.formats.valgrind.frames import Frames


@pytest.mark.parametrize(("unit", "end"), [("a", ")"), (" (in a", ""), (" (a", ")"), (" (a(b)", ")")])
def test_a_place_without_end_takes_no_time(unit: str, end: str) -> None:
    place = " (" + unit * (16_000 // len(unit)) + end
    frames = Frames(StackTable())
    began = time.process_time()
    for address in range(20):
        assert frames.number(f"0x{address:x}: f{place}") is not None
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("file", ["a.c", "a(1).c", "src(1)/a.c", "/rustc/a (b)/c.rs"])
def test_a_file_may_have_brackets_in_its_name(file: str) -> None:
    frames = Frames(StackTable())
    number = frames.number(f"0x1: f(int) ({file}:15)")
    assert number is not None
    frame = frames.table.frames[number]
    assert (frame.function, frame.file, frame.line) == ("f(int)", file, 15)
