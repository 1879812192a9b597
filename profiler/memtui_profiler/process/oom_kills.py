"""Whether the kernel's OOM killer has ended a process: by the kernel's log, else by the count of kills in its control group."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple

from memtui_parsers.procfs.cgroup import oom_kills
from memtui_profiler.process.cgroups import ROOT, memory_groups

# The inode of the first pid namespace (include/linux/proc_ns.h, PROC_PID_INIT_INO): the log's pids are those of that.
_FIRST_PID_NAMESPACE = 0xEFFFFFFC
_KERNEL_LOG = Path("/dev/kmsg")
_RECORD_BYTES, _MAX_RECORDS = 8192, 50_000
_KILLED = re.compile(rb"Killed process (\d{1,10}) \(")  # mm/oom_kill.c, __oom_kill_process
_USER_FACILITY = 8  # records below it are the kernel's own; programs that write to the log get a higher one
_MEMBERS_BYTES = 1 << 18
_EXITING = 0x4  # PF_EXITING of include/linux/sched.h, among the flags in proc_pid_stat(5)
_FLAGS_AT = 6  # of the fields after the name


class KernelLog:
    """What the kernel logs from now on. Nothing is known of it without the right to read it, or in a container."""

    def __init__(self, path: Path = _KERNEL_LOG) -> None:
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):
            if os.stat("/proc/self/ns/pid").st_ino == _FIRST_PID_NAMESPACE:
                self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.lseek(self._descriptor, 0, os.SEEK_END)

    def says_killed(self, pid: int) -> bool | None:
        """Whether the OOM killer has killed ``pid`` since this object was made; None where the log does not tell."""
        if self._descriptor is None:
            return None
        for _ in range(_MAX_RECORDS):
            try:
                record = os.read(self._descriptor, _RECORD_BYTES)
            except BlockingIOError:
                return False
            except OSError:  # EPIPE: some records were overwritten before they were read
                return None
            priority, _, text = record.partition(b",")
            killed = _KILLED.search(text) if priority.isdigit() and int(priority) < _USER_FACILITY else None
            if not record:
                return None
            if killed is not None and int(killed[1]) == pid:
                return True
        return None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class _Seen(NamedTuple):
    """The process's own group while it lived: how many kills it had counted, and who was in it."""

    folder: Path
    kills: int
    members: frozenset[int]


class OomWatch:
    """Of the process ``pid``. ``root``: the folder that has proc and sys, another one in tests."""

    def __init__(self, pid: int, *, root: Path = ROOT, log: KernelLog | None = None) -> None:
        self._pid = pid
        self._root = root
        self._log = KernelLog() if log is None else log
        self._seen: _Seen | None = None
        self.look()

    def look(self) -> None:
        """Note what the group has counted: kills up to now were of others, as the process lives. It may have moved."""
        groups = memory_groups(self._pid, self._root)
        if groups is None or not groups.folders:
            return
        folder = groups.folders[0]
        kills, members = _kills(folder, groups.kill_files), _members(folder)
        # A zombie is shown in the root of version 1, and a look may come too late to see it live.
        if members is not None and self._pid in members:
            self._seen = None if kills is None else _Seen(folder, kills, members)

    def killed(self) -> bool | None:
        """Whether the OOM killer ended it; None where that cannot be told. To be called once it is gone."""
        logged = self._log.says_killed(self._pid)
        if logged is not None:
            return logged
        seen = self._seen
        if seen is None:
            return None
        kills = _kills(seen.folder, ("memory.events.local", "memory.events", "memory.oom_control"))
        if kills is None:  # the group is gone, as those of systemd and containers are at once
            return None
        others_gone = sum(not self._lives(member) for member in seen.members - {self._pid})
        if kills <= seen.kills:
            return False
        return True if kills - seen.kills > others_gone else None

    def _lives(self, pid: int) -> bool:
        """Whether it neither has ended nor is about to."""
        try:
            fields = (self._root / f"proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return fields[0] not in (b"Z", b"X") and not int(fields[_FLAGS_AT]) & _EXITING
        except (OSError, IndexError, ValueError):
            return False

    def close(self) -> None:
        """Close the kernel's log."""
        self._log.close()


def _kills(folder: Path, names: tuple[str, ...]) -> int | None:
    for name in names:
        with contextlib.suppress(OSError):
            return oom_kills((folder / name).read_text())
    return None


def _members(folder: Path) -> frozenset[int] | None:
    """The processes in a group; None where they cannot be read, or are too many to know them all."""
    try:
        with open(folder / "cgroup.procs", "rb") as stream:
            text = stream.read(_MEMBERS_BYTES + 1)
    except OSError:
        return None
    return None if len(text) > _MEMBERS_BYTES else frozenset(map(int, text.split()))
