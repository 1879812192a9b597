"""Which pages are there, of this process, by both ways of asking."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
from collections.abc import Iterator

import pytest

from memtui_profiler.errors import UserError
from memtui_profiler.growth import residency
from memtui_profiler.growth.ranges import size_of
from memtui_profiler.growth.residency import HUGE_BYTES, PAGE_BYTES, Residency, mappings_of, open_residency
from memtui_profiler.process.sampling import rss_bytes
from tests.fixtures.mapped_memory import HUGE_BYTES as HELD_HUGE_BYTES
from tests.fixtures.mapped_memory import holding
from tests.fixtures.waiting import until


@pytest.fixture(params=["scanned", "read"])
def scan(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "scanned")


@pytest.fixture
def own(scan: bool) -> Iterator[Residency]:
    opened = open_residency(os.getpid(), scan=scan)
    yield opened
    opened.close()


def test_pages_are_told_from_holes(own: Residency) -> None:
    with mmap.mmap(-1, 64 * PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for page in (3, 4, 5, 20):
            memory[page * PAGE_BYTES] = 1
        assert [own.page_bytes(start + page * PAGE_BYTES + 9) for page in (3, 6, 20)] == [PAGE_BYTES, 0, PAGE_BYTES]
        asked = [start + page * PAGE_BYTES for page in (2, 3, 5, 20, 40)]
        assert own.present(asked) == [False, True, True, True, False]
        mappings, _ = mappings_of(os.getpid())
        ranges = [
            ((low - start) // PAGE_BYTES, (high - start) // PAGE_BYTES)
            for low, high, _ in own.ranges(mappings)
            if low < start + 64 * PAGE_BYTES and high > start
        ]
        assert (3, 6) in ranges and (20, 21) in ranges


def test_all_that_is_there_is_rss(scan: bool) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        until(lambda: rss_bytes(process.pid) > 100_000, "it runs")
        pages = open_residency(process.pid, scan=scan)

        def agree() -> bool:
            mappings, _ = mappings_of(process.pid)
            # The kernel counts RSS in batches for each processor.
            return abs(size_of(pages.ranges(mappings)) - rss_bytes(process.pid)) < 64 * PAGE_BYTES * (
                os.cpu_count() or 1
            )

        until(agree, "the sums agree")
        mappings, _ = mappings_of(process.pid)
        kinds = {shared for _, _, shared in pages.ranges(mappings)}
        assert kinds == {False, True}
        assert pages.is_alive()
        process.kill()
        process.wait()
        assert not pages.is_alive()
        with pytest.raises(ProcessLookupError):
            pages.present([mappings[0].start])
        pages.close()


def test_another_program_is_another_memory(scan: bool) -> None:
    with subprocess.Popen(["sh", "-c", "read line; exec sleep 60"], stdin=subprocess.PIPE) as process:
        until(lambda: rss_bytes(process.pid) > 100_000, "it runs")
        pages = open_residency(process.pid, scan=scan)
        assert pages.is_alive() and process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        until(lambda: not pages.is_alive(), "the first program's memory is gone")
        process.kill()
        pages.close()


def test_huge_pages_are_told(scan: bool) -> None:
    with holding("huge") as pid:
        pages = open_residency(pid, scan=scan)
        mappings, _ = mappings_of(pid)
        large = [mapping for mapping in mappings if mapping.end - mapping.start >= HELD_HUGE_BYTES]
        sizes = {pages.page_bytes(mapping.end - HUGE_BYTES - HUGE_BYTES) for mapping in large}
        pages.close()
    if HUGE_BYTES not in sizes:
        pytest.skip("no huge pages here")


def test_a_process_in_too_many_pieces_is_refused(own: Residency, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency, "MAX_RANGES", 3)
    with pytest.raises(UserError, match="more than 3 pieces"):
        own.ranges(mappings_of(os.getpid())[0])


def test_mappings_too_large_to_be_read_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency, "_LARGEST_READ_BYTES", 1 << 20)
    pages = open_residency(os.getpid(), scan=False)
    mappings, _ = mappings_of(os.getpid())
    large = [mapping for mapping in mappings if mapping.end - mapping.start > 1 << 20 and mapping.end < 1 << 47]
    found = pages.ranges(mappings)
    pages.ranges(mappings)
    assert list(pages.skipped) == [(mapping.start, mapping.end) for mapping in large]
    assert not any(low <= start < high for start, _, _ in found for low, high in pages.skipped)
    pages.close()
