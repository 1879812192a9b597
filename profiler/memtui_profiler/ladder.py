"""Climbs the stop ladder with one run: takes the steps that stop.advance() decides on, and says each as an event."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memtui_profiler.active_run import ActiveRun
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.stop import Progress, Step, advance, escalate

if TYPE_CHECKING:
    from memtui_profiler.inquiries import Inquiries, Outcome

_WORDS = {
    Step.EXIT: "exit() asked of it",
    Step.TERM: "SIGTERM",
    Step.TERM_GROUP: "SIGTERM to its group",
    Step.KILL: "SIGKILL",
}


class Ladder:
    """``inquiries`` gives who can ask the process for a clean end, ``event`` records; times are seconds of the session."""

    def __init__(
        self,
        run: ActiveRun,
        inquiries: Callable[[], Inquiries | None],
        event: Callable[..., None],
        now_s: Callable[[], float],
    ) -> None:
        self._run = run
        self._inquiries = inquiries
        self._event = event
        self._now_s = now_s

    def begin(self) -> None:
        """Ask it to end; nothing when that was begun already."""
        run = self._run
        if run.stopping is not None:
            return
        run.stopped_by_memtui = True
        run.stopping = Progress(self._now_s(), clean=run.ends_by_exit and self._asker() is not None)
        run.exit_check_busy(self._dumps())  # the base line that later looks are compared with
        self.climb()

    def climb(self) -> None:
        """The next step, if it is time for one."""
        run = self._run
        if run.stopping is None:
            return
        busy = run.stopping.step is not None and run.exit_check_busy(self._dumps())
        before = run.stopping
        run.stopping, step = advance(run.stopping, self._now_s(), exit_check_busy=busy)
        if step is not None:
            self._take(step)
        elif busy and (not before.checking or int(self._now_s()) != int(before.busy_at_s or 0)):
            figures = run.exit_check_figures
            text = f"CPU {figures['cpu_s']:g} s, dump {figures['dump_bytes'] / 2**20:.1f} MiB"
            self._event(EventKind.EXIT_CHECK, text, **figures)

    def kill(self) -> None:
        """The user will not wait."""
        run = self._run
        run.stopped_by_memtui = True
        run.stopping, step = escalate(run.stopping or Progress(self._now_s()), self._now_s())
        self._take(step)

    def _take(self, step: Step) -> None:
        process = self._run.process
        # The row stands before the signal: a target that dies of it at once must not be recorded as dying unasked.
        self._event(EventKind.STOPPING, f"pid {process.pid}, {_WORDS[step]}", step=step.value, pid=process.pid)
        if step is Step.EXIT:
            self._run.exit_asked = True
            if (asker := self._asker()) is not None:
                asker.clean_exit(self._exit_was_asked)
            return
        if step is Step.TERM:
            permitted = process.send(signal.SIGTERM)
        else:
            permitted = process.send_group(signal.SIGTERM if step is Step.TERM_GROUP else signal.SIGKILL)
        if not permitted:
            error = UserError(f"cannot stop pid {process.pid}", "it has become another user's", "stop it as that user")
            self._say(EventKind.FAILED, error)

    def _asker(self) -> Inquiries | None:
        inquiries = self._inquiries()
        return inquiries if inquiries is not None and inquiries.possible else None

    def _exit_was_asked(self, outcome: Outcome) -> None:
        run = self._run
        if outcome.error is None or run.stopping is None:
            return
        run.exit_asked = False
        lost = "" if run.sampler.catches(signal.SIGTERM) else "; SIGTERM ends it without its leak check"
        why = f"{outcome.error.why}{lost}"
        self._say(EventKind.REFUSED, UserError("cannot have it end by exit()", why, outcome.error.todo))
        run.stopping = replace(run.stopping, exit_refused=True)
        self.climb()

    def _say(self, kind: EventKind, error: UserError) -> None:
        fields: dict[str, Any] = {**error.fields()}
        self._event(kind, str(error), verb="stop", **fields)

    def _dumps(self) -> list[Path]:
        return self._run.own_outputs()
