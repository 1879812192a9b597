"""When a run's mappings are looked at: seldom, for a hundredth of the time, and never in the way of the loop."""

from __future__ import annotations

import threading
import time

import pytest

from memtui_profiler.process.regions import Region, RegionLook
from memtui_profiler.region_kinds import RegionKind
from memtui_profiler.run import region_watch
from memtui_profiler.run.region_watch import RegionWatch
from memtui_profiler.session.rows import RegionRow
from tests.fixtures.waiting import until

LARGE = 1 << 30


def look(cost_s: float) -> RegionLook:
    heap = Region(RegionKind.HEAP, "\x1b[2Jhe\nap", 1, 100, 50)
    return RegionLook(Region(RegionKind.ALL, "", 1, 100, 50), (heap,), 3, cost_s)


def rows_at(watch: RegionWatch, now_s: float, rss_bytes: int = LARGE) -> list[RegionRow]:
    """The rows of the look that is begun now; empty where none is due."""
    assert watch.update(now_s, rss_bytes) == []
    if not any(thread.name == "memtui-regions" for thread in threading.enumerate()) and watch._look is None:
        return []
    return until(lambda: watch.update(now_s, rss_bytes), "the look has ended")


@pytest.mark.parametrize(("cost_s", "apart_s"), [(0.001, 10.0), (0.5, 50.0), (3.0, 300.0)])
def test_it_takes_a_hundredth_of_the_time(cost_s: float, apart_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_watch, "look_at_regions", lambda pid: look(cost_s))
    watch = RegionWatch(1, 7)
    assert rows_at(watch, 0.0) == [], "a process that has only just started is left alone"
    first, whole = rows_at(watch, 2.0)
    assert (first.kind, first.name, whole.kind, whole.threads, whole.cost_s) == ("heap", "he ap", "all", 3, cost_s)
    assert rows_at(watch, 2.0 + apart_s - 0.5) == []
    assert len(rows_at(watch, 2.0 + apart_s)) == 2
    assert len(rows_at(watch, 1000.0)) == 2
    assert rows_at(watch, 1000.0 + max(60.0, apart_s) - 0.5) == [], "an old process is looked at once a minute"
    watch.ask()
    assert len(rows_at(watch, 1000.0 + 10 * cost_s)) == 2, "unless somebody asks"


@pytest.mark.parametrize("rss_bytes", [1 << 20, 64 << 30])
def test_a_small_or_a_huge_process_is_looked_at_only_for_a_user(
    rss_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_watch, "look_at_regions", lambda pid: look(0.001))
    watch = RegionWatch(1, 7)
    assert [rows_at(watch, now_s, rss_bytes) for now_s in (0.0, 5.0, 500.0)] == [[], [], []]
    watch.ask()
    assert len(rows_at(watch, 501.0, rss_bytes)) == 2


def test_a_look_that_hangs_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def hang(pid: int) -> RegionLook:
        let_go.wait(30)
        return look(0.001)

    monkeypatch.setattr(region_watch, "look_at_regions", hang)
    watch = RegionWatch(1, 7)
    watch.update(0.0, LARGE)
    began = time.perf_counter()
    for tenth in range(20, 2000):
        assert watch.update(tenth / 10, LARGE) == []
    assert time.perf_counter() - began < 2
    assert sum(thread.name == "memtui-regions" for thread in threading.enumerate()) == 1, "one look at a time"
    watch.follow(8)  # what comes of the first process now is dropped
    let_go.set()


def test_an_error_is_told_once_and_the_end_of_the_process_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_with(error: OSError) -> None:
        def fail(pid: int) -> RegionLook:
            raise error

        monkeypatch.setattr(region_watch, "look_at_regions", fail)

    fail_with(PermissionError(13, "Permission denied"))
    watch = RegionWatch(1, 7)
    watch.update(0.0, LARGE)
    with pytest.raises(PermissionError):
        rows_at(watch, 2.0)
    for now_s, error in ((20.0, PermissionError(13, "no")), (40.0, ProcessLookupError(3, "gone"))):
        fail_with(error)
        watch.update(now_s, LARGE)
        until(lambda: watch._look is None or not watch._look.under_way, "the look has ended")
        assert watch.update(now_s, LARGE) == []
