"""Opens files that another user may have put there: only regular files, by paths that stay inside a folder."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MAX_SYMLINKS = 40


def open_regular(path: str, sysroot: Path | None = None, *, follow: bool = True) -> BinaryIO:
    """Open a regular file that is not empty, for reading; never wait, as a FIFO or a device would make us.

    ``path`` is absolute, as the target has it; symbolic links are followed inside ``sysroot``, as the target would. ``follow``
    False: the file itself may be none. Raises OSError, also for files of /proc and /sys: they are regular ones of size 0.
    """
    local_path = path if sysroot is None else path_inside(sysroot, path)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    descriptor = os.open(local_path, flags if follow else flags | os.O_NOFOLLOW)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "empty, or not a regular file", path)
    return os.fdopen(descriptor, "rb")


def path_inside(sysroot: Path, path: str) -> str:
    """The path on this machine of the target's ``path`` below ``sysroot``; absolute links and ``..`` do not leave that.

    Raises OSError for a circle of links.
    """
    left = path.split("/")[::-1]
    inside: list[str] = []
    links = 0
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del inside[-1:]
            continue
        inside.append(part)
        here = os.path.join(sysroot, *inside)
        if not os.path.islink(here):
            continue
        links += 1
        if links > MAX_SYMLINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(here)
        inside = [] if target.startswith("/") else inside[:-1]
        left += target.split("/")[::-1]
    return os.path.join(sysroot, *inside)


def sees_same_files(pid: int) -> bool:
    """Whether a path means the same file to the process as here: no container, no /tmp of its own. Raises OSError."""
    ours, theirs = os.stat("/"), os.stat(f"/proc/{pid}/root/")
    same_root = (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
    return same_root and os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{pid}/ns/mnt")


def size_or_zero(path: Path) -> int:
    """Return the size of a file in bytes; 0 when there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
