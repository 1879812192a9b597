"""Writes rows in a thread of its own: sampling never waits for a commit, and a full disk loses no row that fits in memory."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from memtui_profiler.errors import UserError
from memtui_profiler.session.rows import Row, Sample
from memtui_profiler.session.writer import SessionWriter

KEEP_ROWS = 500_000
BATCH_ROWS = 5_000
STALLED_AFTER_S = 2.0

# SQLite's errors about a value, not about the disk.
UNSTORABLE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeError)


class BackgroundWriter:
    """Queues rows, gives them their ids (a new database has one writer) and commits them.

    ``interval_s`` between commits may change at any time. ``failure`` is the reason why the last commit failed, None after a
    good one. Its rows wait for the next; above half a million waiting rows every second sample is dropped. ``unstorable``: how
    many rows were skipped because SQLite cannot store a value (a number too large). ``stalled``: the disk has not answered for
    some seconds, as one that is frozen or whose server is gone; it is not known whether it ever will.
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
        self._began_s: float | None = None  # when the writing that is under way did
        self._stop = False
        self._checkpoint = False
        self._thread = threading.Thread(target=self._run, name="memtui-writer", daemon=True)
        self._thread.start()

    def add(self, row: Row) -> int:
        """Queue one row and return the id it will have."""
        with self._lock:
            self._ids[type(row)] += 1
            identifier = self._ids[type(row)]
            if len(self._rows) < KEEP_ROWS or identifier % 2 or not isinstance(row, Sample):
                self._rows.append(row._replace(id=identifier))
            if len(self._rows) >= BATCH_ROWS and self.failure is None:
                self._wake.set()
        return identifier

    @property
    def stalled(self) -> bool:
        began_s = self._began_s
        return began_s is not None and time.monotonic() - began_s > STALLED_AFTER_S

    def commit_now(self) -> None:
        """Commit without waiting for the interval: a reader waits for the last rows. Returns before that is done."""
        self._wake.set()

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database after the next commit."""
        self._checkpoint = True

    def close(self) -> None:
        """Write the waiting rows and leave one plain file. Rows that cannot be written are lost; ``failure`` is the reason."""
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
                # No later attempt would store it, and the rows behind it must not wait for it.
                self.unstorable += 1
        self._writer.commit()

    def _attempt(self, work: Callable[[], None]) -> bool:
        self._began_s = time.monotonic()
        try:
            work()
        except (sqlite3.Error, MemoryError) as error:
            self.failure = UserError(
                "cannot write the session",
                str(error),
                "free some space; what is not written yet waits in the recorder's memory",
            )
            # A database that is closed or gone cannot roll back, and has nothing to undo.
            with contextlib.suppress(sqlite3.Error):
                self._writer.rollback()
            return False
        finally:
            self._began_s = None
        self.failure = None
        return True

    def _thin_out(self) -> None:
        with self._lock:
            if len(self._rows) > KEEP_ROWS:
                self._rows = [row for n, row in enumerate(self._rows) if n % 2 or not isinstance(row, Sample)]
