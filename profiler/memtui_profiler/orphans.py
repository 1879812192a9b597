"""Descendants of the target whose own parent ended: a subreaper inherits them, and has to bury them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection

from memtui_profiler.child_exits import take_exit
from memtui_profiler.descendants import children_of


class Orphans:
    """The recorder's own children that it did not start itself: ``excluding`` names those it did."""

    def alive(self, *, excluding: Collection[int]) -> list[int]:
        """Those still running, the one with the largest RSS first: the likeliest to be the server itself."""
        self.reap(excluding=excluding)
        return sorted((pid for pid in children_of(os.getpid()) if pid not in excluding), key=_rss_pages, reverse=True)

    def reap(self, *, excluding: Collection[int]) -> None:
        """Bury the dead among them; each by its own pid, so that nobody else's child is waited for."""
        for pid in children_of(os.getpid()):
            if pid not in excluding:
                with contextlib.suppress(ChildProcessError):
                    take_exit(os.P_PID, pid)

    def stop_group(self, group: int | None, *, excluding: Collection[int]) -> None:
        """SIGTERM for what a stopped target left behind in its own process group."""
        for pid in self.alive(excluding=excluding):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if group is not None and os.getpgid(pid) == group:
                    os.kill(pid, signal.SIGTERM)


def _rss_pages(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
