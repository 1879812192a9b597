"""What a session's database must be like before it is believed: it may be damaged, or made by somebody to harm."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from memtui_profiler.session.rows import KINDS

# Far above what any value of a session has; SQLite's own bound is a thousand million bytes a value.
MAX_VALUE_BYTES = 64 << 20
MAX_SCHEMA_BYTES = 1 << 20
# No session has lasted for thirty years; a graph of more would take for ever to draw.
MAX_SECONDS = 1e9
# Of processor time for one query: a second is enough for a million rows, which are some 60 MB.
_QUERY_S, _QUERY_S_PER_BYTE = 30.0, 100.0 / (1 << 30)
_STEPS = 1_000_000  # of SQLite's virtual machine, some 10 ms

_TIMES = ("at_s", "cost_s", "seconds")
_SIDE_FILES = ("-wal", "-journal", "-shm")


def foreign_file(database: Path) -> str:
    """Say what is no regular file of a database and those beside it that SQLite opens; '' where all are. Raises OSError."""
    path = os.path.realpath(database)
    if not stat.S_ISREG(os.stat(path).st_mode):
        return f"{path} is no regular file"
    for suffix in _SIDE_FILES:
        try:
            mode = os.lstat(path + suffix).st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(mode):
            return f"{path}{suffix} is no regular file"
    return ""


def limit(db: sqlite3.Connection, database: Path) -> QueryDeadline:
    """Bound what a query on ``db`` may take, before its first. Return the clock to start before each."""
    if sys.version_info >= (3, 11):
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, MAX_SCHEMA_BYTES)
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON", "mmap_size=0"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    deadline = QueryDeadline(_QUERY_S + _QUERY_S_PER_BYTE * 512 * os.stat(database).st_blocks)
    db.set_progress_handler(deadline.is_over, _STEPS)
    return deadline


class QueryDeadline:
    """Ends a query of this thread after ``seconds`` of processor time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = math.inf

    def start(self) -> None:
        """A query begins."""
        self._end = time.thread_time() + self._seconds

    def is_over(self) -> bool:
        """Whether it has to end."""
        return time.thread_time() > self._end


def foreign_schema(db: sqlite3.Connection) -> str:
    """Say what the database has that memtui never makes, such as a view, which is a query of its author; '' for nothing.

    Raises sqlite3.Error.
    """
    for kind, name in db.execute("SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')"):
        return f"it has a {kind}, {str(name)[:40]}, which no memtui has made"
    names = ", ".join(f"'{table}'" for table in KINDS)
    query = (
        f"SELECT name FROM sqlite_master WHERE type = 'table' AND name COLLATE NOCASE IN ({names}) AND NOT rootpage > 0"
    )
    for (name,) in db.execute(query):
        return f"its table {name} is virtual"
    for table in KINDS:
        if any(row[6] > 1 for row in db.execute(f"PRAGMA table_xinfo({table})")):
            return f"its table {table} has columns that are computed"
    return ""


@cache
def types_of(table: str) -> dict[str, frozenset[type]]:
    """The types that the values of each column may have."""
    hints = get_type_hints(KINDS[table])
    return {name: frozenset(get_args(hints[name]) or (hints[name],)) for name in KINDS[table]._fields}


def damage(names: Sequence[str], types: Sequence[frozenset[type]], rows: Sequence[tuple[Any, ...]]) -> str:
    """Say which column has a value of another type, or a time that is none; '' where all are as they should be."""
    if not rows:
        return ""
    for name, allowed, values in zip(names, types, zip(*rows, strict=True), strict=True):
        found = set(map(type, values))
        if not found <= allowed:
            return f"{name} is {' or '.join(sorted(each.__name__ for each in found - allowed))}"
        if float in found and name.endswith(_TIMES) and not all(map(_is_possible, values)):
            return f"{name} is no time"
    return ""


def _is_possible(seconds: float | None) -> bool:
    return seconds is None or -MAX_SECONDS <= seconds <= MAX_SECONDS
