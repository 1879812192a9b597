"""Files that the target writes where it was told to when it started: how they are found, read and removed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from memtui_profiler.errors import UserError
from memtui_profiler.files import open_regular
from memtui_profiler.process.file_user import acting_as, user_of

MAX_DUMP_BYTES = 1 << 30
COPY_BYTES = 1 << 20

# What tells two writings of one file apart: its inode, the time of the last change in ns, and its size.
Version = tuple[int, int, int]


def seen_from_here(pid: int, path: str) -> str:
    """Return where the target's ``path`` is read: through its own root, so that mount namespaces and chroot do not matter."""
    return f"/proc/{pid}/root{path}" if path.startswith("/") else f"/proc/{pid}/cwd/{path}"


def own_pid(pid: int) -> int:
    """Return the pid as the process itself sees it: the last of NSpid (proc_pid_status(5))."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
            line = next((line for line in stream if line.startswith("NSpid:")), "")
        return int(line.split()[-1])
    except (OSError, IndexError, ValueError):
        return pid


def program_name(pid: int) -> str:
    """The last part of the name that the process was started by; '' where it has overwritten that. Raises nothing."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return os.path.basename(os.fsdecode(stream.read(4096).partition(b"\0")[0]))
    except OSError:
        return ""


def version_of(path: str) -> Version | None:
    """Return the version of a regular file; None when there is none."""
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None


@contextlib.contextmanager
def reserved(pid: int, path: str) -> Iterator[None]:
    """Have the file at ``path`` be the target's user's own while the target writes there; one that stays empty is deleted.

    Where everybody may make files, as in /tmp, somebody else could have laid a link there. Raises UserError.
    """
    what, todo = "cannot have a report written", "delete it, or have the process write to a folder of its own"
    made = False
    try:
        user = user_of(pid)
        with acting_as(user):
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
                made = True
            facts = os.lstat(path)
    except OSError as error:
        raise UserError(what, str(error), "let its user write there") from error
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid != user.uid:
        raise UserError(what, f"what lies at {path} is no file of its user", todo)
    try:
        yield
    finally:
        if made:
            with contextlib.suppress(OSError, UserError), acting_as(user):
                if os.lstat(path).st_size == 0:
                    os.unlink(path)


def open_target_file(pid: int, path: str) -> BinaryIO:
    """Open a regular file that the target wrote, as its user may; a link in its place is not followed.

    Raises OSError, UserError.
    """
    with acting_as(user_of(pid)):
        return open_regular(path, follow=False)


def fetch(pid: int, source: str, destination: Path, *, remove: bool) -> None:
    """Copy a file that the target wrote to ``destination``. Raises UserError when it cannot be read, or is too large."""
    try:
        with open_target_file(pid, source) as stream:
            copy_dump(stream, source, destination)
    except OSError as error:
        raise UserError("the dump cannot be read", str(error), "run memtui as the target's user, or as root") from error
    if remove:
        with contextlib.suppress(OSError), acting_as(user_of(pid)):
            os.unlink(source)


def copy_dump(stream: BinaryIO, name: str, destination: Path) -> None:
    """Copy a regular file to ``destination``, which is new; of one that cannot be copied whole nothing stays there.

    Raises OSError, UserError for one that is too large.
    """
    facts = os.fstat(stream.fileno())
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", name)
    if facts.st_size > MAX_DUMP_BYTES:
        raise UserError("the dump was left where it is", f"{facts.st_size} bytes are too many", f"memtui open {name}")
    with destination.open("xb") as copy:
        try:
            left = MAX_DUMP_BYTES  # it may grow meanwhile
            while left > 0 and (chunk := stream.read(min(left, COPY_BYTES))):
                copy.write(chunk)
                left -= len(chunk)
            copy.flush()
        except OSError:
            destination.unlink()
            raise
