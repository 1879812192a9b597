"""Evaluates DWARF expressions (DWARF 5, section 2.5) as far as compilers and libc write them into call frame information.

These are the frames of a PLT, of a signal and of a function that aligns its stack anew. There are no jumps among their
operations, so an expression ends after as many steps as it has bytes.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Sequence

from memtui_parsers.elf.numbers import sleb, uleb
from memtui_parsers.errors import ParseError

# The longest seen is 11 bytes.
MAX_EXPRESSION_BYTES = 256

ReadWord = Callable[[int], int]

_MASK = (1 << 64) - 1
_SIGN = 1 << 63
_ADDR, _DEREF, _CONSTU, _CONSTS, _DUP, _DROP, _OVER, _SWAP = 0x03, 0x06, 0x10, 0x11, 0x12, 0x13, 0x14, 0x16
_NEG, _NOT, _PLUS_UCONST, _NOP = 0x1F, 0x20, 0x23, 0x96
_LIT0, _LIT31, _BREG0, _BREG31 = 0x30, 0x4F, 0x70, 0x8F
_FIXED = {
    _ADDR: "<Q", 0x08: "<B", 0x09: "<b", 0x0A: "<H", 0x0B: "<h", 0x0C: "<I", 0x0D: "<i", 0x0E: "<Q", 0x0F: "<q",
}  # fmt: skip


def _signed(value: int) -> int:
    return value - (1 << 64) if value & _SIGN else value


def _shifted(value: int, bits: int) -> int:
    return value << bits if bits < 64 else 0


_ON_TWO: dict[int, Callable[[int, int], int]] = {
    0x1A: operator.and_,
    0x1C: operator.sub,
    0x1E: operator.mul,
    0x21: operator.or_,
    0x22: operator.add,
    0x24: _shifted,
    0x25: lambda value, bits: value >> min(bits, 64),
    0x26: lambda value, bits: _signed(value) >> min(bits, 64),
    0x27: operator.xor,
    0x29: operator.eq,
    0x2A: lambda left, right: _signed(left) >= _signed(right),
    0x2B: lambda left, right: _signed(left) > _signed(right),
    0x2C: lambda left, right: _signed(left) <= _signed(right),
    0x2D: lambda left, right: _signed(left) < _signed(right),
    0x2E: operator.ne,
}


def evaluate(expression: bytes, registers: Sequence[int], read_word: ReadWord, *pushed: int) -> int:
    """The result, of 64 bits. ``registers`` are in DWARF's order; ``pushed``: what is on the stack at the beginning.

    Raises ParseError for what is no such expression, and lets through what ``read_word`` raises for an address.
    """
    stack, at = list(pushed), 0
    try:
        while at < len(expression):
            at = _step(expression, at, stack, registers, read_word)
        return stack[-1] & _MASK
    except (IndexError, struct.error) as error:
        raise ParseError("an expression is cut short or takes what is not there") from error


def _step(expression: bytes, at: int, stack: list[int], registers: Sequence[int], read_word: ReadWord) -> int:
    operation = expression[at]
    at += 1
    if operation in _ON_TWO:
        right = stack.pop()
        stack[-1] = int(_ON_TWO[operation](stack[-1], right)) & _MASK
    elif _BREG0 <= operation <= _BREG31:
        offset, at = sleb(expression, at)
        stack.append((registers[operation - _BREG0] + offset) & _MASK)
    elif _LIT0 <= operation <= _LIT31:
        stack.append(operation - _LIT0)
    elif operation in _FIXED:
        (value,) = struct.unpack_from(_FIXED[operation], expression, at)
        stack.append(value & _MASK)
        at += struct.calcsize(_FIXED[operation])
    elif operation in (_CONSTU, _CONSTS):
        value, at = (uleb if operation == _CONSTU else sleb)(expression, at)
        stack.append(value & _MASK)
    elif operation == _PLUS_UCONST:
        value, at = uleb(expression, at)
        stack[-1] = (stack[-1] + value) & _MASK
    elif operation == _DEREF:
        stack[-1] = read_word(stack[-1]) & _MASK
    else:
        _rearrange(operation, stack)
    return at


def _rearrange(operation: int, stack: list[int]) -> None:
    if operation == _DUP:
        stack.append(stack[-1])
    elif operation == _DROP:
        stack.pop()
    elif operation == _OVER:
        stack.append(stack[-2])
    elif operation == _SWAP:
        stack[-1], stack[-2] = stack[-2], stack[-1]
    elif operation == _NEG:
        stack[-1] = -stack[-1] & _MASK
    elif operation == _NOT:
        stack[-1] = ~stack[-1] & _MASK
    elif operation != _NOP:
        raise ParseError(f"the operation 0x{operation:x} is none of call frame information")
