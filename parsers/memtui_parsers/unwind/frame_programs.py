"""Runs call frame programs (DWARF 5, section 6.4.2): how the caller's registers are found at one address of a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from memtui_parsers.elf.numbers import fixed, sleb, uleb
from memtui_parsers.errors import ParseError
from memtui_parsers.unwind.expressions import MAX_EXPRESSION_BYTES

# The longest of some 60,000 in a Debian's libraries has 1,300 bytes.
MAX_PROGRAM_BYTES = 64 << 10
MAX_REMEMBERED = 64
MAX_REGISTER = 255

ReadPointer = Callable[[int], tuple[int, int]]


class Place(Enum):
    """Where the caller's value of a register is, by a number n or an expression.

    ``AT_CFA``: in memory at CFA + n; ``CFA_PLUS``: it is CFA + n; ``REGISTER``: it is in register n;
    ``AT_EXPRESSION``: in memory at the expression's result; ``EXPRESSION``: it is that result; ``UNDEFINED``: nowhere.
    """

    AT_CFA = "at CFA"
    CFA_PLUS = "CFA plus"
    REGISTER = "register"
    AT_EXPRESSION = "at expression"
    EXPRESSION = "expression"
    UNDEFINED = "undefined"


class Rule(NamedTuple):
    """Where one register of the caller is; ``number`` or ``expression``, as ``place`` says."""

    place: Place
    number: int = 0
    expression: bytes = b""


class CfaRule(NamedTuple):
    """What the CFA (the caller's stack pointer) is: a register plus ``offset``, or the result of ``expression``."""

    register: int
    offset: int
    expression: bytes = b""


@dataclass(frozen=True, slots=True)
class FrameRow:
    """How to leave a frame. Registers without a rule keep their values."""

    cfa: CfaRule
    rules: dict[int, Rule]


@dataclass(frozen=True, slots=True)
class Alignment:
    """The factors of a CIE, by which its programs count code and data."""

    code: int
    data: int


@dataclass(slots=True)
class _State:
    cfa: CfaRule
    rules: dict[int, Rule]
    remembered: list[tuple[CfaRule, dict[int, Rule]]] = field(default_factory=list)


def initial_row(program: bytes, alignment: Alignment, read_pointer: ReadPointer) -> FrameRow:
    """What a CIE's own program sets up. Raises ParseError."""
    state = _State(CfaRule(0, 0), {})
    _run(program, alignment, state, {}, 0, 0, read_pointer)
    return FrameRow(state.cfa, state.rules)


def row_at(
    program: bytes, alignment: Alignment, initial: FrameRow, start: int, target: int, read_pointer: ReadPointer
) -> FrameRow:
    """The row at ``target`` of the function that begins at ``start``. Raises ParseError.

    ``read_pointer`` reads an encoded address at a place in the program: (address, place after it).
    """
    state = _State(initial.cfa, dict(initial.rules))
    _run(program, alignment, state, initial.rules, start, target, read_pointer)
    return FrameRow(state.cfa, state.rules)


def _run(
    program: bytes,
    alignment: Alignment,
    state: _State,
    initial: dict[int, Rule],
    location: int,
    target: int,
    read_pointer: ReadPointer,
) -> None:
    if len(program) > MAX_PROGRAM_BYTES:
        raise ParseError(f"a call frame program of {len(program)} bytes")
    at = 0
    while at < len(program):
        operation = program[at]
        at += 1
        high, low = operation & 0xC0, operation & 0x3F
        if high == 0x40:  # DW_CFA_advance_loc
            location += low * alignment.code
        elif high == 0x80:  # DW_CFA_offset
            offset, at = uleb(program, at)
            state.rules[low] = Rule(Place.AT_CFA, offset * alignment.data)
        elif high == 0xC0:  # DW_CFA_restore
            _restore(state, initial, low)
        elif operation == 0x01:  # DW_CFA_set_loc
            location, at = read_pointer(at)
        elif operation in _ADVANCES:
            delta, at = fixed(program, at, _ADVANCES[operation], "little")
            location += delta * alignment.code
        else:
            at = _extended(operation, program, at, alignment, state, initial)
        if location > target:
            return


# DW_CFA_advance_loc1, 2, 4
_ADVANCES = {0x02: 1, 0x03: 2, 0x04: 4}
_NOP, _WINDOW_SAVE, _ARGS_SIZE = 0x00, 0x2D, 0x2E


def _restore(state: _State, initial: dict[int, Rule], register: int) -> None:
    if register in initial:
        state.rules[register] = initial[register]
    else:
        state.rules.pop(register, None)


def _extended(
    operation: int, program: bytes, at: int, alignment: Alignment, state: _State, initial: dict[int, Rule]
) -> int:
    """An operation whose operands follow it; returns the place after them."""
    if operation in (_NOP, _WINDOW_SAVE):
        return at
    if operation == _ARGS_SIZE:
        return uleb(program, at)[1]
    if operation == 0x0A:  # DW_CFA_remember_state
        if len(state.remembered) >= MAX_REMEMBERED:
            raise ParseError("too many states are remembered")
        state.remembered.append((state.cfa, dict(state.rules)))
        return at
    if operation == 0x0B:  # DW_CFA_restore_state
        if not state.remembered:
            raise ParseError("no state is remembered")
        state.cfa, state.rules = state.remembered.pop()
        return at
    if operation in _OF_CFA:
        return _define_cfa(operation, program, at, alignment, state)
    register, at = uleb(program, at)
    if register > MAX_REGISTER:
        raise ParseError(f"there is no register {register}")
    if operation == 0x06:  # DW_CFA_restore_extended
        _restore(state, initial, register)
        return at
    if operation == 0x08:  # DW_CFA_same_value
        state.rules.pop(register, None)
        return at
    state.rules[register], at = _rule(operation, program, at, alignment)
    return at


# DW_CFA_def_cfa, def_cfa_register, def_cfa_offset, def_cfa_expression, def_cfa_sf, def_cfa_offset_sf
_DEF, _REGISTER, _OFFSET, _EXPRESSION, _DEF_SF, _OFFSET_SF = _OF_CFA = (0x0C, 0x0D, 0x0E, 0x0F, 0x12, 0x13)


def _define_cfa(operation: int, program: bytes, at: int, alignment: Alignment, state: _State) -> int:
    register, offset, _ = state.cfa
    if operation == _EXPRESSION:
        expression, at = _expression(program, at)
        state.cfa = CfaRule(0, 0, expression)
        return at
    if operation in (_DEF, _DEF_SF, _REGISTER):
        register, at = uleb(program, at)
    if operation in (_DEF, _OFFSET):
        offset, at = uleb(program, at)
    elif operation in (_DEF_SF, _OFFSET_SF):
        factored, at = sleb(program, at)
        offset = factored * alignment.data
    if register > MAX_REGISTER:
        raise ParseError(f"there is no register {register}")
    state.cfa = CfaRule(register, offset)
    return at


# DW_CFA_offset_extended, its form for signed offsets, and GNU's for negative ones; val_offset and its signed form
_AT, _AT_SF, _AT_NEGATIVE, _PLUS, _PLUS_SF = 0x05, 0x11, 0x2F, 0x14, 0x15


def _rule(operation: int, program: bytes, at: int, alignment: Alignment) -> tuple[Rule, int]:
    if operation == 0x07:  # DW_CFA_undefined
        return Rule(Place.UNDEFINED), at
    if operation == 0x09:  # DW_CFA_register
        register, at = uleb(program, at)
        if register > MAX_REGISTER:
            raise ParseError(f"there is no register {register}")
        return Rule(Place.REGISTER, register), at
    if operation in (0x10, 0x16):  # DW_CFA_expression, DW_CFA_val_expression
        expression, at = _expression(program, at)
        return Rule(Place.AT_EXPRESSION if operation == 0x10 else Place.EXPRESSION, 0, expression), at
    if operation in (_AT, _AT_NEGATIVE, _PLUS):
        factored, at = uleb(program, at)
    elif operation in (_AT_SF, _PLUS_SF):
        factored, at = sleb(program, at)
    else:
        raise ParseError(f"the call frame operation 0x{operation:x} is not known")
    offset = factored * alignment.data * (-1 if operation == _AT_NEGATIVE else 1)
    return Rule(Place.CFA_PLUS if operation in (_PLUS, _PLUS_SF) else Place.AT_CFA, offset), at


def _expression(program: bytes, at: int) -> tuple[bytes, int]:
    size, at = uleb(program, at)
    if size > MAX_EXPRESSION_BYTES or at + size > len(program):
        raise ParseError(f"an expression of {size} bytes")
    return program[at : at + size], at + size
