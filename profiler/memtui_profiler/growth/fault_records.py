"""What is asked of the kernel for each sampled page fault, and how its answer is laid out (perf_event_open(2))."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass

from memtui_profiler.process.perf_ring import ATTRIBUTE_BYTES, TYPE_SOFTWARE

# As many frames as most programs have; the kernel copies no more than there is.
STACK_BYTES = 16 << 10
# A reader is woken when a ring holds so much; else it reads when its own time has come.
WAKEUP_BYTES = 64 * mmap.PAGESIZE

LOST, THROTTLE, FORK, SAMPLE = 2, 5, 7, 9

_PAGE_FAULTS = 2
# Not PERF_SAMPLE_PERIOD: with a fixed period perf_swevent_event() then makes a sample of every fault.
_TID, _TIME, _ADDR, _REGS_USER, _STACK_USER, _DATA_PAGE_SIZE = (1 << bit for bit in (1, 2, 3, 12, 13, 22))
_INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HV, _TASK, _WATERMARK, _SAMPLE_ID_ALL, _INHERIT_THREAD = (
    1 << bit for bit in (1, 5, 6, 13, 14, 18, 35)
)
# ax bx cx dx si di bp sp ip, and r8 to r15 (asm/perf_regs.h).
_REGISTERS_WANTED = 0xFF01FF
# DWARF numbers them ax dx cx bx si di bp sp r8..r15 ip (x86-64 psABI, figure 3.36).
_IN_DWARF_ORDER = (0, 3, 2, 1, 4, 5, 6, 7, *range(9, 17), 8)
_ABI_64 = 2

_ATTRIBUTES = struct.Struct("=IIQQQQQIIQQQQIiQIHH")
_HEAD = struct.Struct("=IIQQ")
_REGISTERS = struct.Struct("=17Q")
_WORD = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What this kernel and this user get. Each may be missing, and sampling goes on without it.

    ``system_calls``: faults that the kernel makes for a thread, as read(2) does in a new buffer.
    ``threads_only``: new processes do not inherit the events (5.13). ``page_size``: a page that was there before the fault,
    as in copy on write, is told from a new one (5.11).
    """

    system_calls: bool = True
    threads_only: bool = True
    page_size: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """A sampled page fault. ``registers`` are in DWARF's order, None for a 32-bit program; ``stack`` begins at its rsp.

    ``was_there``: another page was at the address before.
    """

    pid: int
    address: int
    registers: tuple[int, ...] | None
    stack: bytes
    was_there: bool


def attributes(period: int, abilities: Abilities) -> bytes:
    """The attributes of an event that makes one sample in ``period`` page faults of a thread."""
    wanted = _TID | _TIME | _ADDR | _REGS_USER | _STACK_USER | (_DATA_PAGE_SIZE if abilities.page_size else 0)
    flags = _INHERIT | _EXCLUDE_HV | _TASK | _WATERMARK | _SAMPLE_ID_ALL
    flags |= 0 if abilities.system_calls else _EXCLUDE_KERNEL
    flags |= _INHERIT_THREAD if abilities.threads_only else 0
    return _ATTRIBUTES.pack(
        TYPE_SOFTWARE, ATTRIBUTE_BYTES, _PAGE_FAULTS, period, wanted, 0, flags, WAKEUP_BYTES, 0, 0, 0, 0,
        _REGISTERS_WANTED, STACK_BYTES, 0, 0, 0, 0, 0,
    )  # fmt: skip


def lost_in(record: bytes) -> int:
    """How many samples a LOST record counts."""
    return int(_WORD.unpack_from(record, 8)[0]) if len(record) >= 16 else 0


def born_in(record: bytes) -> int:
    """The new thread of a FORK record."""
    return int(struct.unpack_from("=I", record, 8)[0]) if len(record) >= 12 else 0


def fault_in(record: bytes, abilities: Abilities) -> Fault | None:
    """The fault of a SAMPLE record; None for one that is not whole."""
    try:
        pid, _, _, address = _HEAD.unpack_from(record)
        at = _HEAD.size
        (abi,) = _WORD.unpack_from(record, at)
        at += _WORD.size
        registers: tuple[int, ...] | None = None
        if abi:
            values = _REGISTERS.unpack_from(record, at)
            at += _REGISTERS.size
            if abi == _ABI_64:
                registers = tuple(values[place] for place in _IN_DWARF_ORDER)
        (room,) = _WORD.unpack_from(record, at)
        at += _WORD.size
        stack = b""
        if room:
            (filled,) = _WORD.unpack_from(record, at + room)
            stack = record[at : at + min(filled, room)]
            at += room + _WORD.size
        before = _WORD.unpack_from(record, at)[0] if abilities.page_size else 0
    except struct.error:
        return None
    # The size is taken at the entry of the fault: 0 where there is no page yet.
    return Fault(pid, address, registers, stack, before != 0)
