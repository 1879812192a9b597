"""Files that the target writes for us: where it can write, how we get at them, and that nothing of ours stays behind."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.debug_files import open_regular
from memtui_profiler.errors import UserError

MAX_DUMP_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Version:
    """Which writing of a file this is."""

    inode: int
    modified_ns: int
    size_bytes: int


def seen_from_here(pid: int, path: str) -> str:
    """A path of the target's, through its own root: another mount namespace or a chroot make no difference."""
    return f"/proc/{pid}/root{path}" if path.startswith("/") else f"/proc/{pid}/cwd/{path}"


def own_pid(pid: int) -> int:
    """The pid as the process itself sees it: the last of NSpid (proc_pid_status(5))."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
            line = next((line for line in stream if line.startswith("NSpid:")), "")
        return int(line.split()[-1])
    except (OSError, IndexError, ValueError):
        return pid


def version_of(path: str) -> Version | None:
    """None when there is no regular file."""
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return Version(status.st_ino, status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None


def output_prefix(pid: int, session_folder: Path, name: str) -> str:
    """Where the target can write and we can read, as the target's path: the session's folder, or else its own /tmp.

    In a /tmp that others share nobody can have put a link at the name: it is not to be guessed.
    """
    if _shares_files(pid):
        return str(session_folder / name)
    return f"/tmp/memtui-{secrets.token_hex(8)}-{name}"


def fetch(source: str, destination: Path, *, remove: bool) -> None:
    """Copy a file that the target wrote into the session. Raises UserError when it is not to be had, or too large."""
    try:
        with open_regular(source) as stream, destination.open("xb") as copy:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_DUMP_BYTES:
                raise UserError("the dump was left where it is", f"{size} bytes are too many", f"memtui open {source}")
            shutil.copyfileobj(stream, copy)
    except OSError as error:
        raise UserError("the dump cannot be read", str(error), "run memtui as the target's user, or as root") from error
    if remove:
        with contextlib.suppress(OSError):
            os.unlink(source)


def _shares_files(pid: int) -> bool:
    """Whether the process sees the files that we see, and is our own user's."""
    try:
        ours, theirs = os.stat("/"), os.stat(f"/proc/{pid}/root/")
        same_root = (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
        same_mounts = os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{pid}/ns/mnt")
        return same_root and same_mounts and os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    except OSError:
        return False
