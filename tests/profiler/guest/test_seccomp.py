"""Seccomp filters, run as the kernel runs them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui_profiler.guest.seccomp import CALLS_NEEDED, Instruction, forbidden_call, run_filter

# linux/filter.h and linux/bpf_common.h
LD, LDX, STORE, STX, ALU, JMP, RET, MISC = range(8)
IMM, ABS, IND, MEM, LEN = 0x00, 0x20, 0x40, 0x60, 0x80
JA, JEQ, JGT, JGE, JSET = 0x00, 0x10, 0x20, 0x30, 0x40
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR = range(0x00, 0xB0, 0x10)
X, A, TAX, TXA = 0x08, 0x10, 0x00, 0x80
# linux/seccomp.h
KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, USER_NOTIFY, TRACE, LOG, ALLOW = (
    *(0x80000000, 0x00000000, 0x00030000, 0x00050000, 0x7FC00000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000),
)
NUMBER, ARCHITECTURE, ADDRESS, FIRST_ARGUMENT, LAST_ARGUMENT = 0, 4, 8, 16, 56
X86_64 = 0xC000003E
CLONE, CLONE3, READ = 56, 435, 0
DATA_BYTES = 64


def load(offset: int) -> Instruction:
    return LD | ABS, 0, 0, offset


def give(value: int) -> Instruction:
    return RET, 0, 0, value


def when(test: int, value: int, then: int, otherwise: int) -> Instruction:
    return JMP | test, then, otherwise, value


ALLOWS = [give(ALLOW)]
KILLS_CLONE = [load(NUMBER), when(JEQ, CLONE, 0, 1), give(KILL_PROCESS), give(ALLOW)]


def test_what_it_says_of_each_call() -> None:
    assert run_filter(KILLS_CLONE, CLONE, ()) == KILL_PROCESS
    assert run_filter(KILLS_CLONE, READ, ()) == ALLOW
    assert forbidden_call([ALLOWS, KILLS_CLONE]) == "clone"
    assert forbidden_call([ALLOWS, ALLOWS]) is None
    assert forbidden_call([]) is None


@pytest.mark.parametrize(
    ("action", "harmless"),
    [
        *((ALLOW, True), (LOG, True), (ERRNO | 1, True), (ERRNO | 38, True)),
        *(
            (KILL_PROCESS, False),
            (KILL_THREAD, False),
            (TRAP, False),
            (TRACE, False),
            (USER_NOTIFY, False),
            (0x12340000, False),
        ),
    ],
)
def test_which_actions_are_harmless(action: int, harmless: bool) -> None:
    assert (forbidden_call([[give(action)]]) is None) == harmless


def test_the_first_call_that_is_not_harmless_is_named() -> None:
    for name, number, _ in CALLS_NEEDED:
        program = [load(NUMBER), when(JEQ, number, 0, 1), give(TRAP), give(ALLOW)]
        assert forbidden_call([program]) == name


def test_what_a_filter_can_look_at() -> None:
    arguments = (0x1111111122222222, 2, 3, 4, 5, 0x6666666677777777)
    seen = {
        NUMBER: READ,
        ARCHITECTURE: X86_64,
        ADDRESS: 0,
        FIRST_ARGUMENT: 0x22222222,
        FIRST_ARGUMENT + 4: 0x11111111,
        LAST_ARGUMENT: 0x77777777,
        LAST_ARGUMENT + 4: 0x66666666,
    }
    for offset, value in seen.items():
        assert run_filter([load(offset), (RET | A, 0, 0, 0)], READ, arguments) == value
    assert run_filter([(LD | LEN, 0, 0, 0), (RET | A, 0, 0, 0)], READ, arguments) == DATA_BYTES
    for beyond in (DATA_BYTES, 2, 0xFFFFFFFC):
        assert run_filter([load(beyond), give(ALLOW)], READ, arguments) == KILL_THREAD


@pytest.mark.parametrize(
    ("operation", "a", "b", "result"),
    [
        (ADD, 0xFFFFFFFF, 2, 1),
        (SUB, 1, 2, 0xFFFFFFFF),
        (MUL, 0x10000, 0x10001, 0x10000),
        (DIV, 7, 2, 3),
        (MOD, 7, 4, 3),
        (OR, 5, 2, 7),
        (AND, 7, 5, 5),
        (XOR, 7, 5, 2),
        (LSH, 1, 31, 0x80000000),
        (RSH, 0x80000000, 31, 1),
        (NEG, 1, 0, 0xFFFFFFFF),
    ],
)
def test_arithmetic_is_of_32_bits(operation: int, a: int, b: int, result: int) -> None:
    give_a = (RET | A, 0, 0, 0)
    assert run_filter([(LD | IMM, 0, 0, a), (ALU | operation, 0, 0, b), give_a], READ, ()) == result
    with_x = [(LDX | IMM, 0, 0, b), (LD | IMM, 0, 0, a), (ALU | operation | X, 0, 0, 0), give_a]
    assert run_filter(with_x, READ, ()) == result


def test_a_division_by_zero_kills() -> None:
    for operation in (DIV, MOD):
        program = [(LDX | IMM, 0, 0, 0), (LD | IMM, 0, 0, 5), (ALU | operation | X, 0, 0, 0), give(ALLOW)]
        assert run_filter(program, READ, ()) == KILL_THREAD


def test_memory_and_the_other_register() -> None:
    program = [
        *((LD | IMM, 0, 0, 5), (STORE, 0, 0, 3), (LDX | MEM, 0, 0, 3), (LD | IMM, 0, 0, 1)),
        *((ALU | ADD | X, 0, 0, 0), (MISC | TAX, 0, 0, 0), (STX, 0, 0, 15), (LD | IMM, 0, 0, 0)),
        *((LD | MEM, 0, 0, 15), (MISC | TXA, 0, 0, 0), (RET | A, 0, 0, 0)),
    ]
    assert run_filter(program, READ, ()) == 6


@pytest.mark.parametrize(
    ("test", "value", "holds"),
    [
        *((JEQ, 5, True), (JEQ, 6, False), (JGT, 4, True), (JGT, 5, False)),
        *((JGE, 5, True), (JGE, 6, False), (JSET, 4, True), (JSET, 2, False)),
    ],
)
def test_jumps(test: int, value: int, holds: bool) -> None:
    program = [(LD | IMM, 0, 0, 5), when(test, value, 1, 0), give(1), give(2)]
    assert run_filter(program, READ, ()) == (2 if holds else 1)
    with_x = [(LDX | IMM, 0, 0, value), (LD | IMM, 0, 0, 5), when(test | X, 0, 1, 0), give(1), give(2)]
    assert run_filter(with_x, READ, ()) == (2 if holds else 1)
    assert run_filter([(JMP | JA, 0, 0, 1), give(1), give(2)], READ, ()) == 2


def test_a_program_that_runs_off_its_end_kills() -> None:
    assert run_filter([], READ, ()) == KILL_THREAD
    assert run_filter([(JMP | JA, 0, 0, 0xFFFFFFFF), give(ALLOW)], READ, ()) == KILL_THREAD


words = st.integers(0, 2**32 - 1)
instructions = st.tuples(
    st.integers(0, 2**16 - 1), st.integers(0, 255), st.integers(0, 255), words | st.integers(0, 70)
)


@given(
    program=st.lists(instructions, max_size=60), number=words, arguments=st.lists(st.integers(0, 2**64 - 1), max_size=6)
)
def test_any_program_ends_with_a_word(program: list[Instruction], number: int, arguments: list[int]) -> None:
    assert 0 <= run_filter(program, number, arguments) < 2**32
    forbidden_call([program])
