"""The commands that ask the running process, and what becomes of the answers: reports for dumps, replies for viewers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_profiler.asker import Conversation
from memtui_profiler.control import Command
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.inquiries import Inquiries, Outcome
from memtui_profiler.questions.heap_profile import Snapshot
from memtui_profiler.questions.leak_check import LeakCheck, LeakQuestion, check_for_leaks
from memtui_profiler.questions.lsan_check import RECOVERABLE_CHECK, check_with_sanitizer
from memtui_profiler.questions.memcheck_check import check_with_memcheck
from memtui_profiler.request import LSAN, MEMCHECK, PROFILE

if TYPE_CHECKING:
    from memtui_profiler.active_run import ActiveRun
    from memtui_profiler.recorder import Recorder

MAX_RATE = 1e6


class RunQuestions:
    """Answers the verbs of control.QUESTIONS, each when it is done."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._verbs: dict[str, Callable[[Command], None]] = {
            "ask": self._ask,
            "rate": self._rate,
            "release": self._release,
            "check": self._check,
            "snapshot": self._snapshot,
        }

    def answer(self, command: Command) -> None:
        """Begin it. Raises UserError when it cannot even be asked."""
        self._verbs[command.verb](command)

    def _ask(self, command: Command) -> None:
        _, inquiries = self._running("ask the process")
        inquiries.ask(self._reply(command))

    def _rate(self, command: Command) -> None:
        _, inquiries = self._running("set the release rate")
        try:
            rate = float(command.args.get("release_rate", "nan"))
        except (TypeError, ValueError, OverflowError):
            rate = math.nan
        if not 0 <= rate <= MAX_RATE:
            raise UserError("cannot set the release rate", "it is no rate", "give a number from 0 to 10")
        inquiries.set_rate(rate, self._reply(command))

    def _release(self, command: Command) -> None:
        _, inquiries = self._running("release memory")
        inquiries.release(self._reply(command))

    def _check(self, command: Command) -> None:
        run, inquiries = self._running("check for leaks now")
        run.begin_excerpt()

        def came(check: LeakCheck) -> None:
            log = run.end_excerpt(check)
            self._recorder.intake.start(run.live_request(check, log), run.number, "live")

        def done(outcome: Outcome) -> None:
            run.drop_excerpt()
            self._reply(command)(outcome)

        inquiries.check(_leak_question(run), done, came)

    def _snapshot(self, command: Command) -> None:
        run, inquiries = self._running("take a heap snapshot")

        def came(snapshot: Snapshot) -> None:
            if snapshot.dump is None:
                return
            dumps = [snapshot.dump]
            if run.plan.mode == PROFILE:
                # As they lie where the profiler wrote them, and in their order.
                snapshot.dump.unlink(missing_ok=True)
                dumps = run.asked_snapshot(snapshot.written_as)
            for dump in dumps:
                self._recorder.take_snapshot(run, dump, told=dump is dumps[-1])

        inquiries.snapshot(self._reply(command), came)

    def _running(self, what: str) -> tuple[ActiveRun, Inquiries]:
        run, inquiries = self._recorder.run, self._recorder.asking()
        if run is None or inquiries is None:
            raise self._recorder.nothing_runs(f"cannot {what}")
        if run.stopping is not None:
            raise UserError(f"cannot {what}", "it is being stopped", "r launches it again")
        return run, inquiries

    def _reply(self, command: Command) -> Callable[[Outcome], None]:
        def reply(outcome: Outcome) -> None:
            if outcome.error is None:
                command.succeed(**outcome.result)
                return
            error = outcome.error
            self._recorder.event(EventKind.REFUSED, str(error), verb=command.verb, **error.fields())
            command.fail(error)

        return reply


def _leak_question(run: ActiveRun) -> LeakQuestion:
    """The question for the checker that is at work in the run; a process that was attached to may have either."""
    if run.plan.mode == MEMCHECK:
        return LeakQuestion(check_with_memcheck, "txt", guest=False)
    if run.plan.mode == LSAN:
        return LeakQuestion(check_with_sanitizer, "lsan")
    if run.attached:
        return LeakQuestion(_check_what_is_there, "heap")
    return LeakQuestion(check_for_leaks, "heap")


def _check_what_is_there(conversation: Conversation, destination: Path) -> LeakCheck:
    if conversation.image.address_of(RECOVERABLE_CHECK) is not None:
        return check_with_sanitizer(conversation, destination)
    return check_for_leaks(conversation, destination)
