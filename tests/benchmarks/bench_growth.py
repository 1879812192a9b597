"""What it costs a program that its growth is watched: CPU per operation, unwatched (A) and watched (B), so many times ABBA.

A program that does nothing but allocate, and redis-server under load. Issue 11: the median of the ratios is at most 1.01. What
drifts over the four turns of a round falls out. Beside it, the CPU that the watching process takes itself.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.bench_attached_cost import LOAD_ON, SERVER_ON, cpu_s, median_at_most, turn
from tests.fixtures.growing import growing_program, watcher
from tests.fixtures.servers import redis

ROUNDS = 10
GOAL = 1.01
OPERATIONS = 4_000_000


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def allocating() -> Iterator[tuple[int, Callable[[], float]]]:
    """The pid, and a turn: microseconds of its CPU per operation."""
    command = ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(SERVER_ON), str(growing_program()), "told", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        into, out = process.stdin, process.stdout
        out.readline()

        def operate() -> float:
            before = cpu_s(process.pid)
            into.write(b"%d\n" % OPERATIONS)
            into.flush()
            out.readline()
            return (cpu_s(process.pid) - before) / OPERATIONS * 1e6

        yield process.pid, operate
        process.kill()


def measure(name: str, pid: int, operate: Callable[[], float], folder: Path) -> float:
    """The median ratio of the rounds."""
    alone: list[float] = []
    watched: list[float] = []
    ratios: list[float] = []
    own_cpu_s = elapsed = 0.0
    operate()
    for _ in range(ROUNDS):
        first = operate()
        with watcher(pid, folder, anyway=True) as watching:
            assert watching.event()["event"] == "started"
            own_before, began = cpu_s(watching.process.pid), time.monotonic()
            second, third = operate(), operate()
            own_cpu_s += cpu_s(watching.process.pid) - own_before
            elapsed += time.monotonic() - began
            watching.end()
        fourth = operate()
        alone += [first, fourth]
        watched += [second, third]
        ratios.append((second + third) / (first + fourth))
    middle = statistics.median(ratios)
    say(
        f"{name}: unwatched {statistics.median(alone):.4f} us CPU per operation, watched {statistics.median(watched):.4f} us"
    )
    say(
        f"  the median ratio of {ROUNDS} rounds is {middle:.4f} ({min(ratios):.4f} to {max(ratios):.4f}; at most {GOAL})"
    )
    say(
        f"  its upper 95 % bound is {median_at_most(ratios):.4f}; the watcher took {own_cpu_s / elapsed * 1000:.1f} ms CPU a second"
    )
    return middle


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with allocating() as (pid, operate):
            ratios = [measure("allocating", pid, operate, folder)]
        os.sched_setaffinity(0, {SERVER_ON, LOAD_ON})
        with redis(folder) as server:
            subprocess.run(["taskset", "-acp", str(SERVER_ON), str(server.pid)], check=True, stdout=subprocess.DEVNULL)
            ratios.append(measure("redis-server", server.pid, lambda: turn(server, folder / "redis"), folder))
    return int(max(ratios) > GOAL)


if __name__ == "__main__":
    raise SystemExit(main())
