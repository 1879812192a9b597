"""Unwinds stacks of a process from copies of registers and of the top of the stack, as perf_event_open(2) samples them.

Each frame is left as its call frame information says; where there is none (Go, code made at run time, hand-written
assembler), by the frame pointer, as the psABI has it: the caller's rbp at [rbp], the return address behind it.

Most frames need three numbers only (whether the CFA is counted from rbp or rsp, how far, where rbp is): such steps are
kept by address and take some 1 µs. A sample of 12 frames takes 10 to 20 µs once its addresses are known, and some
0.1 ms for each that is new.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from memtui_parsers.errors import ParseError
from memtui_parsers.unwind.expressions import ReadWord, evaluate
from memtui_parsers.unwind.frame_programs import CfaRule, FrameRow, Place, Rule
from memtui_parsers.unwind.frame_table import Frame
from memtui_profiler.errors import UserError
from memtui_profiler.unwinding.code_modules import CodeModules

# DWARF's numbers (x86-64 psABI, figure 3.36). 16 stands for the return address, and is rip here.
RBP, RSP, RIP = 6, 7, 16
REGISTERS = 17

MAX_FRAMES = 512
# Addresses whose steps are kept; then all are forgotten. A large server's samples meet some 10,000.
MAX_STEPS = 200_000

_WORD = 8
_MASK = (1 << 64) - 1


class StackEnd(Enum):
    """Why a stack has no further frames."""

    OUTERMOST = "the outermost function"
    COPY_TOO_SHORT = "the stack is deeper than its copy"
    NO_INFORMATION = "no call frame information and no frame pointer"
    NO_CODE = "a return address at which there is no code"
    TOO_DEEP = "too many frames"


@dataclass(frozen=True, slots=True)
class Unwound:
    """A stack: the address of the instruction itself, then return addresses; and why there are no more.

    Code that a signal has interrupted has one more than its address: the byte before each address is in the call.
    """

    addresses: tuple[int, ...]
    end: StackEnd


class _Step(NamedTuple):
    """How an ordinary frame is left: the CFA is rbp or rsp plus ``offset``, the return address lies below it.

    ``saved_rbp``: where the caller's rbp is, relative to the CFA; 0: in rbp. ``frame``: the whole of what is known, for
    the registers that such a step does not follow; None: there is no information, and the step is a guess.
    """

    from_rbp: bool
    offset: int
    saved_rbp: int
    frame: Frame | None = None


class _Last(NamedTuple):
    """A frame that cannot be left, and why: a function that was not called, or one of a file that cannot be read."""

    end: StackEnd


_BY_FRAME_POINTER = _Step(True, 2 * _WORD, -2 * _WORD)
_FRAME_BY_POINTER = Frame(
    0,
    FrameRow(CfaRule(RBP, 2 * _WORD), {RBP: Rule(Place.AT_CFA, -2 * _WORD), RIP: Rule(Place.AT_CFA, -_WORD)}),
    RIP,
    False,
)
_IN_RBP = Rule(Place.AT_CFA, 0)
_OUTERMOST = _Last(StackEnd.OUTERMOST)
_UNKNOWN = _Last(StackEnd.NO_INFORMATION)
_AnyStep = _Step | Frame | _Last | None


class _BeyondCopyError(Exception):
    """A word that is not in the copy of the stack."""

    def __init__(self, *, below: bool) -> None:
        super().__init__()
        self.below = below


class Unwinder:
    """Unwinds the stacks of one process. Not for several threads at once."""

    def __init__(self, pid: int) -> None:
        """Raises UserError on machines other than x86-64, OSError when the process may not be read."""
        if platform.machine() != "x86_64":
            raise UserError("cannot follow calls", f"memtui reads no stacks of {platform.machine()}", "use x86-64")
        self._modules = CodeModules(pid)
        self._steps: dict[int, _AnyStep] = {}
        self._modules.refresh()

    def refresh(self) -> None:
        """Read the mappings of the process anew. After its end those of before stay: its last samples are of these."""
        with contextlib.suppress(OSError):
            if self._modules.refresh():
                self._steps.clear()

    def unwind(self, registers: Sequence[int], stack: bytes) -> Unwound:
        """The stack of a thread. ``registers``: the 17 of DWARF's order, rip last; ``stack``: memory from rsp upward."""
        words = memoryview(stack[: len(stack) & -_WORD]).cast("Q")
        found: list[int] = []
        end = self._walk(registers, words, found)
        if end is None:
            found.clear()
            end = self._walk_by_rows(list(registers), words, found)
        return Unwound(tuple(found), end)

    def _walk(self, registers: Sequence[int], words: memoryview, found: list[int]) -> StackEnd | None:
        """Add the addresses to ``found``; None at a frame that takes more than a _Step to leave."""
        base, size = registers[RSP], len(words) * _WORD
        rsp, rbp, address = registers[RSP], registers[RBP], registers[RIP]
        steps = self._steps
        look = address  # where the step is looked up: within the call, not behind it
        while len(found) < MAX_FRAMES:
            step = steps[look] if look in steps else self._step(look)
            if step is None:
                return StackEnd.NO_CODE
            found.append(address)
            if not isinstance(step, _Step):
                return step.end if isinstance(step, _Last) else None
            from_rbp, offset, saved_rbp, frame = step
            cfa = (rbp if from_rbp else rsp) + offset
            at = cfa - _WORD - base
            if at & 7 or not 0 <= at < size or (cfa <= rsp and len(found) > 1):
                return _why_it_ends(cfa - _WORD < base, rbp, guessed=frame is None)
            address = words[at >> 3]
            if saved_rbp:
                at = cfa + saved_rbp - base
                rbp = words[at >> 3] if 0 <= at < size else 0
            rsp = cfa
            if not address:
                return StackEnd.OUTERMOST
            look = address - 1
        return StackEnd.TOO_DEEP

    def _walk_by_rows(self, registers: list[int], words: memoryview, found: list[int]) -> StackEnd:
        """The same with all registers: for a signal's frame, a function that aligns its stack anew, hand-written code."""
        base = registers[RSP]

        def word(address: int) -> int:
            at = address - base
            if at & 7 or not 0 <= at < len(words) * _WORD:
                raise _BeyondCopyError(below=at < 0)
            return int(words[at >> 3])

        look, guessed = registers[RIP], False
        try:
            while len(found) < MAX_FRAMES:
                step = self._steps[look] if look in self._steps else self._step(look)
                if step is None:
                    return StackEnd.NO_CODE
                found.append(look + 1 if found else look)
                if isinstance(step, _Last):
                    return step.end
                frame = step.frame if isinstance(step, _Step) else step
                guessed, frame = frame is None, frame or _FRAME_BY_POINTER
                caller = _caller(frame, registers, word)
                if not caller[RIP]:
                    return StackEnd.OUTERMOST
                # A signal may have a stack of its own, which lies anywhere.
                if caller[RSP] <= registers[RSP] and not frame.is_signal and len(found) > 1:
                    return StackEnd.NO_INFORMATION
                registers, look = caller, caller[RIP] - (not frame.is_signal)
        except _BeyondCopyError as error:
            return _why_it_ends(error.below, registers[RBP], guessed=guessed)
        except ParseError:
            return StackEnd.NO_INFORMATION
        return StackEnd.TOO_DEEP

    def _step(self, look: int) -> _AnyStep:
        if len(self._steps) >= MAX_STEPS:
            self._steps.clear()
        step = self._steps[look] = self._read_step(look)
        return step

    def _read_step(self, look: int) -> _AnyStep:
        if not self._modules.is_code(look):
            return None
        try:
            frame = self._modules.frame_at(look)
        except ParseError:
            return _UNKNOWN
        return _BY_FRAME_POINTER if frame is None else _simplified(frame, look)


def _why_it_ends(below: bool, rbp: int, *, guessed: bool) -> StackEnd:
    if guessed:
        return StackEnd.OUTERMOST if rbp == 0 else StackEnd.NO_INFORMATION
    return StackEnd.NO_INFORMATION if below else StackEnd.COPY_TOO_SHORT


def _simplified(frame: Frame, address: int) -> _AnyStep:
    """The frame as a _Step where that says all that is needed to leave it."""
    rules, cfa = frame.row.rules, frame.row.cfa
    back, rbp = rules.get(frame.return_register), rules.get(RBP, _IN_RBP)
    if back is not None and back.place is Place.UNDEFINED:
        return _OUTERMOST
    if cfa.expression and (offset := _above_rsp(cfa.expression, address)) is not None:
        cfa = CfaRule(RSP, offset)
        frame = frame._replace(row=FrameRow(cfa, rules))
    is_ordinary = (
        not frame.is_signal
        and not cfa.expression
        and cfa.register in (RSP, RBP)
        and back == Rule(Place.AT_CFA, -_WORD)
        and rbp.place is Place.AT_CFA
        and RSP not in rules
    )
    return _Step(cfa.register == RBP, cfa.offset, rbp.number, frame) if is_ordinary else frame


def _above_rsp(expression: bytes, address: int) -> int | None:
    """How far the CFA is above rsp where nothing but ``address`` decides that, as in a PLT; None elsewhere."""
    results = []
    for rsp, others in ((0, 0), (1 << 32, 1 << 40)):
        registers = [others] * REGISTERS
        registers[RSP], registers[RIP] = rsp, address
        try:
            results.append(evaluate(expression, registers, _no_memory) - rsp)
        except (ParseError, _BeyondCopyError):
            return None
    return results[0] if results[0] == results[1] else None


def _no_memory(address: int) -> int:
    raise _BeyondCopyError(below=True)


def _caller(frame: Frame, registers: Sequence[int], word: ReadWord) -> list[int]:
    """The registers of the caller. Raises ParseError, and what ``word`` raises."""
    rule = frame.row.cfa
    cfa = evaluate(rule.expression, registers, word) if rule.expression else _of(registers, rule.register) + rule.offset
    if frame.return_register != RIP or RIP not in frame.row.rules:
        raise ParseError("the return address is not told")
    caller = list(registers)
    caller[RSP] = cfa
    for register, saved in frame.row.rules.items():
        if register < REGISTERS and saved.place is not Place.UNDEFINED:
            caller[register] = _value(saved, cfa, registers, word) & _MASK
    return caller


def _value(rule: Rule, cfa: int, registers: Sequence[int], word: ReadWord) -> int:
    if rule.place is Place.REGISTER:
        return _of(registers, rule.number)
    by_number = rule.place in (Place.AT_CFA, Place.CFA_PLUS)
    result = cfa + rule.number if by_number else evaluate(rule.expression, registers, word, cfa)
    return word(result) if rule.place in (Place.AT_CFA, Place.AT_EXPRESSION) else result


def _of(registers: Sequence[int], number: int) -> int:
    if number >= REGISTERS:
        raise ParseError(f"register {number} is not in the sample")
    return registers[number]
