"""Each allocator asked through the guest thread, and told the same as by a process that calls its functions itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import astuple

import pytest

from memtui_profiler.allocators.base import Allocator
from memtui_profiler.guest.arrival import arrive
from memtui_profiler.guest.guest import GuestThread
from memtui_profiler.guest.memory import ProcessMemory
from memtui_profiler.process.image import ProcessImage
from tests.fixtures.call_server import BUILT_IN, CallServer, find_allocator, running

MIB = 1 << 20
HOW = {
    "tcmalloc": {"preload": "libtcmalloc.so.4"},
    "static tcmalloc": {"link": BUILT_IN},
    "glibc malloc": {},
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


@pytest.mark.parametrize("how", HOW)
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


@pytest.mark.parametrize("how", HOW)
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


@pytest.mark.parametrize("how", ["tcmalloc", "static tcmalloc"])
def test_the_rate_of_the_running_process(how: str) -> None:
    with asked(how) as (server, guest, allocator):
        assert allocator.release_rate(guest) == 1.0
        allocator.set_release_rate(guest, 7.25)
        assert allocator.release_rate(server) == 7.25
