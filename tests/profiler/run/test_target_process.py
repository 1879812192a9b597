"""A child's end goes to whoever started it, a tracee's stops to its tracer, though both are threads of one process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from memtui_profiler.guest.ptrace import ThreadGoneError, Tracee
from memtui_profiler.guest.threads import status_of
from memtui_profiler.run.target_process import ExitStatus, TargetProcess, take_exit
from tests.fixtures.waiting import until

T = TypeVar("T")

STOPS = 300


@pytest.fixture
def child() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "600"])
    process.returncode = 0  # nobody but the test waits for it
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)


def in_a_thread(work: Callable[[], T], meanwhile: Callable[[], object] = lambda: None) -> T:
    """What ``work`` gives, which is done by another thread; ``meanwhile`` is done by this one, again and again."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    while thread.is_alive():
        meanwhile()
    thread.join()
    return results[0]


def stopped_often(pid: int) -> int:
    for number in range(STOPS):
        tracee = Tracee(pid)
        try:
            tracee.stop()
        except ThreadGoneError:
            return number
        finally:
            tracee.detach()
    return STOPS


def killed_while_traced(pid: int) -> None:
    tracee = Tracee(pid)
    try:
        tracee.stop()
        os.kill(pid, signal.SIGKILL)
        until(lambda: (status := status_of(pid, pid)) is None or status.state == "Z", "it has died")
        with pytest.raises(ThreadGoneError):
            tracee.registers()
    finally:
        tracee.detach()


def test_a_look_for_the_childs_end_takes_no_stop_from_its_tracer(child: int) -> None:
    descriptor = os.pidfd_open(child)
    try:
        looks = [(os.P_PIDFD, descriptor), (os.P_PID, child)]
        assert in_a_thread(lambda: stopped_often(child), lambda: [take_exit(*look) for look in looks]) == STOPS
        os.kill(child, signal.SIGTERM)
        ended = until(lambda: take_exit(os.P_PIDFD, descriptor), "it has ended")
    finally:
        os.close(descriptor)
    assert (ended.si_code, ended.si_status) == (os.CLD_KILLED, signal.SIGTERM)


def test_who_traces_a_child_leaves_its_end_to_who_started_it(child: int) -> None:
    in_a_thread(lambda: killed_while_traced(child))
    ended = until(lambda: take_exit(os.P_PID, child), "its end is known")
    assert (ended.si_code, ended.si_status) == (os.CLD_KILLED, signal.SIGKILL)
    with pytest.raises(ChildProcessError):
        take_exit(os.P_PID, child)


def test_the_end_of_another_processs_child_reaches_that_process() -> None:
    program = """
import subprocess, sys
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
print(child.wait(), flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        killed_while_traced(pid)
        # This process lives on, and so does the thread that traced.
        assert int(parent.stdout.readline()) == -signal.SIGKILL


def test_a_dead_thread_leaves_no_zombie_behind() -> None:
    program = """
import threading, time
go = threading.Event()
thread = threading.Thread(target=go.wait)
thread.start()
print(thread.native_id, flush=True)
input()
go.set()
thread.join()
print("joined", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        tid = int(process.stdout.readline())
        tracee = Tracee(tid)
        process.stdin.write("\n")
        assert process.stdout.readline() == "joined\n"
        tracee.detach()
        until(lambda: not os.path.exists(f"/proc/{process.pid}/task/{tid}"), "the thread is gone")
        process.stdin.write("\n")


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("os._exit(3)", ExitStatus(exit_code=3)),
        ("os.kill(os.getpid(), 9)", ExitStatus(signal=9)),
        ("os.kill(os.getpid(), 11)", ExitStatus(signal=11)),
    ],
)
def test_the_end_of_a_process_that_is_no_child_of_ours(end: str, status: ExitStatus) -> None:
    """Of one that its parent has not buried, whatever the kernel; after that from Linux 6.15 on."""
    script = f"import os, time\nif os.fork() == 0:\n    print(os.getpid(), flush=True); os.read(0, 1); {end}\ntime.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        try:
            process = TargetProcess.attach(int(parent.stdout.readline()))
            assert process.exit_status() == ExitStatus(), "it lives, and nobody knows how it will end"
            parent.stdin.write(b"x")
            parent.stdin.flush()
            until(lambda: select.select([process.pidfd], [], [], 0)[0], "it has ended")
            assert process.exit_status() == status
            process.close()
        finally:
            parent.kill()
