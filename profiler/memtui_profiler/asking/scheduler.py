"""Decides when one run's process is asked, in the recorder's loop, and writes the rows and events of its answers.

An allocator is asked for its figures often enough to show a burst, and never for more than 1 % of the time.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from memtui_profiler.actions import Action
from memtui_profiler.asking.allocator_figures import (
    Answer,
    NoFigures,
    RateSet,
    Released,
    acts_after_words,
    ask_figures,
    release_memory,
    set_release_rate,
)
from memtui_profiler.asking.answer_rows import BUSY, GONE, OFF, REFUSED, WAITING, AnswerRows
from memtui_profiler.asking.asked_process import AskedProcess
from memtui_profiler.asking.asker import Asker
from memtui_profiler.asking.heap_profile import HeapProfiler, Snapshot
from memtui_profiler.asking.leak_check import LeakCheck, LeakQuestion
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.guest.errors import GuestBusyError, GuestGoneError, GuestSandboxedError, cannot_ask
from memtui_profiler.guest.threads import thread_ids
from memtui_profiler.request import format_rate
from memtui_profiler.session.recording import Recording
from memtui_profiler.session.rows import AllocatorSample
from memtui_profiler.words import cost_words, size_words

INTERVAL_S = 1.0
SHORTEST_S = 0.1
MOVED_BYTES, MOVED_SHARE = 8 << 20, 0.03
DETAIL_INTERVAL_S = 5.0
COST_SHARE = 0.01
FRESH_S = 3.0

T = TypeVar("T")

RETRY_S = 10.0

_ENDED = GuestGoneError("the process did not answer", "it has ended", "relaunch it and ask again")
_OFF = cannot_ask("--no-guest was given", "leave it out")


class FiguresSchedule:
    """About once a second, sooner when RSS has moved, later where an answer takes long. Times are seconds of the session."""

    def __init__(self) -> None:
        self._next_s = 0.0
        self._next_if_moved_s = 0.0
        self._next_detail_s = 0.0
        self._interval_s = INTERVAL_S
        self._interval_if_moved_s = SHORTEST_S
        self._rss_bytes = 0

    def due(self, now_s: float, rss_bytes: int, *, answers: bool) -> bool:
        """Whether to ask now. ``answers``: the process answers, so a move of its RSS is worth a question."""
        moved = abs(rss_bytes - self._rss_bytes) > max(MOVED_BYTES, MOVED_SHARE * self._rss_bytes)
        return now_s >= (self._next_if_moved_s if moved and answers else self._next_s)

    def detail_due(self, now_s: float) -> bool:
        """Whether to ask for the allocator's size classes and spans, too."""
        return now_s >= self._next_detail_s

    def asked(self, now_s: float, rss_bytes: int) -> None:
        """The figures were asked for, at this RSS."""
        self._next_s = now_s + self._interval_s
        self._next_if_moved_s, self._rss_bytes = now_s + self._interval_if_moved_s, rss_bytes

    def answered(self, cost_s: float) -> None:
        """The process took so long to answer."""
        self._interval_s = max(INTERVAL_S, cost_s / COST_SHARE)
        self._interval_if_moved_s = max(SHORTEST_S, cost_s / COST_SHARE)

    def detail_came(self, now_s: float, cost_s: float) -> None:
        """An answer of that cost had the size classes and spans."""
        self._next_detail_s = now_s + max(DETAIL_INTERVAL_S, cost_s / COST_SHARE)

    def wait_until(self, next_s: float) -> None:
        """Do not ask before, unless RSS moves."""
        self._next_s = next_s

    @property
    def fresh_s(self) -> float:
        """How long an answer holds for samples of RSS."""
        return max(FRESH_S, 2.5 * self._interval_s)


# What a user's command is answered with: the result for its reply, or the error that it was refused with.
CommandAnswer = dict[str, Any] | UserError
Done = Callable[[CommandAnswer], None]


class AskScheduler:
    """Asks the process ``pid`` for as long as it runs; files that it writes for us come to ``folder``.

    A process of one thread is left alone until a user asks: a guest would be its second. ``wanted``: the user has asked
    already. ``off``: no guest is ever made. ``force``: what memtui was not tested with is no reason to make none.
    """

    def __init__(
        self,
        run: int,
        pid: int,
        folder: Path,
        recording: Recording,
        selector: selectors.BaseSelector,
        *,
        off: bool,
        force: bool,
        wanted: bool = False,
    ) -> None:
        self._pid = pid
        self._folder = folder
        self._recording = recording
        self._selector = selector
        self.off = off
        self._wanted = wanted
        self._sandboxed = False
        self._rows = AnswerRows(run, recording)
        self._schedule = FiguresSchedule()
        self._profiler = HeapProfiler(folder)
        self._files = 0
        self._unanswered: list[Done] = []
        self._asker = Asker(pid, force=force, on_arrival=self._rows.arrived)
        selector.register(self._asker.descriptor, selectors.EVENT_READ, self._asker.deliver)
        if off:
            self._rows.state(OFF, _OFF)

    @property
    def guest_stack(self) -> tuple[int, int] | None:
        """The address range of the guest's stack, once there is a guest."""
        return self._rows.guest_stack

    def tick(self, rss_bytes: int) -> None:
        """Ask for the allocator's figures when they are due."""
        now_s = self._recording.now_s()
        if self.off or not self._asker.idle or not self._schedule.due(now_s, rss_bytes, answers=self._rows.answers):
            return
        if not self._wanted and len(thread_ids(self._pid)) <= 1:
            self._rows.state(WAITING)
            self._schedule.wait_until(now_s + INTERVAL_S)
            return
        detail = self._schedule.detail_due(now_s)
        self._schedule.asked(now_s, rss_bytes)
        self._asker.submit(lambda process: ask_figures(process, detail=detail), self._figures_came)

    @property
    def newest_figures(self) -> AllocatorSample | None:
        """What the allocator said last; None: nothing yet."""
        return self._rows.newest

    def in_use_and_kept(self, now_s: float) -> tuple[int | None, int | None]:
        """Bytes in use by the application and kept by the allocator at ``now_s``; None twice when it was not asked lately."""
        return self._rows.in_use_and_kept(now_s, self._schedule.fresh_s)

    def _figures_came(self, answer: Answer | UserError) -> None:
        if isinstance(answer, UserError):
            self._no_figures(answer)
            return
        if not isinstance(answer, NoFigures):
            self._schedule.answered(answer.cost_s)
        self._record(answer)

    def _record(self, figures: Answer) -> None:
        if isinstance(figures, NoFigures):
            self._rows.no_figures(figures)
            self._schedule.wait_until(self._recording.now_s() + RETRY_S)
            return
        if figures.detail is not None:
            self._schedule.detail_came(self._recording.now_s(), figures.cost_s)
        self._rows.figures(figures)

    def _no_figures(self, error: UserError) -> None:
        """How long to wait depends on why."""
        state, wait_s = REFUSED, RETRY_S
        if isinstance(error, GuestGoneError):
            state, wait_s = GONE, INTERVAL_S
        elif isinstance(error, GuestBusyError):
            state, wait_s = BUSY, INTERVAL_S
        elif isinstance(error, GuestSandboxedError) and not self._sandboxed:
            self._sandboxed = True
            self._recording.event(EventKind.NOTE, f"{error.why}: memtui leaves its thread asleep there")
        self._rows.state(state, error)
        self._schedule.wait_until(self._recording.now_s() + wait_s)

    # What a user's command asks

    def ask(self, done: Done) -> None:
        """Ask for figures from now on, even if that takes a second thread in the process."""
        self._wanted = True
        self._submit(lambda process: ask_figures(process, detail=True), self._asked, done)

    def release(self, done: Done) -> None:
        """Have the allocator give its free memory back to the kernel."""
        self._submit(release_memory, self._released, done)

    def set_rate(self, rate: float, done: Done) -> None:
        """Set the release rate. It takes no guest, so --no-guest does not forbid it."""
        self._submit(lambda process: set_release_rate(process, rate), self._rate_was_set, done, guest=False)

    def check(self, question: LeakQuestion, done: Done, came: Callable[[LeakCheck], None]) -> None:
        """Check for leaks with the checker of ``question``; ``came`` is called before the event is written."""
        destination = self._next_file("live", question.suffix)

        def checked(answer: LeakCheck) -> dict[str, Any]:
            came(answer)
            text = f"the heap was checked in {cost_words(answer.seconds)} while it ran"
            self._recording.event(EventKind.LEAK_CHECK, text, seconds=round(answer.seconds, 3))
            return {"seconds": answer.seconds}

        self._submit(lambda process: question.ask(process, destination), checked, done, guest=question.guest)

    def snapshot(self, done: Done, came: Callable[[Snapshot], None]) -> None:
        """Take a heap snapshot, or begin the heap profiler; ``came`` is called before the event is written."""
        destination = self._next_file("snapshot", "heap")

        def taken(answer: Snapshot) -> dict[str, Any]:
            came(answer)
            if answer.dump is not None:
                self._recording.event(EventKind.SNAPSHOT, "heap snapshot taken", started=False)
                return {"started": False}
            text = "heap profiler begun: it sees what is allocated from now on; the next snapshot shows that"
            self._recording.event(EventKind.SNAPSHOT, text, started=True, action=Action.SNAPSHOT.value)
            return {"started": True}

        self._submit(lambda process: self._profiler.snapshot(process, destination), taken, done)

    @property
    def profiles(self) -> bool:
        """Whether a heap profiler that memtui began is at work."""
        return self._profiler.begun

    def clean_exit(self, done: Done) -> None:
        """Have the process call exit(0)."""
        self._submit(call_exit, lambda _: {}, done)

    def _next_file(self, name: str, suffix: str) -> Path:
        self._files += 1
        return self._folder / f"{name}-{self._files}.{suffix}"

    def _asked(self, figures: Answer) -> dict[str, Any]:
        self._figures_came(figures)
        return {"allocator": figures.allocator}

    def _released(self, answer: Released) -> dict[str, Any]:
        self._record(answer.figures)
        given_bytes = max(0, answer.before_bytes - answer.after_bytes)
        text = (
            f"released {size_words(given_bytes)} in {cost_words(answer.seconds)}, "
            f"RSS {size_words(answer.before_bytes)} -> {size_words(answer.after_bytes)}"
        )
        detail = {"before_bytes": answer.before_bytes, "after_bytes": answer.after_bytes}
        self._recording.event(EventKind.RELEASED, text, **detail, seconds=round(answer.seconds, 6))
        return detail

    def _rate_was_set(self, answer: RateSet) -> dict[str, Any]:
        self._rows.rate_was_set(answer.new)
        change = f"release rate {format_rate(answer.old)} -> {format_rate(answer.new)} live"
        self._recording.event(
            EventKind.RATE_SET,
            f"{change}, {acts_after_words(answer.acts_after_bytes)}",
            release_rate=answer.new,
            old_release_rate=answer.old,
            acts_after_bytes=answer.acts_after_bytes,
        )
        return {"release_rate": answer.new}

    def _submit(
        self,
        question: Callable[[AskedProcess], T],
        result: Callable[[T], dict[str, Any]],
        done: Done,
        *,
        guest: bool = True,
    ) -> None:
        """``result`` records an answer and gives what its command is answered with. ``guest``: it takes one."""
        if self.off and guest:
            done(_OFF)
            return
        self._unanswered.append(done)

        def came(answer: T | UserError) -> None:
            if done in self._unanswered:
                self._unanswered.remove(done)
                done(answer if isinstance(answer, UserError) else result(answer))

        self._asker.submit(question, came)

    def detach(self) -> Asker:
        """Leave the process, without waiting: it may have ended, or not answer. Open commands are told that it has ended.

        Return the asker, which tells when nothing of ours is in the process any more.
        """
        self._selector.unregister(self._asker.descriptor)
        self._asker.detach()
        unanswered, self._unanswered = self._unanswered, []
        for done in unanswered:
            done(_ENDED)
        return self._asker


def call_exit(process: AskedProcess) -> None:
    """Begin exit(0) and do not wait: it never returns. So a server that never exits has its leak check at exit."""
    guest = process.guest
    process.undo_changes()
    guest.begin(guest.libc.exit, 0)
