"""Expressions as call frame information has them, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from memtui_parsers.unwind.expressions import MAX_EXPRESSION_BYTES, evaluate

# rsp + 8 + ((rip & 15) >= 11) * 8: what ld writes for a PLT.
PLT = bytes([0x77, 8, 0x80, 0, 0x3F, 0x1A, 0x3B, 0x2A, 0x33, 0x24, 0x22])
RSP, RIP = 7, 16


def registers(**values: int) -> list[int]:
    found = [0] * 17
    found[RSP], found[RIP] = values.get("rsp", 0), values.get("rip", 0)
    return found


def no_memory(address: int) -> int:
    raise AssertionError("no memory is read")


@pytest.mark.parametrize(("rip", "above"), [(0x1000, 8), (0x100A, 8), (0x100B, 16), (0x100F, 16)])
def test_a_plt(rip: int, above: int) -> None:
    assert evaluate(PLT, registers(rsp=0x7000, rip=rip), no_memory) == 0x7000 + above


def test_a_signal_frame_reads_a_saved_register() -> None:
    # glibc's __restore_rt: breg7 160, deref
    asked = []

    def word(address: int) -> int:
        asked.append(address)
        return 0x1234

    assert evaluate(bytes([0x77, 0xA0, 0x01, 0x06]), registers(rsp=0x7000), word) == 0x1234
    assert asked == [0x70A0]


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([0x31, 0x33, 0x1C], -2 & (1 << 64) - 1),  # minus wraps around
        ([0x09, 0xFF, 0x30, 0x2D], 1),  # -1 is less than 0
        ([0x11, 0x7F, 0x10, 0x90, 0x4E, 0x24], 0),  # shifted by 10,000
        ([0x32, 0x12, 0x1E], 4),
        ([0x31, 0x32, 0x14, 0x16, 0x13, 0x1C], 0),
        ([0x31, 0x1F, 0x20], 0),
        ([0x34, 0x31, 0x26], 2),
        ([0x0C, 1, 0, 0, 0, 0x23, 0x05], 6),
    ],
)
def test_operations(operations: list[int], result: int) -> None:
    assert evaluate(bytes(operations), registers(), no_memory) == result


@given(st.binary(max_size=MAX_EXPRESSION_BYTES))
def test_any_bytes_give_a_number_or_are_refused(expression: bytes) -> None:
    try:
        value = evaluate(expression, registers(rsp=1 << 63, rip=1), lambda address: address)
    except ParseError:
        return
    assert 0 <= value < 1 << 64
