"""The allocator of the newest run: its state, and the follower that reads it from the session."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memtui.session.new_rows import NewRows
from memtui_parsers.errors import ParseError
from memtui_profiler.actions import Action
from memtui_profiler.session.rows import AllocatorDetailRow, AllocatorSample, GuestRow

if TYPE_CHECKING:
    from memtui_parsers.allocators.stats import AllocatorDetail

# Enough for the change of a minute, also at the slowest pace of asking; older samples are in the graph.
KEEP_SAMPLES = 240


@dataclass(frozen=True, slots=True)
class HeapState:
    """``samples`` are the newest, oldest first. ``detail`` is of ``detail_s``; None where the allocator gave none."""

    guest: GuestRow | None = None
    samples: tuple[AllocatorSample, ...] = ()
    detail: AllocatorDetail | None = None
    detail_s: float = 0.0

    @property
    def newest(self) -> AllocatorSample | None:
        return self.samples[-1] if self.samples else None

    @property
    def allocator(self) -> str:
        """The name of the allocator that answers, as 'tcmalloc'; '' while that is not known."""
        if self.samples:
            return self.samples[-1].allocator
        return self.guest.allocator if self.guest is not None else ""

    @property
    def beside(self) -> str:
        """Allocators that the one that answers knows nothing of; '' where there is none."""
        return (self.guest.beside or "") if self.guest is not None else ""

    def can(self, action: Action) -> bool:
        """Whether the process can do it when it is asked; True also where that is not known."""
        guest = self.guest
        if guest is None or guest.actions is None:
            return guest is None or guest.state not in ("refused", "off")
        return guest.state not in ("refused", "off") and action.value in guest.actions.split(",")


class HeapFollower:
    """Reads the allocator's rows of the newest run as they come; of a long session only the newest."""

    def __init__(self, rows: NewRows) -> None:
        self._rows = rows
        self._samples: deque[AllocatorSample] = deque(maxlen=KEEP_SAMPLES)
        self._state = HeapState()
        self._run = 0

    def poll(self, run: int) -> HeapState:
        """Return the state of the newest run's allocator; ``run`` is that run's number."""
        if run != self._run:
            self._run = run
            self._samples.clear()
            self._state = HeapState()
        guests = [row for row in self._rows.read(GuestRow, KEEP_SAMPLES) if row.run == run]
        samples = [row for row in self._rows.read(AllocatorSample, KEEP_SAMPLES) if row.run == run]
        details = [row for row in self._rows.read(AllocatorDetailRow, 1) if row.run == run]
        if not (guests or samples or details):
            return self._state
        self._samples.extend(samples)
        guest = guests[-1] if guests else self._state.guest
        detail, detail_s = self._state.detail, self._state.detail_s
        if details:
            detail, detail_s = _read(details[-1].detail), details[-1].at_s
        self._state = HeapState(guest, tuple(self._samples), detail, detail_s)
        return self._state


def _read(text: str) -> AllocatorDetail | None:
    from memtui_profiler.allocators.detail_json import from_json

    try:
        return from_json(text)
    except ParseError:
        return None
