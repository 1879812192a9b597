"""mimalloc in real processes: what it gives back, and that no figures are taken from it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from memtui_parsers.allocators.stats import AllocatorDetail
from memtui_profiler.allocators import find_allocators
from memtui_profiler.allocators.base import NoFiguresError
from memtui_profiler.allocators.mimalloc import Mimalloc, find_mimalloc
from memtui_profiler.errors import UserError
from tests.fixtures.call_server import MIMALLOC_KEEPS, CallServer, find_allocator, running

MIB = 1 << 20
ADDRESSES = {"malloc": 10, "mi_malloc": 10, "mi_collect": 20, "mi_thread_init": 30}
GLIBC = {"mallinfo2": 40, "__libc_malloc": 50, "gnu_get_libc_version": 60}


class Table:
    def __init__(self, symbols: dict[str, int]) -> None:
        self._symbols = symbols

    def address_of(self, name: str) -> int | None:
        return self._symbols.get(name)


@contextlib.contextmanager
def asked() -> Iterator[tuple[CallServer, Mimalloc]]:
    with running(preload="libmimalloc.so", environment=MIMALLOC_KEEPS) as server:
        allocator = find_allocator(server)
        assert isinstance(allocator, Mimalloc)
        yield server, allocator


@pytest.mark.parametrize("block_bytes", [1000, 64 << 10, 512 << 10, 4 * MIB])
def test_release_gives_200_mib_back(block_bytes: int) -> None:
    with asked() as (server, mimalloc):
        server.fill(200 * MIB // block_bytes, block_bytes)
        server.drop()
        assert server.rss_bytes() > 190 * MIB
        mimalloc.release(server)
        assert server.rss_bytes() < 60 * MIB
        server.fill(1000, 1000)
        server.drop()


def test_what_is_in_use_stays_as_it_is() -> None:
    with asked() as (server, mimalloc):
        server.fill(100, MIB)
        server.drop(2)
        server.start_threads(3, 3000, 1000)
        mimalloc.release(server)
        assert server.rss_bytes() > 50 * MIB
        server.drop()


def test_no_figures_are_taken_from_it() -> None:
    with asked() as (server, mimalloc):
        with pytest.raises(NoFiguresError, match="mimalloc's figures do not tell what is in use") as caught:
            mimalloc.stats(server)
        assert "a release gives free memory back" in caught.value.todo
        assert mimalloc.detail(server) == AllocatorDetail()
        assert server.calls == 0


def test_what_it_cannot_do_is_said() -> None:
    with asked() as (server, mimalloc):
        assert mimalloc.can_release.available
        assert not mimalloc.can_set_rate.available
        assert mimalloc.release_rate(server) is None
        with pytest.raises(UserError, match="cannot set the release rate to 3: mimalloc has no release rate"):
            mimalloc.set_release_rate(server, 3)
        assert server.calls == 0


def test_a_process_that_has_ended() -> None:
    with asked() as (server, mimalloc):
        leave = server.address_of("_exit")
        assert leave is not None
        with pytest.raises(UserError):
            server.call(leave, 0, timeout_s=20)
        with pytest.raises(UserError):
            mimalloc.release(server)


def test_it_is_asked_only_where_malloc_is_its_own() -> None:
    assert find_mimalloc(Table(ADDRESSES)) == Mimalloc(20, 30)
    # As in CPython and in Rust programs, whose malloc is the C library's.
    assert find_mimalloc(Table({**ADDRESSES, "malloc": 50})) is None
    for name in ADDRESSES:
        assert find_mimalloc(Table({key: at for key, at in ADDRESSES.items() if key != name})) is None
    assert [each.name for each in find_allocators(Table({**GLIBC, **ADDRESSES}))] == ["mimalloc"]
    assert [each.name for each in find_allocators(Table({**GLIBC, **ADDRESSES, "malloc": 50}))] == ["glibc malloc"]
