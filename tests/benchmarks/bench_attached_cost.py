"""What being watched costs a server: CPU of redis-server per request, unwatched (A) and with memtui attached to it (B).

Issue 3: 20 times ABBA at default settings; the upper 95 % bound of the median of their ratios is at most 1.02. Server and load
have a processor each and memtui what they leave; what drifts over the four turns of a round falls out.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from memtui_profiler.session.rows import AllocatorSample
from tests.fixtures.attached import attached, newest_figures
from tests.fixtures.servers import Redis, redis

ROUNDS = 20
GOAL = 1.02
REQUESTS = 1_200_000  # of each turn: a second and a half, so that it is asked at least once in it
LOAD = ["redis-benchmark", "-t", "set", "-r", "100000", "-d", "100", "-P", "32", "-c", "10", "-q"]
SERVER_ON, LOAD_ON = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def cpu_s(pid: int) -> float:
    """CPU seconds of all threads that live now, to the nanosecond: /proc/PID/stat counts in hundredths. The guest is one."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def turn(server: Redis, socket: Path) -> float:
    """Microseconds of the server's CPU per request."""
    before = cpu_s(server.pid)
    command = ["taskset", "-c", str(LOAD_ON), *LOAD, "-n", str(REQUESTS), "-s", str(socket)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (cpu_s(server.pid) - before) / REQUESTS * 1e6


def watched_turns(server: Redis, socket: Path, sessions: Path) -> tuple[float, float, int]:
    """Two of them; and how often it was asked meanwhile."""
    with attached(sessions, server.pid) as live:
        first = newest_figures(live)
        spent = turn(server, socket), turn(server, socket)
        return *spent, len(live.reader.rows(AllocatorSample, after=first.id))


def median_at_most(values: Sequence[float], confidence: float = 0.95) -> float:
    """An upper bound of the median, by the sign test: whatever the distribution, it lies above with this confidence."""
    count = len(values)
    below = 0.0
    for rank, value in enumerate(sorted(values)):
        below += math.comb(count, rank) / 2**count
        if below >= confidence:
            return value
    return math.inf


def main() -> int:
    alone, watched, ratios, asked = [], [], [], 0
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(redis(folder))
        socket = folder / "redis"
        subprocess.run(["taskset", "-acp", str(SERVER_ON), str(server.pid)], check=True, stdout=subprocess.DEVNULL)
        turn(server, socket)  # so that every key is there
        for _ in range(ROUNDS):
            first = turn(server, socket)
            second, third, times = watched_turns(server, socket, folder)
            fourth = turn(server, socket)
            alone += [first, fourth]
            watched += [second, third]
            ratios.append((second + third) / (first + fourth))
            asked += times
    bound = median_at_most(ratios)
    say(f"unwatched  {statistics.median(alone):.4f} us CPU per request ({min(alone):.4f} to {max(alone):.4f})")
    say(f"watched    {statistics.median(watched):.4f} us, asked {asked} times in {2 * ROUNDS} turns")
    say(
        f"the median ratio of {ROUNDS} rounds is {statistics.median(ratios):.4f} ({min(ratios):.4f} to {max(ratios):.4f})"
    )
    say(f"its upper 95 % bound is {bound:.4f} (at most {GOAL})")
    return int(bound > GOAL)


if __name__ == "__main__":
    raise SystemExit(main())
