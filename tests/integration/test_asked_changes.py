"""A process that changes while it is asked: it executes another program, sandboxes itself, makes itself undumpable."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from memtui_profiler.asking.allocator_figures import Answer, Figures, RateSet, ask_figures, set_release_rate
from memtui_profiler.asking.asked_process import AskedProcess
from memtui_profiler.asking.asker import Asker
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.guest.errors import GuestBusyError, GuestGoneError, GuestSandboxedError
from memtui_profiler.guest.threads import is_frozen, state_of
from tests.fixtures.attached import attached, newest_figures
from tests.fixtures.guest import NOBODY, TCMALLOC, Target, arrive_in, as_user, die_in_a_child, refusal_of, server
from tests.fixtures.waiting import until

T = TypeVar("T")

THREADS, PATIENCE_S = 2000, 12.0

# The filters of filters.h.
DENIES_MOST, KILLS_PAUSE, KILLS_PAUSE_OF_ALL = 2, 3, 4
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do that here")


class Asking:
    def __init__(self, pid: int) -> None:
        self.asker = Asker(pid, force=False, on_arrival=lambda arrival: None)

    def ask(self, question: Callable[[AskedProcess], T]) -> T | UserError:
        answers: list[T | UserError] = []
        self.asker.submit(question, answers.append)

        def answered() -> bool:
            self.asker.deliver()
            return bool(answers)

        until(answered, "the question is answered", deadline_s=60.0)
        return answers[0]

    def figures(self) -> Answer | UserError:
        return self.ask(ask_figures)

    def leave(self) -> UserError | None:
        self.asker.detach()
        self.asker.join(60.0)
        assert self.asker.detached
        return self.asker.left_behind


@contextlib.contextmanager
def asking(pid: int) -> Iterator[Asking]:
    """Nothing of ours is in the process when this ends."""
    asked = Asking(pid)
    try:
        yield asked
    finally:
        left = asked.leave()
    assert left is None


def executes(target: Target) -> None:
    target.send("exec")
    assert target.answer() == "ready"


def test_figures_come_again_after_each_exec() -> None:
    with server("epoll", 2, preload=TCMALLOC) as target, asking(target.pid) as asked:
        for _ in range(3):
            assert isinstance(asked.figures(), Figures)
            executes(target)
        assert isinstance(asked.figures(), Figures)
        assert target.serves()


def test_an_exec_after_a_refusal() -> None:
    with server(preload=TCMALLOC) as target, asking(target.pid) as asked:
        os.kill(target.pid, signal.SIGSTOP)
        until(lambda: state_of(target.pid, target.pid) == "T", "it is stopped")
        assert isinstance(asked.figures(), UserError)
        os.kill(target.pid, signal.SIGCONT)
        executes(target)
        assert isinstance(asked.figures(), Figures)


def test_an_exec_of_a_process_that_no_guest_was_in() -> None:
    with server(preload=TCMALLOC) as target, asking(target.pid) as asked:
        for rate in (2.0, 3.0):
            answer = asked.ask(lambda process, rate=rate: set_release_rate(process, rate))  # type: ignore[misc]
            assert isinstance(answer, RateSet), answer
            executes(target)


def test_an_exec_during_a_question() -> None:
    with server("epoll", 1, preload=TCMALLOC) as target, asking(target.pid) as asked:

        def while_it_executes(process: AskedProcess) -> Answer:
            assert process.guest
            executes(target)
            return ask_figures(process)

        assert isinstance(asked.ask(while_it_executes), GuestGoneError)
        assert isinstance(asked.figures(), Figures)


def test_a_process_that_sandboxes_itself_later_is_not_woken() -> None:
    with server("epoll", 2, preload=TCMALLOC) as target:
        asked = Asking(target.pid)
        assert isinstance(asked.figures(), Figures)
        assert target.ask(f"filter {KILLS_PAUSE_OF_ALL}") == "done"
        for _ in range(3):
            assert isinstance(asked.figures(), GuestSandboxedError)
        assert isinstance(asked.leave(), GuestSandboxedError)
        assert target.serves()

        again = Asking(target.pid)
        assert isinstance(again.figures(), GuestSandboxedError)
        again.leave()
        assert target.serves()


@needs_root
def test_a_filter_beside_the_one_that_the_guest_came_with() -> None:
    with server("epoll", preload=TCMALLOC) as target:
        assert target.ask(f"filter {DENIES_MOST}") == "done"
        asked = Asking(target.pid)
        assert isinstance(asked.figures(), Figures)
        assert target.ask(f"filter {KILLS_PAUSE_OF_ALL}") == "done"
        assert isinstance(asked.figures(), GuestSandboxedError)
        asked.leave()
        assert target.serves()


def test_a_guest_that_a_dead_memtui_left_in_a_process_that_sandboxed_itself() -> None:
    with server("epoll", 2, preload=TCMALLOC) as target:
        die_in_a_child(lambda: arrive_in(target.pid))
        assert target.ask(f"filter {KILLS_PAUSE_OF_ALL}") == "done"
        asked = Asking(target.pid)
        assert isinstance(asked.figures(), GuestSandboxedError)
        asked.leave()
        assert target.serves()


def test_a_filter_of_another_thread_is_none_of_the_guests() -> None:
    with server("epoll", 2, preload=TCMALLOC) as target, asking(target.pid) as asked:
        assert isinstance(asked.figures(), Figures)
        assert target.ask(f"filter {KILLS_PAUSE}") == "done"
        assert isinstance(asked.figures(), Figures)
        assert target.serves()


def test_the_session_says_that_a_thread_stays_in_a_sandbox(tmp_path: Path) -> None:
    with server("epoll", 2, preload=TCMALLOC) as target:
        with attached(tmp_path, target.pid) as live:
            newest_figures(live)
            assert target.ask(f"filter {KILLS_PAUSE_OF_ALL}") == "done"
            until(
                lambda: any("leaves its thread asleep" in event.text for event in live.events(EventKind.NOTE)),
                "the session tells of the filter",
            )
            assert target.serves()
            live.ask("detach")
            until(
                lambda: any("stays in the process" in event.text for event in live.events(EventKind.NOTE)),
                "the session tells of the thread",
            )
        assert target.serves()


@needs_root
def test_a_process_that_makes_itself_undumpable_keeps_its_guest_and_that_is_told() -> None:
    with server("epoll", 2, preload=TCMALLOC, user=NOBODY) as target:

        def visit() -> str:
            asked = Asking(target.pid)
            assert isinstance(asked.figures(), Figures)
            assert target.ask("undumpable") == "done"
            answer = asked.figures()
            assert isinstance(answer, UserError)
            return f"{answer.why}; {asked.leave()}"

        said = as_user(NOBODY, visit)
        assert said.count("undumpable") == 2, said
        assert target.serves()


def test_a_mistake_in_one_question_costs_no_other() -> None:
    """As a NUL in a path that the process names."""
    with server("epoll", 1, preload=TCMALLOC) as target, asking(target.pid) as asked:
        answer = asked.ask(lambda process: os.stat(f"/proc/{process.pid}/root/\0"))
        assert isinstance(answer, UserError) and "null" in str(answer)
        assert isinstance(asked.figures(), Figures)


def test_a_recorder_is_no_process_to_be_asked(tmp_path: Path) -> None:
    with server("epoll", 1, preload=TCMALLOC) as target, attached(tmp_path, target.pid) as live:
        newest_figures(live)
        refused = refusal_of(live.recorder_pid)
        assert "recorder of memtui's own" in refused.why
        assert "kill" not in refused.todo
        newest_figures(live)


def test_thousands_of_threads_in_pause() -> None:
    """Each could be a guest, and each is looked at: by looking at the mappings for each it took half a minute."""
    with server("epoll", 1, preload=TCMALLOC) as target:
        assert target.ask(f"pause {THREADS}") == "done"
        asked = Asking(target.pid)
        began_s = time.monotonic()
        assert isinstance(asked.figures(), Figures)
        assert asked.leave() is None
        assert time.monotonic() - began_s < PATIENCE_S
        assert target.serves()


@pytest.fixture(params=["freezer", "unified"])
def freezer(request: pytest.FixtureRequest) -> Iterator[Callable[[int, bool], None]]:
    """Freezes and thaws a process, by the freezer of each version of control groups."""
    versions = {"freezer": ("freezer.state", ("THAWED", "FROZEN")), "unified": ("cgroup.freeze", ("0", "1"))}
    file, words = versions[request.param]
    above = Path("/sys/fs/cgroup") / request.param
    if request.param == "unified" and not above.is_dir():
        above = above.parent
    group = above / f"memtui-{os.getpid()}"
    try:
        group.mkdir()
        (group / file).write_text(words[0])
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip("no such control group can be made here")

    def freeze(pid: int, is_to_be: bool) -> None:
        (group / "cgroup.procs").write_text(str(pid))
        (group / file).write_text(words[is_to_be])
        until(lambda: is_frozen(pid, pid) == is_to_be, "it is frozen or thawed")

    try:
        yield freeze
    finally:
        (group / file).write_text(words[0])

        def is_removed() -> bool:
            with contextlib.suppress(OSError):
                group.rmdir()
            return not group.exists()

        until(is_removed, "the group is empty")


def test_a_frozen_process_holds_nobody_up(freezer: Callable[[int, bool], None]) -> None:
    with server("epoll", 2, preload=TCMALLOC) as target:
        with asking(target.pid) as asked:
            assert isinstance(asked.figures(), Figures)
            freezer(target.pid, True)
            for _ in range(2):
                answer = asked.figures()
                assert isinstance(answer, GuestBusyError) and answer.why == "the process is frozen"
            freezer(target.pid, False)
            assert isinstance(asked.figures(), Figures)
        assert target.serves()


def test_a_frozen_process_can_be_left(freezer: Callable[[int, bool], None], tmp_path: Path) -> None:
    with server("epoll", 2, preload=TCMALLOC) as target:
        with attached(tmp_path, target.pid) as live:
            newest_figures(live)
            freezer(target.pid, True)
            assert not live.ask("release").ok
            live.ask("detach")
            until(
                lambda: any("is frozen" in event.text for event in live.events(EventKind.NOTE)),
                "the session tells of the thread that stays",
            )
        freezer(target.pid, False)
        assert target.serves()
        with asking(target.pid) as asked:
            assert isinstance(asked.figures(), Figures)
        assert target.serves()
