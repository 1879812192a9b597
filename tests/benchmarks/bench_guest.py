"""What asking costs a process: how long the one host is kept from its sleep, and how long a call takes.

    PYTHONPATH=. python tests/benchmarks/bench_guest.py

Goal: the host disturbed for at most 1 ms at the 99th percentile, in a server whose threads work.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

from memtui_profiler.guest.arrival import arrive
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.process_image import ProcessImage
from tests.fixtures.leaky import build
from tests.fixtures.live import record
from tests.fixtures.request_server import Client

ARRIVALS = 300
CALLS = 2000
CLIENTS = 4


def busy(path: Path, over: Event) -> None:
    """In a process of its own, as clients are: nothing of it waits for our interpreter's lock."""
    client = Client(path)
    while not over.is_set():
        client.ask("ping")
        time.sleep(0.001)
    client.close()


def say(what: str, seconds: Sequence[float]) -> None:
    ordered = sorted(seconds)
    figures = " ".join(
        f"{name} {ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e6:6.0f} us"
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    )
    sys.stdout.write(f"{what:28} {len(seconds):5} times: {figures}\n")


def main() -> None:
    over = multiprocessing.Event()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        with record(Path(folder), build("request_server").path, path, cwd=folder, no_guest=True) as live:
            clients = [multiprocessing.Process(target=busy, args=(path, over)) for _ in range(CLIENTS)]
            for client in clients:
                client.start()
            pid = live.launched.pid
            image, memory = ProcessImage(pid), ProcessMemory(pid)
            disturbed = []
            for _ in range(ARRIVALS):
                arrival = arrive(pid, ProcessImage(pid), memory)
                disturbed.append(arrival.disturbed_s)
                arrival.guest.leave()
            guest = arrive(pid, image, memory).guest
            get_stats = image.address_of("MallocExtension_GetStats")
            assert get_stats is not None
            calls = []
            for _ in range(CALLS):
                began = time.perf_counter()
                guest.call(get_stats, guest.scratch, 4096, timeout_s=5.0)
                calls.append(time.perf_counter() - began)
            guest.leave()
            over.set()
            for client in clients:
                client.join()
    say("the host is disturbed for", disturbed)
    say("MallocExtension_GetStats", calls)


if __name__ == "__main__":
    main()
