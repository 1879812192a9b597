"""How much of a run's anonymous memory the malloc that is checked has held: a check at exit sees none of the rest."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from memtui_profiler.checkers.base import Checker
from memtui_profiler.session.rows import AllocatorSample, Sample

# The figures of an allocator lie between the samples around their arrival.
_SAMPLES_AROUND = 3


@dataclass(frozen=True, slots=True)
class HeldShare:
    """``held_bytes``: what the malloc held, in use or free, of ``anonymous_bytes``, at one moment; None: it was not known."""

    held_bytes: int | None = None
    anonymous_bytes: int | None = None


class HeldShareWatch:
    """Takes the samples of one run, and gives the share at the moment that tells most."""

    def __init__(self, checker: Checker | None) -> None:
        self._checker = checker
        self._around: deque[int] = deque(maxlen=_SAMPLES_AROUND)
        self._figures: AllocatorSample | None = None
        self._peak_bytes = 0
        self._known = HeldShare()

    def take(self, sample: Sample, figures: AllocatorSample | None) -> None:
        """``figures``: the newest that the allocator gave, which the sample has the sums of; None: it gave none yet."""
        anonymous_bytes = sample.rss_bytes - sample.shared_bytes
        self._around.append(anonymous_bytes)
        self._peak_bytes = max(self._peak_bytes, anonymous_bytes)
        if figures is None or figures is self._figures or sample.in_use_bytes is None:
            return
        self._figures = figures
        # Memory that came after the figures, or went before them, is no memory that they leave out.
        steady_bytes = min(self._around)
        if self._checker is None or figures.allocator != self._checker.checked_malloc:
            return
        if len(self._around) == _SAMPLES_AROUND and steady_bytes > (self._known.anonymous_bytes or 0):
            self._known = HeldShare((sample.in_use_bytes or 0) + (sample.kept_bytes or 0), steady_bytes)

    @property
    def share(self) -> HeldShare:
        """The share when the most memory was there; where the figures are of a much smaller process, the peak alone."""
        if self._checker is None or self._checker.fills_the_process or not self._peak_bytes:
            return HeldShare()
        known = self._known
        if known.anonymous_bytes is not None and 2 * known.anonymous_bytes >= self._peak_bytes:
            return known
        return HeldShare(None, self._peak_bytes)
