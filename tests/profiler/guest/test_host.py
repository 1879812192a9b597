"""Which thread is made the host: the rank of each call, and what is told of a thread's stack."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memtui_profiler.guest.host import choose_host, rank
from memtui_profiler.guest.libc import find_libc
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.guest.thread_stack import runs, thread_stack
from memtui_profiler.guest.threads import Sleep, parse_thread_status, sleep_of, thread_ids
from memtui_profiler.process.image import ProcessImage, mapping_at, mappings_of
from tests.fixtures.guest import build, running, server

FOREVER_MS = 0xFFFFFFFF
WAIT, WAIT_BITSET, REQUEUE_PI, PRIVATE, REALTIME = 0, 9, 11, 128, 256
MSG_WAITALL, MSG_DONTWAIT = 0x100, 0x40


def ranked(number: int, *arguments: int) -> int | None:
    return rank(Sleep(number, (*arguments, *[0] * (6 - len(arguments))), 0x7000, 0x5000))


# By x86-64's numbers, best first; those of one line are equally good.
IN_ORDER: list[list[tuple[int, ...]]] = [
    [(0,), (43,), (288,), (45,), (47,), (45, 3, 0x1000, 8, MSG_DONTWAIT)],
    [(7, 1, 1, FOREVER_MS), (7, 1, 1, 2**64 - 1), (271, 1, 1, 0)],
    [(232, 3, 1, 1, FOREVER_MS), (281, 3, 1, 1, 2**64 - 1), (441, 3, 1, 1, 0)],
    [(202, 1, WAIT_BITSET, 0, 0), (202, 1, WAIT_BITSET | PRIVATE | REALTIME, 0, 0)],
    [(23, 1, 1, 0, 0, 0), (270, 1, 1, 0, 0, 0), (34,)],
    [(7, 1, 1, 100), (271, 1, 1, 0x1000), (23, 1, 1, 0, 0, 0x1000), (202, 1, WAIT_BITSET | PRIVATE, 0, 0x1000)],
    [(232, 3, 1, 1, 0), (281, 3, 1, 1, 1000), (441, 3, 1, 1, 0x1000), (128,), (220,)],
    [(230,), (35,)],
]
NEVER = {
    "a lock": (202, 1, WAIT | PRIVATE, 0, 0),
    "a lock with a timeout": (202, 1, WAIT, 0, 0x1000),
    "a condition variable with priorities": (202, 1, REQUEUE_PI, 0, 0),
    "wait4": (61,),
    "waitid": (247,),
    "write": (1,),
    "connect": (42,),
    "sched_yield": (24,),
    "flock": (73,),
    "io_uring_enter": (426,),
    "no call at all": (2**64 - 1,),
    "recv for all bytes": (45, 3, 0x1000, 8, MSG_WAITALL),
    "recvmsg for all bytes": (47, 3, 0x1000, MSG_WAITALL),
}


def test_the_order_of_calls() -> None:
    ranks = [{ranked(*call) for call in line} for line in IN_ORDER]
    assert all(len(line) == 1 for line in ranks), ranks
    in_order = [next(iter(line)) for line in ranks]
    assert all(one is not None for one in in_order)
    assert in_order == sorted(set(in_order), key=in_order.index) == sorted(in_order, key=lambda one: one or 0)


@pytest.mark.parametrize("call", NEVER.values(), ids=list(NEVER))
def test_calls_that_are_left_alone(call: tuple[int, ...]) -> None:
    assert ranked(*call) is None


def test_the_host_of_a_server() -> None:
    """Its main thread, in read, is better than workers in waits with timeouts; its call goes far below all that it uses."""
    with server("read", 3) as target:
        memory = ProcessMemory(target.pid)
        host = choose_host(target.pid, memory, find_libc(ProcessImage(target.pid)).restorer)
        memory.close()
        assert (host.tid, host.sleep.number, host.thread_pointer, host.sandbox) == (target.pid, 0, 0, (0, 0))
        low, high = host.stack
        assert low < host.top < host.sleep.stack - (16 << 10) < high
        assert host.top - low >= 56 << 10


def test_the_stack_of_each_thread_is_told_as_pthread_has_it() -> None:
    """A default one, one without a guard, one with a large guard, and two inside of mappings of the program's own."""
    with running([build("stacks")], ready="") as target:
        memory = ProcessMemory(target.pid)
        for _ in range(5):
            tid, low, size, guard, pointer = (int(word, 16) for word in target.answer().split())
            target.falls_asleep()
            found = None
            while found is None:  # until the thread sleeps
                sleep = sleep_of(target.pid, tid)
                mapping = mapping_at(mappings_of(target.pid), sleep.stack) if sleep is not None else None
                if sleep is not None and mapping is not None:
                    found = thread_stack(sleep.stack, mapping.end, memory)
            page = os.sysconf("SC_PAGE_SIZE")
            assert found.thread_pointer == pointer
            assert found.low == (low + guard + page - 1) & -page
            assert found.high == low + size
            start = int(target.answer(), 16)
            assert runs(start, found, memory)
            assert not runs(start + 1, found, memory)
        memory.close()


def test_the_main_thread_has_no_descriptor_on_its_stack() -> None:
    with server() as target:
        memory = ProcessMemory(target.pid)
        target.falls_asleep(0)
        sleep = sleep_of(target.pid, target.pid)
        assert sleep is not None
        mapping = mapping_at(mappings_of(target.pid), sleep.stack)
        assert mapping is not None
        assert thread_stack(sleep.stack, mapping.end, memory) is None
        assert thread_stack(1 << 46, 1 << 47, memory) is None, "nothing is mapped there"
        memory.close()


def test_a_status_of_every_kind() -> None:
    text = b"""Name:\tx
State:\tS (sleeping)
TracerPid:\t12
SigPnd:\t0000000000000002
ShdPnd:\t0000000000004000
SigBlk:\t0000000000000000
SigIgn:\t0000000000000000
SigCgt:\t0000000000004000
Seccomp:\t2
voluntary_ctxt_switches:\t7
nonvoluntary_ctxt_switches:\t8
x86_Thread_features:\tshstk wrss
"""
    status = parse_thread_status(text)
    assert (status.state, status.tracer, status.seccomp, status.switches) == ("S", 12, 2, (7, 8))
    assert status.shadow_stack
    assert status.signal_is_coming, "SIGTERM has a handler and is not blocked"
    blocked = parse_thread_status(text.replace(b"SigBlk:\t0000000000000000", b"SigBlk:\t0000000000004000"))
    assert not blocked.signal_is_coming
    ignored = parse_thread_status(text.replace(b"SigCgt:\t0000000000004000", b"SigCgt:\t0000000000000000"))
    assert not ignored.signal_is_coming
    assert not parse_thread_status(text.replace(b"shstk wrss", b"")).shadow_stack
    assert parse_thread_status(b"").state == "?"


def test_ones_own_threads_are_listed_main_first() -> None:
    with server("read", 3) as target:
        found = thread_ids(target.pid)
        assert found[0] == target.pid
        assert sorted(found) == sorted(int(path.name) for path in Path(f"/proc/{target.pid}/task").iterdir())
    assert thread_ids(target.pid) == []
