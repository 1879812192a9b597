"""Works on files as another user: what that user may not read, write or delete, root does not on its behalf either."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from typing import NamedTuple

from memtui_profiler.errors import UserError

_UNCHANGED = 0xFFFFFFFF  # no id: setfsuid(2) changes nothing and returns the one there is


class FileUser(NamedTuple):
    """Ids by which the kernel judges a process's access to files, as we see them."""

    uid: int
    gid: int


def user_of(pid: int) -> FileUser:
    """The user of a process: the last of the four ids in proc_pid_status(5). Raises OSError."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
        ids = {line[:3]: line.split() for line in stream if line.startswith(("Uid:", "Gid:"))}
    return FileUser(int(ids["Uid"][4]), int(ids["Gid"][4]))


def author_of(file: os.stat_result) -> FileUser | None:
    """The user as whom root opens what ``file`` names, so that it cannot name what only root may read; None: without that."""
    return FileUser(file.st_uid, file.st_gid) if os.geteuid() == 0 != file.st_uid else None


@contextlib.contextmanager
def acting_as(user: FileUser) -> Iterator[None]:
    """Have this thread, and no other, open, make and delete files as ``user``. Raises UserError when memtui may not."""
    if user.uid == os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None)
    set_uid, set_gid = libc.setfsuid, libc.setfsgid
    set_uid.restype = set_gid.restype = ctypes.c_uint
    set_uid.argtypes = set_gid.argtypes = (ctypes.c_uint,)
    gid, uid = set_gid(user.gid), set_uid(user.uid)
    try:
        if set_uid(_UNCHANGED) != user.uid:
            why = f"memtui may not act as user {user.uid}, whose process it is"
            raise UserError("cannot use the process's files", why, "run memtui as that user, or as root")
        yield
    finally:
        set_uid(uid)
        set_gid(gid)
