"""Whether the OOM killer ended a process: by the kernel's log and by the counts of its group, real or written."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from memtui_profiler.process.oom_kills import KernelLog, OomWatch
from tests.fixtures.oom import eater, enter, let_eat, memory_group
from tests.profiler.process.test_memory_limits import tree


class NoLog(KernelLog):
    """As for a user who may not read the kernel's log, or in a container."""

    def __init__(self) -> None:
        super().__init__(Path("/no/such/log"))


def watch_of(pid: int, log: bool) -> OomWatch:
    return OomWatch(pid) if log else OomWatch(pid, log=NoLog())


@pytest.mark.parametrize("log", [True, False])
def test_a_process_that_has_entered_its_group_after_the_start(log: bool) -> None:
    with memory_group("late") as group, eater() as process:
        watch = watch_of(process.pid, log)
        enter(group, process.pid)
        watch.look()
        let_eat(process)
        assert process.wait(30) == -signal.SIGKILL
        assert watch.killed() is True
        watch.close()


@pytest.mark.parametrize("log", [True, False])
def test_a_child_was_the_victim_and_the_process_was_killed_later(log: bool) -> None:
    with memory_group("child") as group, eater() as process, eater() as child:
        enter(group, process.pid)
        enter(group, child.pid)
        watch = watch_of(process.pid, log)
        let_eat(child)
        assert child.wait(30) == -signal.SIGKILL
        watch.look()  # the process lives: the kill was another's
        process.kill()
        process.wait()
        assert watch.killed() is False
        watch.close()


def test_a_child_was_the_victim_at_the_same_time() -> None:
    with memory_group("both") as group, eater() as process, eater() as child:
        enter(group, process.pid)
        enter(group, child.pid)
        blind, reads = watch_of(process.pid, log=False), watch_of(process.pid, log=True)
        let_eat(child)
        child.wait(30)
        process.kill()
        process.wait()
        assert blind.killed() is None, "the counts alone do not tell whose the kill was"
        assert reads.killed() in (False, None)
        reads.close()


@pytest.mark.parametrize("log", [True, False])
def test_a_group_that_is_gone(log: bool) -> None:
    with memory_group("gone") as group, eater() as process:
        enter(group, process.pid)
        watch = watch_of(process.pid, log)
        process.kill()
        process.wait()
        group.rmdir()
        assert watch.killed() is not True
        assert log or watch.killed() is None
        watch.close()


def test_a_kill_without_the_oom_killer() -> None:
    with memory_group("plain") as group, eater() as process:
        enter(group, process.pid)
        watch = watch_of(process.pid, log=False)
        process.kill()
        process.wait()
        assert watch.killed() is False


def stat(pid: int, state: str = "S", flags: int = 0) -> dict[str, str]:
    return {f"proc/{pid}/stat": f"{pid} (a) b) {state} 1 1 1 0 -1 {flags} 0 0\n"}


@pytest.mark.parametrize(
    ("files", "after", "killed"),
    [
        # version 2: the count of the group alone counts, not that of all below it
        ({"memory.events.local": 1, "memory.events": 5}, {"memory.events.local": 2, "memory.events": 6}, True),
        ({"memory.events.local": 1, "memory.events": 5}, {"memory.events": 9}, False),
        ({"memory.events": 1}, {"memory.events": 2}, True),
        ({"memory.events.local": 1}, {}, False),
    ],
)
def test_version_2(tmp_path: Path, files: dict[str, int], after: dict[str, int], killed: bool) -> None:
    def counts(of: dict[str, int]) -> dict[str, str]:
        return {f"sys/fs/cgroup/box/{name}": f"low 0\noom_kill {count}\n" for name, count in of.items()}

    fixed = {
        "proc/9/cgroup": "0::/box\n",
        "sys/fs/cgroup/box/memory.max": "max\n",
        "sys/fs/cgroup/box/cgroup.procs": "9\n",
    }
    watch = OomWatch(9, root=tree(tmp_path, fixed | counts(files)), log=NoLog())
    tree(tmp_path, counts(after))
    assert watch.killed() is killed


@pytest.mark.parametrize(
    ("others", "kills", "killed"),
    [
        ({}, 1, None),  # another member is gone: it may have been that one
        (stat(10), 1, True),
        (stat(10, "Z"), 1, None),
        (stat(10, "S", flags=0x4), 1, None),
        ({}, 2, True),  # memory.oom.group: both
    ],
)
def test_members_of_the_group_that_went_at_the_same_time(
    tmp_path: Path, others: dict[str, str], kills: int, killed: bool | None
) -> None:
    box = "sys/fs/cgroup/memory/box"
    files = {
        "proc/9/cgroup": "4:memory:/box\n",
        f"{box}/memory.limit_in_bytes": "1\n",
        f"{box}/cgroup.procs": "9\n10\n",
    }
    root = tree(tmp_path, files | {f"{box}/memory.oom_control": "under_oom 0\noom_kill 0\n"})
    watch = OomWatch(9, root=root, log=NoLog())
    tree(tmp_path, others | {f"{box}/memory.oom_control": f"under_oom 0\noom_kill {kills}\n"})
    assert watch.killed() is killed


def test_a_zombie_that_is_shown_in_the_root_keeps_its_group(tmp_path: Path) -> None:
    """As version 1 does it: the last look may come when the process has just ended."""
    memory = "sys/fs/cgroup/memory"
    files = {
        "proc/9/cgroup": "4:memory:/box\n",
        f"{memory}/box/cgroup.procs": "9\n",
        f"{memory}/cgroup.procs": "1\n2\n",
    }
    limits = {f"{memory}/{box}memory.limit_in_bytes": "1\n" for box in ("", "box/")}
    counts = {f"{memory}/{box}memory.oom_control": "oom_kill 0\n" for box in ("", "box/")}
    watch = OomWatch(9, root=tree(tmp_path, files | limits | counts), log=NoLog())
    tree(tmp_path, {"proc/9/cgroup": "4:memory:/\n"})
    watch.look()
    tree(tmp_path, {f"{memory}/box/memory.oom_control": "oom_kill 1\n"})
    assert watch.killed() is True


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ("6,1,2,-;Memory cgroup out of memory: Killed process 9 (eat) total-vm:1kB\n", True),
        ("6,1,2,-;Out of memory: Killed process 99 (eat) total-vm:1kB\n", False),
        ("14,1,2,-;Out of memory: Killed process 9 (eat), says a program\n", False),
        ("6,1,2,-;comm (Killed process) 9\n", False),
    ],
)
def test_the_kernels_log(tmp_path: Path, records: str, says: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket of packets gives a record at each read, as /dev/kmsg does."""
    import socket

    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    log = NoLog()
    here.setblocking(False)
    log._descriptor = here.detach()
    there.send(records.encode())
    assert log.says_killed(9) is says
    log.close()
    there.close()
    assert log.says_killed(9) is None


def test_a_process_that_is_gone_is_not_told_of() -> None:
    pid = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(pid, 0)
    assert OomWatch(pid, log=NoLog()).killed() is None
