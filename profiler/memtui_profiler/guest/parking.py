"""The layout of a guest's own stack, and the signal frames by which it parks itself.

From below: a page with the record (registers in its first pause(), and who owns the guest), the scratch memory, the stack of
calls, and above that two signal frames. A function that was called returns into rt_sigreturn(2), which restores the parking
frame: a bare pause(2) that returns into rt_sigreturn(2) again, whatever wakes it (glibc signals all threads for a setuid).
Stack unwinders, such as a heap profiler's for each block, stop there: the system call instruction lies in clone(), where
unwinding information ends. The ending frame has the first pause() return instead, and so ends the thread.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from memtui_profiler.guest.errors import cannot_ask
from memtui_profiler.guest.hijack import GUEST_MASK
from memtui_profiler.guest.libc import Libc
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.ptrace import Registers
from memtui_profiler.guest.signal_frame import EINTR, RIP_AT, RSP_AT, Frame, plain_frame
from memtui_profiler.guest.thread_stack import ThreadStack
from memtui_profiler.guest.threads import Sleep, head_of

# The owner's pid namespace (its inode), pid there, and start time in clock ticks.
_OWNER = struct.Struct("<QQQ")
OWNER_BYTES = _OWNER.size
REGISTERS_BYTES = len(bytes(Registers()))

SCRATCH_BYTES = 256 << 10
PAUSE = 34

_PAGE_BYTES = 4096
_LEAST_CALL_STACK_BYTES = 128 << 10
_FRAMES_BELOW_FIRST = 16 << 10
_FRAME_BYTES = 1 << 10
_MAGIC = b"memtui\x01\0"
_RECORD = struct.Struct(f"<{len(_MAGIC)}s{OWNER_BYTES}s{REGISTERS_BYTES}sII")


@dataclass(frozen=True, slots=True)
class GuestRecord:
    """``first``: registers in the first pause(), None when no memtui has written a record. ``owner``: as ourselves() gives it.

    ``sandbox``: as ThreadStatus has it, when the record was written.
    """

    owner: bytes
    first: Registers | None
    sandbox: tuple[int, int] = (0, 0)


class Parking:
    """The addresses of one guest; ``first``: the registers in its first pause(). Raises UserError when its stack is too small."""

    def __init__(self, stack: ThreadStack, first: Registers, libc: Libc) -> None:
        self.stack = stack
        self.first = first
        self.scratch = stack.low + _PAGE_BYTES
        # A function finds its return address 8 below a multiple of 16.
        self.slot = ((first.get("rsp") - _FRAMES_BELOW_FIRST) & ~15) - 8
        self._ending_slot = self.slot + _FRAME_BYTES
        self._libc = libc
        if self.slot - self.scratch - SCRATCH_BYTES < _LEAST_CALL_STACK_BYTES:
            raise cannot_ask("the stack of the thread that answers is too small", "relaunch it")

    def is_parked(self, sleep: Sleep) -> bool:
        """Whether a thread that sleeps there is parked."""
        if sleep.number != PAUSE:
            return False
        return sleep.stack in (self.first.get("rsp"), self.slot, self._ending_slot)

    def call(self, function: int, arguments: tuple[int, ...]) -> Registers:
        """Return the registers that run function(*arguments), which returns into the parking frame."""
        registers = self._at(function, self.slot)
        for name, value in zip(("rdi", "rsi", "rdx", "rcx", "r8", "r9"), arguments, strict=False):
            setattr(registers, name, value & (1 << 64) - 1)
        return registers

    def first_return(self) -> Registers:
        """Return the registers with which the first pause() returns, which ends the thread."""
        registers = self.first.copy()
        registers.rax, registers.orig_rax = EINTR & (1 << 64) - 1, (1 << 64) - 1
        return registers

    def frame(self) -> Frame:
        """Return the parking frame."""
        registers = self._at(self._libc.system_call, self.slot)
        registers.rax = PAUSE
        return plain_frame(registers, GUEST_MASK, self._libc.restorer, self.slot)

    def end_after_call(self, memory: ProcessMemory) -> None:
        """While a call is under way: have the thread end when it returns. Raises UserError.

        After each write the thread can return safely: first the ending frame, which nothing leads to yet, then the stack pointer
        of the parking frame, then its instruction pointer: to a bare return in place of the system call.
        """
        ending = plain_frame(self.first_return(), GUEST_MASK, self._libc.restorer, self._ending_slot)
        memory.write(ending.address, ending.data)
        memory.write(self.slot + RSP_AT, struct.pack("<Q", self._ending_slot))
        memory.write(self.slot + RIP_AT, struct.pack("<Q", self._libc.ret))

    def _at(self, function: int, stack: int) -> Registers:
        registers = self.first.copy()
        registers.rip, registers.rsp, registers.rbp, registers.rax = function, stack, 0, 0
        registers.orig_rax = (1 << 64) - 1
        registers.eflags = registers.get("eflags") & ~0x400
        return registers


def read_record(stack: ThreadStack, memory: ProcessMemory) -> GuestRecord:
    """Return the record that an earlier memtui, or this one, has written. Raises UserError."""
    magic, owner, registers, *sandbox = _RECORD.unpack(memory.read(stack.low, _RECORD.size))
    first = Registers.from_buffer_copy(registers)
    if magic != _MAGIC or not stack.low < first.get("rsp") < stack.high:
        return GuestRecord(bytes(OWNER_BYTES), None)
    return GuestRecord(owner, first, (sandbox[0], sandbox[1]))


def write_record(stack: ThreadStack, first: Registers, sandbox: tuple[int, int], memory: ProcessMemory) -> None:
    """Make this memtui the owner of the guest. Raises UserError."""
    memory.write(stack.low, _RECORD.pack(_MAGIC, ourselves(), bytes(first), *sandbox))


def ourselves() -> bytes:
    """Return the record of this memtui."""
    return _OWNER.pack(_namespace(), os.getpid(), _started(os.getpid()) or 0)


def is_another_memtui(record: bytes) -> bool:
    """Whether a guest's record names another memtui that runs. One in another pid namespace cannot be looked up: it may run."""
    namespace, pid, started = _OWNER.unpack(record)
    if not namespace or record == ourselves():
        return False
    return bool(namespace != _namespace() or _started(pid) == started)


def _namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _started(pid: int) -> int | None:
    """Field 22 of proc_pid_stat(5); None when there is no such process any more."""
    fields = head_of(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[0] not in (b"Z", b"X") else None
