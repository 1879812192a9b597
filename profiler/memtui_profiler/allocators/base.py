"""The interface of an allocator's adapter: what it is given (a way to call into the target) and what it offers.

An adapter lives in the recorder and speaks with one running process. Every answer is read from the target's memory: a
return value cannot be had (ARCHITECTURE.md, "The guest thread").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from memtui_parsers.allocators.stats import AllocatorDetail, AllocatorStats
from memtui_profiler.errors import UserError

STATS_TIMEOUT_S = 5.0
RELEASE_TIMEOUT_S = 60.0


class Memory(Protocol):
    """The target's memory. Both raise UserError when the target is gone or the address is not there."""

    def read(self, address: int, size: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None: ...


class Caller(Memory, Protocol):
    """The guest thread: has the target run one of its own functions.

    ``scratch`` is the address of ``scratch_bytes`` of memory in the target that are ours between two calls (page
    aligned, some 256 KiB); what a call leaves there stays until it is overwritten.
    """

    @property
    def scratch(self) -> int: ...

    @property
    def scratch_bytes(self) -> int: ...

    def call(self, function: int, *arguments: int, timeout_s: float) -> None:
        """Run function(*arguments), up to six integers or pointers, and wait until it has returned.

        Raises UserError when it does not come back in time (it is left to finish) or the target is gone.
        """
        ...


class Symbols(Protocol):
    """Addresses of functions and variables of the running process, by linkage name."""

    def address_of(self, name: str) -> int | None: ...


class NoFiguresError(UserError):
    """The allocator keeps no figures in this process, and never will."""


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether an allocator can do something; else ``reason`` and ``todo``, as phrases without a full stop."""

    available: bool
    reason: str = ""
    todo: str = ""


class Allocator(Protocol):
    """One allocator in one process. Methods that call into the target raise UserError as Caller does."""

    @property
    def name(self) -> str:
        """'tcmalloc', 'glibc malloc', 'jemalloc'."""
        ...

    @property
    def can_release(self) -> Ability: ...

    @property
    def can_set_rate(self) -> Ability: ...

    def stats(self, caller: Caller) -> AllocatorStats:
        """The current figures; cheap enough for once a second."""
        ...

    def detail(self, caller: Caller) -> AllocatorDetail:
        """Size classes, spans and arenas; more costly than stats()."""
        ...

    def release(self, caller: Caller, size_bytes: int | None = None) -> None:
        """Give free memory back to the kernel: all of it, or about ``size_bytes``. Raises UserError where it cannot."""
        ...

    def release_rate(self, memory: Memory) -> float | None:
        """The release rate in the process's memory, read without a call; None for an allocator that has none."""
        ...

    def set_release_rate(self, memory: Memory, rate: float) -> int:
        """Write the rate and read it back, without a call. Return how many bytes of frees later it acts, at the latest.

        Raises UserError when the allocator has no rate, or does not take this one.
        """
        ...
