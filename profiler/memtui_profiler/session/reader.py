"""Reads a session database, live or finished, without ever holding a transaction open."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, cast

from memtui_profiler.errors import UserError
from memtui_profiler.session.rows import TABLE_OF, Row
from memtui_profiler.session.schema import APPLICATION_ID, USER_VERSION

R = TypeVar("R", bound=Row)


def _escaped(path: Path) -> str:
    """What SQLite's URIs need of percent-encoding (sqlite.org/uri.html); urllib would cost each start 3 ms."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


class SessionReader:
    """Read access to ``database`` (a session.db). Raises UserError when it is none, is newer than this memtui, or unreadable."""

    def __init__(self, database: Path) -> None:
        self.path = database
        # A session on read-only media, or one whose -wal needs no recovery, must open too.
        self._db = (
            self._open(database, "mode=ro") or self._open(database, "mode=ro&immutable=1") or self._refuse(database)
        )
        try:
            application = self._db.execute("PRAGMA application_id").fetchone()[0]
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"cannot open {database}", str(error), "give memtui a session folder or its session.db"
            ) from error
        if application != APPLICATION_ID:
            raise UserError(f"cannot open {database}", "it is no memtui session", "give memtui a session folder")
        self._columns: dict[str, set[str]] = {}
        if version > USER_VERSION:
            raise UserError(
                f"cannot open {database}",
                f"its format {version} is newer than this memtui's {USER_VERSION}",
                "upgrade memtui",
            )

    @staticmethod
    def _open(database: Path, options: str) -> sqlite3.Connection | None:
        try:
            db = sqlite3.connect(f"file:{_escaped(database)}?{options}", uri=True, isolation_level=None, timeout=1.0)
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            return None
        except sqlite3.DatabaseError:
            pass  # not a database at all: the checks of __init__ say so in words
        return db

    @staticmethod
    def _refuse(database: Path) -> sqlite3.Connection:
        raise UserError(
            f"cannot open {database}", "it is missing or not readable", "see `memtui sessions` for what there is"
        )

    def meta(self) -> dict[str, str]:
        return dict(self._db.execute("SELECT key, value FROM meta ORDER BY id").fetchall())

    def has(self, kind: type[Row], column: str = "id") -> bool:
        """Whether the session has such rows, and ``column`` in them: one that an older memtui wrote may lack either."""
        return column in self._columns_of(TABLE_OF[kind])

    def _columns_of(self, table: str) -> set[str]:
        if table not in self._columns:
            self._columns[table] = {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}
        return self._columns[table]

    def _select(self, kind: type[R]) -> str:
        """What an older memtui did not record comes as NULL; a table it did not have, empty."""
        there = self._columns_of(TABLE_OF[kind])
        names = (name if name in there else f"NULL AS {name}" for name in kind._fields)
        return f"SELECT {', '.join(names)} FROM {TABLE_OF[kind] if there else '(SELECT 0 AS id LIMIT 0)'}"

    def rows(self, kind: type[R], *, after: int = 0, limit: int = -1) -> list[R]:
        """All rows of one table with an id above ``after``, in the order they were written."""
        cursor = self._db.execute(f"{self._select(kind)} WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return [cast(R, kind._make(values)) for values in cursor.fetchall()]

    def rows_of(self, kind: type[R], column: str, value: int | str) -> list[R]:
        """All rows whose ``column`` (a field of ``kind``) has this value, in the order they were written."""
        if column not in kind._fields:
            raise ValueError(f"{TABLE_OF[kind]} has no column {column}")
        cursor = self._db.execute(f"{self._select(kind)} WHERE {column} = ? ORDER BY id", (value,))
        return [cast(R, kind._make(values)) for values in cursor.fetchall()]

    def columns(
        self, query: str, parameters: tuple[int | float | str | None, ...] = ()
    ) -> Iterator[tuple[object, ...]]:
        """Rows of an aggregating query of the caller's own (for series over long sessions)."""
        yield from self._db.execute(query, parameters).fetchall()

    def close(self) -> None:
        self._db.close()


def unpack_stack(stack: bytes) -> array[int]:
    """The leak_frame ordinals of a leak.stack blob, leaf first."""
    ids = array("I")
    ids.frombytes(stack)
    return ids


def pack_stack(frames: list[int]) -> bytes:
    return array("I", frames).tobytes()
