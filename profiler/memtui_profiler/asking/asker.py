"""The thread that puts questions to one running process. It makes every ptrace request of memtui, and does nothing else.

The recorder's loop never waits for it: the loop submits questions, and a descriptor becomes readable when there are answers.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from memtui_parsers.errors import ParseError
from memtui_profiler.asking.asked_process import AskedProcess
from memtui_profiler.errors import UserError
from memtui_profiler.guest.arrival import Arrival
from memtui_profiler.guest.errors import GuestGoneError, cannot_ask, image_gone
from memtui_profiler.guest.threads import is_frozen
from memtui_profiler.process.own_thread import start_thread

T = TypeVar("T")

DETACHES_WITHIN_S = 3.0
_DETACHED = cannot_ask("memtui no longer asks it", "see recorder.log of the session")


# A question, and what to call in the loop with its answer.
_Submitted = tuple[Callable[[AskedProcess], Any], Callable[[Any], None]]


class Asker:
    """Puts questions to the process ``pid``, one after the other.

    When ``descriptor`` is readable, deliver() calls ``done`` of each question that was answered: with what the question
    returned, or with the UserError that it raised. ``left_behind`` is why a thread of ours stays in the process, once memtui
    has left it; None when none does.
    """

    def __init__(self, pid: int, *, force: bool, on_arrival: Callable[[Arrival], None]) -> None:
        """Raises OSError where no descriptor is free or no thread can be made; nothing is left open then."""
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._to_deliver: deque[Callable[[], None]] = deque()
        self._submitted: queue.SimpleQueue[_Submitted | None] = queue.SimpleQueue()
        self.left_behind: UserError | None = None
        self._unanswered = 0
        self._ended = False
        self._pid = pid
        self._detached_s = math.inf  # when it was told to leave
        self._process = AskedProcess(
            pid, force=force, on_arrival=lambda arrival: self._post(lambda: on_arrival(arrival))
        )
        try:
            self._thread = start_thread(self._run, "memtui-asker")
        except OSError:
            os.close(self.descriptor)
            raise

    @property
    def idle(self) -> bool:
        """Whether every question has been answered."""
        return self._unanswered == 0

    def submit(self, question: Callable[[AskedProcess], T], done: Callable[[T | UserError], None]) -> None:
        """Queue a question; deliver() calls ``done`` with its answer."""
        self._unanswered += 1
        if self._ended:
            self._answer(done, _DETACHED)
            return
        self._submitted.put((question, done))

    def deliver(self) -> None:
        """Hand out the answers that are there."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)
        while self._to_deliver:
            self._to_deliver.popleft()()

    def detach(self) -> None:
        """Leave the process, without waiting for it. Nothing may be submitted any more; answers that come now are dropped."""
        self._detached_s = time.monotonic()
        self._submitted.put(None)

    @property
    def detached(self) -> bool:
        """Whether memtui has left the process, or cannot before that is thawed; then the kernel does it when memtui ends."""
        return not self._thread.is_alive() or (
            time.monotonic() - self._detached_s > DETACHES_WITHIN_S and is_frozen(self._pid, self._pid)
        )

    def join(self, timeout_s: float = DETACHES_WITHIN_S) -> None:
        """Wait until memtui has left the process; a call that does not come back may take longer."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while (submitted := self._submitted.get()) is not None:
                question, done = submitted
                self._answer(done, self._ask(question))
            self.left_behind = self._process.leave()
        finally:
            # Also after a mistake of ours, which goes to the recorder's log: nobody may wait for an answer for ever.
            self._ended = True
            while not self._submitted.empty():
                if (submitted := self._submitted.get()) is not None:
                    self._answer(submitted[1], _DETACHED)
            os.close(self.descriptor)

    def _ask(self, question: Callable[[AskedProcess], T]) -> T | UserError:
        if self._process.is_gone:
            self._process.forget()
        answer = self._answer_of(question)
        # After an exec whatever was read or looked for fails, in whichever words: only a look at the new program tells.
        if isinstance(answer, UserError) and self._process.is_gone:
            answer = image_gone()
        if isinstance(answer, GuestGoneError):
            self._process.forget()
        return answer

    def _answer_of(self, question: Callable[[AskedProcess], T]) -> T | UserError:
        try:
            return question(self._process)
        except UserError as error:
            return error
        except (OSError, ParseError) as error:
            return cannot_ask(str(error), "try again")
        except Exception as error:  # noqa: BLE001 - a mistake of ours, or a name with a NUL: later questions are answered
            traceback.print_exc()
            return cannot_ask(f"memtui made a mistake ({error})", "see recorder.log of the session")

    def _answer(self, done: Callable[[T | UserError], None], answer: T | UserError) -> None:
        def deliver() -> None:
            self._unanswered -= 1
            done(answer)

        self._post(deliver)

    def _post(self, callback: Callable[[], None]) -> None:
        """Have the loop call it."""
        self._to_deliver.append(callback)
        with contextlib.suppress(OSError):  # closed: nobody listens any more
            os.eventfd_write(self.descriptor, 1)
