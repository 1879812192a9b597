"""Writes rows from a thread of its own: sampling never waits for a commit, and a full disk loses nothing that fits in memory."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

from memtui_profiler.errors import UserError
from memtui_profiler.session.rows import Row, Sample
from memtui_profiler.session.writer import SessionWriter

KEEP_ROWS = 500_000
BATCH_ROWS = 5_000

# What SQLite says of a value, as against what it says of the disk.
UNSTORABLE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeError)


class BackgroundWriter:
    """The recorder's end of a session database. Gives ids itself, as the only writer of a new database may.

    ``interval_s`` between commits may change at any time. ``failure`` says why the last commit did not work, None when it
    did; its rows wait for the next, and past half a million of them every second waiting sample goes. ``unstorable`` counts
    rows that no database can take (a number too large, say) and that were passed over.
    """

    def __init__(self, writer: SessionWriter, interval_s: float) -> None:
        self.interval_s = interval_s
        self.failure: UserError | None = None
        self.unstorable = 0
        self._writer = writer
        self._ids: Counter[type[Row]] = Counter()
        self._rows: list[Row] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = False
        self._checkpoint = False
        self._thread = threading.Thread(target=self._run, name="memtui-writer", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Rows that wait to be written."""
        return len(self._rows)

    def add(self, row: Row) -> int:
        """Queue one row; returns the id it will have."""
        with self._lock:
            self._ids[type(row)] += 1
            identifier = self._ids[type(row)]
            self._rows.append(row._replace(id=identifier))
            if len(self._rows) >= BATCH_ROWS and self.failure is None:
                self._wake.set()
        return identifier

    def hurry(self) -> None:
        """Commit now, in the writer's own time: somebody waits for what was just added."""
        self._wake.set()

    def checkpoint(self) -> None:
        """After the next commit, fold the write-ahead log into the database."""
        self._checkpoint = True

    def close(self) -> None:
        """Write what waits and leave one plain file. What cannot be written then is lost, and ``failure`` says why."""
        self._stop = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop:
            self._wake.wait(self.interval_s)
            self._wake.clear()
            self._flush()
            if self._checkpoint and self.failure is None:
                self._checkpoint = False
                self._attempt(self._writer.checkpoint)
        self._flush()
        self._attempt(self._writer.close)

    def _flush(self) -> None:
        while self._rows:
            with self._lock:
                batch = self._rows[:BATCH_ROWS]
            if not self._attempt(partial(self._write, batch)):
                self._thin_out()
                return
            with self._lock:
                del self._rows[: len(batch)]

    def _write(self, batch: list[Row]) -> None:
        for row in batch:
            try:
                self._writer.add(row)
            except UNSTORABLE:
                self.unstorable += (
                    1  # no later attempt would store it either, and the rows behind it must not wait for it
                )
        self._writer.commit()

    def _attempt(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except (sqlite3.Error, MemoryError) as error:
            self.failure = UserError(
                "cannot write the session",
                str(error),
                "free some space; what is not written yet waits in the recorder's memory",
            )
            try:
                self._writer.rollback()
            except sqlite3.Error:  # the database is closed or gone: there is nothing left to take back
                return False
            return False
        self.failure = None
        return True

    def _thin_out(self) -> None:
        with self._lock:
            if len(self._rows) > KEEP_ROWS:
                self._rows = [row for n, row in enumerate(self._rows) if n % 2 or not isinstance(row, Sample)]
