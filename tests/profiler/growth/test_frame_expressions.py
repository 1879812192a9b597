"""The expressions that stand in call frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_profiler.growth.frame_expressions import evaluate

REGISTERS = [100 * number for number in range(17)]


def read(address: int) -> int:
    return address + 1


@pytest.mark.parametrize(
    ("program", "value"),
    [
        ("7708", 708),
        ("7678", 592),
        ("767806", 593),
        # rsp + 8 + ((rip & 15) >= 11) * 8, as linkers write it for the table of imported functions; rip is 1600 here.
        ("770880003f1a3b2a332422", 708),
        ("7708800b3f1a3b2a332422", 716),
        ("35", 5),
        ("0aff00", 255),
        ("0fffffffffffffffff", (1 << 64) - 1),
        ("10e807", 1000),
        ("1178", (1 << 64) - 8),
        ("353612", 6),
        ("35361422", 11),
        ("3536161c", 1),
        ("352305", 10),
    ],
)
def test_each_operation(program: str, value: int) -> None:
    assert evaluate(bytes.fromhex(program), REGISTERS, read) == value


def test_the_frame_may_be_the_first_value() -> None:
    assert evaluate(bytes.fromhex("2308"), REGISTERS, read, 1000) == 1008


@pytest.mark.parametrize("program", ["", "06", "22", "ff", "16", "0a", "30" * 40, "80"])
def test_what_makes_no_sense_is_an_error(program: str) -> None:
    with pytest.raises(ParseError):
        evaluate(bytes.fromhex(program), REGISTERS, read)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_word_or_an_error(program: bytes) -> None:
    try:
        value = evaluate(program, REGISTERS, read)
    except ParseError:
        return
    assert 0 <= value < 1 << 64
