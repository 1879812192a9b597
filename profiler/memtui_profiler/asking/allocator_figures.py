"""Questions to the allocator: its figures, its release rate, and to give memory back to the kernel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from memtui_parsers.allocators.stats import AllocatorDetail, AllocatorStats
from memtui_parsers.errors import ParseError
from memtui_profiler.actions import Action
from memtui_profiler.allocators.base import NoFiguresError
from memtui_profiler.asking.asked_process import AskedProcess
from memtui_profiler.asking.heap_profile import has_heap_profiler
from memtui_profiler.errors import UserError
from memtui_profiler.process.sampling import rss_bytes
from memtui_profiler.words import size_words


@dataclass(frozen=True, slots=True)
class Figures:
    """What an allocator said. ``cost_s``: how long it took; ``detail`` None: it was not asked for.

    ``beside``: others in the process, that this one knows nothing of; '' where there is none. ``actions``: what can be
    asked of it besides.
    """

    allocator: str
    stats: AllocatorStats
    detail: AllocatorDetail | None
    release_rate: float | None
    cost_s: float
    beside: str = ""
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoFigures:
    """``allocator`` has none that can be read, and can do ``actions``. ``why``: what a user is told; ``beside``: as of Figures."""

    allocator: str
    why: NoFiguresError
    beside: str
    actions: tuple[str, ...]


Answer = Figures | NoFigures


@dataclass(frozen=True, slots=True)
class Released:
    """Memory that was given back: RSS of the process before and after, and how long its allocator took."""

    before_bytes: int
    after_bytes: int
    seconds: float
    figures: Answer


@dataclass(frozen=True, slots=True)
class RateSet:
    """A release rate that was set; ``old`` is what the process had. It acts after ``acts_after_bytes`` of frees, at the latest."""

    old: float
    new: float
    acts_after_bytes: int


def ask_figures(process: AskedProcess, *, detail: bool = False) -> Answer:
    """Return the figures of now. Raises UserError when the process cannot be asked, or its allocator answers nonsense.

    NoFigures: of an allocator that can only release.
    """
    allocator, guest = process.allocator, process.guest
    began = time.perf_counter()
    try:
        stats = allocator.stats(guest)
        cost_s = time.perf_counter() - began
        more = allocator.detail(guest) if detail else None
    except NoFiguresError as error:
        if process.pass_over_allocator():
            return ask_figures(process, detail=detail)
        if not allocator.can_release.available:
            raise
        return NoFigures(allocator.name, error, process.beside, tuple(_actions(process, None)))
    except ParseError as error:
        raise UserError(f"cannot read {allocator.name}'s figures", str(error), "say so to memtui's makers") from error
    rate = allocator.release_rate(process.memory)
    return Figures(allocator.name, stats, more, rate, cost_s, process.beside, tuple(_actions(process, rate)))


def _actions(process: AskedProcess, rate: float | None) -> Iterator[str]:
    if process.allocator.can_release.available:
        yield Action.RELEASE.value
    if has_heap_profiler(process):
        yield Action.SNAPSHOT.value
    if rate is not None and process.allocator.can_set_rate.available:
        yield Action.SET_RATE.value


def release_memory(process: AskedProcess) -> Released:
    """Have the allocator, and those that can do nothing else, give all their free pages back to the kernel."""
    allocator, guest = process.allocator, process.guest
    ability = allocator.can_release
    if not ability.available:
        raise UserError(f"{allocator.name} cannot release memory", ability.reason, ability.todo)
    before = rss_bytes(process.pid)
    began = time.perf_counter()
    for each in (allocator, *process.without_figures):
        each.release(guest)
    seconds = time.perf_counter() - began
    after = rss_bytes(process.pid)
    return Released(before, after, seconds, ask_figures(process, detail=True))


def set_release_rate(process: AskedProcess, rate: float) -> RateSet:
    """Write the rate into the process and read it back: no call is made, and no guest is needed."""
    allocator, memory = process.allocator, process.memory
    ability = allocator.can_set_rate
    old = allocator.release_rate(memory) if ability.available else None
    if old is None:
        why, todo = (ability.reason, ability.todo) if ability.reason else ("it has no release rate", "nothing to set")
        raise UserError(f"cannot set {allocator.name}'s release rate", why, todo)
    return RateSet(old, rate, allocator.set_release_rate(memory, rate))


def acts_after_words(freed_bytes: int) -> str:
    """A phrase to stand after the rate that was set: ``acts after at most 8.0 GiB more of frees``."""
    return f"acts after at most {size_words(freed_bytes)} more of frees"
