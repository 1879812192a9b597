"""The looks at what a process has mapped, put together from their rows, and what a region is called."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from memtui_profiler.region_kinds import RegionKind
from memtui_profiler.session.rows import RegionRow

_NAMES = {
    RegionKind.HEAP.value: "heap",
    RegionKind.STACKS.value: "thread stacks",
    RegionKind.RUNTIME.value: "runtime",
    RegionKind.ANONYMOUS.value: "anonymous memory",
    RegionKind.SHARED.value: "shared memory",
    RegionKind.OTHER.value: "all smaller ones",
    RegionKind.ALL.value: "RSS",
}


@dataclass(frozen=True, slots=True)
class RecordedLook:
    """One look: ``whole`` is the sum of ``regions``, the largest of which comes first."""

    whole: RegionRow
    regions: tuple[RegionRow, ...]

    @property
    def at_s(self) -> float:
        return self.whole.at_s

    def region(self, kind: str, name: str = "") -> RegionRow | None:
        """The region of that kind and name; None where there was none."""
        return next((row for row in self.regions if (row.kind, row.name) == (kind, name)), None)

    @property
    def stacks(self) -> RegionRow | None:
        """The stacks of threads, one mapping each; None where none were found."""
        return self.region(RegionKind.STACKS.value)


class LookReader:
    """Makes looks of rows that come bit by bit: the row of the whole process ends one."""

    def __init__(self) -> None:
        self._begun: list[RegionRow] = []

    def looks(self, rows: Iterable[RegionRow]) -> list[RecordedLook]:
        """The looks that these rows end, oldest first."""
        ended = []
        for row in rows:
            if row.kind != RegionKind.ALL.value:
                self._begun.append(row)
                continue
            # The first rows of a look may have been left out where only the newest of a long session are read.
            own = tuple(other for other in self._begun if (other.at_s, other.run) == (row.at_s, row.run))
            ended.append(RecordedLook(row, own))
            self._begun = []
        return ended


def region_words(row: RegionRow) -> str:
    """What a region is called: ``thread stacks``, ``libc.so.6``, ``heap (arenas)``, ``Go heap``."""
    words = _NAMES.get(row.kind, row.kind)
    if row.kind == RegionKind.FILE.value:
        return os.path.basename(row.name) or row.name
    if row.kind == RegionKind.RUNTIME.value:
        return row.name or words
    if row.kind == RegionKind.SHARED.value and row.name:
        return f"{words} {row.name}"
    return f"{words} ({row.name})" if row.name else words
