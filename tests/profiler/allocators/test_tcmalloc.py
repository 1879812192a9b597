"""tcmalloc asked in real processes: preloaded, minimal, for debugging, and linked in statically."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

import pytest

from memtui_parsers.allocators.stats import AllocatorStats
from memtui_profiler.allocators.base import Ability, Symbols
from memtui_profiler.allocators.tcmalloc import Tcmalloc, acts_after_bytes, find_tcmalloc
from memtui_profiler.asking.allocator_figures import acts_after_words
from memtui_profiler.errors import UserError
from tests.fixtures.call_server import BUILT_IN, CallServer, find_allocator, running

MIB = 1 << 20
HOW = {
    "full": {"preload": "libtcmalloc.so.4"},
    "minimal": {"preload": "libtcmalloc_minimal.so.4"},
    "static": {"link": BUILT_IN},
}
PROPERTIES = {
    "in_use_bytes": "generic.current_allocated_bytes",
    "free_bytes": "tcmalloc.pageheap_free_bytes",
    "central_bytes": "tcmalloc.central_cache_free_bytes",
    "transfer_bytes": "tcmalloc.transfer_cache_free_bytes",
    "thread_bytes": "tcmalloc.thread_cache_free_bytes",
    "released_bytes": "tcmalloc.pageheap_unmapped_bytes",
}


@contextlib.contextmanager
def asked(how: str, environment: dict[str, str] | None = None) -> Iterator[tuple[CallServer, Tcmalloc]]:
    with running(**HOW[how], environment=environment) as server:  # type: ignore[arg-type]
        allocator = find_allocator(server)
        assert isinstance(allocator, Tcmalloc)
        yield server, allocator


def numeric_property(server: CallServer, name: str) -> int:
    function = server.address_of("MallocExtension_GetNumericProperty")
    assert function is not None
    server.write(server.scratch, b"\xff" * 8 + name.encode() + b"\0")
    server.call(function, server.scratch + 8, server.scratch, timeout_s=5)
    (value,) = server.numbers_at(server.scratch)
    assert value != (1 << 64) - 1, name
    return value


def assert_like_the_properties(server: CallServer, stats: AllocatorStats) -> None:
    for field, name in PROPERTIES.items():
        assert getattr(stats, field) == pytest.approx(numeric_property(server, name), rel=0.01), name


@pytest.mark.parametrize("how", HOW)
def test_its_figures_are_those_of_get_numeric_property(how: str) -> None:
    with asked(how) as (server, tcmalloc):
        server.fill(30_000, 1000)
        server.drop(3)
        server.fill(100, MIB)
        server.drop(2)
        server.start_threads(4, 2000, 100)
        tcmalloc.release(server, 20 * MIB)
        calls = server.calls
        stats = tcmalloc.stats(server)
        assert server.calls == calls + 1
        assert_like_the_properties(server, stats)
        assert min(getattr(stats, field) for field in PROPERTIES) > 0
        assert stats.in_use_bytes + stats.kept_bytes < server.rss_bytes()


def test_the_detail_adds_up_to_the_totals() -> None:
    with asked("full") as (server, tcmalloc):
        server.fill(30_000, 1000)
        server.fill(60, 100_000)
        server.drop(3)
        server.fill(100, MIB)
        server.drop(7)
        tcmalloc.release(server, 30 * MIB)
        stats, detail = tcmalloc.stats(server), tcmalloc.detail(server)
        assert {c.size_bytes for c in detail.size_classes} >= {1024}
        # The rest of cached_bytes are the ends of spans.
        assert sum(c.free_bytes for c in detail.size_classes) == pytest.approx(stats.cached_bytes, rel=0.05)
        assert sum(s.free_bytes for s in detail.spans) == pytest.approx(stats.free_bytes, abs=0.2 * MIB)
        assert sum(s.returned_bytes for s in detail.spans) == pytest.approx(stats.released_bytes, abs=0.2 * MIB)
        assert stats.released_bytes >= 30 * MIB
        assert detail.spans[-1].pages == 0
        assert detail.arenas == ()


@pytest.mark.parametrize("how", HOW)
def test_release_gives_400_mib_back(how: str) -> None:
    with asked(how) as (server, tcmalloc):
        server.fill(800, 512 << 10)
        server.drop()
        assert server.rss_bytes() > 400 * MIB
        assert tcmalloc.stats(server).free_bytes > 399 * MIB
        tcmalloc.release(server)
        assert server.rss_bytes() < 20 * MIB
        stats = tcmalloc.stats(server)
        assert (stats.free_bytes, stats.released_bytes > 399 * MIB) == (0, True)


def test_release_of_an_amount_gives_about_that_much() -> None:
    with asked("full") as (server, tcmalloc):
        server.fill(6400, 64 << 10)
        # Spans of 640 KiB between blocks that stay.
        server.drop(11)
        before = server.rss_bytes()
        tcmalloc.release(server, 100 * MIB)
        assert 99 * MIB <= before - server.rss_bytes() <= 103 * MIB


@pytest.mark.parametrize("how", HOW)
def test_the_rate_is_read_and_written_without_a_call(how: str) -> None:
    with asked(how, {"TCMALLOC_RELEASE_RATE": "3.5"}) as (server, tcmalloc):
        assert tcmalloc.release_rate(server) == 3.5
        for rate in (7.25, 0.0, 10.0, 0.1):
            tcmalloc.set_release_rate(server, rate)
            assert tcmalloc.release_rate(server) == rate
        assert server.calls == 0


def test_a_rate_that_is_none() -> None:
    with asked("full", {"TCMALLOC_RELEASE_RATE": "nan"}) as (server, tcmalloc):
        assert tcmalloc.release_rate(server) is None
        for rate in (-1.0, float("nan"), float("inf")):
            with pytest.raises(UserError, match="a rate is a number from 0 on"):
                tcmalloc.set_release_rate(server, rate)
        tcmalloc.set_release_rate(server, 2)
        assert tcmalloc.release_rate(server) == 2


SPAN_BYTES = 64 * MIB
LOOKS = "tcmalloc.pageheap_scavenge_count"


def test_a_rate_set_where_it_was_0_acts_within_2_gib_of_frees() -> None:
    with asked("full", {"TCMALLOC_RELEASE_RATE": "0"}) as (server, tcmalloc):
        # Anywhere in the countdown to a look, which at rate 0 is never counted as one.
        server.churn(50, SPAN_BYTES)
        assert acts_after_bytes(tcmalloc.release_rate(server) or 0) == 2 << 30
        tcmalloc.set_release_rate(server, 10)
        server.churn(1, SPAN_BYTES)
        assert numeric_property(server, LOOKS) == 0
        server.churn(acts_after_bytes(0) // SPAN_BYTES, SPAN_BYTES)
        assert numeric_property(server, LOOKS) == 1


def test_a_rate_set_where_it_was_not_0_acts_within_8_gib_of_frees() -> None:
    with asked("full", {"TCMALLOC_RELEASE_RATE": "1"}) as (server, tcmalloc):
        # It gives a span of 64 MiB, and by its rate would wait for 62 GiB then.
        for _ in range(acts_after_bytes(0) // SPAN_BYTES + 1):
            if numeric_property(server, LOOKS) == 0:
                server.churn(1, SPAN_BYTES)
        assert numeric_property(server, LOOKS) == 1
        assert acts_after_bytes(tcmalloc.release_rate(server) or 0) == 8 << 30
        tcmalloc.set_release_rate(server, 10)
        server.churn(acts_after_bytes(1) // SPAN_BYTES, SPAN_BYTES)
        assert numeric_property(server, LOOKS) == 1
        server.churn(1, SPAN_BYTES)
        assert numeric_property(server, LOOKS) == 2


def test_the_words_for_it() -> None:
    assert acts_after_words(acts_after_bytes(0)) == "acts after at most 2.0 GiB more of frees"
    assert acts_after_words(acts_after_bytes(1.0)) == "acts after at most 8.0 GiB more of frees"
    assert acts_after_words(acts_after_bytes(1.0, page_bytes=32768)) == "acts after at most 32.0 GiB more of frees"


class Without(Symbols):
    """A process that lacks some of its functions."""

    def __init__(self, symbols: Symbols, *names: str) -> None:
        self._symbols = symbols
        self._missing = names

    def address_of(self, name: str) -> int | None:
        return None if any(missing in name for missing in self._missing) else self._symbols.address_of(name)


def test_what_it_lacks_is_said() -> None:
    with running(preload="libtcmalloc.so.4") as server:
        tcmalloc = find_tcmalloc(Without(server, "release_rate", "ReleaseFreeMemory"))
        assert tcmalloc is not None
        assert tcmalloc.release_rate(server) is None
        assert tcmalloc.can_set_rate == Ability(
            False, "this tcmalloc does not show where it keeps its release rate", "relaunch with --release-rate"
        )
        with pytest.raises(UserError, match=r"cannot set the release rate to 2\.5: this tcmalloc does not show"):
            tcmalloc.set_release_rate(server, 2.5)
        with pytest.raises(UserError, match="cannot release memory: this tcmalloc lacks"):
            tcmalloc.release(server)
        some = find_tcmalloc(Without(server, "ReleaseToSystem"))
        assert some is not None
        server.fill(100, MIB)
        server.drop()
        some.release(server, 1)
        assert some.stats(server).free_bytes == 0


def test_an_answer_that_is_none_is_not_taken_from_the_call_before() -> None:
    with running(preload="libtcmalloc.so.4") as server:
        tcmalloc = find_tcmalloc(server)
        silent = server.address_of("getpid")
        assert tcmalloc is not None
        assert silent is not None
        tcmalloc.stats(server)
        with pytest.raises(
            UserError, match=r"cannot read tcmalloc's figures: tcmalloc's figures lack the bytes in use"
        ):
            Tcmalloc(silent, None, None, None).stats(server)


def test_a_process_that_has_ended() -> None:
    with running(preload="libtcmalloc.so.4") as server:
        tcmalloc = find_tcmalloc(server)
        leave = server.address_of("_exit")
        assert tcmalloc is not None
        assert leave is not None
        with pytest.raises(UserError):
            server.call(leave, 0, timeout_s=20)
        for ask in (tcmalloc.stats, tcmalloc.detail, tcmalloc.release, tcmalloc.release_rate):
            with pytest.raises(UserError):
                ask(server)
        with pytest.raises(UserError):
            tcmalloc.set_release_rate(server, 1)


def test_the_rate_that_does_not_take() -> None:
    class Stubborn:
        def read(self, address: int, size: int) -> bytes:
            return struct.pack("<d", 1.0)

        def write(self, address: int, data: bytes) -> None:
            pass

    with pytest.raises(UserError, match="cannot set the release rate to 4: it is 1 after it was set"):
        Tcmalloc(1, 2, 3, 4).set_release_rate(Stubborn(), 4)
