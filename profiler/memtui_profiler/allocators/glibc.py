"""glibc's malloc in a running process: mallinfo2 for totals, malloc_info for arenas and bins, malloc_trim to release.

What its figures do not tell: blocks in the caches of threads (tcache, some KiB a thread) count as in use; and
malloc_trim gives pages inside free chunks back without a trace, so such chunks are still counted as free then, though
they are in no RSS.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from memtui_parsers.allocators.stats import AllocatorDetail, AllocatorStats, Arena
from memtui_parsers.errors import ParseError
from memtui_profiler.allocators.base import RELEASE_TIMEOUT_S, STATS_TIMEOUT_S, Ability, Caller, Memory, Symbols
from memtui_profiler.allocators.kind import AllocatorKind, PartNames
from memtui_profiler.allocators.memory_stream import StreamFunctions, find_stream_functions, text_written
from memtui_profiler.errors import UserError

if TYPE_CHECKING:
    from memtui_parsers.allocators.malloc_info import MallocInfo

NAME = "glibc malloc"
NO_RATE = Ability(False, "glibc malloc has no release rate", "relaunch with tcmalloc preloaded (--tcmalloc auto)")

# struct mallinfo2 has ten size_t, struct mallinfo the same as int: arena, ordblks, smblks, hblks, hblkhd, usmblks,
# fsmblks, uordblks, fordblks, keepcost. Both are returned through a hidden pointer, the first argument.
_FIELDS = 10
_UNTOUCHED = 0xFF
# malloc_info is asked again when as much has changed of what is free as could change the picture.
_WORTH_A_LOOK_BYTES = 1 << 20
_WORTH_A_LOOK_PART = 8


@dataclass(frozen=True, slots=True)
class _Totals:
    in_use_bytes: int
    free_bytes: int
    fast_bytes: int


@dataclass(slots=True)
class GlibcMalloc:
    """Addresses in the process. ``mallinfo2``: from glibc 2.33 on. ``streams`` None: malloc_info cannot be read."""

    mallinfo2: int | None
    mallinfo: int | None
    malloc_info: int | None
    malloc_trim: int | None
    streams: StreamFunctions | None
    name: str = NAME
    _looked_at_free_bytes: int | None = field(default=None, init=False)
    _partial_part: float = field(default=0.0, init=False)

    @property
    def can_release(self) -> Ability:
        if self.malloc_trim is not None:
            return Ability(True)
        return Ability(False, "malloc_trim is not in this program", "link it with glibc as a shared library")

    @property
    def can_set_rate(self) -> Ability:
        return NO_RATE

    def stats(self, caller: Caller) -> AllocatorStats:
        """One call, and malloc_info's where much has changed; both walk all free chunks, each arena's under its lock.

        ``free_bytes`` are whole pages inside free chunks, ``central_bytes`` the rest of those: fast bins, small chunks
        and the edges of large ones, by an estimate from the bins. Where malloc_info cannot be had all but the fast bins
        is free.
        """
        totals = self._totals(caller)
        self._look_again(caller, totals.free_bytes)
        central_bytes = max(totals.fast_bytes, int(totals.free_bytes * self._partial_part))
        return AllocatorStats(
            in_use_bytes=totals.in_use_bytes,
            free_bytes=totals.free_bytes - central_bytes,
            central_bytes=central_bytes,
        )

    def detail(self, caller: Caller) -> AllocatorDetail:
        """Bins and arenas; where there are more arenas than the text has room for, one more that stands for the others.

        Empty where malloc_info's text cannot be had.
        """
        info = self._info(caller)
        if info is None:
            return AllocatorDetail()
        if info.whole or self.mallinfo2 is None:
            return info.detail
        numbers = _returned(caller, self.mallinfo2, "Q")
        others = Arena("others", max(0, numbers[0] - info.system_bytes), max(0, numbers[8] - info.free_bytes))
        return replace(info.detail, arenas=(*info.arenas, others))

    def release(self, caller: Caller, size_bytes: int | None = None) -> None:
        """Always all it can: malloc_trim knows no amount."""
        if self.malloc_trim is None:
            raise UserError("cannot release memory", self.can_release.reason, self.can_release.todo)
        caller.call(self.malloc_trim, 0, timeout_s=RELEASE_TIMEOUT_S)

    def release_rate(self, memory: Memory) -> float | None:
        return None

    def set_release_rate(self, memory: Memory, rate: float) -> int:
        raise UserError(f"cannot set the release rate to {rate:g}", NO_RATE.reason, NO_RATE.todo)

    def _totals(self, caller: Caller) -> _Totals:
        if self.mallinfo2 is not None:
            return _totals(_returned(caller, self.mallinfo2, "Q"))
        # Before 2.33 malloc_info alone counts beyond 2 GiB.
        info = self._info(caller)
        if info and info.whole:
            return _Totals(
                info.system_bytes - info.free_bytes + info.mapped_bytes,
                info.free_bytes,
                min(info.fast_bytes, info.free_bytes),
            )
        assert self.mallinfo is not None
        numbers = _returned(caller, self.mallinfo, "i")
        if min(numbers) < 0:
            raise UserError(
                "cannot read glibc malloc's figures",
                "it counts them in 32 bits, and they are beyond 2 GiB",
                "run the program with glibc 2.33 or newer",
            )
        return _totals(numbers)

    def _look_again(self, caller: Caller, free_bytes: int) -> None:
        seen = self._looked_at_free_bytes
        if seen is not None and abs(free_bytes - seen) < max(_WORTH_A_LOOK_BYTES, seen // _WORTH_A_LOOK_PART):
            return
        self._looked_at_free_bytes = free_bytes
        info = self._info(caller)
        if info and info.free_bytes:
            from memtui_parsers.allocators.malloc_info import partial_bytes

            self._partial_part = min(1.0, partial_bytes(info) / info.free_bytes)

    def _info(self, caller: Caller) -> MallocInfo | None:
        if self.malloc_info is None or self.streams is None:
            return None
        from memtui_parsers.allocators.malloc_info import parse_malloc_info

        text = text_written(caller, self.streams, self.malloc_info, 0)
        if text is None:
            self.streams = None
            return None
        try:
            return parse_malloc_info(text)
        except ParseError:
            return None


def find_glibc_malloc(symbols: Symbols) -> GlibcMalloc | None:
    """None: the process has no mallinfo, so no glibc."""
    mallinfo2, mallinfo = symbols.address_of("mallinfo2"), symbols.address_of("mallinfo")
    if mallinfo2 is None and mallinfo is None:
        return None
    return GlibcMalloc(
        mallinfo2=mallinfo2,
        mallinfo=mallinfo,
        malloc_info=symbols.address_of("malloc_info"),
        malloc_trim=symbols.address_of("malloc_trim"),
        streams=find_stream_functions(symbols),
    )


def _returned(caller: Caller, function: int, kind: str) -> tuple[int, ...]:
    layout = struct.Struct(f"<{_FIELDS}{kind}")
    caller.write(caller.scratch, bytes([_UNTOUCHED]) * layout.size)
    caller.call(function, caller.scratch, timeout_s=STATS_TIMEOUT_S)
    answer = caller.read(caller.scratch, layout.size)
    if answer == bytes([_UNTOUCHED]) * layout.size:
        raise UserError(
            "cannot read glibc malloc's figures", "mallinfo left no answer", "report this with the version of glibc"
        )
    return layout.unpack(answer)


def _totals(numbers: tuple[int, ...]) -> _Totals:
    _, _, _, _, mapped, _, fast, used, free, _ = numbers
    return _Totals(used + mapped, free, min(fast, free))


KINDS = (
    AllocatorKind(
        NAME,
        find=find_glibc_malloc,
        of_libc=True,
        texts=(b"malloc(): corrupted top size", b"free(): invalid pointer"),
        refusal="its glibc is linked in statically, and the functions of its malloc cannot be found: it is stripped",
        alternative="keep its symbols, or link it with glibc as a shared library",
        release_call="malloc_trim(0)",
        arena_advice=(
            "threads have arenas of their own (8 a processor at most), each with free memory that the others do not use:"
            " MALLOC_ARENA_MAX=2 in its environment bounds them"
        ),
        no_rate=(
            "glibc malloc has no release rate: {release} is its malloc_trim",
            "no release rate: {release} is malloc_trim",
        ),
        part_names=PartNames(free="free in the arenas", central="small chunks", transfer="", thread="", metadata=""),
    ),
)
