"""What asking costs a busy server of four threads: how long its host thread is disturbed, once, and how long a call takes.

Aim: the host at most 1 ms at p99. On a machine that others use, too, the tail is theirs.
"""

from __future__ import annotations

import sys
import time

from memtui_profiler.process.image import ProcessImage
from tests.fixtures.guest import TCMALLOC, guest_in, server

ARRIVALS = 300
CALLS = 2000


def percentiles(seconds: list[float], unit_s: float) -> str:
    ordered = sorted(seconds)
    p50, p99 = (ordered[min(len(ordered) - 1, round(share * len(ordered)))] for share in (0.5, 0.99))
    return f"{p50 / unit_s:.0f} at p50, {p99 / unit_s:.0f} at p99, {ordered[-1] / unit_s:.0f} at most"


def main() -> int:
    disturbed, took = [], []
    with server("epoll", 4, preload=TCMALLOC) as target:
        for _ in range(ARRIVALS):
            with guest_in(target.pid) as arrival:
                disturbed.append(arrival.disturbed_s)
            assert target.serves()
        address = ProcessImage(target.pid).address_of("MallocExtension_GetStats")
        assert address is not None
        with guest_in(target.pid) as arrival:
            guest = arrival.guest
            for _ in range(CALLS):
                began = time.perf_counter()
                guest.call(address, guest.scratch, guest.scratch_bytes, timeout_s=20)
                took.append(time.perf_counter() - began)
        assert target.serves()
    sys.stdout.write(
        f"host disturbed in {ARRIVALS} arrivals     us: {percentiles(disturbed, 1e-6)} (goal: 1000 at p99)\n"
    )
    sys.stdout.write(f"{CALLS} calls of GetStats         us: {percentiles(took, 1e-6)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
