"""What the graph is given to show: frozen, made by whoever follows the session."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from memtui_profiler.series import Point, Series


class Band(str, Enum):
    """A part of RSS, drawn from the bottom up in the order bands() gives them; the value is its name on the screen."""

    IN_USE = "in use"
    KEPT = "kept by the allocator"
    OUTSIDE = "outside the heap"
    ANON = "anonymous"
    FILE = "file and shared"


def bands(point: Point) -> tuple[tuple[Band, int], ...]:
    """The parts of one sample in bytes, bottom first; clamped, as /proc is approximate, so that they add up to its RSS."""
    rss = max(0, point.rss_bytes)
    shared = min(max(0, point.shared_bytes), rss)
    if point.in_use_bytes is None or point.kept_bytes is None:
        return (Band.ANON, rss - shared), (Band.FILE, shared)
    # A heap is anonymous memory: what the allocator counts beyond that was never touched.
    in_use = min(max(0, point.in_use_bytes), rss - shared)
    kept = min(max(0, point.kept_bytes), rss - shared - in_use)
    return (Band.IN_USE, in_use), (Band.KEPT, kept), (Band.OUTSIDE, rss - in_use - kept)


@dataclass(frozen=True, slots=True)
class RunSpan:
    """One run: ``name`` is what its ghost is called, as 'run 1, rate 1.0'."""

    number: int
    begin_s: float
    name: str


@dataclass(frozen=True, slots=True)
class Mark:
    """An event on the time axis: its ``letter``, the sentence a crosshair on it reads, and what stands beside its line."""

    at_s: float
    letter: str
    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit over the target, as 'cgroup limit'."""

    name: str
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class GraphState:
    """Everything the graph draws but the reader's own view of it (zoom, pause, crosshair).

    ``now_s`` is the session's present, or its end; ``live`` tells which. ``wall_origin_s`` is the Unix time of the session's
    second 0, ``utc_offset_s`` what local time is ahead of UTC. ``allocator`` names who keeps memory ('tcmalloc').
    """

    series: Series
    now_s: float
    wall_origin_s: float
    utc_offset_s: int = 0
    live: bool = True
    runs: tuple[RunSpan, ...] = ()
    marks: tuple[Mark, ...] = ()
    limits: tuple[Limit, ...] = ()
    allocator: str = ""
    ascii: bool = False
