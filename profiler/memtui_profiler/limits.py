"""The memory limit a process lives under, and whether the OOM killer has been at its cgroup."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from memtui_parsers.cgroup import cgroup_paths, oom_kills, parse_limit, parse_usage
from memtui_parsers.errors import ParseError

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Limit:
    """``source`` is 'cgroup' or 'machine'; ``used_bytes`` what counts against the limit now, None where nobody says."""

    source: str
    limit_bytes: int
    used_bytes: int | None


class MemoryLimits:
    """The tightest limit over ``pid``, looked up from its cgroup to the root. ``root`` is the file system of /proc and /sys."""

    def __init__(self, pid: int, *, root: Path = ROOT) -> None:
        self._root = root
        self._machine_bytes = _machine_bytes(root)
        self._folders, self._unified = _cgroup_folders(pid, root)
        self._oom_kills_before = self._oom_kills()

    def read(self) -> Limit | None:
        """The tightest limit there is; the machine's memory where no cgroup sets a lower one."""
        tightest: Limit | None = None
        limit_file, usage_file = (
            ("memory.max", "memory.current") if self._unified else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        )
        for folder in self._folders:
            try:
                limit_bytes = parse_limit((folder / limit_file).read_text())
                if limit_bytes is not None and (tightest is None or limit_bytes < tightest.limit_bytes):
                    tightest = Limit("cgroup", limit_bytes, parse_usage((folder / usage_file).read_text()))
            except (OSError, ParseError):
                continue
        if tightest is not None and (self._machine_bytes is None or tightest.limit_bytes < self._machine_bytes):
            return tightest
        return None if self._machine_bytes is None else Limit("machine", self._machine_bytes, None)

    def oom_killed(self) -> bool:
        """Whether the OOM killer has killed in this cgroup since this object was made."""
        before, now = self._oom_kills_before, self._oom_kills()
        return before is not None and now is not None and now > before

    def _oom_kills(self) -> int | None:
        for folder in self._folders[:1]:
            try:
                return oom_kills((folder / ("memory.events" if self._unified else "memory.oom_control")).read_text())
            except OSError:
                continue
        try:  # the root cgroup counts nothing; the machine as a whole does
            counted = re.search(r"^oom_kill (\d+)$", (self._root / "proc/vmstat").read_text(), re.MULTILINE)
        except OSError:
            return None
        return int(counted[1]) if counted else None


def _machine_bytes(root: Path) -> int | None:
    try:
        total = re.search(r"^MemTotal:\s+(\d+) kB$", (root / "proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(total[1]) * 1024 if total else None


def _cgroup_folders(pid: int, root: Path) -> tuple[list[Path], bool]:
    """The folders from the process's own cgroup up to its root, and whether they are of version 2."""
    try:
        paths = cgroup_paths((root / f"proc/{pid}/cgroup").read_text())
    except OSError:
        return [], True
    if paths.memory_v1 is not None:
        return _up(root / "sys/fs/cgroup/memory", paths.memory_v1, "memory.limit_in_bytes"), False
    if paths.unified is not None:
        return _up(root / "sys/fs/cgroup", paths.unified, "memory.max"), True
    return [], True


def _up(mount: Path, path: str, limit_file: str) -> list[Path]:
    folders = []
    folder = mount / path.lstrip("/")
    if ".." in folder.parts or not folder.is_dir():
        folder = mount  # a container sees its own cgroup as the root of the mount
    while True:
        if (folder / limit_file).exists():
            folders.append(folder)
        if folder == mount:
            return folders
        folder = folder.parent
