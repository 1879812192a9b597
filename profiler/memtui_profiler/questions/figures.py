"""The allocator's figures, its release rate, and memory given back."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

from memtui_parsers.allocator_stats import AllocatorDetail, AllocatorStats
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs import parse_statm
from memtui_profiler.asker import Conversation
from memtui_profiler.errors import UserError


@dataclass(frozen=True, slots=True)
class Figures:
    """``cost_s``: from asking to the answer. ``detail`` None: it was not asked for."""

    allocator: str
    stats: AllocatorStats
    detail: AllocatorDetail | None
    release_rate: float | None
    cost_s: float


@dataclass(frozen=True, slots=True)
class Released:
    """RSS of the process before and after, and how long its allocator took."""

    before_bytes: int
    after_bytes: int
    seconds: float
    figures: Figures


@dataclass(frozen=True, slots=True)
class RateSet:
    """``old`` is what the process had."""

    old: float
    new: float


def ask_figures(conversation: Conversation, *, detail: bool = False) -> Figures:
    """The figures of now. Raises UserError when the process cannot be asked, or its allocator answers nonsense."""
    allocator, guest = conversation.allocator, conversation.guest
    began = time.perf_counter()
    try:
        stats = allocator.stats(guest)
        cost_s = time.perf_counter() - began
        more = allocator.detail(guest) if detail else None
    except ParseError as error:
        raise UserError(f"cannot read {allocator.name}'s figures", str(error), "say so to memtui's makers") from error
    return Figures(allocator.name, stats, more, allocator.release_rate(conversation.memory), cost_s)


def release_memory(conversation: Conversation) -> Released:
    """Have the allocator give all its free pages back to the kernel."""
    allocator, guest = conversation.allocator, conversation.guest
    ability = allocator.can_release
    if not ability.available:
        raise UserError(f"{allocator.name} cannot release memory", ability.reason, ability.todo)
    before = _rss_bytes(conversation.pid)
    began = time.perf_counter()
    allocator.release(guest)
    seconds = time.perf_counter() - began
    after = _rss_bytes(conversation.pid)
    return Released(before, after, seconds, ask_figures(conversation, detail=True))


def set_release_rate(conversation: Conversation, rate: float) -> RateSet:
    """Write the rate into the process and read it back: no call is made, and no guest is needed."""
    allocator, memory = conversation.allocator, conversation.memory
    ability = allocator.can_set_rate
    old = allocator.release_rate(memory) if ability.available else None
    if old is None:
        why, todo = (ability.reason, ability.todo) if ability.reason else ("it has no release rate", "nothing to set")
        raise UserError(f"cannot set {allocator.name}'s release rate", why, todo)
    allocator.set_release_rate(memory, rate)
    return RateSet(old, rate)


def _rss_bytes(pid: int) -> int:
    """0 once the process is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as stream:
            return parse_statm(stream.read(), resource.getpagesize()).resident_bytes
    except (OSError, ParseError):
        return 0
