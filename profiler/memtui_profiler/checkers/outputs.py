"""Looking for what a checker left in a folder that the target writes to: regular files only, whatever else lies there."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

from memtui_profiler.checkers.base import Output

MAX_FILES = 10_000


def regular_files(folder: Path) -> list[Path]:
    """The files of a folder, oldest first; empty when it is gone."""
    found: list[tuple[int, Path]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # one that goes meanwhile must not hide the others
                    facts = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(facts.st_mode) and len(found) < MAX_FILES:
                        found.append((facts.st_mtime_ns, Path(entry.path)))
    except OSError:
        return []
    return [path for _, path in sorted(found)]


def numbered_by_pid(folder: Path, name: re.Pattern[str]) -> list[Output]:
    """Files whose name matches and has a group ``pid``, oldest first."""
    return [
        Output(path, int(matched["pid"])) for path in regular_files(folder) if (matched := name.fullmatch(path.name))
    ]
