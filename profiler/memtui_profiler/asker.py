"""The thread that speaks with one running process: every ptrace request of memtui is made here, and nothing else is done.

The recorder's loop never waits for it: it submits questions and is woken, through a descriptor, when there are answers.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from memtui_parsers.errors import ParseError
from memtui_profiler.allocators.base import Allocator
from memtui_profiler.allocators.find import find_allocator, why_none
from memtui_profiler.errors import UserError
from memtui_profiler.guest.arrival import Arrival, arrive, refused_by_kernel
from memtui_profiler.guest.guest import GuestGoneError, GuestThread
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.process_image import ProcessImage

T = TypeVar("T")

LEAVE_WITHIN_S = 3.0
_ENDED = UserError("cannot ask the process", "memtui no longer speaks with it", "see recorder.log of the session")


class Conversation:
    """What a question has to work with: the process as it is now. Made anew after an exec. Lives in the asker's thread.

    ``on_arrival`` is told of a guest that was made.
    """

    def __init__(self, pid: int, *, force: bool, on_arrival: Callable[[Arrival], None]) -> None:
        self.pid = pid
        self._force = force
        self._on_arrival = on_arrival
        self._image: ProcessImage | None = None
        self._memory: ProcessMemory | None = None
        self._guest: GuestThread | None = None
        self._allocator: Allocator | None = None
        self._last_words: list[Callable[[GuestThread], None]] = []

    @property
    def image(self) -> ProcessImage:
        """Raises UserError when the process may not be looked into."""
        if self._image is None:
            try:
                self._image = ProcessImage(self.pid)
            except PermissionError as error:
                raise refused_by_kernel(self.pid) from error
            except OSError as error:
                raise GuestGoneError("cannot ask the process", "it has ended", "start it again") from error
        return self._image

    @property
    def memory(self) -> ProcessMemory:
        """Raises UserError likewise."""
        if self._memory is None:
            try:
                self._memory = ProcessMemory(self.pid)
            except PermissionError as error:
                raise refused_by_kernel(self.pid) from error
            except OSError as error:
                raise GuestGoneError("cannot ask the process", "it has ended", "start it again") from error
        return self._memory

    @property
    def allocator(self) -> Allocator:
        """Raises UserError when the process has none that can be asked."""
        if self._allocator is None:
            self._allocator = find_allocator(self.image)
        if self._allocator is None:
            lacking = why_none(self.image)
            raise UserError("cannot ask for the allocator's figures", lacking.reason, lacking.todo)
        return self._allocator

    @property
    def present(self) -> GuestThread | None:
        """The guest, if it is there already."""
        return self._guest

    @property
    def guest(self) -> GuestThread:
        """The guest; made now if there is none. Raises UserError with the reason why there can be none."""
        if self._guest is None:
            try:
                arrival = arrive(self.pid, self.image, self.memory, force=self._force)
            except UserError:
                self._image = None  # threads and stacks that come later are not in it
                raise
            self._guest = arrival.guest
            self._on_arrival(arrival)
        return self._guest

    def before_leaving(self, words: Callable[[GuestThread], None]) -> None:
        """Something to undo in the process when memtui lets go of it; done once, the last first."""
        self._last_words.append(words)

    def forget(self) -> None:
        """After an exec nothing that was known holds any more."""
        self._guest = self._image = self._allocator = None
        self._last_words.clear()
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def leave(self) -> None:
        """Undo what was begun and end the guest; nothing of ours stays in the process."""
        guest = self._guest
        if guest is not None:
            if not guest.busy:
                self.say_last_words()
            guest.leave()  # one that is at something leaves when it comes back from it
        self.forget()

    def say_last_words(self) -> None:
        """Undo what was begun in the process, while it still answers."""
        while self._last_words and self._guest is not None:
            with contextlib.suppress(UserError):
                self._last_words.pop()(self._guest)


@dataclass(frozen=True, slots=True)
class _Question(Generic[T]):
    ask: Callable[[Conversation], T]
    done: Callable[[T | UserError], None]


class Asker:
    """Answers arrive in the loop: when ``descriptor`` is readable, deliver() calls ``done`` of each question that was answered.

    A question is a function of the conversation. What it returns, or the UserError it raises, is the answer.
    """

    def __init__(self, pid: int, *, force: bool, on_arrival: Callable[[Arrival], None]) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._answers: deque[Callable[[], None]] = deque()
        self._questions: queue.SimpleQueue[_Question[Any] | None] = queue.SimpleQueue()
        self._open = 0
        self._ended = False
        self._conversation = Conversation(
            pid, force=force, on_arrival=lambda arrival: self._say(lambda: on_arrival(arrival))
        )
        self._thread = threading.Thread(target=self._run, name="memtui-asker", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether every question has been answered."""
        return self._open == 0

    def submit(self, ask: Callable[[Conversation], T], done: Callable[[T | UserError], None]) -> None:
        self._open += 1
        if self._ended:
            self._answer(done, _ENDED)
            return
        self._questions.put(_Question(ask, done))

    def deliver(self) -> None:
        """Hand out the answers that are there."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)
        while self._answers:
            self._answers.popleft()()

    def dismiss(self) -> None:
        """Let go of the process, without waiting for it; nothing may be submitted any more. Answers that come now are dropped."""
        self._questions.put(None)

    @property
    def gone(self) -> bool:
        """Whether the process has been let go."""
        return not self._thread.is_alive()

    def join(self, timeout_s: float = LEAVE_WITHIN_S) -> None:
        """Wait until the process has been let go; a call that does not come back may take longer."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while (question := self._questions.get()) is not None:
                self._answer(question.done, self._ask(question))
            self._conversation.leave()
        finally:
            # Also after a mistake of ours, which goes to the recorder's log: nobody may wait for an answer for ever.
            self._ended = True
            while not self._questions.empty():
                if (question := self._questions.get()) is not None:
                    self._answer(question.done, _ENDED)
            os.close(self.descriptor)

    def _ask(self, question: _Question[Any]) -> Any:
        try:
            return question.ask(self._conversation)
        except GuestGoneError as error:
            self._conversation.forget()
            return error
        except UserError as error:
            return error
        except (OSError, ParseError) as error:
            return UserError("cannot ask the process", str(error), "try again")

    def _answer(self, done: Callable[[T | UserError], None], answer: T | UserError) -> None:
        def deliver() -> None:
            self._open -= 1
            done(answer)

        self._say(deliver)

    def _say(self, words: Callable[[], None]) -> None:
        self._answers.append(words)
        with contextlib.suppress(OSError):  # closed: nobody listens any more
            os.eventfd_write(self.descriptor, 1)
