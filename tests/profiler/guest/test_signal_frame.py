"""The signal frame that brings a thread back, against the layout that the kernel's own headers give."""

from __future__ import annotations

import struct
import subprocess
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_profiler.guest.ptrace import Registers
from memtui_profiler.guest.signal_frame import (
    RED_ZONE_BYTES,
    RIP_AT,
    RSP_AT,
    Frame,
    holds_frame,
    plain_frame,
    restoring_frame,
    resumed,
)
from tests.fixtures.guest import build

IN_A_FRAME = (
    *(
        "r8",
        "r9",
        "r10",
        "r11",
        "r12",
        "r13",
        "r14",
        "r15",
        "rdi",
        "rsi",
        "rbp",
        "rbx",
        "rdx",
        "rax",
        "rcx",
        "rsp",
        "rip",
    ),
    *("eflags", "cs", "ss"),
)
RESTORER = 0x7F0000001234
TOP = 0x7FFE00010000
FORMATS = {2: "<H", 4: "<I", 8: "<Q"}
# Components by their bit: x87, SSE, AVX, AVX-512 (three), PKRU, AMX's configuration, AMX's tiles, APX.
X87, SSE, AVX, OPMASK, ZMM, HIGH_ZMM, PKRU, CONFIGURATION, TILES, APX = 0, 1, 2, 5, 6, 7, 9, 17, 18, 19
WITH_AMX_BYTES = 11008

numbers = st.integers(0, 2**64 - 1)


@cache
def layout() -> dict[str, tuple[int, int]]:
    """Offset and size of each part, or the value of a constant, as a C program has them from the headers."""
    lines = subprocess.run([build("layout")], check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: (int(offset), int(size)) for name, offset, size in map(str.split, lines)}


def part(data: bytes, name: str) -> int:
    offset, size = layout()[name]
    return int(struct.unpack_from(FORMATS[size], data, offset)[0])


def constant(name: str) -> int:
    return layout()[name][0]


def registers_of(values: dict[str, int]) -> Registers:
    registers = Registers()
    for name, value in values.items():
        setattr(registers, name, value)
    return registers


def area(size: int, features: tuple[int, ...], in_use: tuple[int, ...]) -> bytes:
    """An XSAVE area as ptrace gives it."""
    state = bytearray(b"\xee" * size)
    struct.pack_into("<Q40x", state, 464, sum(1 << bit for bit in features))
    struct.pack_into("<Q56x", state, 512, sum(1 << bit for bit in in_use))
    return bytes(state)


def vectors_of(frame: Frame) -> bytes:
    return frame.data[part(frame.data, "fpstate") - frame.address :]


@given(
    values=st.fixed_dictionaries(dict.fromkeys(IN_A_FRAME, numbers)), mask=numbers, top=st.integers(1 << 20, 1 << 47)
)
def test_each_register_is_where_the_kernel_looks(values: dict[str, int], mask: int, top: int) -> None:
    values = {name: value & 0xFFFF if name in ("cs", "ss") else value for name, value in values.items()}
    frame = restoring_frame(registers_of(values), area(832, (X87, SSE, AVX), (X87, SSE, AVX)), mask, RESTORER, top)
    assert {name: part(frame.data, name) for name in IN_A_FRAME} == values
    assert part(frame.data, "uc_sigmask") == mask
    assert frame.data.startswith(struct.pack("<Q", RESTORER))
    flags = ("UC_FP_XSTATE", "UC_SIGCONTEXT_SS", "UC_STRICT_RESTORE_SS")
    assert part(frame.data, "uc_flags") == sum(map(constant, flags))
    # As at a function's entry; and all of it below the red zone.
    assert frame.address % 16 == 8
    assert part(frame.data, "fpstate") % 64 == 0
    assert frame.address + len(frame.data) <= top - RED_ZONE_BYTES
    # What sigaltstack(2) refuses: neither SS_ONSTACK nor SS_DISABLE, nor any other flag that it has.
    assert part(frame.data, "ss_flags") & 0x7FFFFFFF not in (0, 1, 2)


def test_the_scratch_bytes_lie_in_what_the_kernel_does_not_read() -> None:
    frame = restoring_frame(Registers(), area(576, (X87, SSE), ()), 0, RESTORER, TOP)
    siginfo, size = layout()["siginfo"]
    assert siginfo <= frame.scratch - frame.address
    assert frame.scratch + 64 + 16 - frame.address <= siginfo + size


def test_a_plain_frame_has_no_vector_state() -> None:
    frame = plain_frame(registers_of({"rsp": 1, "rip": 2}), 3, RESTORER, TOP)
    assert (frame.address, part(frame.data, "fpstate"), part(frame.data, "uc_sigmask")) == (TOP, 0, 3)
    assert (layout()["rsp"][0], layout()["rip"][0]) == (RSP_AT, RIP_AT)


def test_a_frame_on_a_stack_is_known_from_what_sigaction_leaves_there() -> None:
    frame = restoring_frame(registers_of({"cs": 0x33}), area(832, (X87, SSE, AVX), (X87,)), 0, RESTORER, TOP)
    assert holds_frame(b"\0" * 80 + frame.data, RESTORER)
    assert not holds_frame(b"\0" * 80 + frame.data, RESTORER + 1)
    assert not holds_frame(b"\0" * 84 + frame.data, RESTORER), "stacks are aligned"
    assert not holds_frame(frame.data[:200], RESTORER)
    # struct kernel_sigaction: handler, flags, restorer, mask.
    left = struct.pack("<4Q", 0x5000, 0x04000004, RESTORER, 0) + b"\0" * 1000
    assert not holds_frame(left, RESTORER)
    assert holds_frame(left + frame.data, RESTORER)


@pytest.mark.parametrize(
    ("size", "features", "in_use", "expected"),
    [
        (576, (X87, SSE), (X87, SSE), 576),
        (832, (X87, SSE, AVX), (X87,), 832),
        # Another maker's layout, no AMX: the area is a thread's own, whatever is in use.
        (2440, (X87, SSE, AVX, OPMASK, ZMM, HIGH_ZMM, PKRU), (X87, SSE, AVX), 2440),
        (2696, (X87, SSE, AVX, OPMASK, ZMM, HIGH_ZMM, PKRU), (X87, SSE, AVX), 2696),
        (WITH_AMX_BYTES, (X87, SSE, AVX, OPMASK, ZMM, HIGH_ZMM, PKRU, CONFIGURATION, TILES), (), 576),
        (WITH_AMX_BYTES, (X87, SSE, AVX, OPMASK, ZMM, HIGH_ZMM, CONFIGURATION, TILES), (X87, SSE, AVX), 832),
        (WITH_AMX_BYTES, (X87, SSE, AVX, OPMASK, ZMM, HIGH_ZMM, CONFIGURATION, TILES), (SSE, HIGH_ZMM), 2688),
        (WITH_AMX_BYTES, (X87, SSE, AVX, OPMASK, ZMM, HIGH_ZMM, PKRU, CONFIGURATION, TILES), (SSE, PKRU), 2696),
        (WITH_AMX_BYTES, (X87, SSE, AVX, OPMASK, CONFIGURATION, TILES, APX), (X87, SSE, APX), 1088),
        (WITH_AMX_BYTES, (X87, SSE, AVX, OPMASK, ZMM, HIGH_ZMM, CONFIGURATION, TILES), (AVX, CONFIGURATION), 2816),
        (WITH_AMX_BYTES, (X87, SSE, AVX, CONFIGURATION, TILES), (AVX, CONFIGURATION, TILES), WITH_AMX_BYTES),
        # One that is not known yet, in use: all of it.
        (WITH_AMX_BYTES + 64, (X87, SSE, AVX, CONFIGURATION, TILES, 20), (AVX, 20), WITH_AMX_BYTES + 64),
    ],
)
def test_the_area_is_as_large_as_the_thread_may_have_it(
    size: int, features: tuple[int, ...], in_use: tuple[int, ...], expected: int
) -> None:
    state = area(size, features, in_use)
    vectors = vectors_of(restoring_frame(Registers(), state, 0, RESTORER, TOP))
    assert part(vectors, "magic1") == constant("FP_XSTATE_MAGIC1")
    assert part(vectors, "xstate_size") == expected
    assert part(vectors, "extended_size") == expected + 4
    assert struct.unpack_from("<I", vectors, expected)[0] == constant("FP_XSTATE_MAGIC2")
    assert len(vectors) == expected + 4
    header = layout()["header"][0]
    # All that is in use is offered, and comes back byte by byte.
    assert part(vectors, "xfeatures") & struct.unpack_from("<Q", state, header)[0] == sum(1 << bit for bit in in_use)
    assert (vectors[:464], vectors[header:expected]) == (state[:464], state[header:expected])


@pytest.mark.parametrize("result", [-512, -513, -514, -516, -4])
def test_an_interrupted_call_is_made_again(result: int) -> None:
    at = registers_of({"rax": result & 2**64 - 1, "orig_rax": 7, "rip": 0x1000, "rsp": 5})
    again = resumed(at)
    assert (again.get("rax"), again.get("rip"), again.get("rsp")) == (7, 0x1000 - 2, 5)
    assert again.get("orig_rax") == 2**64 - 1, "the kernel makes nothing again on its own"


@pytest.mark.parametrize(("result", "number"), [(0, 7), (12, 0), (-11, 0), (-4, 2**64 - 1), (-515, 7)])
def test_what_is_over_stays_over(result: int, number: int) -> None:
    at = registers_of({"rax": result & 2**64 - 1, "orig_rax": number, "rip": 0x1000})
    again = resumed(at)
    assert (again.result, again.get("rip")) == (result, 0x1000)
