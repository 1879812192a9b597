"""Samples one run: the memory of its process each time, threads, descendants and limits when these are due."""

from __future__ import annotations

import time
from dataclasses import asdict

from memtui_profiler.process.memory_limits import Limit, MemoryLimits
from memtui_profiler.process.oom_kills import OomWatch
from memtui_profiler.process.sampling import Detail, ProcessSampler
from memtui_profiler.session.rows import MemoryLimit, Sample

DETAIL_INTERVAL_S = 1.0
DETAIL_COST_SHARE = 0.02


class RunSampler:
    """Samples the process ``pid`` of ``run``; ``process``, ``limits`` and ``oom`` are what it reads."""

    def __init__(self, run: int, pid: int) -> None:
        self.process = ProcessSampler(pid)
        self.limits = MemoryLimits(pid)
        self.oom = OomWatch(pid)
        self._run = run
        self._limit: Limit | None = None
        self._recorded_limit: tuple[str, int | None] | None = None
        self._next_detail_s = 0.0

    def follow(self, pid: int) -> None:
        """Go on with another process. Raises ProcessLookupError when it is gone already; nothing has changed then."""
        process = ProcessSampler(pid)
        self.close()
        self.process, self.limits, self.oom = process, MemoryLimits(pid), OomWatch(pid)

    def sample(self, now_s: float) -> Sample | None:
        """Return what the process holds now; None once it is gone."""
        resident = self.process.resident()
        if resident is None:
            return None
        sample = Sample(at_s=now_s, run=self._run, rss_bytes=resident.rss_bytes, shared_bytes=resident.shared_bytes)
        detail = self._detail(now_s)
        if detail is None:
            return sample
        self._limit = self.limits.read()
        self.oom.look()
        return sample._replace(
            **asdict(detail.status),
            descendants=len(detail.descendants),
            descendants_rss_bytes=detail.descendants_rss_bytes,
            cgroup_bytes=None if self._limit is None else self._limit.used_bytes,
        )

    def detail_now(self) -> None:
        """Have the next sample hold what is read once a second only."""
        self._next_detail_s = 0.0

    def new_limit(self, now_s: float) -> MemoryLimit | None:
        """Return the row of the memory limit, once for each value that it takes."""
        limit = self._limit
        if limit is None or (limit.source, limit.limit_bytes) == self._recorded_limit:
            return None
        self._recorded_limit = limit.source, limit.limit_bytes
        return MemoryLimit(at_s=now_s, run=self._run, source=limit.source, limit_bytes=limit.limit_bytes)

    def _detail(self, now_s: float) -> Detail | None:
        if now_s < self._next_detail_s:
            return None
        began = time.perf_counter()
        detail = self.process.detail()
        self._next_detail_s = now_s + max(DETAIL_INTERVAL_S, (time.perf_counter() - began) / DETAIL_COST_SHARE)
        return detail

    def close(self) -> None:
        """Close the files that are read."""
        self.process.close()
        self.oom.close()
