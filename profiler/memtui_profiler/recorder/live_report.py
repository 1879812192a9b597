"""What a running process is asked for that becomes a report: a leak check, or a heap snapshot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_profiler.checkers import live_question
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.errors import UserError
from memtui_profiler.run.active_run import ActiveRun
from memtui_profiler.run.output_log import DiskWork

# Here and not above: what asks a process is loaded when the first one is asked, not before a target starts.
if TYPE_CHECKING:
    from memtui_profiler.asking.heap_profile import Snapshot
    from memtui_profiler.asking.scheduler import AskScheduler, CommandAnswer, Done


# What a collector needs, and how the writing of its log goes where it has one of its own.
LiveRequest = tuple[CollectRequest, DiskWork[None] | None]


def check(run: ActiveRun, scheduler: AskScheduler, done: Done, take: Callable[[LiveRequest], None]) -> None:
    """Check for leaks with the run's own checker; ``take`` gets what its report is made of."""
    run.reports.begin_live_check()

    def answered(answer: CommandAnswer) -> None:
        run.reports.drop_live_check()
        done(answer)

    question = live_question(run.checker, attached=run.attached)
    scheduler.check(question, answered, lambda answer: take(run.reports.live_request(answer)))


def may_watch_instead(run: ActiveRun, scheduler: AskScheduler, error: UserError) -> bool:
    """Whether growth by page faults answers in the place of a heap profiler that has refused with ``error``.

    Not where the profiler is at work, or the process may still answer, nor where the memory is the checker's own.
    """
    from memtui_profiler.guest.errors import GuestBusyError, GuestGoneError

    if isinstance(error, GuestBusyError | GuestGoneError) or scheduler.profiles:
        return False
    return run.checker is None or not run.checker.fills_the_process


def watched_instead(error: UserError, done: Done, answer: CommandAnswer) -> None:
    """Hand on the answer of the watch; where that is refused, too, in one sentence with ``error``, the profiler's."""
    if isinstance(answer, UserError) and answer.action is None:
        answer = UserError(error.what, f"{error.why}; {answer.what}: {answer.why}", f"{answer.todo}; {error.todo}")
    done(answer)


def snapshot(run: ActiveRun, scheduler: AskScheduler, done: Done, take: Callable[[list[Path]], None]) -> None:
    """Take a heap snapshot, or begin the heap profiler; ``take`` gets the snapshots that there was no report of yet."""

    def came(taken: Snapshot) -> None:
        if taken.dump is None:
            return
        dumps = [taken.dump]
        if run.checker is not None and run.checker.takes_snapshots:
            # As they lie where the profiler wrote them, and in their order.
            with contextlib.suppress(OSError):
                taken.dump.unlink()
            dumps = run.reports.asked_snapshot(taken.written_as)
        take(dumps)

    scheduler.snapshot(done, came)
