"""When a recorder samples, when it looks around, and since when it is idle. Times are seconds of the session."""

from __future__ import annotations

LOOK_INTERVAL_S = 0.5
SETTLING_INTERVAL_S = 0.05


class Schedule:
    """``idle_since_s``: when a run ended or a viewer left last."""

    def __init__(self, sample_hz: float) -> None:
        self.idle_since_s = 0.0
        self._period_s = 1.0 / sample_hz
        self._next_sample_s = 0.0
        self._next_look_s = 0.0

    def run_started(self) -> None:
        """Sample at once."""
        self._next_sample_s = 0.0

    def run_ended(self, now_s: float) -> None:
        """Look around at once."""
        self.idle_since_s = self._next_look_s = now_s

    def wait_s(self, now_s: float, *, sampling: bool) -> float:
        """How long nothing is due; ``sampling``: there is a run to sample."""
        due_s = min(self._next_sample_s, self._next_look_s) if sampling else self._next_look_s
        return max(0.0, due_s - now_s)

    def begin_sample(self, now_s: float) -> bool:
        """Whether to sample now; the next sample is due a period later then."""
        if now_s < self._next_sample_s:
            return False
        self._next_sample_s = max(self._next_sample_s + self._period_s, now_s + self._period_s / 2)
        return True

    def begin_look(self, now_s: float, *, settling: bool) -> bool:
        """Whether to look around now; the next look is due soon after while reports are ``settling``."""
        if now_s < self._next_look_s:
            return False
        self._next_look_s = now_s + (SETTLING_INTERVAL_S if settling else LOOK_INTERVAL_S)
        return True
