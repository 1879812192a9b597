"""Looks now and then at what a run's process has mapped: in a thread of its own, for at most 1 % of the time."""

from __future__ import annotations

import threading
from functools import partial

from memtui_parsers.clean_text import clean
from memtui_profiler.process.own_thread import start_thread
from memtui_profiler.process.regions import Region, RegionLook, look_at_regions
from memtui_profiler.region_kinds import RegionKind
from memtui_profiler.session.rows import RegionRow

# Unless somebody asks. A smaller process holds nothing that is worth a look; in a larger one a single mapping may take a quarter
# of a second, for which the kernel lets the process map and unmap nothing (15 to 40 ms per GiB of small pages).
LEAST_RSS_BYTES, MOST_RSS_BYTES = 16 << 20, 8 << 30
FIRST_S = 1.5
INTERVAL_S = 10.0
# What fills a process is known after some looks; it is looked at less often then.
OFTEN_FOR_S, LATER_INTERVAL_S = 300.0, 60.0
COST_SHARE = 0.01
# Where a user asks for looks, one after the other.
ASKED_COST_SHARE = 0.1
MAX_NAME = 200


class RegionWatch:
    """Of the process ``pid`` of ``run``. A look that hangs (a process in the middle of a long mmap) delays only the next."""

    def __init__(self, run: int, pid: int) -> None:
        self._run = run
        self._began_s: float | None = None
        self._asked = False
        self._told = False
        self.follow(pid)

    def follow(self, pid: int) -> None:
        """Go on with another process; what is read of the first is dropped."""
        self._pid = pid
        self._look: _Look | None = None
        self._next_s = self._next_asked_s = 0.0

    def ask(self) -> None:
        """Look as soon as that is cheap enough: somebody waits for it."""
        self._asked = True

    def update(self, now_s: float, rss_bytes: int) -> list[RegionRow]:
        """Begin a look if it is due, and return the rows of one that has ended. Raises OSError once, where none is possible."""
        if self._began_s is None:
            self._began_s, self._next_s = now_s, now_s + FIRST_S
        if self._look is not None:
            return [] if self._look.under_way else self._ended(now_s)
        due = now_s >= self._next_s and LEAST_RSS_BYTES <= rss_bytes <= MOST_RSS_BYTES
        if due or (self._asked and now_s >= self._next_asked_s):
            self._asked = False
            self._look = _Look(self._pid, now_s)
        return []

    def _ended(self, now_s: float) -> list[RegionRow]:
        look, self._look = self._look, None
        assert look is not None and self._began_s is not None
        cost_s = now_s - look.at_s if look.result is None else look.result.cost_s
        interval_s = INTERVAL_S if now_s - self._began_s < OFTEN_FOR_S else LATER_INTERVAL_S
        self._next_s = now_s + max(interval_s, cost_s / COST_SHARE)
        self._next_asked_s = now_s + cost_s / ASKED_COST_SHARE
        ended = isinstance(look.error, FileNotFoundError | ProcessLookupError)
        if look.error is not None and not ended and not self._told:
            self._told = True
            raise look.error
        return [] if look.result is None else region_rows(look.result, now_s, self._run)


class _Look:
    """One look, in a thread that ends with it. Of ``result`` and ``error`` one is None once it is not ``under_way``."""

    def __init__(self, pid: int, at_s: float) -> None:
        self.at_s = at_s
        self.result: RegionLook | None = None
        self.error: OSError | None = None
        self._thread: threading.Thread | None = None
        try:
            self._thread = start_thread(partial(self._run, pid), "memtui-regions")
        except OSError as error:
            self.error = error

    @property
    def under_way(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self, pid: int) -> None:
        try:
            self.result = look_at_regions(pid)
        except OSError as error:
            self.error = error


def region_rows(look: RegionLook, at_s: float, run: int) -> list[RegionRow]:
    """The rows of a look that ended at ``at_s``, in the order in which readers expect them."""
    rows = [_row(region, at_s, run) for region in look.regions if region.kind is not RegionKind.ALL]
    return [*rows, _row(look.whole, at_s, run)._replace(threads=look.threads, cost_s=look.cost_s)]


def _row(region: Region, at_s: float, run: int) -> RegionRow:
    return RegionRow(
        at_s,
        run,
        region.kind.value,
        clean(region.name, MAX_NAME),
        region.mappings,
        region.size_bytes,
        region.rss_bytes,
        region.pss_bytes,
        region.swap_bytes,
        region.dirty_bytes,
        region.huge_bytes,
    )
