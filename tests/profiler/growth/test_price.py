"""What watching costs is said before."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable

import pytest

from memtui_profiler.errors import UserError
from memtui_profiler.growth.price import Price, price, price_of
from tests.fixtures.waiting import until


def priced(faults: float = 0, switches: float = 0, threads: float = 0, used: float = 1, processors: int = 2) -> Price:
    return price(
        faults_per_s=faults,
        switches_per_s=switches,
        new_threads_per_s=threads,
        processors_used=used,
        processors=processors,
    )


@pytest.mark.parametrize(
    ("cost", "dear"),
    [
        (priced(), False),
        (priced(faults=10_000, switches=15_000), False),
        (priced(switches=80_000), True),
        (priced(faults=200_000), True),
        (priced(threads=900), False),
        (priced(threads=900, processors=64), True),
        (priced(switches=80_000, used=20), False),
        (priced(switches=80_000, used=0.1), True),
    ],
)
def test_two_per_cent_is_the_bound(cost: Price, dear: bool) -> None:
    if not dear:
        cost.check(17)
        return
    with pytest.raises(
        UserError, match=r"process 17 switches \d+ times, makes \d+ threads and faults \d+ pages a second"
    ) as caught:
        cost.check(17)
    assert "% from it" in caught.value.why


def seen_of_all(price: Price) -> Price | None:
    enough = price.faults_per_s > 100 and price.switches_per_s > 20 and price.new_threads_per_s > 4
    return price if enough else None


def test_a_process_is_looked_at() -> None:
    done = threading.Event()

    def busy(work: Callable[[], object]) -> None:
        while not done.is_set():
            work()

    def start_and_end() -> None:
        thread = threading.Thread(target=done.wait, args=(0.02,))
        thread.start()
        thread.join()

    def touch() -> None:
        with mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            memory.write(b"x" * (1 << 20))

    works = (start_and_end, touch, lambda: done.wait(0.001))
    threads = [threading.Thread(target=busy, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        # A quarter of a second is looked at, in which a busy machine may not come to all of them.
        found = until(lambda: seen_of_all(price_of(os.getpid())), "faults, switches and new threads are seen")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert found.processors_used > 0
    assert set(found.fields()) == {"faults_per_s", "switches_per_s", "new_threads_per_s", "processors_used", "share"}


def test_of_a_process_that_has_ended_there_is_none() -> None:
    with pytest.raises(ProcessLookupError):
        price_of(1 << 22)
