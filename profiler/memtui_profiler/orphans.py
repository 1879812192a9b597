"""Descendants of the target whose own parent ended: a subreaper inherits them, and has to bury them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs import parse_stat
from memtui_profiler.child_exits import take_exit
from memtui_profiler.descendants import children_of, descendants_of
from memtui_profiler.stop import GRACE_S


class Orphans:
    """The recorder's own children that it did not start itself: ``excluding`` names those it did."""

    def __init__(self) -> None:
        # By process group that is to end: since when, and who of it has had a SIGTERM.
        self._stopping: dict[int, tuple[float, set[int]]] = {}

    @property
    def stopping(self) -> bool:
        """Whether some are still to end."""
        return bool(self._stopping)

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

    def stop_group(self, group: int | None, now_s: float) -> None:
        """SIGTERM for what a stopped target left behind in its own process group; climb() does the rest."""
        if group is not None:
            self._stopping[group] = now_s, set()
            self.climb(now_s)

    def climb(self, now_s: float) -> list[int]:
        """SIGTERM for those that came since, SIGKILL ``GRACE_S`` after the first; the pids that got the latter."""
        killed: list[int] = []
        if not self._stopping:
            return killed
        below = descendants_of(os.getpid())
        for group, (since_s, told) in list(self._stopping.items()):
            members = [pid for pid in below if _group_of(pid) == group and not _is_dead(pid)]
            if not members or now_s - since_s >= GRACE_S:
                # More than this cannot be done: what lives on is another user's, or waits for a disk.
                killed += [pid for pid in members if _sent(pid, signal.SIGKILL)]
                del self._stopping[group]
            else:
                told.update(pid for pid in members if pid not in told and _sent(pid, signal.SIGTERM))
        return killed


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _is_dead(pid: int) -> bool:
    """And waits to be buried."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return parse_stat(file.read()).state in ("Z", "X")
    except (OSError, ParseError):
        return True


def _sent(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _rss_pages(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
