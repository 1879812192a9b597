"""DWARF expressions as compilers and C libraries write them into call frames: of PLTs, signal frames and realigned stacks."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Sequence

from memtui_parsers.elf.numbers import sleb, uleb
from memtui_parsers.errors import ParseError

_MOST_OPERATIONS = 200
_MOST_VALUES = 32
_WORD_MASK = (1 << 64) - 1
_BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: operator.and_, 0x1C: operator.sub, 0x21: operator.or_, 0x22: operator.add, 0x27: operator.xor,
    0x24: lambda left, right: left << min(right, 64), 0x25: lambda left, right: left >> min(right, 64),
    0x29: operator.eq, 0x2A: operator.ge, 0x2B: operator.gt, 0x2C: operator.le, 0x2D: operator.lt, 0x2E: operator.ne,
}  # fmt: skip
_CONSTANTS = {8: "<B", 9: "<b", 10: "<H", 11: "<h", 12: "<I", 13: "<i", 14: "<Q", 15: "<q"}


def evaluate(program: bytes, registers: Sequence[int], read: Callable[[int], int], initial: int | None = None) -> int:
    """The value of an expression. ``read``: the word at an address. Raises ParseError, and what ``read`` raises."""
    stack = [] if initial is None else [initial]
    at = 0
    try:
        for _ in range(_MOST_OPERATIONS):
            if at >= len(program):
                return stack[-1] & _WORD_MASK
            op = program[at]
            at += 1
            if op in _BINARY:
                right = stack.pop()
                stack[-1] = int(_BINARY[op](stack[-1], right)) & _WORD_MASK
            elif 0x70 <= op <= 0x8F:  # breg
                number, at = sleb(program, at)
                stack.append(registers[op - 0x70] + number)
            elif 0x30 <= op <= 0x4F:  # lit
                stack.append(op - 0x30)
            elif op == 0x06:  # deref
                stack[-1] = read(stack[-1])
            elif op == 0x23:  # plus_uconst
                number, at = uleb(program, at)
                stack[-1] += number
            elif op in _CONSTANTS:
                stack.append(int(struct.unpack_from(_CONSTANTS[op], program, at)[0]))
                at += struct.calcsize(_CONSTANTS[op])
            elif op in (0x10, 0x11):  # constu, consts
                number, at = (uleb if op == 0x10 else sleb)(program, at)
                stack.append(number)
            elif op in (0x12, 0x14):  # dup, over
                stack.append(stack[-1 if op == 0x12 else -2])
            elif op == 0x16:  # swap
                stack[-1], stack[-2] = stack[-2], stack[-1]
            else:
                raise ParseError(f"operation {op} in an expression")
            if len(stack) > _MOST_VALUES:
                raise ParseError("an expression that is too deep")
    except (IndexError, struct.error) as error:
        raise ParseError("a damaged expression") from error
    raise ParseError("an expression that is too long")
