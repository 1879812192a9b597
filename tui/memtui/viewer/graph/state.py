"""What the graph is given to show: frozen values, made from the state of the session."""

from __future__ import annotations

from dataclasses import dataclass

from memtui_profiler.session.series import Series


@dataclass(frozen=True, slots=True)
class RunSpan:
    """A run of the target: ``name`` is that of its ghost, as 'run 1, rate 1.0'."""

    number: int
    begin_s: float
    name: str


@dataclass(frozen=True, slots=True)
class Mark:
    """An event on the time axis: its letter, the text for a crosshair on it, and the label beside its line."""

    at_s: float
    letter: str
    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on the memory of the target; ``name``: 'cgroup limit'."""

    name: str
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class GraphState:
    """All that the graph draws except the user's view of it (zoom, pause, crosshair).

    ``now_s``: the session's present, or if not ``live`` its end. ``wall_origin_s``: the Unix time of the session's second 0;
    ``utc_offset_s``: local time minus UTC. ``allocator``: its name ('tcmalloc').
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
