"""Tells whether a seccomp filter would kill the target for a guest's system calls, by running its programs on them. Pure.

Classic BPF as seccomp(2) takes it (linux/filter.h, kernel Documentation/userspace-api/seccomp_filter.rst): 32-bit loads from
struct seccomp_data, 16 cells of scratch memory, jumps forward only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

Instruction = tuple[int, int, int, int]

_AUDIT_ARCH_X86_64 = 0xC000003E
_RETURN_ACTION = 0xFFFF0000
_ALLOW, _LOG, _ERRNO, _USER_NOTIFY = 0x7FFF0000, 0x7FFC0000, 0x00050000, 0x7FC00000
HARMLESS = frozenset({_ALLOW, _LOG, _ERRNO})

_CLONE_THREAD_FLAGS = 0x3D0F00  # what pthread_create of glibc clones with
# The system calls of a guest on x86-64, from its creation to its end, with arguments where filters look at them.
CALLS_NEEDED: tuple[tuple[str, int, tuple[int, ...]], ...] = (
    ("rt_sigreturn", 15, ()),
    ("mmap", 9, (0, 1 << 20, 3, 0x22)),
    ("mprotect", 10, (0, 4096, 3)),
    ("munmap", 11, ()),
    ("brk", 12, ()),
    ("madvise", 28, (0, 4096, 4)),
    ("rt_sigprocmask", 14, ()),
    ("clone", 56, (_CLONE_THREAD_FLAGS,)),
    ("clone3", 435, ()),
    ("futex", 202, ()),
    ("set_robust_list", 273, ()),
    ("rseq", 334, ()),
    ("pause", 34, ()),
    ("prctl", 157, (15,)),
    ("exit", 60, ()),
    ("exit_group", 231, ()),
    ("openat", 257, ()),
    ("read", 0, ()),
    ("write", 1, ()),
    ("close", 3, ()),
    ("newfstatat", 262, ()),
    ("fstat", 5, ()),
    ("unlink", 87, ()),
    ("getpid", 39, ()),
    ("gettid", 186, ()),
)


def forbidden_call(filters: Sequence[Sequence[Instruction]]) -> str | None:
    """Return the first call that a filter does not allow, log or answer with an error number; None when all are harmless."""
    for name, number, arguments in CALLS_NEEDED:
        if any(run_filter(program, number, arguments) & _RETURN_ACTION not in HARMLESS for program in filters):
            return name
    return None


def run_filter(program: Sequence[Instruction], number: int, arguments: Iterable[int]) -> int:
    """Return what the filter returns for this call; 0 (kill the thread) for a program that is not valid."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, _AUDIT_ARCH_X86_64, 0, *padded)
    a = x = at = 0
    cells = [0] * 16
    while at < len(program):
        code, true, false, k = program[at]
        at += 1
        kind = code & 7
        if kind == 6:  # RET
            return (a if code & 0x18 == 0x10 else k) & 0xFFFFFFFF
        if kind in (0, 1):  # LD, LDX
            value = _load(code, k, data, cells)
            if value is None:
                return 0
            a, x = (value, x) if kind == 0 else (a, value)
        elif kind in (2, 3):  # ST, STX
            cells[k & 15] = a if kind == 2 else x
        elif kind == 4:  # ALU
            result = _calculate(code & 0xF0, a, x if code & 8 else k)
            if result is None:
                return 0
            a = result
        elif kind == 5:  # JMP
            at += k if code & 0xF0 == 0 else true if _holds(code & 0xF0, a, x if code & 8 else k) else false
        else:  # MISC: TAX, TXA
            a, x = (a, a) if code & 0xF8 == 0 else (x, x)
    return 0


def _load(code: int, k: int, data: bytes, cells: list[int]) -> int | None:
    mode = code & 0xE0
    if mode == 0x00:  # IMM
        return k
    if mode == 0x20:  # ABS
        return struct.unpack_from("<I", data, k)[0] if k % 4 == 0 and k + 4 <= len(data) else None
    if mode == 0x60:  # MEM
        return cells[k & 15]
    return len(data) if mode == 0x80 else None


def _calculate(operation: int, a: int, b: int) -> int | None:
    if operation in (0x30, 0x90) and b == 0:  # DIV, MOD
        return None
    results = {
        0x00: lambda: a + b,
        0x10: lambda: a - b,
        0x20: lambda: a * b,
        0x30: lambda: a // b,
        0x40: lambda: a | b,
        0x50: lambda: a & b,
        0x60: lambda: a << (b & 31),
        0x70: lambda: a >> (b & 31),
        0x80: lambda: -a,
        0x90: lambda: a % b,
        0xA0: lambda: a ^ b,
    }
    result = results.get(operation)
    return None if result is None else result() & 0xFFFFFFFF


def _holds(operation: int, a: int, b: int) -> bool:
    return {0x10: a == b, 0x20: a > b, 0x30: a >= b, 0x40: bool(a & b)}.get(operation, False)
