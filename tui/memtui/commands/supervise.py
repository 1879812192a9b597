"""Waits until a live session is settled: its target has ended and all its rows are written. Passes on the user's ctrl-c."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import FrameType

from memtui.terminal import streams
from memtui_profiler.recorder.control import ControlClient
from memtui_profiler.session.folders import is_live

GONE_TIMEOUT_S = 5.0
GIVE_UP_AFTER = 3
ALERT_ID = 0


class OnInterrupt(Enum):
    """What the first ctrl-c does. STOP: it stops the target. LEAVE: the target runs on, and so does its recorder.

    DETACH, for a process that memtui attached to: the recorder detaches from it, unless others watch it.
    """

    STOP = "stop"
    LEAVE = "leave"
    DETACH = "detach"


class End(Enum):
    """Why the waiting ended."""

    SETTLED = "settled"
    LEFT = "the target runs on"
    RECORDER_GONE = "recorder gone"
    GIVEN_UP = "given up"
    UNWRITABLE = "session cannot be written"


class Interrupts:
    """Counts signals instead of ending by them; at the end the handlers that were there before are put back."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self._before: list[tuple[signal.Signals, object]] = []
        self.count = 0
        self.last: int | None = None

    def __enter__(self) -> Interrupts:
        self._before = [(number, signal.signal(number, self._note)) for number in self._numbers]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() returned, signal() takes

    def _note(self, number: int, _: FrameType | None) -> None:
        self.count += 1
        self.last = number

    @property
    def exit_code(self) -> int | None:
        """128 and the number of the last signal, as a shell reports a program that a signal has ended; None when none came."""
        return None if self.last is None else 128 + self.last


def supervise(
    folder: Path,
    control: ControlClient,
    interrupts: Interrupts,
    tick: Callable[[], bool],
    *,
    every_s: float,
    on_interrupt: OnInterrupt = OnInterrupt.STOP,
    unwritable_s: float | None = None,
) -> End:
    """Call ``tick`` every ``every_s`` seconds until it says that the session is settled; return why the waiting ended.

    A session that cannot be written never settles, as its rows wait in the recorder for space on the disk. With
    ``unwritable_s`` the waiting ends so many seconds after the target has.

    The first interrupt does what ``on_interrupt`` says. With STOP the second kills the target, and the third ends the
    waiting; with DETACH the second ends it.
    """
    control.send("watch")
    answered = 0
    unwritable, target_gone_s = False, None
    while not tick():
        if not is_live(folder):
            # The recorder may have settled the run and gone between the tick and this look.
            return End.SETTLED if tick() else End.RECORDER_GONE
        for reply in control.poll():
            if reply.error is not None:
                streams.complain(str(reply.error))
                unwritable = unwritable or reply.id == ALERT_ID
            elif reply.result.get("let_go") is False:
                return End.LEFT
            elif reply.result.get("pid", 0) is None and target_gone_s is None:
                target_gone_s = time.monotonic()
        if unwritable and unwritable_s is not None:
            if target_gone_s is None:
                control.send("watch")  # its answer says whether there is still a target
            elif time.monotonic() - target_gone_s > unwritable_s:
                return End.UNWRITABLE
        while answered < interrupts.count:
            answered += 1
            if on_interrupt is OnInterrupt.LEAVE:
                return End.LEFT
            detaching = on_interrupt is OnInterrupt.DETACH
            if answered >= (2 if detaching else GIVE_UP_AFTER):
                return End.GIVEN_UP
            control.send("detach" if detaching else "stop" if answered == 1 else "kill")
        time.sleep(every_s)
    return End.SETTLED


def wait_until_gone(folder: Path) -> None:
    """Wait, some seconds at most, until the recorder has ended: then the folder can be deleted or opened as one file."""
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while is_live(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
