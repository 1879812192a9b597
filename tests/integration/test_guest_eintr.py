"""A program of one thread is visited while it is in a blocking call: that returns what it returns when nobody comes."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from memtui_profiler.guest.hijack import NotNowError, make_guest
from memtui_profiler.guest.host import choose_host
from memtui_profiler.guest.libc import find_libc
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.threads import sleep_of
from memtui_profiler.process.image import ProcessImage
from tests.fixtures.guest import Target, build, guest_in, refusal_of, running, server

VISITS = 3
TIMEOUT_MS = 2500
TIMED = (
    *(
        "nanosleep",
        "clock_nanosleep",
        "poll",
        "ppoll",
        "select",
        "pselect",
        "epoll_wait",
        "epoll_pwait",
        "cond_timedwait",
    ),
    *("sem_timedwait", "recv, SO_RCVTIMEO", "sigtimedwait", "semtimedop"),
)
ENDLESS = ("poll, no end", "epoll_wait, no end", "cond_wait", "sem_wait", "read", "recv", "recvmsg", "accept")
# No host: a lock's wait, one in which the heap checker holds its lock, and one that would return less than was asked for.
REFUSED = ("futex", "wait4", "recv, all of it")
KINDS = (*TIMED, *ENDLESS, *REFUSED)


@dataclass(frozen=True, slots=True)
class Returned:
    """What the call returned, its errno (0 for a call that succeeded), and how long it took."""

    result: int
    error: int
    took_s: float


@dataclass(frozen=True, slots=True)
class Runs:
    """Each kind of call without a visit and with some."""

    alone: dict[str, Returned]
    visited: dict[str, Returned]


def end_of(target: Target, kind: str) -> Returned:
    if kind not in (*TIMED, "futex"):
        target.send("go on")
    result, error, took_s = target.answer().split()
    return Returned(int(result), int(error), float(took_s))


def visit(target: Target, kind: str) -> None:
    target.falls_asleep()
    call = sleep_of(target.pid, target.pid)
    if kind in REFUSED:
        assert "no thread of it slept where it is safe" in refusal_of(target.pid).why
    for _ in range(VISITS if kind not in REFUSED else 0):
        with guest_in(target.pid) as arrival:
            assert arrival.host_tid == target.pid
            target.falls_asleep(call.number if call else -1)
    # In the same call from the same place all the while.
    target.falls_asleep()
    assert sleep_of(target.pid, target.pid) == call


def all_runs(program: Path) -> Runs:
    """All at once: most of the time goes by in waits."""
    with contextlib.ExitStack() as stack:

        def started(kind: str) -> Target:
            return stack.enter_context(running([program, kind, str(TIMEOUT_MS)]))

        alone = {kind: started(kind) for kind in KINDS}
        visited = {}
        for kind in KINDS:
            visited[kind] = started(kind)
            visit(visited[kind], kind)
        return Runs(
            {kind: end_of(target, kind) for kind, target in alone.items()},
            {kind: end_of(target, kind) for kind, target in visited.items()},
        )


@pytest.fixture(scope="module")
def runs() -> Runs:
    return all_runs(build("waits"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_call_returns_the_same(runs: Runs, kind: str) -> None:
    alone, visited = runs.alone[kind], runs.visited[kind]
    assert (visited.result, visited.error) == (alone.result, alone.error)
    if kind in TIMED:
        # Never cut short; where the wall clock is slewed, the two clocks differ by so much.
        assert visited.took_s >= TIMEOUT_MS / 1000 - 0.01


def test_a_thread_that_turns_out_to_be_no_host_is_let_go_of_as_if_nobody_had_come() -> None:
    """Even from epoll_wait, which the kernel does not make again by itself."""
    with server("epoll") as target:
        memory = ProcessMemory(target.pid)
        libc = find_libc(ProcessImage(target.pid))
        for _ in range(20):
            host = choose_host(target.pid, memory, libc.restorer)
            elsewhere = replace(host, sleep=replace(host.sleep, pc=host.sleep.pc + 1))
            with pytest.raises(NotNowError, match="no longer sleeps where it did"):
                make_guest(target.pid, elsewhere, libc, memory)
            target.falls_asleep(host.sleep.number)
            without_room = replace(host, top=host.stack[0] - (1 << 40))
            with pytest.raises(NotNowError, match="no room on its stack"):
                make_guest(target.pid, without_room, libc, memory)
        memory.close()
        assert target.ask("interruptions") == "0"
        assert target.serves()


@pytest.mark.skipif(os.geteuid() != 0, reason="filters are read by root only, here too")
def test_filters_are_read_without_an_interruption() -> None:
    with server("epoll") as target:
        assert target.ask("filter 2") == "done"
        for _ in range(10):
            with guest_in(target.pid):
                assert target.serves()
        assert target.ask("interruptions") == "0"
