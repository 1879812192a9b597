"""gperftools' tcmalloc in a running process, shared, preloaded or linked in: asked through its C functions.

The release rate is a double of its own in the process's memory: reading and writing that is all that its getter and
setter do (FACTS.md), so no call is needed for it.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from memtui_parsers.allocators.stats import AllocatorDetail, AllocatorStats
from memtui_parsers.allocators.tcmalloc import TcmallocStats, parse_tcmalloc_stats
from memtui_parsers.errors import ParseError
from memtui_profiler.allocators.base import RELEASE_TIMEOUT_S, STATS_TIMEOUT_S, Ability, Caller, Memory, Symbols
from memtui_profiler.allocators.kind import AllocatorKind, PartNames
from memtui_profiler.errors import UserError

NAME = "tcmalloc"
# The variable in the process's memory that is the release rate.
RATE_FLAG = "_ZN62FLAG__namespace_do_not_use_directly_use_DECLARE_double_instead27FLAGS_tcmalloc_release_rateE"

PAGE_BYTES = 8192
# A buffer below 10000 bytes gets the totals alone, some 1.1 KB; a larger one size classes and spans too, some 20 KB at
# most.
TOTALS_BUFFER_BYTES = 4096
DETAIL_BUFFER_BYTES = 128 << 10

# How many freed pages tcmalloc lets pass before it looks again whether it should give some back (FACTS.md).
_DEFAULT_DELAY_PAGES = 1 << 18
_LONGEST_DELAY_PAGES = 1 << 20
_AS_GOOD_AS_ZERO = 1e-6


@dataclass(frozen=True, slots=True)
class Tcmalloc:
    """Addresses in the process; None for what this tcmalloc does not have."""

    get_stats: int
    release_free_memory: int | None
    release_to_system: int | None
    rate_at: int | None
    name: str = NAME

    @property
    def can_release(self) -> Ability:
        if self.release_free_memory is not None:
            return Ability(True)
        return Ability(False, "this tcmalloc lacks MallocExtension_ReleaseFreeMemory", "link gperftools 2.0 or newer")

    @property
    def can_set_rate(self) -> Ability:
        if self.rate_at is not None:
            return Ability(True)
        return Ability(
            False, "this tcmalloc does not show where it keeps its release rate", "relaunch with --release-rate"
        )

    def stats(self, caller: Caller) -> AllocatorStats:
        """One call, which takes each size class's lock in turn and the page heap's once."""
        return self._ask(caller, TOTALS_BUFFER_BYTES).stats

    def detail(self, caller: Caller) -> AllocatorDetail:
        """One call; it holds the page heap's lock while it goes over all free spans."""
        return self._ask(caller, DETAIL_BUFFER_BYTES).detail

    def release(self, caller: Caller, size_bytes: int | None = None) -> None:
        """Spans are given back whole, so it may be more than ``size_bytes``."""
        if self.release_free_memory is None:
            raise UserError("cannot release memory", self.can_release.reason, self.can_release.todo)
        if size_bytes is None or self.release_to_system is None:
            caller.call(self.release_free_memory, timeout_s=RELEASE_TIMEOUT_S)
        else:
            caller.call(self.release_to_system, max(0, size_bytes), timeout_s=RELEASE_TIMEOUT_S)

    def release_rate(self, memory: Memory) -> float | None:
        """None too when it is no number that a rate can be: TCMALLOC_RELEASE_RATE=nan."""
        if self.rate_at is None:
            return None
        (rate,) = struct.unpack("<d", memory.read(self.rate_at, 8))
        return rate if math.isfinite(rate) else None

    def set_release_rate(self, memory: Memory, rate: float) -> int:
        what = f"cannot set the release rate to {rate:g}"
        if self.rate_at is None:
            raise UserError(what, self.can_set_rate.reason, self.can_set_rate.todo)
        if not (math.isfinite(rate) and rate >= 0):
            raise UserError(what, "a rate is a number from 0 on", "give 0 to 10")
        before = self.release_rate(memory)
        memory.write(self.rate_at, struct.pack("<d", rate))
        now = self.release_rate(memory)
        if now != rate:
            raise UserError(
                what, f"it is {'no number' if now is None else format(now, 'g')} after it was set", "try again"
            )
        return acts_after_bytes(before or 0.0)

    def _ask(self, caller: Caller, buffer_bytes: int) -> TcmallocStats:
        size_bytes = min(buffer_bytes, caller.scratch_bytes)
        # An answer of before must not be taken for this one's.
        caller.write(caller.scratch, b"\0")
        caller.call(self.get_stats, caller.scratch, size_bytes, timeout_s=STATS_TIMEOUT_S)
        try:
            return parse_tcmalloc_stats(caller.read(caller.scratch, size_bytes))
        except ParseError as error:
            raise UserError(
                "cannot read tcmalloc's figures", str(error), "report this with the version of tcmalloc"
            ) from error


def find_tcmalloc(symbols: Symbols) -> Tcmalloc | None:
    """None: the process has no gperftools, or one without its C functions."""
    get_stats = symbols.address_of("MallocExtension_GetStats")
    if get_stats is None or symbols.address_of("tc_malloc") is None:
        return None
    return Tcmalloc(
        get_stats=get_stats,
        release_free_memory=symbols.address_of("MallocExtension_ReleaseFreeMemory"),
        release_to_system=symbols.address_of("MallocExtension_ReleaseToSystem"),
        rate_at=symbols.address_of(RATE_FLAG),
    )


def acts_after_bytes(rate_before: float, page_bytes: int = PAGE_BYTES) -> int:
    """After how many more bytes of frees, at the latest, a rate that is set now begins to act.

    tcmalloc counts down to its next look, and set out on that under the rate of before: from 2^18 pages at rate 0 (or
    when it found nothing to give), else from 1000/rate pages for each page that it gave, 2^20 at most. Only what
    reaches the page heap counts: whole spans, not each object.
    """
    pages = _DEFAULT_DELAY_PAGES if rate_before <= _AS_GOOD_AS_ZERO else _LONGEST_DELAY_PAGES
    return pages * page_bytes


def _owns_malloc(symbols: Symbols) -> bool:
    """tc_malloc is the same function as malloc under another name."""
    # libc's where the loader's order is not known (process/load_order.py); that tells nothing then.
    return symbols.address_of("malloc") in (symbols.address_of("tc_malloc"), symbols.address_of("__libc_malloc"), None)


# Its libraries are told apart by target/tcmalloc_library.py.
KINDS = (
    AllocatorKind(
        NAME,
        find=find_tcmalloc,
        owns_malloc=_owns_malloc,
        symbols=("tc_malloc",),
        refusal="its tcmalloc was linked without MallocExtension_GetStats",
        alternative="link it with -ltcmalloc, dynamically",
        has_profiler=lambda words: "minimal" not in words,
        release_call="MallocExtension::ReleaseFreeMemory()",
        retention_advice="TCMALLOC_AGGRESSIVE_DECOMMIT=1 in its environment returns each free span at once",
        thread_cache_advice="TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES bounds what the threads' caches hold",
        part_names=PartNames(free="page heap free"),
    ),
)
