"""The stop ladder: what to do next to end a target, decided from what is seen of it. Pure: no process is touched here.

A clean exit() where it can be asked for, SIGTERM to the process, then to its group, then SIGKILL to the group, ``GRACE_S``
after each. While a leak check at exit is at work the grace lasts, up to ``CHECK_GRACE_S``: killing then loses the report.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

GRACE_S = 5.0
CHECK_GRACE_S = 120.0
IDLE_AFTER_S = 2.0


class Step(str, Enum):
    EXIT = "exit"
    TERM = "term"
    TERM_GROUP = "term-group"
    KILL = "kill"


ORDER = (Step.EXIT, Step.TERM, Step.TERM_GROUP, Step.KILL)


@dataclass(frozen=True, slots=True)
class Progress:
    """How the ladder stands: begun at ``began_s``, the last ``step`` taken at ``step_at_s``.

    ``busy_at_s`` is when the leak check at exit last showed a sign of work. ``clean``: the ladder begins with exit();
    ``exit_refused``: that could not be done.
    """

    began_s: float
    step: Step | None = None
    step_at_s: float = 0.0
    busy_at_s: float | None = None
    clean: bool = False
    exit_refused: bool = False

    @property
    def checking(self) -> bool:
        return self.busy_at_s is not None


def advance(progress: Progress, now_s: float, *, exit_check_busy: bool = False) -> tuple[Progress, Step | None]:
    """What stands after a look at ``now_s`` and the step to take now, None while the last one still has its grace."""
    seen = replace(progress, busy_at_s=now_s if exit_check_busy else progress.busy_at_s)
    if progress.step is Step.KILL or (progress.step is not None and _has_grace(seen, now_s)):
        return seen, None
    first = Step.EXIT if progress.clean else Step.TERM
    following = first if progress.step is None else ORDER[ORDER.index(progress.step) + 1]
    return replace(seen, step=following, step_at_s=now_s), following


def escalate(progress: Progress, now_s: float) -> tuple[Progress, Step]:
    """The user will not wait: straight to SIGKILL."""
    return replace(progress, step=Step.KILL, step_at_s=now_s), Step.KILL


def _has_grace(progress: Progress, now_s: float) -> bool:
    if progress.step is Step.EXIT and progress.exit_refused:
        return False
    if now_s - progress.step_at_s < GRACE_S:
        return True
    at_work = progress.busy_at_s is not None and now_s - progress.busy_at_s < IDLE_AFTER_S
    return at_work and now_s - progress.began_s < CHECK_GRACE_S
