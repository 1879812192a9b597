"""Reads a session database, live or finished, without holding a transaction open."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from memtui_profiler.errors import UserError
from memtui_profiler.session.checked import QueryDeadline, damage, foreign_file, foreign_schema, limit, types_of
from memtui_profiler.session.rows import TABLE_OF, Meta, Row
from memtui_profiler.session.writer import APPLICATION_ID, USER_VERSION

R = TypeVar("R", bound=Row)

NOTHING = frozenset({type(None)})
LATEST_S = 1e11  # Unix time of the year 5138


def _escaped(path: Path) -> str:
    """A path with the percent-encoding of SQLite's URIs (sqlite.org/uri.html); importing urllib for it takes 3 ms."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


class SessionReader:
    """Read access to ``database``, a session.db. Raises UserError when it is none, newer than this memtui, or unreadable.

    A session may come from anywhere: what it takes to read a value and a query has bounds, and rows that no memtui can have
    written are refused. Every method raises UserError for what is damaged or cannot be read.
    """

    def __init__(self, database: Path) -> None:
        self.path = database
        self._columns: dict[str, set[str]] = {}
        try:
            if foreign := foreign_file(database):
                raise self._cannot_open(foreign, "give memtui a session folder")
            # immutable: a session on read-only media, whose -wal needs no recovery, must open too.
            opened = self._open("mode=ro") or self._open("mode=ro&immutable=1")
        except OSError:
            opened = None
        if opened is None:
            raise self._cannot_open("it is missing or not readable", "see `memtui sessions` for what there is")
        self._db, self._deadline = opened
        try:
            self._refuse_other_formats()
        except UserError:
            self._db.close()
            raise

    def _refuse_other_formats(self) -> None:
        (application,), (version,) = (
            self._fetch("PRAGMA application_id")[0],
            self._fetch("PRAGMA user_version")[0],
        )
        if application != APPLICATION_ID:
            raise self._cannot_open("it is no memtui session", "give memtui a session folder")
        if version > USER_VERSION:
            newer = f"its format {version} is newer than this memtui's {USER_VERSION}"
            raise self._cannot_open(newer, "upgrade memtui")
        with self._told():
            foreign = foreign_schema(self._db)
        if foreign:
            raise self._cannot_open(foreign, "have whoever made it record it again")

    def _open(self, options: str) -> tuple[sqlite3.Connection, QueryDeadline] | None:
        uri = f"file:{_escaped(self.path)}?{options}"
        try:
            db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1.0)
        except sqlite3.OperationalError:  # it may not be read
            return None
        try:
            db.text_factory = _text
            deadline = limit(db, self.path)
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            db.close()
            return None
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            pass  # no database at all: the first question finds that, and raises UserError
        return db, deadline

    def _cannot_open(self, why: str, todo: str) -> UserError:
        return UserError(f"cannot open {self.path}", why, todo)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what SQLite says as UserError."""
        self._deadline.start()
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError, MemoryError, OverflowError) as error:
            # The message itself may quote what is no text.
            why = (
                "its schema is damaged" if isinstance(error, UnicodeDecodeError) else str(error) or type(error).__name__
            )
            todo = "check the disk that holds it, and that it is a session of memtui's"
            raise UserError(f"cannot read {self.path}", why, todo) from error

    def _fetch(self, query: str, parameters: tuple[int | float | str | None, ...] = ()) -> list[tuple[Any, ...]]:
        with self._told():
            return self._db.execute(query, parameters).fetchall()

    def meta(self) -> dict[str, str]:
        """The session's facts by key; writer.py lists the keys."""
        return {row.key: row.value for row in self.rows(Meta)}

    def started_s(self) -> float | None:
        """Unix time of the session's second 0; None where that is not known."""
        try:
            started_s = float(self.meta()["started"])
        except (KeyError, ValueError):
            return None
        return started_s if 0 <= started_s <= LATEST_S else None

    def has(self, kind: type[Row], column: str = "id") -> bool:
        """Whether the session has such rows, and ``column`` in them: one that an older memtui wrote may lack either."""
        return column in self._columns_of(TABLE_OF[kind])

    def _columns_of(self, table: str) -> set[str]:
        if table not in self._columns:
            self._columns[table] = {row[1] for row in self._fetch(f"PRAGMA table_info({table})")}
        return self._columns[table]

    def _select(self, kind: type[R], names: tuple[str, ...]) -> str:
        """The SELECT for a kind. A column that an older memtui did not have is NULL, a table it did not have is empty."""
        columns = self._columns_of(TABLE_OF[kind])
        cells = (name if name in columns else f"NULL AS {name}" for name in names)
        return f"SELECT {', '.join(cells)} FROM {TABLE_OF[kind] if columns else '(SELECT 0 AS id LIMIT 0)'}"

    def rows(self, kind: type[R], *, after: int = 0, limit: int = -1) -> list[R]:
        """All rows of one table with an id above ``after``, in the order they were written."""
        return self._made(kind, f"{self._select(kind, kind._fields)} WHERE id > ? ORDER BY id LIMIT ?", (after, limit))

    def rows_of(self, kind: type[R], column: str, value: int | str) -> list[R]:
        """All rows whose ``column`` (a field of ``kind``) has this value, in the order they were written."""
        if column not in kind._fields:
            raise ValueError(f"{TABLE_OF[kind]} has no column {column}")
        return self._made(kind, f"{self._select(kind, kind._fields)} WHERE {column} = ? ORDER BY id", (value,))

    def _made(self, kind: type[R], query: str, parameters: tuple[int | str, ...]) -> list[R]:
        rows = self._fetch(query, parameters)
        self._refuse_damaged(kind, kind._fields, rows)
        return [cast(R, kind._make(values)) for values in rows]

    def cells(self, kind: type[R], names: tuple[str, ...], column: str, value: int) -> list[tuple[Any, ...]]:
        """Some columns of all rows whose ``column`` has this value, in the order they were written, as bare tuples."""
        rows = self._fetch(f"{self._select(kind, names)} WHERE {column} = ? ORDER BY id", (value,))
        self._refuse_damaged(kind, names, rows)
        return rows

    def columns(
        self,
        query: str,
        parameters: tuple[int | float | str | None, ...] = (),
        *,
        kind: type[R] | None = None,
        names: tuple[str, ...] = (),
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of a query of the caller, to aggregate long sessions. ``names``: which fields of ``kind`` its columns are."""
        rows = self._fetch(query, parameters)
        if kind is not None:
            self._refuse_damaged(kind, names, rows)
        yield from rows

    def _refuse_damaged(self, kind: type[R], names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        table = TABLE_OF[kind]
        types, columns = types_of(table), self._columns_of(table)
        allowed = [types[name] if name in columns else types[name] | NOTHING for name in names]
        if why := damage(names, allowed, rows):
            why = f"table {table} is damaged: {why}"
            raise UserError(f"cannot read {self.path}", why, "see whether there is a copy of it")

    def close(self) -> None:
        self._db.close()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def unpack_stack(stack: bytes) -> array[int]:
    """The leak_frame ordinals of a leak.stack blob, leaf first; native byte order, little-endian on every supported machine."""
    ids = array("I")
    ids.frombytes(stack)
    return ids


def pack_stack(frames: list[int]) -> bytes:
    """The blob of a stack; see unpack_stack()."""
    return array("I", frames).tobytes()
