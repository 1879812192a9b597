"""Appends rows to a session database; one writer per session, the recorder."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from memtui_profiler.session.rows import TABLE_OF, Meta, Row
from memtui_profiler.session.schema import APPLICATION_ID, TABLES, USER_VERSION

DATABASE = "session.db"

# Memory is mapped by WAL's index; over these the mapping is not shared between machines and readers see nonsense.
NETWORK_FILE_SYSTEMS = frozenset(
    {0x6969, 0xFF534D42, 0xFE534D42, 0x517B, 0x01021997, 0x65735546}
)  # NFS CIFS SMB2 SMB 9p FUSE


def _insert(kind: type[Row]) -> str:
    names = kind._fields
    return f"INSERT INTO {TABLE_OF[kind]} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def _values(row: Row) -> list[object]:
    values = [_storable(value) if value.__class__ is str else value for value in row]
    values[-1] = row.id or None  # id 0: the database gives the next
    return values


def _storable(value: object) -> object:
    """SQLite keeps UTF-8 alone; surrogates, as Python reads the odd bytes of a path (PEP 383), are written out."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


class SessionWriter:
    """Rows become visible to readers at the next commit(). Raises sqlite3.Error when the disk is full or gone."""

    def __init__(self, folder: Path, *, wal: bool = True) -> None:
        self._wal = wal
        # Made in the recorder's thread so that its failure fails the launch, used in the background writer's alone.
        self._db = sqlite3.connect(
            folder / DATABASE, isolation_level=None, cached_statements=64, check_same_thread=False
        )
        os.chmod(folder / DATABASE, 0o600)
        self._db.execute("PRAGMA synchronous=NORMAL")
        if wal:
            self._db.execute("PRAGMA journal_mode=WAL")
        if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
            self._db.executescript(
                f"BEGIN; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={USER_VERSION}; {TABLES} COMMIT;"
            )

    def meta(self, key: str, value: str) -> None:
        """Later rows of the same key win."""
        self.add(Meta(key=key, value=value))

    def add(self, row: Row) -> int:
        """Append one row; returns the id the database gave it."""
        self._begin()
        identifier = self._db.execute(_insert(type(row)), _values(row)).lastrowid
        assert identifier is not None
        return identifier

    def add_all(self, rows: Iterable[Row]) -> None:
        """Append many rows of one kind, streaming."""
        self._begin()
        rows = iter(rows)
        first = next(rows, None)
        if first is None:
            return
        statement = _insert(type(first))
        self._db.execute(statement, _values(first))
        self._db.executemany(statement, map(_values, rows))

    @property
    def pending(self) -> bool:
        return self._db.in_transaction

    def commit(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Forget what was added since the last commit."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the database, as far as readers allow."""
        self.commit()
        if self._wal:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Leave one file that can be copied and opened read-only; with a reader still in, the next opening does it."""
        self.commit()
        try:
            self._db.execute("PRAGMA journal_mode=DELETE").fetchall()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
        finally:
            self._db.close()

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN")


def supports_wal(folder: Path) -> bool:
    """Whether the file system under ``folder`` is a local one (statfs(2)'s f_type; NFS, SMB, 9p and FUSE are not)."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)
    if libc.statfs(os.fsencode(folder), buffer) != 0:
        return False
    return int.from_bytes(buffer.raw[:8], "little") & 0xFFFFFFFF not in NETWORK_FILE_SYSTEMS
