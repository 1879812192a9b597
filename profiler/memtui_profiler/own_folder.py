"""Folders that nobody but this user and root can change: memtui keeps what it writes, and reads it again, in no other.

Whoever owns a folder above a session's could put another one, or a link, in its place while memtui works there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from memtui_profiler.files import MAX_SYMLINKS

# linux/user_namespace.h: what the owner looks like that has no number in this user namespace, such as the host's root.
_OVERFLOW_ID = 65534
_WHOLE_RANGE = ["0", "0", "4294967295"]


def foreign_part(folder: Path, *, make: bool = False) -> str:
    """Say which part of the way to an absolute ``folder`` somebody else can change; '' where there is none.

    Links are followed, and each must be ours or root's, too. ``make``: what is missing is made, with mode 0700 whatever the
    umask. Raises OSError.
    """
    for path, status in _way_to(folder, make=make):
        if status.st_uid not in (0, os.geteuid()) and not _beyond_namespace(status.st_uid):
            return f"{path} belongs to {_user(status.st_uid)}, who could change what memtui keeps there"
        if stat.S_ISLNK(status.st_mode) or status.st_mode & stat.S_ISVTX:
            continue
        if status.st_mode & stat.S_IWOTH:
            return f"every user may write to {path}, and change what memtui keeps there"
        if status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid):
            return f"group {status.st_gid} may write to {path}, and change what memtui keeps there"
    return ""


def _way_to(folder: Path, *, make: bool) -> Iterator[tuple[Path, os.stat_result]]:
    """Each folder and each link on the way to ``folder``, from the root on, as far as there are any."""
    here = Path("/")
    yield here, here.lstat()
    left = _parts(folder.absolute())
    links = 0
    while left:
        part = left.pop()
        if part == "..":
            here = here.parent
            continue
        here = here / part
        try:
            status = here.lstat()
        except FileNotFoundError:
            if not make:
                return
            with contextlib.suppress(FileExistsError):
                here.mkdir(mode=0o700)
            status = here.lstat()
        yield here, status
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > MAX_SYMLINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
            target = Path(os.readlink(here))
            here = Path("/") if target.is_absolute() else here.parent
            left += _parts(target)
        elif not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(here))


def _parts(path: Path) -> list[str]:
    return [part for part in reversed(path.parts) if part != "/"]


def _beyond_namespace(uid: int) -> bool:
    """Whether the number stands for all owners that have none here: the host's root above a home in a container."""
    if uid != _OVERFLOW_ID:
        return False
    with contextlib.suppress(OSError):
        return Path("/proc/self/uid_map").read_text().split() != _WHOLE_RANGE
    return False


def _is_private_group(gid: int) -> bool:
    """Whether nobody else is in it: root's, or this user's own of the same name, as many systems give each user."""
    if gid == 0:
        return True
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group.gr_gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _user(uid: int) -> str:
    import pwd

    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"
