"""Watches which code makes the memory of one process grow: samples of its page faults, and looks at its pages.

One thread does all of it and waits for nobody but the kernel: step() has to be called again and again.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

from memtui_parsers.procfs.maps import executable_lines
from memtui_parsers.values import Mapping
from memtui_profiler.growth.fault_records import Fault
from memtui_profiler.growth.fault_sampler import FaultSampler, WeighedFault
from memtui_profiler.growth.growth import Growth, growth_of, growth_when_last_seen
from memtui_profiler.growth.price import Price, price_of
from memtui_profiler.growth.refusals import ended, refusal
from memtui_profiler.growth.residency import PAGE_BYTES, Residency, mappings_of, open_residency
from memtui_profiler.growth.touched_pages import Stack, TouchedPages
from memtui_profiler.process.sampling import rss_bytes
from memtui_profiler.unwinding.unwinder import StackEnd, Unwinder

# Lines of libraries that were unmapped since; more would be a program that loads and unloads for ever.
MAX_UNMAPPED_LINES = 2000
# How often is looked for code that was loaded since, and how much longer than the look the pause is.
CODE_EVERY_S = 2.0
UNKNOWN_CODE_EVERY_S = 0.5
CODE_PAUSE = 50


@dataclass(frozen=True, slots=True)
class Sampled:
    """How the sampling went. ``stackless``: samples without a stack, which are in no row; ``cut``: stacks that are not whole."""

    samples: int
    lost: int
    throttled: int
    stackless: int
    cut: int
    unwatched_threads: int
    system_calls: bool


@dataclass(frozen=True, slots=True)
class Watched:
    """What was found in the ``seconds`` since the start. ``maps``: lines that say which files the addresses are in."""

    seconds: float
    rss_before: int
    rss_now: int
    growth: Growth
    sampled: Sampled
    mappings: tuple[Mapping, ...]
    maps: tuple[bytes, ...]
    has_ended: bool


class GrowthWatch:
    """Opened for a process. step() gathers, report() says what there is so far, close() takes everything back."""

    def __init__(self, pid: int, *, anyway: bool = False) -> None:
        """``anyway``: also where it costs the process more than 2 %. Raises UserError, with nothing left behind."""
        self.pid = pid
        self.has_ended = False
        with ExitStack() as opened:
            try:
                self._residency: Residency = open_residency(pid)
                opened.callback(self._residency.close)
                self.price: Price = price_of(pid)
                if not anyway:
                    self.price.check(pid)
                self._unwinder = Unwinder(pid)
                self._sampler = FaultSampler(pid, faults_per_s=self.price.faults_per_s)
                opened.callback(self._close_sampler)
                self._began = time.monotonic()
                self._rss_before = self._rss_now = rss_bytes(pid)
                self._unmapped: dict[bytes, None] = {}
                self._mappings: list[Mapping] = []
                self._lines: list[bytes] = []
                self._keep_maps(*mappings_of(pid))
                self._before = self._residency.ranges(self._mappings)
            except OSError as error:
                gone = error.errno in (errno.ESRCH, None)
                raise (ended(pid) if gone else refusal(pid, error)) from None
            if not self._before:
                raise ended(pid)
            self._opened = opened.pop_all()
        self._touched = TouchedPages()
        # The sample is made when the fault begins: its page may not be there yet.
        self._early: list[WeighedFault] = []
        self._stackless = self._cut = 0
        self._refreshed_at = self._began
        self._refresh_took_s = 0.0

    def step(self, seconds: float) -> None:
        """Wait ``seconds`` at most, and take what came. Sets ``has_ended``. Raises UserError where events are refused now."""
        if self.has_ended:
            return
        try:
            self._sampler.wait(seconds)
            early, self._early = self._early, []
            for weighed in early:
                self._take(weighed, again=True)
            for weighed in self._sampler.drain():
                self._take(weighed, again=False)
            self._refresh()
            self._touched.look(self._now(), self._residency.present)
            self.has_ended = not self._residency.is_alive()
        except OSError:  # of a process that ends
            if self._residency.is_alive():
                raise
            self.has_ended = True

    def report(self) -> Watched:
        """What there is so far. It goes on with what was last seen of a process that has ended. Raises UserError."""
        seconds = self._now()
        growth = None if self.has_ended else self._growth()
        if growth is None:
            self.has_ended = True
            growth = growth_when_last_seen(self._touched.items())
        sampler = self._sampler
        sampled = Sampled(
            sampler.samples,
            sampler.lost,
            sampler.throttled,
            self._stackless,
            self._cut,
            sampler.unwatched,
            sampler.abilities.system_calls,
        )
        maps = (*self._lines, *self._unmapped)
        return Watched(
            seconds, self._rss_before, self._rss_now, growth, sampled, tuple(self._mappings), maps, self.has_ended
        )

    @property
    def why_ended(self) -> str:
        """In words; '' while it goes on."""
        if not self.has_ended:
            return ""
        gone = not os.path.exists(f"/proc/{self.pid}/maps")
        return "the process has ended" if gone else "the process has ended, or runs another program now"

    def close(self) -> None:
        """Leave the process as it was."""
        self._opened.close()

    def _growth(self) -> Growth | None:
        """None where the process has ended meanwhile: half of it may be gone already."""
        try:
            rss = rss_bytes(self.pid)
            mappings, lines = mappings_of(self.pid)
            now = self._residency.ranges(mappings)
        except OSError:
            return None
        # Of one that ends meanwhile, half is gone; of one that becomes another program, the mappings are that program's.
        if not now or not self._residency.is_alive():
            return None
        self._rss_now = rss
        self._keep_maps(mappings, lines)
        return growth_of(self._before, now, mappings, self._touched.items(), unknown=self._residency.skipped)

    def _take(self, weighed: WeighedFault, *, again: bool) -> None:
        fault = weighed.fault
        if fault.pid != self.pid or fault.was_there:
            return
        size_bytes = self._residency.page_bytes(fault.address)
        if not size_bytes:
            if not again:
                self._early.append(weighed)
            return  # given back before anybody looked: no growth, and no stack to unwind
        stack = self._stack(fault)
        if stack:
            self._touched.touch(fault.address, stack, weighed.weight, max(size_bytes, PAGE_BYTES), self._now())
        else:
            self._stackless += 1

    def _refresh(self, every_s: float = CODE_EVERY_S) -> bool:
        """Look whether other code is mapped now, if the last look is so long ago; less often where that takes long."""
        began = time.monotonic()
        if began - self._refreshed_at < max(every_s, self._refresh_took_s * CODE_PAUSE):
            return False
        self._unwinder.refresh()
        self._refreshed_at = time.monotonic()
        self._refresh_took_s = self._refreshed_at - began
        return True

    def _stack(self, fault: Fault) -> Stack:
        """Return addresses, the innermost first, as dumps have them; a recursion of any depth is one stack."""
        if fault.registers is None:
            return ()
        unwound = self._unwinder.unwind(fault.registers, fault.stack)
        if unwound.end is StackEnd.NO_CODE and self._refresh(UNKNOWN_CODE_EVERY_S):
            unwound = self._unwinder.unwind(fault.registers, fault.stack)  # a library was loaded since
        addresses = unwound.addresses
        if not addresses:
            return ()
        self._cut += unwound.end is not StackEnd.OUTERMOST
        callers = tuple(inner for outer, inner in pairwise(addresses) if outer != inner)
        # Readers of dumps look up the byte before an address.
        return (addresses[0] + 1, *callers)

    def _keep_maps(self, mappings: list[Mapping], lines: list[bytes]) -> None:
        """Note what is mapped, and what was: addresses of stacks may be in libraries that were unloaded since."""
        code = list(executable_lines(b"\n".join(lines)))
        present = set(code)
        for line in self._lines:
            if line not in present and len(self._unmapped) < MAX_UNMAPPED_LINES:
                self._unmapped[line] = None
        for line in code:
            self._unmapped.pop(line, None)
        self._mappings, self._lines = mappings, code

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _close_sampler(self) -> None:
        self._sampler.close()
