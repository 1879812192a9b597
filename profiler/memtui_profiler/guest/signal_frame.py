"""The signal frame that brings a hijacked thread back: what the kernel itself puts on a stack before a handler runs. Pure.

A function that returns into ``__restore_rt`` makes rt_sigreturn(2), and the kernel takes all registers, the vector state and
the signal mask from here. Layout: struct rt_sigframe of the kernel's arch/x86/include/asm/sigframe.h, for 64 bits.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from memtui_profiler.guest.ptrace import Registers

# asm/ucontext.h: UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
_UC_FLAGS = 7
# No flags that sigaltstack(2) knows: it refuses them, and the thread's own alternate stack stays as it is.
_KEEP_ALTERNATE_STACK = 0x55
# asm/sigcontext.h
_FP_XSTATE_MAGIC1, _FP_XSTATE_MAGIC2 = 0x46505853, 0x46505845
_SW_RESERVED_AT = 464
_XSTATE_HEADER_AT = 512
# Up to PKRU, the last component before AMX's tiles (bits 17 and 18): an area that every kernel takes.
_BEFORE_AMX_BYTES = 2696
_AMX = 0b11 << 17
# Space between the frame's registers and the vector state: siginfo's 128 bytes and what the frame is rounded up by.
_FRAME_BYTES = 1024
RED_ZONE_BYTES = 128

# What a system call returns inside the kernel when a signal, or a tracer, woke it (linux/errno.h).
_RESTARTED = frozenset({-512, -513, -514, -516})
EINTR = -4
_SYSCALL_BYTES = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """``data`` belongs at ``address``; a function called with that as its stack pointer returns into it."""

    address: int
    data: bytes

    @property
    def scratch(self) -> int:
        """Sixty-four bytes inside the frame that the kernel does not read: siginfo."""
        return self.address + 8 + 304 + 16


def resumed(registers: Registers) -> Registers:
    """The registers with which a thread goes on as if nobody had stopped it: an interrupted system call is made again.

    A wait with a timeout starts over. EINTR from a call that the kernel never restarts counts as interrupted too: the tracer
    was what interrupted it (see host.py for signals that come at the same time).
    """
    again = registers.copy()
    number = registers.get("orig_rax")
    if number >> 63 == 0 and (registers.result in _RESTARTED or registers.result == EINTR):
        again.rax, again.rip = number, registers.get("rip") - _SYSCALL_BYTES
    again.orig_rax = (1 << 64) - 1
    return again


def restoring_frame(registers: Registers, vector_state: bytes, mask: int, restorer: int, top: int) -> Frame:
    """The frame that restores ``registers`` (as resumed() gives them), made to lie below ``top``."""
    xstate = _as_signal_frame_has_it(vector_state)
    fp_at = (top - RED_ZONE_BYTES - len(xstate) - 64) & ~63
    address = (fp_at - _FRAME_BYTES) & ~15
    address -= 8  # the ABI's alignment at a function's entry: 8 below a multiple of 16
    r = registers.get
    context = struct.pack("<QQQIIQ", _UC_FLAGS, 0, 0, _KEEP_ALTERNATE_STACK, 0, 0)
    context += struct.pack(
        "<18Q",
        *map(r, ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax")),
        *map(r, ("rcx", "rsp", "rip", "eflags")),
    )
    context += struct.pack("<4H4Q", r("cs"), 0, 0, r("ss"), 0, 0, 0, 0)
    context += struct.pack("<Q64xQ", fp_at, mask)
    frame = struct.pack("<Q", restorer) + context
    return Frame(address, frame.ljust(fp_at - address, b"\0") + xstate)


def _as_signal_frame_has_it(vector_state: bytes) -> bytes:
    """The XSAVE area with the words that tell the kernel how large it is, and the magic number behind it."""
    state = bytearray(vector_state)
    (features,) = struct.unpack_from("<Q", state, _SW_RESERVED_AT)
    (in_use,) = struct.unpack_from("<Q", state, _XSTATE_HEADER_AT)
    if len(state) > _BEFORE_AMX_BYTES and not in_use & _AMX:
        # A process without leave to use the tiles has a smaller area, and the kernel takes none that is larger.
        del state[_BEFORE_AMX_BYTES:]
        features &= ~_AMX
    size = len(state)
    struct.pack_into("<IIQI", state, _SW_RESERVED_AT, _FP_XSTATE_MAGIC1, size + 4, features, size)
    return bytes(state) + struct.pack("<I", _FP_XSTATE_MAGIC2)
