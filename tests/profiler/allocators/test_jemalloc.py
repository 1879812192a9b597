"""jemalloc asked in real processes, compared with what malloc_stats_print says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from memtui_profiler.allocators.base import Symbols
from memtui_profiler.allocators.jemalloc import Jemalloc, find_jemalloc
from memtui_profiler.errors import UserError
from tests.fixtures.call_server import CallServer, find_allocator, running

MIB = 1 << 20
# Nothing is given back by its age while a test looks.
KEEP = {"MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1"}


@contextlib.contextmanager
def asked() -> Iterator[tuple[CallServer, Jemalloc]]:
    with running(preload="libjemalloc.so.2", environment=KEEP) as server:
        allocator = find_allocator(server)
        assert isinstance(allocator, Jemalloc)
        yield server, allocator


def address_of(symbols: Symbols, name: str) -> int:
    address = symbols.address_of(name)
    assert address is not None
    return address


def what_it_prints(server: CallServer) -> dict[str, object]:
    """malloc_stats_print's JSON, without the single arenas."""
    server.write(server.scratch, b"Ja\0")
    server.call(address_of(server, "malloc_stats_print"), 0, 0, server.scratch, timeout_s=5)
    found = json.loads(server.printed())["jemalloc"]
    assert isinstance(found, dict)
    return found


def test_its_figures_are_those_that_it_prints() -> None:
    with asked() as (server, jemalloc):
        server.fill(30_000, 1000)
        server.drop(3)
        server.fill(20, 3 * MIB)
        server.drop(2)
        server.start_threads(4, 3000, 100)
        stats = jemalloc.stats(server)
        found = what_it_prints(server)
        printed = found["stats"]
        merged = found["stats.arenas"]
        assert isinstance(printed, dict)
        assert isinstance(merged, dict)
        cached = merged["merged"]["tcache_bytes"]
        assert stats.in_use_bytes == pytest.approx(printed["allocated"] - cached, rel=0.01)
        assert stats.thread_bytes == pytest.approx(cached, rel=0.01)
        assert stats.central_bytes == pytest.approx(printed["active"] - printed["allocated"], rel=0.01)
        # To print, it allocates a buffer of 64 KiB of its own.
        assert stats.metadata_bytes == pytest.approx(printed["metadata"] - (64 << 10), rel=0.01)
        assert stats.released_bytes == pytest.approx(printed["retained"], rel=0.01)
        assert stats.in_use_bytes + stats.kept_bytes == pytest.approx(printed["resident"], rel=0.01)
        assert stats.free_bytes == pytest.approx(merged["merged"]["pdirty"] * 4096, rel=0.02)
        assert min(stats.in_use_bytes, stats.thread_bytes, stats.central_bytes, stats.free_bytes) > 0


def test_the_bins_are_those_that_it_prints() -> None:
    with asked() as (server, jemalloc):
        server.fill(30_000, 1000)
        server.drop(3)
        detail = jemalloc.detail(server)
        merged = what_it_prints(server)["stats.arenas"]
        assert isinstance(merged, dict)
        free = {c.size_bytes: c.free_objects for c in detail.size_classes}
        # In print the bins go by number: that of 1024 bytes is the 21st, and its slabs of one page have four regions.
        bins = merged["merged"]["bins"]
        assert free[1024] == bins[20]["curslabs"] * 4 - bins[20]["curregs"]
        assert free[1024] > 0
        calls = server.calls
        again = jemalloc.detail(server)
        assert {c.size_bytes for c in again.size_classes} == set(free)
        # Sizes do not change: only what is free is asked for again.
        assert server.calls - calls == 1 + 2 * 36


def test_release_gives_400_mib_back() -> None:
    with asked() as (server, jemalloc):
        server.fill(6400, 64 << 10)
        server.drop()
        assert server.rss_bytes() > 400 * MIB
        assert jemalloc.stats(server).free_bytes > 399 * MIB
        jemalloc.release(server)
        assert server.rss_bytes() < 20 * MIB
        stats = jemalloc.stats(server)
        assert (stats.free_bytes < MIB, stats.released_bytes > 399 * MIB) == (True, True)


def test_what_lies_in_thread_caches_is_not_in_use() -> None:
    with asked() as (server, jemalloc):
        before = jemalloc.stats(server)
        server.fill(8, 1000)
        server.drop()
        after = jemalloc.stats(server)
        assert after.thread_bytes - before.thread_bytes >= 8 * 1024
        assert after.in_use_bytes == before.in_use_bytes


@pytest.mark.parametrize("name", ["mallctl", "je_mallctl", "_rjem_mallctl"])
def test_its_function_has_a_prefix_in_some_programs(name: str) -> None:
    class Prefixed:
        def address_of(self, asked: str) -> int | None:
            return 4711 if asked == name else None

    assert find_jemalloc(Prefixed()) == Jemalloc(4711)


def test_a_jemalloc_without_statistics() -> None:
    with asked() as (server, _):
        # It leaves the value as it is, as mallctl does with a name that it does not know.
        without = Jemalloc(address_of(server, "getpid"))
        with pytest.raises(UserError, match=r"does not have stats\.allocated: it was built without statistics"):
            without.stats(server)
        assert without.detail(server).size_classes == ()
        without.release(server)


def test_what_it_cannot_do_is_said() -> None:
    with asked() as (server, jemalloc):
        assert jemalloc.can_release.available
        assert not jemalloc.can_set_rate.available
        assert jemalloc.can_set_rate.reason.startswith("jemalloc has no release rate")
        assert jemalloc.release_rate(server) is None
        with pytest.raises(UserError, match="cannot set the release rate to 3: jemalloc has no release rate"):
            jemalloc.set_release_rate(server, 3)
        assert server.calls == 0
