"""A server under numbered signals, one each millisecond, is visited and asked: it gets them all, in the order they were sent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from memtui_profiler.process.image import ProcessImage
from tests.fixtures.guest import LONG, TCMALLOC, Target, arrive_in, build, running, server
from tests.fixtures.waiting import until

CALLS = 10_000 if LONG else 1_000
VISITS = 10
ALL = [("read", "restart"), ("epoll", "interrupt"), ("read", "interrupt"), ("epoll", "restart")]


@contextlib.contextmanager
def signals_sent(pid: int) -> Iterator[list[int]]:
    """Signals are sent as long as the block lasts; then the list holds how many."""
    sent: list[int] = []
    with subprocess.Popen(
        [build("send_sequence"), str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sender:
        yield sent
        sent.append(int(sender.communicate()[0]))


def seen(target: Target) -> tuple[int, int]:
    """How many signals have come, and how many of them out of order."""
    count, out_of_order = map(int, target.ask("signals").split())
    return count, out_of_order


@pytest.mark.parametrize(("how", "signals"), ALL if LONG else ALL[:2])
def test_all_signals_come_in_order(how: str, signals: str) -> None:
    with server(how, 4, signals, preload=TCMALLOC) as target:
        address = ProcessImage(target.pid).address_of("MallocExtension_GetStats")
        assert address is not None
        with signals_sent(target.pid) as sent:
            until(lambda: seen(target)[0], "the first signal comes")
            hosts = set()
            for _ in range(VISITS):
                arrival = arrive_in(target.pid)
                hosts.add(arrival.host_tid)
                guest = arrival.guest
                for _ in range(CALLS // VISITS):
                    guest.call(address, guest.scratch, guest.scratch_bytes, timeout_s=60)
                assert target.serves()
                guest.leave()
        assert target.pid in hosts, "the thread that takes the signals was the host"
        until(lambda: seen(target)[0] == sent[0], "all signals have come")
        assert seen(target) == (sent[0], 0)
        assert sent[0] > VISITS
        assert target.serves()


def test_a_thread_that_takes_its_signals_in_sigsuspend() -> None:
    """nginx' master: woken for a visit it sleeps on with its signals unblocked for that time alone, and none is lost."""
    with running([build("suspended")]) as target:
        with signals_sent(target.pid) as sent:
            for _ in range(VISITS):
                arrival = arrive_in(target.pid)
                assert arrival.host_tid == target.pid
                arrival.guest.leave()
        os.kill(target.pid, signal.SIGTERM)
        assert target.answer() == f"{sent[0]} 0" and sent[0] > 0


def test_a_change_of_user_takes_the_guest_along_and_leaves_it_parked() -> None:
    """glibc signals every thread for it, and waits until each has changed: the guest, too, thousands of times."""
    with server("read", 2, preload=TCMALLOC) as target:
        address = ProcessImage(target.pid).address_of("MallocExtension_GetStats")
        assert address is not None
        guest = arrive_in(target.pid).guest
        for _ in range(5):
            assert target.ask("setuid 2000") == "done"
            guest.call(address, guest.scratch, guest.scratch_bytes, timeout_s=60)
            assert b"MALLOC:" in guest.read(guest.scratch, 1000)
        # While one is at it, calls go on.
        target.send("setuid 5000")
        for _ in range(200):
            guest.call(address, guest.scratch, guest.scratch_bytes, timeout_s=60)
        assert target.answer() == "done"
        guest.leave()
        assert target.serves()
