"""Follows a session that is being written: the rows of each kind that have come since the last look."""

from __future__ import annotations

from typing import TypeVar, cast

from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import TABLE_OF, Row

R = TypeVar("R", bound=Row)


class NewRows:
    """``after``: the id of the last row that was read of each kind. ``last_s``: the newest time of all rows that were read."""

    def __init__(self, reader: SessionReader) -> None:
        self.reader = reader
        self.after: dict[object, int] = {}
        self.last_s = 0.0

    def read(self, kind: type[R], most: int | None = None) -> list[R]:
        """Return the new rows of one kind, oldest first. The first call returns only the newest ``most`` of them (None: all)."""
        if most is not None and kind not in self.after and self.reader.has(cast("type[Row]", kind)):
            newest = next(self.reader.columns(f"SELECT max(id) FROM {TABLE_OF[kind]}"))[0]
            self.after[kind] = max(0, cast(int, newest or 0) - most)
        rows = self.reader.rows(kind, after=self.after.get(kind, 0))
        if rows:
            self.after[kind] = rows[-1].id
            self.last_s = max(self.last_s, *(getattr(row, "at_s", 0.0) for row in rows))
        return rows
