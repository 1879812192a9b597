"""What a live leak check costs those whom the server serves: the longest gap between two answers, by the number of live blocks.

PYTHONPATH=. python tests/benchmarks/bench_live_check.py
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.fixtures.leaky import build
from tests.fixtures.live import record
from tests.fixtures.request_server import Client

BLOCKS = (10_000, 100_000, 1_000_000)


def longest_gap(client: Client, over: threading.Event) -> float:
    """Seconds, between two answers, of a client that asks without a pause."""
    longest, last = 0.0, time.perf_counter()
    while not over.is_set():
        client.ask("ping")
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest


def measured(client: Client, seconds: float) -> float:
    over = threading.Event()
    timer = threading.Timer(seconds, over.set)
    timer.start()
    return longest_gap(client, over)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> None:
    say(f"{'live blocks':>12} {'check':>9} {'longest gap':>12} {'without a check':>16}")
    for blocks in BLOCKS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "s"
            with record(Path(folder), build("request_server").path, path, cwd=folder, mode="normal") as live:
                filler, client = Client(path), Client(path)
                filler.ask(f"hold {blocks}", deadline_s=300.0)
                quiet = measured(client, 2.0)
                over, gaps = threading.Event(), [0.0]
                worker = threading.Thread(target=lambda: gaps.__setitem__(0, longest_gap(client, over)))  # noqa: B023
                worker.start()
                reply = live.ask("check", deadline_s=300.0)
                over.set()
                worker.join()
                assert reply.ok, reply.error
                seconds = reply.result["seconds"]
                say(f"{blocks:>12,} {seconds:>7.2f} s {gaps[0] * 1000:>9.1f} ms {quiet * 1000:>13.1f} ms")
                filler.close()
                client.close()


if __name__ == "__main__":
    main()
