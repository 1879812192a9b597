"""mimalloc in a running process: it can be made to give memory back, and its figures tell nothing that holds.

Its counts of blocks (built with MI_STAT, which release builds are not) lie with each thread, and are added to the totals
only by that thread itself or at its end: asked from another thread, mi_stats_print_out leaves out what living threads
have. What it calls committed is address space that may be touched: versions 1.8 to 2.2 commit 1 GiB at once. (Read in
stats.c of 2.0 and 3.3, and measured; FACTS.md.) So it is never asked for figures.

mi_collect(true) works on the heap of the calling thread, on what threads that have ended left, and on the segments and
arenas that belong to no thread. It does nothing in a thread without a heap, so mi_thread_init() comes first. Both may
be called in any thread while others run: before 2.2 what is shared is reached by atomic operations alone, from then on
also under short locks of mimalloc's own, as malloc itself reaches it (arena.c, segment.c, theap.c). mi_collect calls
what the program gave mi_register_deferred_free(), in our thread then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from memtui_parsers.allocators.stats import AllocatorDetail, AllocatorStats
from memtui_profiler.allocators.base import (
    RELEASE_TIMEOUT_S,
    STATS_TIMEOUT_S,
    Ability,
    Caller,
    Memory,
    NoFiguresError,
    Symbols,
)
from memtui_profiler.allocators.kind import AllocatorKind
from memtui_profiler.errors import UserError

NAME = "mimalloc"
NO_RATE = Ability(
    False,
    "mimalloc has no release rate: it gives free pages back after a delay (MIMALLOC_PURGE_DELAY, in ms)",
    "relaunch with tcmalloc preloaded (--tcmalloc auto)",
)
_FORCE = 1


@dataclass(frozen=True, slots=True)
class Mimalloc:
    """Addresses in the process."""

    collect: int
    thread_init: int
    name: str = NAME

    @property
    def can_release(self) -> Ability:
        return Ability(True)

    @property
    def can_set_rate(self) -> Ability:
        return NO_RATE

    def stats(self, caller: Caller) -> AllocatorStats:
        """Makes no call, and always raises NoFiguresError."""
        raise NoFiguresError(
            "mimalloc's figures do not tell what is in use and what is free",
            "its release builds do not count blocks, and others leave out those of all threads that run",
            "a release gives free memory back all the same, from mimalloc 2.0 on: RSS tells how much",
        )

    def detail(self, caller: Caller) -> AllocatorDetail:
        """Empty, without a call."""
        return AllocatorDetail()

    def release(self, caller: Caller, size_bytes: int | None = None) -> None:
        """Always all that it can: free memory that threads which run keep for themselves stays, some tens of MiB of 200."""
        caller.call(self.thread_init, timeout_s=STATS_TIMEOUT_S)
        caller.call(self.collect, _FORCE, timeout_s=RELEASE_TIMEOUT_S)

    def release_rate(self, memory: Memory) -> float | None:
        return None

    def set_release_rate(self, memory: Memory, rate: float) -> int:
        raise UserError(f"cannot set the release rate to {rate:g}", NO_RATE.reason, NO_RATE.todo)


def find_mimalloc(symbols: Symbols) -> Mimalloc | None:
    """None too where malloc is not mimalloc's: a program or library then has it for itself, and may have changed it.

    CPython has, from 3.13 on: its mi_collect needs a thread of Python's.
    """
    malloc = symbols.address_of("malloc")
    collect, thread_init = symbols.address_of("mi_collect"), symbols.address_of("mi_thread_init")
    # One function under two names, in all versions for Linux.
    if malloc is None or malloc != symbols.address_of("mi_malloc") or collect is None or thread_init is None:
        return None
    return Mimalloc(collect, thread_init)


KINDS = (
    AllocatorKind(
        NAME,
        find=find_mimalloc,
        # It may be a part of mimalloc, or changed, and nothing tells: of libraries, versions 1.8 to 3.6 were tried.
        asked_in_program=False,
        libraries=("libmimalloc",),
        symbols=("mi_malloc",),
        texts=(b"mimalloc: warning: ",),
        # CPython has it in it from 3.13 on, for its builds without the interpreter's lock.
        unless="PyObject_Malloc",
        synonym="*mimalloc*",
        own_functions=re.compile(r"mi_\w+"),
        refusal="its malloc is mimalloc, which does not count what is in use",
        alternative="MIMALLOC_SHOW_STATS=1 has it print its figures at exit; to look for leaks, run the program without it",
        release_call="mi_collect(true)",
        no_rate=(
            "mimalloc has no release rate: it gives free pages back after MIMALLOC_PURGE_DELAY ms (before 2.1 RESET_DELAY)",
            "no release rate: a delay instead",
        ),
    ),
)
