"""jemalloc in a running process: mallctl(3) by name, with the names its functions have under the usual prefixes."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from memtui_parsers.allocators.stats import AllocatorDetail, AllocatorStats, SizeClass
from memtui_profiler.allocators.base import (
    RELEASE_TIMEOUT_S,
    STATS_TIMEOUT_S,
    Ability,
    Caller,
    Memory,
    NoFiguresError,
    Symbols,
)
from memtui_profiler.allocators.kind import AllocatorKind, PartNames
from memtui_profiler.errors import UserError

NAME = "jemalloc"
# As Debian builds it, as it is built by default on other systems and into redis, and as Rust's crate has it.
MALLCTL_NAMES = ("mallctl", "je_mallctl", "_rjem_mallctl")
NO_RATE = Ability(
    False,
    "jemalloc has no release rate: it gives free pages back by their age (dirty_decay_ms)",
    "relaunch with tcmalloc preloaded (--tcmalloc auto)",
)

# MALLCTL_ARENAS_ALL, from 5.0 on. Before, the number of arenas stood for all of them.
_ALL_ARENAS = 4096
_MAX_BINS = 256
# What memory holds that mallctl did not write: a name it does not know, or statistics that are not built in.
_UNTOUCHED = b"\xa5" * 8
_NAME_BYTES = 256
_WORD = struct.Struct("<Q")


@dataclass(slots=True)
class Jemalloc:
    """``mallctl``: its address in the process."""

    mallctl: int
    name: str = NAME
    _bins: tuple[tuple[int, int], ...] | None = field(default=None, init=False)

    @property
    def can_release(self) -> Ability:
        return Ability(True)

    @property
    def can_set_rate(self) -> Ability:
        return NO_RATE

    def stats(self, caller: Caller) -> AllocatorStats:
        """Seven calls; the first has jemalloc add up its arenas, so the figures are all of that moment.

        ``central_bytes`` are free regions in pages that are partly used; ``free_bytes`` dirty pages. jemalloc counts
        what lies in the caches of threads as allocated; here it is taken out again.
        """
        self._refresh(caller)
        allocated = self._figure(caller, "allocated")
        active, resident = self._figure(caller, "active"), self._figure(caller, "resident")
        metadata, retained = self._figure(caller, "metadata"), self._figure(caller, "retained")
        cached = min(self._get(caller, f"stats.arenas.{_ALL_ARENAS}.tcache_bytes", 8) or 0, allocated)
        return AllocatorStats(
            in_use_bytes=allocated - cached,
            free_bytes=max(0, resident - active - metadata),
            central_bytes=max(0, active - allocated),
            thread_bytes=cached,
            metadata_bytes=metadata,
            released_bytes=retained,
        )

    def detail(self, caller: Caller) -> AllocatorDetail:
        """Free regions of each bin (size class below 16 KiB), two calls for each; empty before jemalloc 5.0."""
        self._refresh(caller)
        if self._bins is None:
            self._bins = self._read_bins(caller)
        classes = []
        for number, (size_bytes, regions) in enumerate(self._bins):
            place = f"stats.arenas.{_ALL_ARENAS}.bins.{number}"
            slabs, used = self._get(caller, f"{place}.curslabs", 8), self._get(caller, f"{place}.curregs", 8)
            if slabs is None or used is None:
                return AllocatorDetail()
            if (free := slabs * regions - used) > 0:
                classes.append(SizeClass(size_bytes, free))
        return AllocatorDetail(size_classes=tuple(classes))

    def release(self, caller: Caller, size_bytes: int | None = None) -> None:
        """Always all of it: mallctl knows no amount. Works without statistics too."""
        self._call(caller, f"arena.{_ALL_ARENAS}.purge", timeout_s=RELEASE_TIMEOUT_S)
        arenas = self._get(caller, "arenas.narenas", 4)
        # In jemalloc 5 there is no arena of that number, and mallctl does nothing.
        if arenas is not None:
            self._call(caller, f"arena.{arenas}.purge", timeout_s=RELEASE_TIMEOUT_S)

    def release_rate(self, memory: Memory) -> float | None:
        return None

    def set_release_rate(self, memory: Memory, rate: float) -> int:
        raise UserError(f"cannot set the release rate to {rate:g}", NO_RATE.reason, NO_RATE.todo)

    def _read_bins(self, caller: Caller) -> tuple[tuple[int, int], ...]:
        """Size and regions to a slab, of each bin."""
        bins = []
        for number in range(min(self._get(caller, "arenas.nbins", 4) or 0, _MAX_BINS)):
            size_bytes = self._get(caller, f"arenas.bin.{number}.size", 8)
            regions = self._get(caller, f"arenas.bin.{number}.nregs", 4)
            if size_bytes is None or regions is None:
                return ()
            bins.append((size_bytes, regions))
        return tuple(bins)

    def _figure(self, caller: Caller, name: str) -> int:
        value = self._get(caller, f"stats.{name}", 8)
        if value is not None:
            return value
        # ``retained`` came with 4.3, ``metadata`` and ``resident`` with 4.0.
        if name in ("allocated", "active", "resident"):
            raise NoFiguresError(
                "cannot read jemalloc's figures",
                f"it does not have stats.{name}: it was built without statistics, or is older than 4.0",
                "releasing works all the same",
            )
        return 0

    def _refresh(self, caller: Caller) -> None:
        value_at = caller.scratch + _NAME_BYTES
        caller.write(value_at, _WORD.pack(1))
        self._call(caller, "epoch", 0, 0, value_at, 8)

    def _get(self, caller: Caller, name: str, size_bytes: int) -> int | None:
        """None when jemalloc does not know the name."""
        value_at = caller.scratch + _NAME_BYTES
        caller.write(value_at, _UNTOUCHED + _WORD.pack(size_bytes))
        self._call(caller, name, value_at, value_at + 8)
        value = caller.read(value_at, size_bytes)
        return None if value == _UNTOUCHED[:size_bytes] else int.from_bytes(value, "little")

    def _call(self, caller: Caller, name: str, *arguments: int, timeout_s: float = STATS_TIMEOUT_S) -> None:
        """mallctl(name, old value, its size, new value, its size)."""
        caller.write(caller.scratch, name.encode() + b"\0")
        padded = (*arguments, 0, 0, 0, 0)[:4]
        caller.call(self.mallctl, caller.scratch, *padded, timeout_s=timeout_s)


def find_jemalloc(symbols: Symbols) -> Jemalloc | None:
    return next((Jemalloc(at) for name in MALLCTL_NAMES if (at := symbols.address_of(name)) is not None), None)


KINDS = (
    AllocatorKind(
        NAME,
        find=find_jemalloc,
        owns_malloc=lambda symbols: symbols.address_of(MALLCTL_NAMES[0]) is not None,
        libraries=("libjemalloc",),
        symbols=MALLCTL_NAMES,
        texts=(b"<jemalloc>: ",),
        synonym="*jemalloc*",
        refusal="its malloc is jemalloc, whose functions cannot be found: the program is stripped",
        alternative=(
            "jemalloc's own profiler, where it is built in: MALLOC_CONF=prof:true,prof_final:true (_RJEM_MALLOC_CONF in"
            " Rust programs), and memtui open; to look for leaks, build the program without jemalloc"
        ),
        # Not nallocx, sallocx and mallctl: they neither give nor take a block (jemalloc(3)); Redis 7 calls one of them.
        own_functions=re.compile(
            r"(?:je_|_rjem_)?(?:[mrxd]|sd)allocx"
            r"|(?:je_|_rjem_)(?:[mcv]alloc|realloc|free|memalign|aligned_alloc|posix_memalign)"
        ),
        release_call="a purge of all arenas",
        free_pages_go="it decays only while the program allocates",
        retention_advice=(
            "jemalloc purges free pages by their age, and only while the program allocates or frees: MALLOC_CONF="
            "background_thread:true,dirty_decay_ms:1000 has a thread do it after 1 s (the default is 10 s)"
        ),
        arena_advice="MALLOC_CONF=narenas:2 bounds the arenas (the default is 4 a processor)",
        program_advice=dict.fromkeys(
            ("redis", "valkey", "keydb"),
            "CONFIG SET activedefrag yes moves live objects together, in a build with the server's own jemalloc",
        ),
        no_rate=(
            "jemalloc has no release rate: free pages decay, {release} purges them",
            "no release rate: decay; {release} purges",
        ),
        part_names=PartNames(free="dirty pages", central="part-used slabs", transfer="", released="retained"),
    ),
)
