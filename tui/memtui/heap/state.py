"""What is known of the newest run's allocator: frozen, and the follower that reads it from the session. No Textual."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from memtui_parsers.errors import ParseError
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import TABLE_OF, AllocatorDetailRow, AllocatorSample, GuestRow, Row

if TYPE_CHECKING:
    from memtui_parsers.allocator_stats import AllocatorDetail

R = TypeVar("R", AllocatorSample, AllocatorDetailRow, GuestRow)

# Enough for the change of a minute, at the slowest pace of asking too; what is older the graph has.
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
        """The one that answers, as 'tcmalloc'; '' while that is not known."""
        if self.samples:
            return self.samples[-1].allocator
        return self.guest.allocator if self.guest is not None else ""


class HeapFollower:
    """Reads the allocator's rows of the newest run as they come; of a long session only their end."""

    def __init__(self, reader: SessionReader) -> None:
        self._reader = reader
        self._after: dict[type[Row], int] = {}
        self._samples: deque[AllocatorSample] = deque(maxlen=KEEP_SAMPLES)
        self._state = HeapState()
        self._run = 0
        self.last_s = 0.0

    def poll(self, run: int) -> HeapState:
        """What is known now; ``run`` is the newest run's number, of which alone is spoken."""
        if run != self._run:
            self._run = run
            self._samples.clear()
            self._state = HeapState()
        guests = self._new(GuestRow, KEEP_SAMPLES)
        samples = self._new(AllocatorSample, KEEP_SAMPLES)
        details = self._new(AllocatorDetailRow, 1)
        if not (guests or samples or details):
            return self._state
        self._samples.extend(samples)
        guest = guests[-1] if guests else self._state.guest
        detail, detail_s = self._state.detail, self._state.detail_s
        if details:
            detail, detail_s = _read(details[-1].detail), details[-1].at_s
        self._state = HeapState(guest, tuple(self._samples), detail, detail_s)
        return self._state

    def _new(self, kind: type[R], most: int) -> list[R]:
        """The rows since the last look that are of the run; at the first look the newest ``most`` at the most."""
        if not self._reader.has(kind):
            return []
        if kind not in self._after:
            newest = next(self._reader.columns(f"SELECT max(id) FROM {TABLE_OF[kind]}"))[0]
            self._after[kind] = max(0, cast(int, newest or 0) - most)
        rows = self._reader.rows(kind, after=self._after[kind])
        if rows:
            self._after[kind] = rows[-1].id
            self.last_s = max(self.last_s, rows[-1].at_s)
        return [row for row in rows if row.run == self._run]


def _read(text: str) -> AllocatorDetail | None:
    from memtui_profiler.allocators.detail_json import from_json

    try:
        return from_json(text)
    except ParseError:
        return None
