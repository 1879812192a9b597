"""Where things are on a guest's own stack, and how it parks itself: the words that have it go back to pause() for ever.

From below: a page with the home record (how it left its first pause(), and whose guest it is), the scratch memory, the stack
that calls have, and above that two signal frames. A function called returns into rt_sigreturn, which takes the parking frame:
that is a bare pause(2) which returns into rt_sigreturn again, whatever wakes it (glibc signals all threads for a setuid).
Who unwinds the stack of a function called, as heap profilers do for each block, finds its end there: the system call lies in
clone(), where unwinding information ends. The homeward frame has the first pause() return instead, and so ends the thread.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from memtui_profiler.errors import UserError
from memtui_profiler.guest.hijack import GUEST_MASK
from memtui_profiler.guest.libc import Libc
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.owner import OWNER_BYTES, ourselves
from memtui_profiler.guest.ptrace import Registers
from memtui_profiler.guest.signal_frame import EINTR, RIP_AT, RSP_AT, Frame, plain_frame
from memtui_profiler.guest.thread_stack import ThreadStack
from memtui_profiler.guest.threads import Sleep

SCRATCH_BYTES = 256 << 10
PAUSE = 34

_PAGE_BYTES = 4096
_LEAST_CALL_STACK_BYTES = 128 << 10
_FRAMES_BELOW_HOME = 16 << 10
_FRAME_BYTES = 1 << 10
_MAGIC = b"memtui\x01\0"
_RECORD = struct.Struct(f"<{len(_MAGIC)}s{OWNER_BYTES}s")


@dataclass(frozen=True, slots=True)
class HomeRecord:
    """``home``: the registers in the first pause(); None before a memtui has been there. ``owner``: see owner.py."""

    owner: bytes
    home: Registers | None


class Parking:
    """The addresses of one guest. Raises UserError when its stack has no room for them."""

    def __init__(self, stack: ThreadStack, home: Registers, libc: Libc) -> None:
        self.stack = stack
        self.home = home
        self.record = stack.low
        self.scratch = stack.low + _PAGE_BYTES
        # A function finds its return address 8 below a multiple of 16.
        self.slot = ((home.get("rsp") - _FRAMES_BELOW_HOME) & ~15) - 8
        self._home_slot = self.slot + _FRAME_BYTES
        self._libc = libc
        if self.slot - self.scratch - SCRATCH_BYTES < _LEAST_CALL_STACK_BYTES:
            raise UserError(
                "cannot ask the process", "the stack of the thread that answers is too small", "relaunch it"
            )

    def is_parked(self, sleep: Sleep) -> bool:
        if sleep.number != PAUSE:
            return False
        return sleep.stack in (self.home.get("rsp"), self.slot, self._home_slot)

    def call(self, function: int, arguments: tuple[int, ...]) -> Registers:
        """The registers that run function(*arguments), which returns into the parking frame."""
        registers = self._at(function, self.slot)
        for name, value in zip(("rdi", "rsi", "rdx", "rcx", "r8", "r9"), arguments, strict=False):
            setattr(registers, name, value & (1 << 64) - 1)
        return registers

    def homeward(self) -> Registers:
        """The registers that have the first pause() return."""
        registers = self.home.copy()
        registers.rax, registers.orig_rax = EINTR & (1 << 64) - 1, (1 << 64) - 1
        return registers

    def frame(self) -> Frame:
        """The parking frame."""
        registers = self._at(self._libc.system_call, self.slot)
        registers.rax = PAUSE
        return plain_frame(registers, GUEST_MASK, self._libc.restorer, self.slot)

    def lay_way_home(self, memory: ProcessMemory) -> None:
        """While a call is under way: have the thread end when it returns.

        Each write leaves the words in a state that brings it back: first the homeward frame, which nothing leads to yet, then
        the stack pointer of the parking frame, then its instruction pointer: to a bare return in place of the system call.
        """
        way = plain_frame(self.homeward(), GUEST_MASK, self._libc.restorer, self._home_slot)
        memory.write(way.address, way.data)
        memory.write(self.slot + RSP_AT, struct.pack("<Q", self._home_slot))
        memory.write(self.slot + RIP_AT, struct.pack("<Q", self._libc.ret))

    def _at(self, function: int, stack: int) -> Registers:
        registers = self.home.copy()
        registers.rip, registers.rsp, registers.rbp, registers.rax = function, stack, 0, 0
        registers.orig_rax = (1 << 64) - 1
        registers.eflags = registers.get("eflags") & ~0x400
        return registers


def read_record(stack: ThreadStack, memory: ProcessMemory) -> HomeRecord:
    """What an earlier memtui left, or this one. Raises UserError."""
    size = _RECORD.size + len(bytes(Registers()))
    data = memory.read(stack.low, size)
    magic, owner = _RECORD.unpack_from(data)
    home = Registers.from_buffer_copy(data[_RECORD.size :])
    if magic != _MAGIC or not stack.low < home.get("rsp") < stack.high:
        return HomeRecord(bytes(OWNER_BYTES), None)
    return HomeRecord(owner, home)


def write_record(stack: ThreadStack, home: Registers, memory: ProcessMemory) -> None:
    """Say whose the guest is. Raises UserError."""
    memory.write(stack.low, _RECORD.pack(_MAGIC, ourselves()) + bytes(home))
