"""mimalloc, as a library or built in (as Rust's crate has it): named and not asked.

Its statistics of a release build (MI_STAT 0) count what it has mapped and committed, not what is in use; and mi_collect
gives back what the calling thread's heap alone holds, which is the guest's (mimalloc's stats.c, heap.c).
"""

from __future__ import annotations

import re

from memtui_profiler.allocators.kind import AllocatorKind

NAME = "mimalloc"

KINDS = (
    AllocatorKind(
        NAME,
        libraries=("libmimalloc",),
        symbols=("mi_malloc",),
        texts=(b"mimalloc: warning: ",),
        # CPython has it in it from 3.13 on, for its builds without the interpreter's lock.
        unless="PyObject_Malloc",
        synonym="*mimalloc*",
        own_functions=re.compile(r"mi_\w+"),
        refusal="its malloc is mimalloc, which does not count what is in use",
        alternative="MIMALLOC_SHOW_STATS=1 has it print its figures at exit; to look for leaks, run the program without it",
        no_rate=(
            "mimalloc has no release rate: it gives free pages back after MIMALLOC_PURGE_DELAY ms (before 2.1 RESET_DELAY)",
            "no release rate: a delay instead",
        ),
    ),
)
