"""The rows and events that the answers of one process become."""

from __future__ import annotations

from dataclasses import asdict

from memtui_profiler.allocators.detail_json import to_json
from memtui_profiler.asking.allocator_figures import Figures, NoFigures
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.guest.arrival import Arrival
from memtui_profiler.request import format_rate
from memtui_profiler.session.recording import Recording
from memtui_profiler.session.rows import AllocatorDetailRow, AllocatorSample, GuestRow

WAITING, READY, BUSY, REFUSED, OFF, GONE = "waiting", "ready", "busy", "refused", "off", "gone"


class AnswerRows:
    """Writes the allocator's figures, and whether the process answers, for ``run``.

    ``guest_stack`` is the address range of the guest's stack once there is one.
    """

    def __init__(self, run: int, recording: Recording) -> None:
        self.guest_stack: tuple[int, int] | None = None
        self._run = run
        self._recording = recording
        self._newest: AllocatorSample | None = None
        self._release_rate: float | None = None
        self._allocator = ""
        self._beside = ""
        self._actions: str | None = None
        self._state: tuple[str | None, ...] = ()

    @property
    def answers(self) -> bool:
        """Whether the process has answered, and did so when it was asked last."""
        return self._newest is not None and self._state[:1] == (READY,)

    def figures(self, figures: Figures) -> None:
        """Add what the allocator said."""
        now_s = self._recording.now_s()
        self._newest = AllocatorSample(
            at_s=now_s,
            run=self._run,
            allocator=figures.allocator,
            **asdict(figures.stats),
            release_rate=figures.release_rate,
            cost_s=figures.cost_s,
        )
        self._recording.add(self._newest)
        if figures.detail is not None:
            self._recording.add(AllocatorDetailRow(at_s=now_s, run=self._run, detail=to_json(figures.detail)))
        rate, before = figures.release_rate, self._release_rate
        if rate is not None and before is not None and rate != before:
            text = f"release rate {format_rate(before)} -> {format_rate(rate)}, changed from outside"
            self._recording.event(EventKind.RATE_CHANGED, text, release_rate=rate, old_release_rate=before)
        self._release_rate = rate
        self._allocator = figures.allocator
        self._beside, self._actions = figures.beside, ",".join(figures.actions)
        self.state(READY)

    def no_figures(self, answer: NoFigures) -> None:
        """The allocator has none, but can be asked for other things."""
        self._allocator = answer.allocator
        self._beside, self._actions = answer.beside, ",".join(answer.actions)
        self.state(READY, answer.why)

    def rate_was_set(self, rate: float) -> None:
        """Memtui itself set the release rate: the next figures will have it."""
        self._release_rate = rate

    @property
    def newest(self) -> AllocatorSample | None:
        """What the allocator said last; None: nothing yet."""
        return self._newest

    def in_use_and_kept(self, now_s: float, fresh_s: float) -> tuple[int | None, int | None]:
        """Bytes in use by the application and kept by the allocator; None twice when they are older than ``fresh_s``."""
        newest = self._newest
        if newest is None or now_s - newest.at_s > fresh_s:
            return None, None
        kept = newest.free_bytes + newest.central_bytes + newest.transfer_bytes + newest.thread_bytes
        return newest.in_use_bytes, kept + newest.metadata_bytes

    def state(self, state: str, error: UserError | None = None) -> None:
        """Add a row when this is news: whether the process answers, and ``error`` if not, or if it has no figures."""
        news = (state, str(error or ""), self._beside, self._actions)
        if news == self._state:
            return
        self._state = news
        what, why, todo = (error.what, error.why, error.todo) if error else ("", "", "")
        self._recording.add(
            GuestRow(self._recording.now_s(), self._run, state, self._allocator, what, why, todo, *self._state[2:])
        )

    def arrived(self, arrival: Arrival) -> None:
        """Add the event of a guest that was made or found."""
        guest, host_us = arrival.guest, arrival.disturbed_s * 1e6
        self.guest_stack = guest.stack_range
        text = f"the thread that an earlier memtui left, {guest.tid}, answers"
        if arrival.host_tid:
            text = f"a thread of memtui's, {guest.tid}, now answers; thread {arrival.host_tid} was disturbed for "
            text += f"{host_us:.0f} us to make it"
        self._recording.event(EventKind.GUEST, text, tid=guest.tid, host_tid=arrival.host_tid, host_us=round(host_us))
