"""The signal frame that restores a hijacked thread: what the kernel itself puts on a stack before a handler runs. Pure.

A function that returns into ``__restore_rt`` calls rt_sigreturn(2), and the kernel takes all registers, the vector state and
the signal mask from the frame. Layout: struct rt_sigframe of the kernel's arch/x86/include/asm/sigframe.h, for 64 bits.
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
# Where the components of an area end that comes with AMX (Intel's layout: CPUID 0xD, kernel xstate.c): AVX, MPX, AVX-512, PKRU,
# AMX's configuration and its tiles, APX.
_ENDS = {0: 512, 1: 512, 2: 832, 3: 1024, 4: 1088, 5: 1152, 6: 1664, 7: 2688, 9: 2696, 17: 2816, 18: 11008, 19: 1088}
_TILES = 1 << 18
_LEAST_XSTATE_BYTES = 576
# Space between the frame's registers and the vector state: siginfo's 128 bytes and what the frame is rounded up by.
_FRAME_BYTES = 1024
RED_ZONE_BYTES = 128
# From a frame's address: 8 bytes, then 40 of struct ucontext, then struct sigcontext.
RSP_AT, RIP_AT, _CS_AT, _FPSTATE_AT = (8 + 40 + word * 8 for word in (15, 16, 18, 23))
CODE_SEGMENT_64 = 0x33

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
        """The address of sixty-four bytes in the frame that the kernel does not read: siginfo."""
        return self.address + 8 + 304 + 16


def resumed(registers: Registers) -> Registers:
    """Return the registers with which a thread goes on as if it had not been stopped: an interrupted system call is made again.

    A wait with a timeout starts over. EINTR from a call that the kernel never restarts counts as interrupted too: the tracer
    interrupted it (see hijack.py for signals that come at the same time).
    """
    again = registers.copy()
    number = registers.get("orig_rax")
    if number >> 63 == 0 and (registers.result in _RESTARTED or registers.result == EINTR):
        again.rax, again.rip = number, registers.get("rip") - _SYSCALL_BYTES
    again.orig_rax = (1 << 64) - 1
    return again


def restoring_frame(registers: Registers, vector_state: bytes, mask: int, restorer: int, top: int) -> Frame:
    """Return the frame that restores ``registers`` (as resumed() gives them), for an address below ``top``."""
    xstate = _as_signal_frame_has_it(vector_state)
    fp_at = (top - RED_ZONE_BYTES - len(xstate) - 64) & ~63
    address = (fp_at - _FRAME_BYTES) & ~15
    address -= 8  # the ABI's alignment at a function's entry: 8 below a multiple of 16
    frame = struct.pack("<Q", restorer) + _context(registers, fp_at, mask)
    return Frame(address, frame.ljust(fp_at - address, b"\0") + xstate)


def plain_frame(registers: Registers, mask: int, restorer: int, address: int) -> Frame:
    """Return the frame at ``address`` that restores ``registers``, with the vector state that a thread begins with."""
    return Frame(address, struct.pack("<Q", restorer) + _context(registers, 0, mask))


def holds_frame(stack: bytes, restorer: int) -> bool:
    """Whether this part of a stack has a signal frame: a handler runs, or left it there.

    The restorer's address alone proves nothing: each sigaction(2) leaves it there, too.
    """
    wanted, at = struct.pack("<Q", restorer), -1
    while (at := stack.find(wanted, at + 1)) >= 0:
        if at % 8 or at + _FPSTATE_AT + 8 > len(stack):
            continue
        flags, link = struct.unpack_from("<QQ", stack, at + 8)
        (code_segment,) = struct.unpack_from("<H", stack, at + _CS_AT)
        if flags <= _UC_FLAGS and link == 0 and code_segment == CODE_SEGMENT_64:
            return True
    return False


def _context(registers: Registers, fp_at: int, mask: int) -> bytes:
    """struct ucontext."""
    r = registers.get
    context = struct.pack("<QQQIIQ", _UC_FLAGS, 0, 0, _KEEP_ALTERNATE_STACK, 0, 0)
    context += struct.pack(
        "<18Q",
        *map(r, ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax")),
        *map(r, ("rcx", "rsp", "rip", "eflags")),
    )
    context += struct.pack("<4H4Q", r("cs"), 0, 0, r("ss"), 0, 0, 0, 0)
    return context + struct.pack("<Q64xQ", fp_at, mask)


def _as_signal_frame_has_it(vector_state: bytes) -> bytes:
    """The XSAVE area with the words that tell the kernel its size, and the magic number after it."""
    state = bytearray(vector_state)
    (features,) = struct.unpack_from("<Q", state, _SW_RESERVED_AT)
    (in_use,) = struct.unpack_from("<Q", state, _XSTATE_HEADER_AT)
    if features & _TILES and not in_use & _TILES:
        # ptrace always includes room for the tiles. The kernel has it only for a thread that has used them, and of an area that
        # is larger than a thread's own it restores the SSE registers alone. So only the components in use are kept.
        used = [bit for bit in range(64) if in_use >> bit & 1]
        if all(bit in _ENDS for bit in used):
            size = max([_LEAST_XSTATE_BYTES, *(_ENDS[bit] for bit in used)])
            del state[size:]
            features = sum(1 << bit for bit in range(64) if features >> bit & 1 and _ENDS.get(bit, size + 1) <= size)
    size = len(state)
    struct.pack_into("<IIQI", state, _SW_RESERVED_AT, _FP_XSTATE_MAGIC1, size + 4, features, size)
    return bytes(state) + struct.pack("<I", _FP_XSTATE_MAGIC2)
