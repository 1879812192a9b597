"""A private folder for what the target writes for memtui: nobody else can read it, or lay links in it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from itertools import islice
from pathlib import Path

from memtui_profiler.asking.target_files import Version, copy_dump
from memtui_profiler.errors import UserError
from memtui_profiler.files import sees_same_files
from memtui_profiler.process.file_user import FileUser, acting_as, user_of

MAX_FILES = 10_000
# Where any process may make a folder; the first that is there and no link.
_TEMPORARY = (("tmp",), ("var", "tmp"))
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_WHAT = "the process has no folder to write to"


class TargetFolder:
    """``path``: as the target has it. It is the target's user's, of mode 0700, and has a name that nobody can guess.

    It is held open, and everything in it is reached through that, never by a path; made and closed in one thread.
    """

    def __init__(self, parent: int, parent_path: str, user: FileUser) -> None:
        """Make it in ``parent``, a descriptor that is this object's from here on. Raises OSError, UserError."""
        self._parent = parent
        self._user = user
        self._name = f"memtui-{secrets.token_hex(16)}"
        self.path = os.path.join(parent_path, self._name)
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, parent)
            with acting_as(user):
                os.mkdir(self._name, 0o700, dir_fd=parent)
                self._folder = os.open(self._name, _FOLDER, dir_fd=parent)
            opened.callback(os.close, self._folder)
            facts = os.fstat(self._folder)
            if facts.st_uid != user.uid or facts.st_mode & 0o077:
                raise UserError(_WHAT, f"somebody else changed {self.path} while it was made", "try again")
            self._opened = opened.pop_all()

    def versions(self) -> dict[str, Version]:
        """The regular files in it, by name, those with the first names first; files with another name elsewhere do not count."""
        found: dict[str, Version] = {}
        with acting_as(self._user), os.scandir(self._folder) as entries:
            for entry in islice(entries, MAX_FILES):
                with contextlib.suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1 and facts.st_uid == self._user.uid:
                        found[entry.name] = facts.st_ino, facts.st_mtime_ns, facts.st_size
        return dict(sorted(found.items()))

    def move_out(self, name: str, destination: Path) -> None:
        """Copy a file to ``destination`` and delete it here. Raises OSError, UserError."""
        with acting_as(self._user):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            descriptor = os.open(name, flags, dir_fd=self._folder)
        with open(descriptor, "rb") as stream:
            copy_dump(stream, f"{self.path}/{name}", destination)
        with acting_as(self._user), contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self._folder)

    def close(self) -> None:
        """Delete it with all that is in it. What cannot be deleted stays; nothing is raised."""
        with self._opened, contextlib.suppress(OSError, UserError), acting_as(self._user):
            with os.scandir(self._folder) as entries:
                names = [entry.name for entry in islice(entries, MAX_FILES)]
            for name in names:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=self._folder)
            os.rmdir(self._name, dir_fd=self._parent)


def target_folder(pid: int, session_folder: Path) -> TargetFolder:
    """Make a folder where the process can write: in the session's folder, else among its own temporary files.

    Raises UserError.
    """
    try:
        user = user_of(pid)
        if user.uid == os.geteuid() and sees_same_files(pid):
            return TargetFolder(os.open(session_folder, _FOLDER), str(session_folder), user)
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(_WHAT, str(error), "run memtui as the target's user, or as root") from error
    failure: OSError | None = None
    try:
        for parts in _TEMPORARY:
            try:
                return TargetFolder(_open_below(root, parts), f"/{'/'.join(parts)}", user)
            except OSError as error:
                failure = failure or error
    finally:
        os.close(root)
    raise UserError(_WHAT, f"in its /tmp: {failure}", "give it a /tmp of mode 1777")


def _open_below(root: int, parts: tuple[str, ...]) -> int:
    """Open a folder below ``root`` through no link: one of the target's could lead anywhere.

    Raises OSError, also where others could put a link in the place of what is made there.
    """
    here = os.dup(root)
    for part in parts:
        try:
            below = os.open(part, _PLACE, dir_fd=here)
        finally:
            os.close(here)
        here = below
    if os.fstat(here).st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        os.close(here)
        raise OSError(errno.EPERM, "everybody may rename what lies there, for it has no sticky bit")
    return here
