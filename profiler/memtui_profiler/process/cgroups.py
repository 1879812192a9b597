"""The control groups of a process that count its memory, of version 1 and 2: which folders, and which files in them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from memtui_parsers.procfs.cgroup import CgroupPaths, cgroup_paths

ROOT = Path("/")


class MemoryGroups(NamedTuple):
    """``folders``: from the process's own group up to the root, those that can set a limit. ``unified``: of version 2."""

    folders: tuple[Path, ...] = ()
    unified: bool = True

    @property
    def limit_files(self) -> tuple[str, str]:
        """The names of the files with the limit and with the usage."""
        return ("memory.max", "memory.current") if self.unified else ("memory.limit_in_bytes", "memory.usage_in_bytes")

    @property
    def kill_files(self) -> tuple[str, ...]:
        """The names of the files that count kills: of the group alone, where the kernel has that (5.2), comes first."""
        return ("memory.events.local", "memory.events") if self.unified else ("memory.oom_control",)


def memory_groups(pid: int, root: Path = ROOT) -> MemoryGroups | None:
    """The groups that ``pid`` is in now; None once it is gone. ``root``: the folder that has proc and sys."""
    try:
        paths: CgroupPaths = cgroup_paths((root / f"proc/{pid}/cgroup").read_text())
    except OSError:
        return None
    if paths.memory_v1 is not None:
        return MemoryGroups(_up(root / "sys/fs/cgroup/memory", paths.memory_v1, "memory.limit_in_bytes"), False)
    if paths.unified is not None:
        return MemoryGroups(_up(root / "sys/fs/cgroup", paths.unified, "memory.max"))
    return MemoryGroups()


def _up(mount: Path, path: str, limit_file: str) -> tuple[Path, ...]:
    folders = []
    folder = mount / path.lstrip("/")
    if ".." in folder.parts or not folder.is_dir():
        folder = mount  # a container sees its own cgroup as the root of the mount
    while True:
        if (folder / limit_file).exists():
            folders.append(folder)
        if folder == mount:
            return tuple(folders)
        folder = folder.parent
