"""A session while it is recorded: its clock, its lock, its rows and its events."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.session.background import BackgroundWriter
from memtui_profiler.session.folders import hold_lock
from memtui_profiler.session.rows import Event, Row, RunSettled
from memtui_profiler.session.writer import SessionWriter, supports_wal

_STALLED = UserError(
    "cannot write the session",
    "its disk does not answer",
    "see to the disk; what is not written yet waits in the recorder's memory",
)
COMMIT_WATCHED_S = 0.25
COMMIT_ALONE_S = 0.4  # a recorder that is killed loses less than a second, also on a busy machine


class Recording:
    """The session in ``folder``. Times are seconds since ``began_s``, which is CLOCK_BOOTTIME: it goes on while the machine sleeps.

    ``run`` is the number of the newest run, which events belong to; 0 before the first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.began_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.run = 0
        self._lock = hold_lock(folder)
        self._writer = BackgroundWriter(SessionWriter(folder, wal=supports_wal(folder)), COMMIT_ALONE_S)
        self._was_failing = False
        self._told_unstorable = 0

    def now_s(self) -> float:
        """Seconds since the session began."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.began_s

    def add(self, row: Row) -> int:
        """Queue one row; return the id that it will have."""
        return self._writer.add(row)

    def event(self, kind: EventKind, text: str, **detail: Any) -> None:
        """Add an event of this moment; ``detail`` as memtui_profiler.events says."""
        self.add(Event(at_s=self.now_s(), run=self.run or None, kind=kind.value, text=text, detail=json.dumps(detail)))

    def error(self, kind: EventKind, error: UserError, verb: str) -> None:
        """Add an event of something that was refused or failed; ``verb``: which command, or part of memtui's work."""
        self.event(kind, str(error), verb=verb, **error.fields())

    def settled(self, run: int) -> None:
        """Add the row that says that no report of ``run`` is still to come, and leave one plain file where there is a disk."""
        self.add(RunSettled(at_s=self.now_s(), run=run))
        self._writer.checkpoint()
        self._writer.commit_now()

    def watch(self, *, watched: bool) -> None:
        """Commit often while somebody watches."""
        self._writer.interval_s = COMMIT_WATCHED_S if watched else COMMIT_ALONE_S

    def commit_now(self) -> None:
        """Commit soon, without waiting for that here: somebody waits for what was just added."""
        self._writer.commit_now()

    @property
    def failing(self) -> bool:
        """Whether rows cannot be written at the moment; they wait in memory."""
        return self._writer.failure is not None or self._writer.stalled

    @property
    def stalled(self) -> bool:
        """Whether the disk has not answered for some seconds: whoever writes to it now may wait for ever."""
        return self._writer.stalled

    def new_failure(self) -> UserError | None:
        """Return why rows cannot be written, once when that begins. It is an event too, which is written when rows are again."""
        failure, was_failing = _STALLED if self._writer.stalled else self._writer.failure, self._was_failing
        self._was_failing = failure is not None
        self._tell_unstorable()
        if failure is None or was_failing:
            return None
        self.error(EventKind.FAILED, failure, "record")
        return failure

    def _tell_unstorable(self) -> None:
        count = self._writer.unstorable
        if count > self._told_unstorable:
            self._told_unstorable = count
            self.event(EventKind.NOTE, f"rows left out because a value in them cannot be stored: {count}")

    def close(self) -> None:
        """Write what waits, and let another recorder have the folder."""
        try:
            self._tell_unstorable()
            self._writer.close()
        finally:
            os.close(self._lock)
