"""The recorders at work on this machine, and which of them watches a process: two would ask it in turn."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs import parse_stat
from memtui_profiler.errors import UserError
from memtui_profiler.prctl import RECORDER_NAME
from memtui_profiler.session.folders import is_live, sessions_root
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Followed, Run, RunEnd, RunSettled
from memtui_profiler.session.writer import DATABASE

MAX_CMDLINE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class RecorderAtWork:
    """``folder`` of its session, by its own command line (``memtui recorder DIR``)."""

    pid: int
    uid: int
    folder: Path


def refuse_what_is_watched(pid: int) -> None:
    """Raises UserError when a recorder other than this process watches ``pid``."""
    for recorder in _at_work():
        if not _watches(recorder, pid):
            continue
        what, name = f"cannot attach to {pid}", clean(recorder.folder.name)
        if recorder.uid != os.geteuid():
            why = f"memtui watches it already, as user {recorder.uid}"
            raise UserError(what, why, f"as that user: memtui resume {name}")
        kept = recorder.folder.parent == sessions_root()
        shown = name if kept else clean(str(recorder.folder))
        raise UserError(what, "memtui watches it already", f"memtui resume {shown}")


def _at_work() -> Iterator[RecorderAtWork]:
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/comm", "rb") as stream:
                if stream.read(64).rstrip(b"\n") != RECORDER_NAME.encode():
                    continue
            with open(f"/proc/{entry}/cmdline", "rb") as stream:
                words = stream.read(MAX_CMDLINE_BYTES).rstrip(b"\0").split(b"\0")
            uid = os.stat(f"/proc/{entry}").st_uid
        except OSError:
            continue
        yield RecorderAtWork(int(entry), uid, Path(os.fsdecode(words[-1])))


def _watches(recorder: RecorderAtWork, pid: int) -> bool:
    """By its session. Another user's is not opened, whatever lies there: what was launched by it is its child."""
    if recorder.uid != os.geteuid():
        return _parent_of(pid) == recorder.pid
    if not is_live(recorder.folder):
        return False
    try:
        reader = SessionReader(recorder.folder / DATABASE)
    except (UserError, sqlite3.Error):
        return False
    try:
        run = next(reversed(reader.rows(Run)), None)
        if run is None:  # it has only just begun
            return _parent_of(pid) == recorder.pid
        if reader.rows_of(RunEnd, "run", run.id):
            return False
        if reader.rows_of(RunSettled, "run", run.id):
            return False
        followed = reader.rows_of(Followed, "run", run.id)
        return pid == (followed[-1].pid if followed else run.pid)
    except sqlite3.Error:
        return False
    finally:
        reader.close()


def _parent_of(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return parse_stat(stream.read()).ppid
    except (OSError, ParseError):
        return None
