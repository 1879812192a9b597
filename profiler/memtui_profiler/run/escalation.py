"""Stops one run: decides on the next step from what is seen of it, takes it, and records it as an event.

The steps are a leak check while it still runs, SIGTERM to the process, SIGTERM to its group, SIGKILL to the group, with
``GRACE_S`` after each. What the process does at its exit comes too late for the check: static destructors run beside its
threads then, and what they drop counts as lost. Where it cannot be checked while it runs, a clean exit() comes first. While a
check is at work the grace lasts, up to ``CHECK_GRACE_S``: a kill loses its report.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.run.active_run import ActiveRun
from memtui_profiler.run.output_log import LatestLook
from memtui_profiler.session.recording import Recording

if TYPE_CHECKING:
    from memtui_profiler.asking.scheduler import AskScheduler, CommandAnswer, Done

GRACE_S = 5.0
CHECK_GRACE_S = 120.0
IDLE_AFTER_S = 2.0
# How often a check before the end is asked for: a busy process, or one that still starts, may answer the next time.
CHECK_TRIES = 3

_BUSY_CPU_S = 0.02


class Step(str, Enum):
    """What is done to end a target; the value is what its event carries."""

    CHECK = "check"
    EXIT = "exit"
    TERM = "term"
    TERM_GROUP = "term-group"
    KILL = "kill"


AFTER = {Step.CHECK: Step.TERM, Step.EXIT: Step.TERM, Step.TERM: Step.TERM_GROUP, Step.TERM_GROUP: Step.KILL}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stop has come: begun at ``began_s``, the last ``step`` taken at ``step_at_s``.

    ``busy_at_s`` is when the leak check at exit last showed a sign of work. ``first`` is the step that it begins with;
    ``answered``: a check or an exit() that was asked for is done, or cannot be done.
    """

    began_s: float
    step: Step | None = None
    step_at_s: float = 0.0
    busy_at_s: float | None = None
    first: Step = Step.TERM
    answered: bool = False


def advance(progress: Progress, now_s: float, *, exit_check_busy: bool = False) -> tuple[Progress, Step | None]:
    """Return how far it is after a look at ``now_s``, and the step to take now: None while the last one still has its grace."""
    seen = replace(progress, busy_at_s=now_s if exit_check_busy else progress.busy_at_s)
    if progress.step is Step.KILL or (progress.step is not None and _has_grace(seen, now_s)):
        return seen, None
    following = progress.first if progress.step is None else AFTER[progress.step]
    return replace(seen, step=following, step_at_s=now_s), following


def kill_now(progress: Progress, now_s: float) -> tuple[Progress, Step]:
    """Return how far it is after SIGKILL at once, and that step: the user does not wait."""
    return replace(progress, step=Step.KILL, step_at_s=now_s), Step.KILL


def _has_grace(progress: Progress, now_s: float) -> bool:
    if progress.step in (Step.CHECK, Step.EXIT) and progress.answered:
        return False
    if progress.step is Step.CHECK:
        return now_s - progress.began_s < CHECK_GRACE_S
    if now_s - progress.step_at_s < GRACE_S:
        return True
    at_work = progress.busy_at_s is not None and now_s - progress.busy_at_s < IDLE_AFTER_S
    return at_work and now_s - progress.began_s < CHECK_GRACE_S


_STEP_TEXT = {
    Step.CHECK: "checked before it ends",
    Step.EXIT: "exit() asked of it",
    Step.TERM: "SIGTERM",
    Step.TERM_GROUP: "SIGTERM to its group",
    Step.KILL: "SIGKILL",
}


class ExitCheck:
    """Sees whether a leak check at exit is at work: it uses CPU, or its dump grows. ``exit_asked``: memtui had it call exit()."""

    def __init__(self, run: ActiveRun) -> None:
        self.exit_asked = False
        self._run = run
        self._cpu_s = 0.0
        self._dump_bytes: int | None = None  # not known yet
        self._dump_look = LatestLook(run.output.log, run.own_output_bytes)

    def busy(self) -> bool:
        """Whether there was work since the last look."""
        run, sampler = self._run, self._run.sampler.process
        if run.checker is None:
            return False
        if not (self.exit_asked or run.checker.reports_when_killed or sampler.catches(signal.SIGTERM)):
            return False  # without a handler SIGTERM ends it, or is ignored: neither is a way into exit()
        cpu_s, dump_bytes = sampler.cpu_s(), self._dump_look.take()
        busy = cpu_s - self._cpu_s > _BUSY_CPU_S
        if dump_bytes is not None:
            busy = busy or (self._dump_bytes is not None and dump_bytes > self._dump_bytes)
            self._dump_bytes = dump_bytes
        self._cpu_s = cpu_s
        return busy

    @property
    def figures(self) -> dict[str, float]:
        """CPU seconds of the process and bytes of its dumps, at the last look."""
        return {"cpu_s": round(self._cpu_s, 2), "dump_bytes": self._dump_bytes or 0}


class Escalation:
    """How far the stop of ``run`` has come. ``scheduler`` returns who can ask the process.

    ``check`` has the process checked while it runs, and calls what it is given when that is done.
    """

    def __init__(
        self,
        run: ActiveRun,
        scheduler: Callable[[], AskScheduler | None],
        recording: Recording,
        check: Callable[[Done], None],
    ) -> None:
        self._run = run
        self._scheduler = scheduler
        self._check = check
        self._over = False
        self._refusals: list[UserError] = []
        self._ask_again = False
        self._recording = recording
        self._exit_check = ExitCheck(run)
        self._progress: Progress | None = None

    @property
    def begun(self) -> bool:
        """Whether memtui is stopping the run, or has stopped it."""
        return self._progress is not None

    def begin(self) -> None:
        """Take the first step; nothing when the stop was begun already."""
        if self._progress is None:
            self._progress = Progress(self._recording.now_s(), first=self._first_step())
            self._exit_check.busy()  # the base line that later looks are compared with
            self.advance()

    def _first_step(self) -> Step:
        run = self._run
        if run.checker is not None and run.checker.from_outside:
            return Step.CHECK  # nothing of the process is needed for it, and its pages go with it
        exits = run.ends_by_exit or run.sampler.process.catches(signal.SIGTERM)
        if exits and run.checked_while_it_runs and self._can_ask() is not None:
            return Step.CHECK
        return Step.EXIT if run.ends_by_exit and self._can_ask() is not None else Step.TERM

    def over(self) -> None:
        """The process has ended: no answer of it leads to another step."""
        self._over = True

    def advance(self) -> None:
        """Take the next step, if it is time for one."""
        before, now_s = self._progress, self._recording.now_s()
        if before is None:
            return
        if self._ask_again and before.step is Step.CHECK:
            self._ask_again = False
            self._check(self._was_checked)
            return
        busy = before.step is not None and self._exit_check.busy()
        self._progress, step = advance(before, now_s, exit_check_busy=busy)
        if step is not None:
            self._take(step)
        elif busy and (before.busy_at_s is None or int(now_s) != int(before.busy_at_s)):
            figures = self._exit_check.figures
            text = f"CPU {figures['cpu_s']:g} s, dump {figures['dump_bytes'] / 2**20:.1f} MiB"
            self._recording.event(EventKind.EXIT_CHECK, text, **figures)

    @property
    def refusal(self) -> str:
        """Why it could not be checked before its end; '' where it was, or was not to be."""
        return self._refusals[-1].why if len(self._refusals) >= CHECK_TRIES else ""

    def kill(self) -> None:
        """The user will not wait."""
        now_s = self._recording.now_s()
        self._progress, step = kill_now(self._progress or Progress(now_s), now_s)
        self._take(step)

    def _take(self, step: Step) -> None:
        process = self._run.process
        # The row stands before the signal: a target that dies of it at once must not be recorded as dying unasked.
        text = f"pid {process.pid}, {_STEP_TEXT[step]}"
        self._recording.event(EventKind.STOPPING, text, step=step.value, pid=process.pid)
        if step is Step.CHECK:
            self._check(self._was_checked)
            return
        if step is Step.EXIT:
            self._exit_check.exit_asked = True
            if (scheduler := self._can_ask()) is not None:
                scheduler.clean_exit(self._exit_was_asked)
            return
        if step is Step.TERM:
            permitted = process.send(signal.SIGTERM)
        else:
            permitted = process.send_group(signal.SIGTERM if step is Step.TERM_GROUP else signal.SIGKILL)
        if not permitted:
            error = UserError(f"cannot stop pid {process.pid}", "it has become another user's", "stop it as that user")
            self._recording.error(EventKind.FAILED, error, "stop")

    def _can_ask(self) -> AskScheduler | None:
        scheduler = self._scheduler()
        return scheduler if scheduler is not None and not scheduler.off else None

    def _was_checked(self, answer: CommandAnswer) -> None:
        if self._progress is None or self._over:
            return
        if isinstance(answer, UserError):
            self._refusals.append(answer)
            if len(self._refusals) < CHECK_TRIES and self._progress.step is Step.CHECK:
                self._ask_again = True
                return
            error = UserError("cannot check it before it ends", answer.why, answer.todo)
            self._recording.error(EventKind.REFUSED, error, "stop")
        if self._progress.step is Step.CHECK:
            self._progress = replace(self._progress, answered=True)
            self.advance()

    def _exit_was_asked(self, answer: CommandAnswer) -> None:
        if not isinstance(answer, UserError) or self._progress is None or self._over:
            return
        self._exit_check.exit_asked = False
        lost = "" if self._run.sampler.process.catches(signal.SIGTERM) else "; SIGTERM ends it without its leak check"
        error = UserError("cannot have it end by exit()", f"{answer.why}{lost}", answer.todo)
        self._recording.error(EventKind.REFUSED, error, "stop")
        self._progress = replace(self._progress, answered=True)
        self.advance()
