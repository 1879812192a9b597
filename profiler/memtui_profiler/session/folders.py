"""The folders of sessions: where they are, their names, their locks, and which of them are old enough to be deleted."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.errors import UserError
from memtui_profiler.own_folder import foreign_part
from memtui_profiler.session.writer import DATABASE

CONTROL_SOCKET = "control.sock"
LOCK = "recorder.lock"
RECORDER_NAME = "memtui-rec"  # of the process, as ps shows it: 15 bytes at most
KEEP_SESSIONS = 50
KEEP_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class SessionFolder:
    """One session on disk. ``live``: a recorder holds its lock. ``modified``: Unix time of its last change, in seconds."""

    path: Path
    live: bool
    size_bytes: int
    modified: float

    @property
    def name(self) -> str:
        return self.path.name


def sessions_root() -> Path:
    """``$XDG_STATE_HOME/memtui/sessions``, else ``~/.local/state/memtui/sessions``.

    A relative XDG path is ignored, as the XDG Base Directory Specification asks.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return base / "memtui" / "sessions"


def create(program: str, *, root: Path | None = None) -> Path:
    """Make a new session folder (mode 0700), named by time, program and pid.

    Raises UserError when that fails, and where somebody else could put another folder in its place.
    """
    root = sessions_root() if root is None else root
    name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(program).name)[:40].lstrip(".") or "target"
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{os.getpid()}"
    try:
        refuse_foreign(root, "cannot keep a session", make=True)
        for attempt in range(100):
            path = root / (stem if attempt == 0 else f"{stem}-{attempt}")
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise UserError(
            "cannot keep a session", f"{root}: {error.strerror}", "set XDG_STATE_HOME to a folder that can be written"
        ) from error
    raise UserError(
        "cannot keep a session", f"{root / stem} and 99 more exist already", "remove some with `memtui sessions rm`"
    )


def refuse_foreign(root: Path, what: str, *, make: bool = False) -> None:
    """Raise UserError where somebody else can change what lies in ``root``; see foreign_part(). Raises OSError."""
    if foreign := foreign_part(root, make=make):
        todo = "set XDG_STATE_HOME to a folder that only you can write to, or let `sudo -H` choose root's own"
        raise UserError(what, foreign, todo)


def is_live(path: Path) -> bool:
    """Whether a recorder holds the session's lock."""
    import fcntl

    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def hold_lock(path: Path) -> int:
    """Take the session's lock and return the descriptor that holds it; the process holds it until its end."""
    import fcntl

    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def sessions(root: Path | None = None) -> list[SessionFolder]:
    """All sessions, newest first. Raises UserError where others can write to their folder; see refuse_foreign()."""
    root = sessions_root() if root is None else root
    refuse_foreign(root, "cannot use these sessions")
    folders = []
    for path in root.iterdir() if root.is_dir() else ():
        database = path / DATABASE
        try:
            modified = database.stat().st_mtime
            size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        except OSError:
            continue
        folders.append(SessionFolder(path, is_live(path), size, modified))
    return sorted(folders, key=lambda s: s.name, reverse=True)


def remove(session: SessionFolder) -> None:
    """Delete a finished session. Raises UserError for a live one, and when it cannot be deleted."""
    if session.live:
        why, todo = "it is still recorded", f"stop it first, in `memtui resume {session.name}`"
        raise UserError(f"cannot remove {session.name}", why, todo)
    import shutil

    try:
        shutil.rmtree(session.path)
    except OSError as error:
        raise UserError(f"cannot remove {session.name}", str(error), "check who owns the folder") from error


def prune(root: Path | None = None, *, keep: int = KEEP_SESSIONS, keep_bytes: int = KEEP_BYTES) -> list[str]:
    """Delete the oldest finished sessions beyond ``keep`` in number or ``keep_bytes`` in size; return their names."""
    kept_bytes, kept, gone = 0, 0, []
    for session in sessions(root):
        kept_bytes += session.size_bytes
        kept += 1
        if not session.live and (kept > keep or kept_bytes > keep_bytes):
            remove(session)
            kept -= 1
            kept_bytes -= session.size_bytes
            gone.append(session.name)
    return gone
