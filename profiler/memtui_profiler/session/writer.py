"""Makes a session database and appends rows to it; a session has one writer, the recorder.

A database is append-only, so that a reader polls by row id and follows a live session like a finished one. What changes later
is a row of its own: a run ends in run_end, a report in report_end, a frame is named in symbol.

Keys of meta: ``memtui`` (version), ``started`` (Unix time of second 0, decimal), ``boottime`` (CLOCK_BOOTTIME of second 0),
``utc_offset`` (seconds east of UTC where it was recorded), ``argv`` (JSON list), ``argv.N`` (the same for report N, where that
came without its run), ``cwd``, ``host``, ``sample_hz``, ``page_bytes``, ``recorder_pid``, ``request`` (JSON LaunchRequest without
the values of the user's --env), ``attached`` (pid of a process that memtui did not start; only there for such a one),
``statistics`` (JSON; of an allocator's statistics that were printed to a file).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import get_args, get_type_hints

from memtui_profiler.session.rows import KINDS, TABLE_OF, Meta, Row

APPLICATION_ID = 0x6D656D74  # "memt": file(1) and readers recognize a session by it
USER_VERSION = 2

_TYPES: dict[type, str] = {int: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB"}
_INDICES = (
    "leak_of_report ON leak (report)",
    "frame_of_report ON leak_frame (report)",
    "symbol_of_report ON symbol (report)",
    "source_of_file ON source_line (file, line)",
)

DATABASE = "session.db"

# NFS, CIFS, SMB2, SMB, 9p and FUSE, by statfs(2)'s f_type. WAL needs its index in memory that all readers share, and these do not
# share it between machines: readers would see wrong rows.
NETWORK_FILE_SYSTEMS = frozenset({0x6969, 0xFF534D42, 0xFE534D42, 0x517B, 0x01021997, 0x65735546})


def tables_sql() -> str:
    """The statements that make the tables of a new session, one for each class of rows.py, and their indices."""
    tables = (_table_sql(table, kind) for table, kind in KINDS.items())
    return "".join([*tables, *(f"CREATE INDEX {index};\n" for index in _INDICES)])


def _table_sql(table: str, kind: type[Row]) -> str:
    columns = ["id INTEGER PRIMARY KEY"]
    for name, hint in get_type_hints(kind).items():
        if name != "id":
            value, *rest = get_args(hint) or (hint,)
            columns.append(f"{name} {_TYPES[value]}{'' if NoneType in rest else ' NOT NULL'}")
    return f"CREATE TABLE {table} ({', '.join(columns)}) STRICT;\n"


def _insert_sql(kind: type[Row]) -> str:
    names = kind._fields
    return f"INSERT INTO {TABLE_OF[kind]} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def _values(row: Row) -> list[object]:
    values: list[object] = [storable(value) if value.__class__ is str else value for value in row]
    values[-1] = row.id or None  # id 0: the database gives the next
    return values


def storable(text: str) -> str:
    """A text that SQLite can store, which is UTF-8. Bytes that are none, surrogates in Python (PEP 383), are spelled ``\\xff``."""
    if text.isascii():
        return text
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a character, which stands for no byte
        data = text.encode("utf-8", "backslashreplace")
    return data.decode("utf-8", "backslashreplace")


class SessionWriter:
    """Rows are visible to readers after the next commit(). Methods raise sqlite3.Error when the disk is full or gone."""

    def __init__(self, folder: Path, *, wal: bool = True) -> None:
        self._wal = wal
        # Opened in the recorder's thread, so that a failure fails the launch; used only in the background writer's thread.
        self._db = sqlite3.connect(
            folder / DATABASE, isolation_level=None, cached_statements=64, check_same_thread=False
        )
        os.chmod(folder / DATABASE, 0o600)
        self._db.execute("PRAGMA synchronous=NORMAL")
        if wal:
            self._db.execute("PRAGMA journal_mode=WAL")
        if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
            self._db.executescript(
                f"BEGIN; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={USER_VERSION}; {tables_sql()} COMMIT;"
            )

    def meta(self, key: str, value: str) -> None:
        """Append a fact about the session; the last row of a key wins."""
        self.add(Meta(key=key, value=value))

    def add(self, row: Row) -> int:
        """Append one row and return its id."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN")
        identifier = self._db.execute(_insert_sql(type(row)), _values(row)).lastrowid
        assert identifier is not None
        return identifier

    def add_all(self, rows: Iterable[Row]) -> None:
        """Append many rows of one kind, as an iterator gives them."""
        rows = iter(rows)
        first = next(rows, None)
        if first is not None:
            self.add(first)
            self._db.executemany(_insert_sql(type(first)), map(_values, rows))

    def commit(self) -> None:
        """Make what was added visible to readers."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Forget what was added since the last commit."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database, as far as readers allow it."""
        self.commit()
        if self._wal:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Leave one file that can be copied and opened read-only. While a reader is open the next opening does that instead."""
        self.commit()
        try:
            self._db.execute("PRAGMA journal_mode=DELETE").fetchall()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
        finally:
            self._db.close()


def supports_wal(folder: Path) -> bool:
    """Whether the file system of ``folder`` is a local one."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)
    if libc.statfs(os.fsencode(folder), buffer) != 0:
        return False
    return int.from_bytes(buffer.raw[:8], "little") & 0xFFFFFFFF not in NETWORK_FILE_SYSTEMS
