"""The OOM killer in a real control group, as a session tells it: entered after the start, attached to, and kills that are none."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from memtui_profiler.events import EventKind
from memtui_profiler.session.rows import MemoryLimit
from tests.fixtures.attached import attached
from tests.fixtures.live import Live, record
from tests.fixtures.oom import LIMIT_BYTES, eater, enter, let_eat, memory_group
from tests.fixtures.waiting import until

WRAPPER = """
import os, sys
open(sys.argv[1], "w").write(str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""
# Takes more than the limit once there is a file of this name.
EATS_LATER = """
import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
block = b'x' * (200 << 20)
"""


def limit_of(live: Live) -> bool:
    rows = live.reader.rows(MemoryLimit)
    return bool(rows) and (rows[-1].source, rows[-1].limit_bytes) == ("cgroup", LIMIT_BYTES)


def test_a_wrapper_that_enters_the_group_and_becomes_the_program(tmp_path: Path) -> None:
    with memory_group("wrapper") as group:
        let_it_eat = tmp_path / "eat"
        eats = (sys.executable, "-S", "-c", EATS_LATER, let_it_eat)
        with record(tmp_path, sys.executable, "-c", WRAPPER, group / "cgroup.procs", *eats) as live:
            until(lambda: limit_of(live), "the limit is that of its group")
            let_it_eat.touch()
            end = live.end(1)
            assert (end.signal, end.oom_killed) == ("SIGKILL", 1)
            assert "killed by the OOM killer" in live.events(EventKind.OOM_KILLED)[0].text


def test_a_process_that_memtui_attached_to(tmp_path: Path) -> None:
    with memory_group("attached") as group, eater() as process:
        enter(group, process.pid)
        with attached(tmp_path, process.pid) as live:
            until(lambda: limit_of(live), "the limit is that of its group")
            let_eat(process)
            end = live.end(1)
            assert end.oom_killed == 1


def test_a_kill_by_hand_in_the_group_is_none_of_the_oom_killers(tmp_path: Path) -> None:
    with memory_group("kill") as group, record(tmp_path, "sleep", "600") as live:
        enter(group, live.launched_pid)
        until(lambda: limit_of(live), "the limit is that of its group")
        os.kill(live.launched_pid, signal.SIGKILL)
        end = live.end(1)
        assert (end.signal, end.oom_killed) == ("SIGKILL", 0)
        (event,) = live.events(EventKind.KILLED)
        assert event.text.endswith("was killed by SIGKILL")
