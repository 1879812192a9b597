"""glibc's malloc asked in real processes, compared with what it prints of itself."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from memtui_parsers.allocators.stats import AllocatorDetail
from memtui_profiler.allocators import memory_stream
from memtui_profiler.allocators.base import Symbols
from memtui_profiler.allocators.glibc import GlibcMalloc, find_glibc_malloc
from memtui_profiler.errors import UserError
from tests.fixtures.call_server import CallServer, find_allocator, running

MIB = 1 << 20
_HEAP = re.compile(r"system bytes +=\s+(\d+)\nin use bytes +=\s+(\d+)")


@contextlib.contextmanager
def asked(environment: dict[str, str] | None = None) -> Iterator[tuple[CallServer, GlibcMalloc]]:
    with running(environment=environment) as server:
        allocator = find_allocator(server)
        assert isinstance(allocator, GlibcMalloc)
        yield server, allocator


def address_of(symbols: Symbols, name: str) -> int:
    address = symbols.address_of(name)
    assert address is not None
    return address


def what_it_prints(server: CallServer) -> tuple[int, int]:
    """malloc_stats(3): bytes from the system and bytes in use, with those that are mapped on their own."""
    server.call(address_of(server, "malloc_stats"), timeout_s=5)
    found = _HEAP.findall(server.printed())
    system, used = found[-1]
    return int(system), int(used)


class With(Symbols):
    """A process that has some symbols elsewhere, or not at all."""

    def __init__(self, symbols: Symbols, **changed: int | None) -> None:
        self._symbols = symbols
        self._changed = changed

    def address_of(self, name: str) -> int | None:
        return self._changed[name] if name in self._changed else self._symbols.address_of(name)


def changed(server: CallServer, **symbols: int | None) -> GlibcMalloc:
    found = find_glibc_malloc(With(server, **symbols))
    assert found is not None
    return found


def test_its_figures_are_those_that_it_prints_for_all_threads_together() -> None:
    with asked() as (server, glibc):
        server.fill(30_000, 1000)
        server.drop(3)
        server.fill(5, 3 * MIB)
        server.start_threads(4, 5000, 100)
        stats = glibc.stats(server)
        system, used = what_it_prints(server)
        assert stats.in_use_bytes == pytest.approx(used, rel=0.01)
        assert stats.in_use_bytes + stats.kept_bytes == pytest.approx(system, rel=0.01)
        assert stats.in_use_bytes > 15 * MIB + 10_000 * 1000 + 4 * 1600 * 100


def test_arenas_and_bins_add_up_to_the_totals() -> None:
    with asked() as (server, glibc):
        server.fill(30_000, 1000)
        server.drop(3)
        server.start_threads(4, 5000, 100)
        detail, stats = glibc.detail(server), glibc.stats(server)
        assert [a.name for a in detail.arenas][:2] == ["main", "arena 1"]
        assert len(detail.arenas) == 5
        assert sum(a.system_bytes for a in detail.arenas) == pytest.approx(
            stats.in_use_bytes + stats.kept_bytes, rel=0.01
        )
        assert sum(a.free_bytes for a in detail.arenas) == pytest.approx(stats.kept_bytes, rel=0.01)
        # Two blocks of 1008 bytes that were neighbours have become one chunk.
        assert max(detail.size_classes, key=lambda c: c.free_bytes).size_bytes == 2016
        assert detail.spans == ()


def test_small_free_chunks_are_fragmentation_and_large_ones_are_not() -> None:
    with asked() as (server, glibc):
        server.fill(100_000, 1000)
        server.drop(4)
        stats = glibc.stats(server)
        assert stats.central_bytes > 70 * MIB
        assert stats.free_bytes < 2 * MIB
        before = server.rss_bytes()
        glibc.release(server)
        assert before - server.rss_bytes() < 2 * MIB
    with asked() as (server, glibc):
        server.fill(10_000, 10_000)
        server.drop(10)
        stats = glibc.stats(server)
        # Nine neighbours of 10 KB are one chunk of 90 KB, of which malloc_trim leaves a page.
        assert stats.central_bytes == pytest.approx(1000 * 4096, rel=0.1)
        before = server.rss_bytes()
        glibc.release(server)
        assert before - server.rss_bytes() == pytest.approx(stats.free_bytes, rel=0.03)


def test_release_gives_400_mib_back() -> None:
    with asked() as (server, glibc):
        server.fill(6400, 64 << 10)
        # What is last in the heap stays, or glibc would give all before it back by itself.
        server.call(address_of(server, "malloc"), 64 << 10, timeout_s=5)
        server.drop()
        assert server.rss_bytes() > 400 * MIB
        assert glibc.stats(server).free_bytes > 399 * MIB
        glibc.release(server)
        assert server.rss_bytes() < 20 * MIB


def test_malloc_info_is_asked_only_when_much_has_changed() -> None:
    with asked() as (server, glibc):
        server.fill(10_000, 1000)
        server.drop(2)
        glibc.stats(server)
        calls = server.calls
        glibc.stats(server)
        assert server.calls == calls + 1
        server.drop()
        glibc.stats(server)
        assert server.calls > calls + 2


def test_asking_leaves_nothing_behind() -> None:
    with asked() as (server, glibc):
        # What is freed goes to the thread's cache at first, which glibc counts as in use.
        for _ in range(20):
            glibc.detail(server)
        streams = _streams(server)
        _, before = what_it_prints(server)
        for _ in range(20):
            glibc.detail(server)
        assert what_it_prints(server)[1] == before
        assert _streams(server) == streams


def _streams(server: CallServer) -> list[int]:
    (stream,) = server.numbers_at(address_of(server, "_IO_list_all"))
    found = []
    while stream:
        found.append(stream)
        (stream,) = server.numbers_at(stream + 104)
    return found


def test_more_arenas_than_the_text_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_stream, "BUFFER_BYTES", 8 << 10)
    with asked({"MALLOC_ARENA_MAX": "100"}) as (server, glibc):
        server.start_threads(60, 300, 40)
        detail, stats = glibc.detail(server), glibc.stats(server)
        assert 5 < len(detail.arenas) < 60
        assert detail.arenas[-1].name == "others"
        assert sum(a.free_bytes for a in detail.arenas) == pytest.approx(stats.kept_bytes, rel=0.01)
        assert sum(a.system_bytes for a in detail.arenas) == pytest.approx(
            stats.in_use_bytes + stats.kept_bytes, rel=0.01
        )
        assert stats.central_bytes > stats.free_bytes / 10


def test_before_glibc_2_33_malloc_info_counts() -> None:
    with asked() as (server, glibc):
        server.fill(30_000, 1000)
        server.drop(3)
        server.fill(2, 100 * MIB)
        server.start_threads(2, 3000, 100)
        assert changed(server, mallinfo2=None).stats(server).in_use_bytes == pytest.approx(
            glibc.stats(server).in_use_bytes, rel=0.001
        )


def test_without_malloc_info_32_bits_count_up_to_2_gib() -> None:
    with asked() as (server, glibc):
        server.fill(30_000, 1000)
        old = changed(server, mallinfo2=None, malloc_info=None)
        assert old.stats(server).in_use_bytes == glibc.stats(server).in_use_bytes
        assert old.detail(server) == AllocatorDetail()
        server.call(address_of(server, "malloc"), 3 << 30, timeout_s=5)
        assert glibc.stats(server).in_use_bytes > 3 << 30
        with pytest.raises(UserError, match="it counts them in 32 bits, and they are beyond 2 GiB"):
            old.stats(server)


def test_a_stream_that_cannot_be_found_is_looked_for_once() -> None:
    with asked() as (server, _):
        nowhere = server.scratch + 4096
        blind = changed(server, _IO_list_all=nowhere)
        assert blind.detail(server) == AllocatorDetail()
        calls = server.calls
        assert blind.detail(server) == AllocatorDetail()
        assert server.calls == calls
        stats = blind.stats(server)
        assert (server.calls, stats.central_bytes) == (calls + 1, 0)
        assert stats.free_bytes > 0


def test_a_list_of_streams_that_leads_nowhere_or_in_a_circle() -> None:
    with asked() as (server, _):
        head, stream = server.scratch + 4096, server.scratch + 8192
        server.write(head, (0xDEAD0000).to_bytes(8, "little"))
        assert changed(server, _IO_list_all=head).detail(server) == AllocatorDetail()
        server.write(head, stream.to_bytes(8, "little"))
        server.write(stream + 104, stream.to_bytes(8, "little"))
        assert changed(server, _IO_list_all=head).detail(server) == AllocatorDetail()


def test_what_it_cannot_do_is_said() -> None:
    with asked() as (server, glibc):
        assert glibc.can_release.available
        assert (glibc.can_set_rate.available, glibc.can_set_rate.reason) == (False, "glibc malloc has no release rate")
        assert glibc.can_set_rate.todo == "relaunch with tcmalloc preloaded (--tcmalloc auto)"
        assert glibc.release_rate(server) is None
        with pytest.raises(UserError, match="cannot set the release rate to 3: glibc malloc has no release rate"):
            glibc.set_release_rate(server, 3)
        whole = changed(server, malloc_trim=None)
        assert not whole.can_release.available
        with pytest.raises(UserError, match="cannot release memory: malloc_trim is not in this program"):
            whole.release(server)
        assert server.calls == 0


def test_a_function_that_answers_nothing() -> None:
    with asked() as (server, _):
        silent = changed(server, mallinfo2=address_of(server, "getpid"))
        with pytest.raises(UserError, match="mallinfo left no answer"):
            silent.stats(server)


def test_a_call_that_does_not_come_back_frees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_stream, "STATS_TIMEOUT_S", 0.2)
    with asked() as (server, _):
        stuck = changed(server, malloc_info=address_of(server, "pause"))
        with pytest.raises(UserError, match="the call did not come back"):
            stuck.detail(server)
        # posix_memalign, fmemopen and the call itself; no fclose, no free.
        assert server.calls == 3
