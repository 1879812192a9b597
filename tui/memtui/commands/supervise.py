"""Waits beside a live session until its target is gone and everything of it is in, and passes on the user's ctrl-c."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import FrameType, TracebackType

from memtui import terminal
from memtui_profiler.control import ControlClient
from memtui_profiler.session.folders import is_live

GONE_TIMEOUT_S = 5.0
GIVE_UP_AFTER = 3
ALERT_ID = 0
LET_GO = "let go"


class End(Enum):
    """Why the waiting ended."""

    SETTLED = "settled"
    DETACHED = "detached"
    RECORDER_GONE = "recorder gone"
    GIVEN_UP = "given up"
    UNWRITABLE = "session cannot be written"


class Interrupts:
    """Counts the signals it stands for instead of dying of them; the handlers found are put back at the end."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self._before: list[tuple[signal.Signals, object]] = []
        self.count = 0
        self.last: int | None = None

    def __enter__(self) -> Interrupts:
        self._before = [(number, signal.signal(number, self._note)) for number in self._numbers]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() returned, signal() takes

    def _note(self, number: int, _: FrameType | None) -> None:
        self.count += 1
        self.last = number

    @property
    def exit_code(self) -> int | None:
        """128 and the signal, as a shell would say of a program that died of it; None when none came."""
        return None if self.last is None else 128 + self.last


def supervise(
    folder: Path,
    control: ControlClient,
    interrupts: Interrupts,
    tick: Callable[[], bool],
    *,
    every_s: float,
    on_interrupt: str = "stop",
    unwritable_s: float | None = None,
) -> End:
    """Call ``tick`` until it says that the session is settled.

    A session that cannot be written never settles, as its rows wait in the recorder for space on the disk. With
    ``unwritable_s`` the waiting ends so many seconds after the target has.

    The first interrupt stops the target by the ladder, the second kills it, a third stops waiting for either; with
    ``on_interrupt`` 'detach' the first leaves it running; with 'let go', for a process that was attached to, the first has
    the recorder let go of it, unless others watch it, and the second waits no longer for that.
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
                terminal.complain(str(reply.error))
                unwritable = unwritable or reply.id == ALERT_ID
            elif reply.result.get("let_go") is False:
                return End.DETACHED
            elif reply.result.get("pid", 0) is None and target_gone_s is None:
                target_gone_s = time.monotonic()
        if unwritable and unwritable_s is not None:
            if target_gone_s is None:
                control.send("watch")  # its answer says whether there is still a target
            elif time.monotonic() - target_gone_s > unwritable_s:
                return End.UNWRITABLE
        while answered < interrupts.count:
            answered += 1
            if on_interrupt == "detach":
                control.send("leave")
                return End.DETACHED
            if answered >= (2 if on_interrupt == LET_GO else GIVE_UP_AFTER):
                return End.GIVEN_UP
            if on_interrupt == LET_GO:
                control.send("detach")
                continue
            control.send("stop" if answered == 1 else "kill")
        time.sleep(every_s)
    return End.SETTLED


def wait_until_gone(folder: Path) -> None:
    """Wait, a little, for the recorder to let go of the folder, so that it can be deleted or opened as one file."""
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while is_live(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
