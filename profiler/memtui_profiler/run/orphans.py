"""Descendants of the target whose own parent has ended: the recorder, a subreaper, inherits and reaps them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection

from memtui_profiler.process.descendants import children_of, descendants_of
from memtui_profiler.process.sampling import rss_bytes
from memtui_profiler.run.escalation import GRACE_S
from memtui_profiler.run.target_process import take_exit


class Orphans:
    """The recorder's children that it did not start itself. ``excluding``: the pids of those that it started."""

    def __init__(self) -> None:
        # By process group that is to end: the time of the first SIGTERM, and the pids that have had one.
        self._stopping: dict[int, tuple[float, set[int]]] = {}

    @property
    def stopping(self) -> bool:
        """Whether a process group is still being stopped."""
        return bool(self._stopping)

    def alive(self, *, excluding: Collection[int]) -> list[int]:
        """The pids of those still running, the largest RSS first: that one is most likely the server itself."""
        self.reap(excluding=excluding)
        return sorted((pid for pid in children_of(os.getpid()) if pid not in excluding), key=rss_bytes, reverse=True)

    def reap(self, *, excluding: Collection[int]) -> None:
        """Take the exit status of those that ended, each by its own pid: the children in ``excluding`` have other waiters."""
        for pid in children_of(os.getpid()):
            if pid not in excluding:
                with contextlib.suppress(ChildProcessError):
                    take_exit(os.P_PID, pid)

    def stop_group(self, group: int | None, now_s: float) -> None:
        """Send SIGTERM to what a stopped target left in its own process group; escalate() does the rest."""
        if group is not None:
            self._stopping[group] = now_s, set()
            self.escalate(now_s)

    def escalate(self, now_s: float) -> list[int]:
        """SIGTERM for new members of a stopping group, SIGKILL ``GRACE_S`` after the first; return the pids killed."""
        killed: list[int] = []
        if not self._stopping:
            return killed
        below = descendants_of(os.getpid())
        for group, (since_s, asked) in list(self._stopping.items()):
            members = [pid for pid in below if _group_of(pid) == group and not _is_dead(pid)]
            if not members or now_s - since_s >= GRACE_S:
                # What survives SIGKILL belongs to another user or waits for a disk: there is no stronger signal.
                killed += [pid for pid in members if _send(pid, signal.SIGKILL)]
                del self._stopping[group]
            else:
                asked.update(pid for pid in members if pid not in asked and _send(pid, signal.SIGTERM))
        return killed


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _is_dead(pid: int) -> bool:
    """Whether the process is gone, or a zombie that waits to be reaped."""
    import psutil  # only while a process group is being stopped

    try:
        return psutil.Process(pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return True


def _send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
