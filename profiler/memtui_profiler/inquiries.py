"""The recorder's side of asking one run's process: when its figures are due, what a command asks, which rows come of it."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from memtui_profiler.allocators.detail_json import to_json
from memtui_profiler.allocators.tcmalloc import acts_after_bytes, acts_after_words
from memtui_profiler.asker import Asker, Conversation
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.guest.arrival import Arrival
from memtui_profiler.guest.guest import GuestBusyError, GuestGoneError
from memtui_profiler.questions.clean_exit import call_exit
from memtui_profiler.questions.figures import Figures, RateSet, Released, ask_figures, release_memory, set_release_rate
from memtui_profiler.questions.heap_profile import HeapProfiler, Snapshot
from memtui_profiler.questions.leak_check import LeakCheck, LeakQuestion
from memtui_profiler.request import format_rate
from memtui_profiler.session.rows import AllocatorDetailRow, AllocatorSample, GuestRow, Row
from memtui_profiler.words import size_words

T = TypeVar("T")

INTERVAL_S = 1.0
SHORTEST_S = 0.1
MOVED_BYTES, MOVED_SHARE = 8 << 20, 0.03
DETAIL_INTERVAL_S = 5.0
COST_SHARE = 0.01
RETRY_S = 10.0
FRESH_S = 3.0

WAITING, READY, BUSY, REFUSED, OFF, GONE = "waiting", "ready", "busy", "refused", "off", "gone"

_ENDED = UserError("the process did not answer", "it has ended", "relaunch it and ask again")
_OFF = UserError("cannot ask the process", "--no-guest was given", "leave it out")


class Recording(Protocol):
    """What of the recorder an inquiry needs: the time, and places for rows and events."""

    def now_s(self) -> float: ...

    def event(self, kind: EventKind, text: str, **detail: Any) -> None: ...

    def add(self, row: Row) -> int: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: ``result`` for its reply, or the error it was refused with."""

    result: dict[str, Any]
    error: UserError | None = None


Done = Callable[[Outcome], None]


class Inquiries:
    """Asks one process for as long as it runs. ``wanted``: also a process of one thread is asked, which takes a second one.

    ``own_stack`` is the address range of the guest's stack once there is one.
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
    ) -> None:
        self.run = run
        self.pid = pid
        self.folder = folder
        self.wanted = False
        self.own_stack: tuple[int, int] | None = None
        self._recording = recording
        self._selector = selector
        self._off = off
        self._asker = Asker(pid, force=force, on_arrival=self._arrived)
        selector.register(self._asker.descriptor, selectors.EVENT_READ, self._asker.deliver)
        self._profiler = HeapProfiler(folder)
        self._next_s = 0.0
        self._next_detail_s = 0.0
        self._interval_s = INTERVAL_S
        self._shortest_s = SHORTEST_S
        self._soonest_s = 0.0
        self._rss_bytes = 0
        self._state: tuple[str, str] = ("", "")
        self._newest: AllocatorSample | None = None
        self._rate: float | None = None
        self._numbers = 0
        self._commands = 0
        self._waiting: dict[int, Done] = {}
        if off:
            self._stand(OFF, _OFF)

    @property
    def possible(self) -> bool:
        """Whether asking was not switched off."""
        return not self._off

    # Figures, about once a second

    def tick(self, rss_bytes: int) -> None:
        """Ask for figures when they are due; sooner when RSS has moved, for the parts of a burst are not those of before."""
        now_s = self._recording.now_s()
        if (
            self._off
            or not self._asker.idle
            or now_s < (self._soonest_s if self._has_moved(rss_bytes) else self._next_s)
        ):
            return
        if not self.wanted and _has_one_thread(self.pid):
            self._stand(WAITING, None)
            self._next_s = now_s + INTERVAL_S
            return
        detail = now_s >= self._next_detail_s
        self._next_s = now_s + self._interval_s
        self._soonest_s, self._rss_bytes = now_s + self._shortest_s, rss_bytes
        self._asker.submit(lambda conversation: ask_figures(conversation, detail=detail), self._figures_came)

    def _has_moved(self, rss_bytes: int) -> bool:
        """Since the figures were asked for last; only where the process answers."""
        moved = abs(rss_bytes - self._rss_bytes) > max(MOVED_BYTES, MOVED_SHARE * self._rss_bytes)
        return moved and self._newest is not None and self._state[0] == READY

    def split(self, now_s: float) -> tuple[int | None, int | None]:
        """In use and kept, in bytes, for a sample of ``now_s``; None twice when the process was not asked lately."""
        newest = self._newest
        if newest is None or now_s - newest.at_s > max(FRESH_S, 2.5 * self._interval_s):
            return None, None
        kept = newest.free_bytes + newest.central_bytes + newest.transfer_bytes + newest.thread_bytes
        return newest.in_use_bytes, kept + newest.metadata_bytes

    def _figures_came(self, answer: Figures | UserError) -> None:
        if isinstance(answer, UserError):
            self._failed(answer)
            return
        self._interval_s = max(INTERVAL_S, answer.cost_s / COST_SHARE)
        self._shortest_s = max(SHORTEST_S, answer.cost_s / COST_SHARE)
        self._record(answer)
        self._stand(READY, None)

    def _record(self, figures: Figures) -> None:
        now_s, stats = self._recording.now_s(), figures.stats
        row = AllocatorSample(
            at_s=now_s,
            run=self.run,
            allocator=figures.allocator,
            in_use_bytes=stats.in_use_bytes,
            free_bytes=stats.free_bytes,
            central_bytes=stats.central_bytes,
            transfer_bytes=stats.transfer_bytes,
            thread_bytes=stats.thread_bytes,
            metadata_bytes=stats.metadata_bytes,
            released_bytes=stats.released_bytes,
            release_rate=figures.release_rate,
            cost_s=figures.cost_s,
        )
        self._newest = row
        self._recording.add(row)
        if figures.detail is not None:
            self._next_detail_s = now_s + max(DETAIL_INTERVAL_S, figures.cost_s / COST_SHARE)
            self._recording.add(AllocatorDetailRow(at_s=now_s, run=self.run, detail=to_json(figures.detail)))
        self._see_rate(figures.release_rate)

    def _see_rate(self, rate: float | None) -> None:
        if rate is not None and self._rate is not None and rate != self._rate:
            text = f"release rate {format_rate(self._rate)} -> {format_rate(rate)}, changed from outside"
            self._recording.event(EventKind.RATE_CHANGED, text, release_rate=rate, old_release_rate=self._rate)
        self._rate = rate

    def _failed(self, error: UserError) -> None:
        """The figures could not be had: for how long depends on why."""
        if isinstance(error, GuestGoneError):
            self._stand(GONE, error)
            self._next_s = self._recording.now_s() + INTERVAL_S
        else:
            self._stand(BUSY if isinstance(error, GuestBusyError) else REFUSED, error)
            self._next_s = self._recording.now_s() + (INTERVAL_S if isinstance(error, GuestBusyError) else RETRY_S)

    def _stand(self, state: str, error: UserError | None) -> None:
        said = (state, str(error) if error else "")
        if said == self._state:
            return
        self._state = said
        what, why, todo = (error.what, error.why, error.todo) if error else ("", "", "")
        allocator = self._newest.allocator if self._newest else ""
        self._recording.add(GuestRow(self._recording.now_s(), self.run, state, allocator, what, why, todo))

    def _arrived(self, arrival: Arrival) -> None:
        self.own_stack = arrival.guest.stack_range
        if arrival.host_tid:
            text = (
                f"a thread of memtui's, {arrival.guest.tid}, now answers; thread {arrival.host_tid} was disturbed for "
            )
            text += f"{arrival.disturbed_s * 1e6:.0f} us to make it"
        else:
            text = f"the thread that an earlier memtui left, {arrival.guest.tid}, answers"
        self._recording.event(
            EventKind.GUEST,
            text,
            tid=arrival.guest.tid,
            host_tid=arrival.host_tid,
            host_us=round(arrival.disturbed_s * 1e6),
        )

    # What a user asks

    def ask(self, done: Done) -> None:
        """From now on the figures are wanted, whatever it takes."""
        self.wanted = True
        self._command(lambda conversation: ask_figures(conversation, detail=True), self._asked, done)

    def release(self, done: Done) -> None:
        self._command(release_memory, self._released, done)

    def set_rate(self, rate: float, done: Done) -> None:
        """Needs no guest, so --no-guest does not forbid it."""
        self._submit(lambda conversation: set_release_rate(conversation, rate), self._rate_was_set, done, guest=False)

    def check(self, question: LeakQuestion, done: Done, came: Callable[[LeakCheck], None]) -> None:
        """``question`` is the checker's own; ``came`` is told of the check before the event is written."""
        self._numbers += 1
        destination = self.folder / f"live-{self._numbers}.{question.suffix}"

        def checked(answer: LeakCheck) -> dict[str, Any]:
            came(answer)
            text = f"the heap was checked in {_duration(answer.seconds)} while it ran"
            self._recording.event(EventKind.LEAK_CHECK, text, seconds=round(answer.seconds, 3))
            return {"seconds": answer.seconds}

        self._submit(lambda conversation: question.ask(conversation, destination), checked, done, guest=question.guest)

    def snapshot(self, done: Done, came: Callable[[Snapshot], None]) -> None:
        self._numbers += 1
        destination = self.folder / f"snapshot-{self._numbers}.heap"

        def taken(answer: Snapshot) -> dict[str, Any]:
            came(answer)
            started = answer.dump is None
            text = "heap snapshot taken"
            if started:
                text = "heap profiler begun: it sees what is allocated from now on; s again takes a snapshot of that"
            self._recording.event(EventKind.SNAPSHOT, text, started=started)
            return {"started": started}

        self._command(lambda conversation: self._profiler.snapshot(conversation, destination), taken, done)

    def clean_exit(self, done: Done) -> None:
        """Have the process call exit(0)."""
        self._command(call_exit, lambda _: {}, done)

    def _asked(self, figures: Figures) -> dict[str, Any]:
        self._figures_came(figures)
        return {"allocator": figures.allocator}

    def _released(self, answer: Released) -> dict[str, Any]:
        self._record(answer.figures)
        self._stand(READY, None)
        gave = max(0, answer.before_bytes - answer.after_bytes)
        text = (
            f"released {size_words(gave)} in {_duration(answer.seconds)}, "
            f"RSS {size_words(answer.before_bytes)} -> {size_words(answer.after_bytes)}"
        )
        detail = {"before_bytes": answer.before_bytes, "after_bytes": answer.after_bytes}
        self._recording.event(EventKind.RELEASED, text, **detail, seconds=round(answer.seconds, 6))
        return detail

    def _rate_was_set(self, answer: RateSet) -> dict[str, Any]:
        self._rate = answer.new
        after = acts_after_bytes(answer.old)
        text = (
            f"release rate {format_rate(answer.old)} -> {format_rate(answer.new)} live, {acts_after_words(answer.old)}"
        )
        self._recording.event(
            EventKind.RATE_SET,
            text,
            release_rate=answer.new,
            old_release_rate=answer.old,
            acts_after_bytes=after,
        )
        return {"release_rate": answer.new}

    def _command(self, ask: Callable[[Conversation], T], answered: Callable[[T], dict[str, Any]], done: Done) -> None:
        self._submit(ask, answered, done, guest=True)

    def _submit(
        self, ask: Callable[[Conversation], T], answered: Callable[[T], dict[str, Any]], done: Done, *, guest: bool
    ) -> None:
        """``guest``: it takes one, which --no-guest forbids."""
        if self._off and guest:
            done(Outcome({}, _OFF))
            return
        number = self._commands = self._commands + 1
        self._waiting[number] = done

        def came(answer: T | UserError) -> None:
            if self._waiting.pop(number, None) is None:
                return
            done(Outcome({}, answer) if isinstance(answer, UserError) else Outcome(answered(answer)))

        self._asker.submit(ask, came)

    def close(self) -> None:
        """Let go of the process, without waiting: it may have ended, or not answer."""
        self._selector.unregister(self._asker.descriptor)
        self._asker.dismiss()
        waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            done(Outcome({}, _ENDED))

    @property
    def gone(self) -> bool:
        """After close(): whether nothing of ours is in the process any more."""
        return self._asker.gone

    def join(self) -> None:
        """Wait, for some seconds at most, until nothing of ours is in the process any more."""
        self._asker.join()


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _has_one_thread(pid: int) -> bool:
    """So it counts once it is gone, too."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True
