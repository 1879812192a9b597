"""The asker is killed after each ptrace request and each write in turn: every target lives, serves and can be asked again."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import cache, partial

import pytest

from memtui_profiler.guest.parking import PAUSE
from memtui_profiler.guest.ptrace import Fault, no_fault
from memtui_profiler.guest.threads import sleep_of, status_of, thread_ids
from memtui_profiler.process.image import ProcessImage
from tests.fixtures.guest import LONG, TCMALLOC, Target, arrive_in, die_in_a_child, guest_in, kill_self, server
from tests.fixtures.waiting import until

TIMES_EACH = 50 if LONG else 3
RANDOM_MOMENTS = 200 if LONG else 20
LONGEST_LIFE_S = 0.06
SIGTERM = 1 << signal.SIGTERM - 1
# See server.c. The host is the main thread in the first three, and a thread with a stack of glibc's making in the last.
SERVERS = {
    "one thread in read": ("read", 0),
    "one thread in epoll": ("epoll", 0),
    "busy threads": ("epoll", 4),
    "a thread that serves": ("thread", 2),
}


def one_call(pid: int, fault: Fault = no_fault, later_fault: Fault = no_fault) -> None:
    """Arrive and ask for the allocator's figures once; ``fault`` sees the steps of arriving, ``later_fault`` those of the call."""
    guest = arrive_in(pid, fault=fault).guest
    address = ProcessImage(pid).address_of("MallocExtension_GetStats")
    assert address is not None
    guest._fault = later_fault
    guest.call(address, guest.scratch, guest.scratch_bytes, timeout_s=20)


class Steps:
    """A fault hook that counts, and kills its process after step ``last``."""

    def __init__(self, last: int = -1) -> None:
        self.names: list[str] = []
        self._last = last

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) - 1 == self._last:
            kill_self()


@cache
def steps() -> tuple[list[str], list[str]]:
    """The names of the steps of arriving and of a later call."""
    arriving, later = Steps(), Steps()
    with server(preload=TCMALLOC) as target:
        one_call(target.pid, arriving, later)
    return arriving.names, later.names


def masks_of(target: Target) -> dict[int, int]:
    """The signals that each of its threads blocks."""
    found = {tid: status_of(target.pid, tid) for tid in thread_ids(target.pid)}
    return {tid: status.blocked for tid, status in found.items() if status is not None}


def masks_at_first(target: Target) -> dict[int, int]:
    """As masks_of(), once all its threads have begun: until then glibc blocks all their signals."""
    until(lambda: not any(mask & SIGTERM for mask in masks_of(target).values()), "all threads have begun")
    return masks_of(target)


def lives_on(target: Target, masks: dict[int, int]) -> None:
    """It serves, a guest can come and ask, and all is as with ``masks`` at first: no thread more, no signal more blocked."""
    until(lambda: all(is_parked(target.pid, tid, masks) for tid in thread_ids(target.pid)), "what was begun is done")
    assert target.serves()
    with guest_in(target.pid) as arrival:
        address = ProcessImage(target.pid).address_of("MallocExtension_GetStats")
        assert address is not None
        arrival.guest.call(address, arrival.guest.scratch, arrival.guest.scratch_bytes, timeout_s=20)
        assert b"MALLOC:" in arrival.guest.read(arrival.guest.scratch, 1000)
    assert target.serves()
    until(lambda: masks_of(target) == masks or late_guest_left(target.pid), "no thread of ours is left")
    assert masks_of(target) == masks


def late_guest_left(pid: int) -> bool:
    """One that a host, slow to run, made only after the next asker had made its own: that is adopted, and leaves too."""
    with guest_in(pid):
        return False


def is_parked(pid: int, tid: int, masks: dict[int, int]) -> bool:
    return tid in masks or ((sleep := sleep_of(pid, tid)) is not None and sleep.number == PAUSE)


def test_the_steps_are_those_that_are_known() -> None:
    arriving, later = steps()
    assert {"seize", "interrupt", "stopped", "write the frame", "set registers", "set signal mask", "detach"} < {
        *arriving
    }
    assert later == [
        "seize",
        "interrupt",
        "stopped",
        "get registers",
        "write the parking frame",
        "set registers",
        "detach",
    ]


@pytest.mark.parametrize("how", list(SERVERS))
def test_killed_after_each_step(how: str) -> None:
    arriving, later = steps()
    kind, busy = SERVERS[how]
    for _ in range(TIMES_EACH):
        with server(kind, busy, preload=TCMALLOC) as target:
            masks = masks_at_first(target)
            for last in range(len(arriving)):
                ended_by = die_in_a_child(partial(one_call, target.pid, Steps(last)))
                assert ended_by == signal.SIGKILL, arriving[last]
                lives_on(target, masks)
            for last in range(len(later)):
                ended_by = die_in_a_child(partial(one_call, target.pid, later_fault=Steps(last)))
                assert ended_by == signal.SIGKILL, later[last]
                lives_on(target, masks)


def ask_for_ever(pid: int) -> None:
    while True:
        guest = arrive_in(pid).guest
        address = ProcessImage(pid).address_of("MallocExtension_GetStats")
        assert address is not None
        for _ in range(20):
            guest.call(address, guest.scratch, guest.scratch_bytes, timeout_s=20)
        guest.leave()


def killed_at(moments: int) -> Iterator[Callable[[Target], None]]:
    """So many ways to have an asker killed while it asks a target."""
    lives = random.Random(3)
    for _ in range(moments):
        yield partial(killed_after, life_s=lives.uniform(0, LONGEST_LIFE_S))


def killed_after(target: Target, life_s: float) -> None:
    child = os.fork()
    if child == 0:
        try:
            ask_for_ever(target.pid)
        finally:
            os.abort()
    time.sleep(life_s)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_killed_at_random_moments() -> None:
    with server("epoll", 4, preload=TCMALLOC) as target:
        masks = masks_at_first(target)
        for kill in killed_at(RANDOM_MOMENTS):
            kill(target)
            lives_on(target, masks)
