"""Each allocator asked through the guest thread, and told the same as by a process that calls its functions itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple

import pytest

from memtui_profiler.allocators.base import Allocator
from memtui_profiler.guest.arrival import arrive
from memtui_profiler.guest.guest import GuestThread
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.process.image import ProcessImage
from tests.fixtures.call_server import BUILT_IN, MIMALLOC_KEEPS, CallServer, find_allocator, running

MIB = 1 << 20
HOW = {
    "tcmalloc": {"preload": "libtcmalloc.so.4"},
    "static tcmalloc": {"link": BUILT_IN},
    "glibc malloc": {},
    "mimalloc": {"preload": "libmimalloc.so", "environment": MIMALLOC_KEEPS},
    "jemalloc": {"preload": "libjemalloc.so.2", "environment": {"MALLOC_CONF": "dirty_decay_ms:-1"}},
}


@contextlib.contextmanager
def asked(how: str) -> Iterator[tuple[CallServer, GuestThread, Allocator]]:
    with running(**HOW[how]) as server:  # type: ignore[arg-type]
        image = ProcessImage(server.pid)
        memory = ProcessMemory(server.pid)
        try:
            guest = arrive(server.pid, image, memory).guest
            allocator = find_allocator(image)
            assert allocator is not None
            assert how.endswith(allocator.name)
            yield server, guest, allocator
            guest.leave()
        finally:
            memory.close()


# mimalloc has no figures (see tests/profiler/allocators/test_mimalloc.py).
MIMALLOC = "mimalloc"


@pytest.mark.parametrize("how", [how for how in HOW if how != MIMALLOC])
def test_the_figures_are_the_same(how: str) -> None:
    with asked(how) as (server, guest, allocator):
        server.fill(20_000, 1000)
        server.drop(3)
        server.fill(50, MIB)
        server.drop(2)
        server.start_threads(3, 2000, 100)
        itself = find_allocator(server)
        assert itself is not None
        expected = itself.stats(server)
        for _ in range(50):
            assert astuple(allocator.stats(guest)) == pytest.approx(astuple(expected), rel=0.02, abs=MIB // 2)
        by_size = {c.size_bytes: c.free_objects for c in itself.detail(server).size_classes}
        largest = max(by_size, key=lambda size: size * by_size[size])
        found = {c.size_bytes: c.free_objects for c in allocator.detail(guest).size_classes}
        assert found[largest] == pytest.approx(by_size[largest], rel=0.02)


@pytest.mark.parametrize("how", [how for how in HOW if how != MIMALLOC])
def test_400_mib_go_back(how: str) -> None:
    with asked(how) as (server, guest, allocator):
        block_bytes = 120_000 if how == "glibc malloc" else 512 << 10
        server.fill(400 * MIB // block_bytes, block_bytes)
        malloc = server.address_of("malloc")
        assert malloc is not None
        server.call(malloc, 64 << 10, timeout_s=5)
        server.drop()
        assert server.rss_bytes() > 399 * MIB
        assert allocator.stats(guest).free_bytes > 395 * MIB
        allocator.release(guest)
        assert server.rss_bytes() < 20 * MIB
        # It goes on as if nothing had been.
        server.fill(1000, 1000)
        server.drop()


@pytest.mark.parametrize("block_bytes", [1000, 512 << 10])
def test_mimalloc_gives_back_what_its_threads_do_not_keep(block_bytes: int) -> None:
    with asked(MIMALLOC) as (server, guest, allocator):
        server.fill(200 * MIB // block_bytes, block_bytes)
        server.drop()
        assert server.rss_bytes() > 190 * MIB
        allocator.release(guest)
        assert server.rss_bytes() < 80 * MIB
        server.fill(1000, 1000)
        server.drop()
        allocator.release(guest)


def test_mimalloc_gives_back_while_the_program_allocates() -> None:
    with asked(MIMALLOC) as (server, guest, allocator):
        server.start_threads(4, 3000, 2000)
        with ThreadPoolExecutor(1) as pool:
            releases = 0
            for block_bytes in (100, 100_000, 30 * MIB):
                churned = pool.submit(server.churn, 100_000_000 // block_bytes + 20_000, block_bytes)
                while not churned.done():
                    allocator.release(guest)
                    releases += 1
                churned.result()
        assert releases > 10
        server.fill(1000, 1000)
        server.drop()


@pytest.mark.parametrize("how", ["tcmalloc", "static tcmalloc"])
def test_the_rate_of_the_running_process(how: str) -> None:
    with asked(how) as (server, guest, allocator):
        assert allocator.release_rate(guest) == 1.0
        allocator.set_release_rate(guest, 7.25)
        assert allocator.release_rate(server) == 7.25
