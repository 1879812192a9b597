"""Which allocator a process has: real ones, and tables of symbols for those that are not installed."""

from __future__ import annotations

import subprocess

import pytest

from memtui_profiler.allocators import find_allocators, kinds, why_none
from memtui_profiler.process.image import ProcessImage
from tests.fixtures.call_server import BUILT_IN, find_allocator, library, running

TCMALLOC = {"MallocExtension_GetStats": 1000, "tc_malloc": 1100}
JEMALLOC = {"mallctl": 2000}
GLIBC = {"mallinfo2": 3000, "mallinfo": 3001, "__libc_malloc": 3100, "malloc": 3100, "gnu_get_libc_version": 3200}


class Table:
    def __init__(self, symbols: dict[str, int]) -> None:
        self._symbols = symbols

    def address_of(self, name: str) -> int | None:
        return self._symbols.get(name)


def name_of(symbols: dict[str, int]) -> str | None:
    found = find_allocator(Table(symbols))
    return found.name if found else None


@pytest.mark.parametrize(
    ("preload", "name"),
    [
        ("", "glibc malloc"),
        ("libtcmalloc.so.4", "tcmalloc"),
        ("libtcmalloc_minimal.so.4", "tcmalloc"),
        ("libtcmalloc_debug.so.4", "tcmalloc"),
        ("libjemalloc.so.2", "jemalloc"),
        ("libtcmalloc.so.4:libjemalloc.so.2", "tcmalloc"),
        ("libjemalloc.so.2:libtcmalloc.so.4", "jemalloc"),
        ("libmimalloc.so", "mimalloc"),
        ("libtcmalloc.so.4:libmimalloc.so", "tcmalloc"),
        ("libprofiler.so.0", "glibc malloc"),
    ],
)
def test_what_is_preloaded_first_counts(preload: str, name: str) -> None:
    with running(preload=preload) as server:
        found = find_allocator(server)
        assert found is not None
        assert found.name == name


@pytest.mark.parametrize("preload", ["libtcmalloc.so.4", "libtcmalloc.so.4:libjemalloc.so.2"])
def test_symbols_in_the_order_of_addresses_say_the_same(preload: str) -> None:
    """As where tcmalloc is preloaded into a program that needs jemalloc, which redis-server is."""
    with running(preload=preload) as server:
        found = find_allocator(ProcessImage(server.pid))
        assert found is not None
        assert found.name == "tcmalloc"


def test_a_tcmalloc_that_is_linked_in() -> None:
    with running(link=BUILT_IN) as server:
        found = find_allocator(server)
        assert found is not None
        assert found.name == "tcmalloc"


def test_a_sanitizer_has_a_malloc_of_its_own() -> None:
    path = library("liblsan.so")
    if "/" not in path:
        pytest.fail("gcc has no liblsan here")
    with running(preload="liblsan.so", environment={"LSAN_OPTIONS": "detect_leaks=0"}) as server:
        assert find_allocator(server) is None
        why = why_none(server)
        assert (why.available, why.reason) == (False, "its malloc is a sanitizer's, which keeps no figures to ask for")


def test_where_both_are_malloc_decides() -> None:
    both = {**GLIBC, **TCMALLOC, **JEMALLOC}
    assert name_of({**both, "malloc": TCMALLOC["tc_malloc"]}) == "tcmalloc"
    assert name_of({**both, "malloc": 2100}) == "jemalloc"
    # malloc as glibc has it: the order of the table is not that of loading, and says nothing.
    assert name_of(both) == "tcmalloc"
    assert name_of({**TCMALLOC, **JEMALLOC}) == "tcmalloc"


def test_one_of_them_is_preferred_to_glibc() -> None:
    assert name_of({**GLIBC, **TCMALLOC}) == "tcmalloc"
    assert name_of({**GLIBC, **JEMALLOC}) == "jemalloc"
    assert name_of({**GLIBC, "je_mallctl": 2000}) == "jemalloc"


def test_glibc_by_what_it_has() -> None:
    assert name_of(GLIBC) == "glibc malloc"
    without = {name: at for name, at in GLIBC.items() if name != "mallinfo2"}
    assert name_of(without) == "glibc malloc"
    # A static program has but what it uses.
    assert name_of({"mallinfo2": 1, "malloc": 2, "gnu_get_libc_version": 3}) == "glibc malloc"


@pytest.mark.parametrize(
    ("symbols", "present", "reason", "todo"),
    [
        (
            GLIBC,
            "Google's own tcmalloc",
            "its malloc is Google's own tcmalloc, which memtui cannot ask (gperftools' it can)",
            "its MallocExtension::GetStats()",
        ),
        (GLIBC, "mimalloc", "its malloc is mimalloc, which does not count what is in use", "MIMALLOC_SHOW_STATS"),
        (GLIBC, "tcmalloc", "its tcmalloc was linked without MallocExtension_GetStats", "link it with -ltcmalloc"),
        (
            {**GLIBC, "malloc": 1},
            "",
            "its malloc is a library's own, none of tcmalloc, jemalloc, mimalloc or glibc malloc",
            "relaunch with tcmalloc",
        ),
        ({"malloc": 1}, "musl malloc", "its C library is musl, whose malloc keeps no figures", "build it for glibc"),
        (
            {},
            "Go's runtime",
            "it is a Go program: its heap is the Go runtime's, which has no malloc to ask",
            "net/http/pprof",
        ),
        (
            {},
            "glibc malloc",
            "its glibc is linked in statically, and the functions of its malloc cannot",
            "keep its symbols",
        ),
        ({}, "", "its C library is none that memtui knows", "RSS, files, threads"),
        (
            {"gnu_get_libc_version": 1},
            "",
            "its malloc is none of tcmalloc, jemalloc, mimalloc or glibc malloc",
            "relaunch with tcmalloc",
        ),
    ],
)
def test_none_with_one_sentence_why(symbols: dict[str, int], present: str, reason: str, todo: str) -> None:
    there = [kind for kind in kinds() if kind.name == present]
    assert find_allocators(Table(symbols), there) == []
    why = why_none(Table(symbols), there)
    assert not why.available and why.reason.startswith(reason) and todo in why.todo


def test_one_under_names_of_its_own_has_the_c_librarys_behind_it() -> None:
    names = [allocator.name for allocator in find_allocators(Table({**GLIBC, "_rjem_mallctl": 2000}))]
    assert names == ["jemalloc", "glibc malloc"]
    assert [allocator.name for allocator in find_allocators(Table({**GLIBC, **JEMALLOC}))] == ["jemalloc"]


def test_malloc_and_tc_malloc_are_one_function() -> None:
    """What find_allocator() tells tcmalloc's malloc by, as the real library has it."""
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", library("libtcmalloc.so.4")], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    addresses = {words[2]: words[0] for words in map(str.split, listed) if words[2] in ("malloc", "tc_malloc")}
    assert addresses["malloc"] == addresses["tc_malloc"]
