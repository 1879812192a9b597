"""The stop ladder: what to do next to end a target, decided from what is seen of it. Pure: no process is touched here.

SIGTERM to the process, then to its group, then SIGKILL to the group, ``GRACE_S`` after each. While a leak check at exit is
at work the grace lasts, up to ``CHECK_GRACE_S``: killing then loses the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

GRACE_S = 5.0
CHECK_GRACE_S = 120.0
IDLE_AFTER_S = 2.0


class Step(str, Enum):
    TERM = "term"
    TERM_GROUP = "term-group"
    KILL = "kill"


ORDER = (Step.TERM, Step.TERM_GROUP, Step.KILL)


@dataclass(frozen=True, slots=True)
class Progress:
    """How the ladder stands: begun at ``began_s``, the last ``step`` taken at ``step_at_s``.

    ``busy_at_s`` is when the leak check at exit last showed a sign of work.
    """

    began_s: float
    step: Step | None = None
    step_at_s: float = 0.0
    busy_at_s: float | None = None

    @property
    def checking(self) -> bool:
        return self.busy_at_s is not None


def advance(progress: Progress, now_s: float, *, exit_check_busy: bool = False) -> tuple[Progress, Step | None]:
    """What stands after a look at ``now_s`` and the step to take now, None while the last one still has its grace."""
    busy_at_s = now_s if exit_check_busy else progress.busy_at_s
    seen = Progress(progress.began_s, progress.step, progress.step_at_s, busy_at_s)
    if progress.step is Step.KILL:
        return seen, None
    if progress.step is not None and _has_grace(seen, now_s):
        return seen, None
    following = ORDER[0] if progress.step is None else ORDER[ORDER.index(progress.step) + 1]
    return Progress(progress.began_s, following, now_s, busy_at_s), following


def escalate(progress: Progress, now_s: float) -> tuple[Progress, Step]:
    """The user will not wait: straight to SIGKILL."""
    return Progress(progress.began_s, Step.KILL, now_s, progress.busy_at_s), Step.KILL


def _has_grace(progress: Progress, now_s: float) -> bool:
    if now_s - progress.step_at_s < GRACE_S:
        return True
    at_work = progress.busy_at_s is not None and now_s - progress.busy_at_s < IDLE_AFTER_S
    return at_work and now_s - progress.began_s < CHECK_GRACE_S
