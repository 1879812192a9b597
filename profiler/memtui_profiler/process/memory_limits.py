"""The memory limit of a process, by its control groups as they are now. psutil knows no cgroups."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.cgroup import parse_limit, parse_usage
from memtui_profiler.process.cgroups import ROOT, MemoryGroups, memory_groups


@dataclass(frozen=True, slots=True)
class Limit:
    """A memory limit. ``source``: 'cgroup' or 'machine'. ``used_bytes`` counts against it now, None where that is not known."""

    source: str
    limit_bytes: int
    used_bytes: int | None


class MemoryLimits:
    """The limits on ``pid``, from its cgroup up to the root. ``root``: the folder that has proc and sys, another one in tests."""

    def __init__(self, pid: int, *, root: Path = ROOT) -> None:
        self._pid = pid
        self._root = root
        self._machine_bytes = _machine_bytes(root)
        self._groups = MemoryGroups()

    def read(self) -> Limit | None:
        """The lowest limit; the machine's memory where no cgroup sets a lower one; None where nothing can be read.

        The groups are looked up anew: `systemd-run --scope` and `cgexec` move a process after its start.
        """
        self._groups = memory_groups(self._pid, self._root) or self._groups
        tightest: Limit | None = None
        limit_file, usage_file = self._groups.limit_files
        for folder in self._groups.folders:
            try:
                limit_bytes = parse_limit((folder / limit_file).read_text())
                if limit_bytes is not None and (tightest is None or limit_bytes < tightest.limit_bytes):
                    tightest = Limit("cgroup", limit_bytes, parse_usage((folder / usage_file).read_text()))
            except (OSError, ParseError):
                continue
        if tightest is not None and (self._machine_bytes is None or tightest.limit_bytes < self._machine_bytes):
            return tightest
        return None if self._machine_bytes is None else Limit("machine", self._machine_bytes, None)


def _machine_bytes(root: Path) -> int | None:
    # Not psutil.virtual_memory(): its /proc can only be another one for the whole process.
    try:
        total = re.search(r"^MemTotal:\s+(\d+) kB$", (root / "proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(total[1]) * 1024 if total else None
