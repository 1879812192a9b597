"""What memcheck's leak records count, and what its summary has beyond them.

Of a block that is definitely lost ``leakedbytes`` counts what hangs on it, too, which a check that shows all kinds lists again
as indirectly lost: the record's text says how much is direct, and that is what is taken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from memtui_parsers.values import LeakKind

KINDS = {
    "Leak_DefinitelyLost": LeakKind.DEFINITELY_LOST,
    "Leak_IndirectlyLost": LeakKind.INDIRECTLY_LOST,
    "Leak_PossiblyLost": LeakKind.POSSIBLY_LOST,
    "Leak_StillReachable": LeakKind.STILL_REACHABLE,
}
# The elements of protocol 6's leak_summary.
SUMMARY_KINDS = {
    "definitely_lost": LeakKind.DEFINITELY_LOST,
    "indirectly_lost": LeakKind.INDIRECTLY_LOST,
    "possibly_lost": LeakKind.POSSIBLY_LOST,
    "still_reachable": LeakKind.STILL_REACHABLE,
}
SUPPRESSED = "suppressed"
_REACHABLE = "still_reachable"

_GROUPED = r"([\d,]{1,24})(?: \([+-][\d,]{1,24}\))?"
_DIRECT = re.compile(rf"\({_GROUPED} direct, {_GROUPED} indirect\)")
_PLACE = re.compile(r"in loss record ([\d,]{1,16}) of ([\d,]{1,16})\s*$")
_ALL_KINDS = "valgrind lists them with --show-leak-kinds=all"


class Counts(NamedTuple):
    bytes: int = 0
    blocks: int = 0


class Place(NamedTuple):
    """The number of a record in its check, from 1, and of how many; 0 where the text does not say."""

    record: int = 0
    of: int = 0


def place_in_check(text: str) -> Place:
    found = _PLACE.search(text)
    return Place(ungrouped(found[1]), ungrouped(found[2])) if found else Place()


def direct_bytes(text: str, leaked_bytes: int) -> int:
    """What of ``leaked_bytes`` the record's own blocks hold."""
    found = _DIRECT.search(text)
    if not found or ungrouped(found[1]) + ungrouped(found[2]) != leaked_bytes:
        return leaked_bytes
    return ungrouped(found[1])


def ungrouped(text: str) -> int:
    """``1,234`` as a number."""
    return int(text.replace(",", "") or "0")


@dataclass(slots=True)
class LeakTotals:
    """Of one leak check. ``hanging_bytes`` hang on blocks that are definitely lost; ``summary`` is protocol 6's."""

    hanging_bytes: int = 0
    summary: Mapping[str, Counts] | None = None
    listed: Counter[tuple[LeakKind, int]] = field(default_factory=Counter)

    def add(self, kind: LeakKind, size_bytes: int, blocks: int) -> None:
        self.listed[kind, 0] += size_bytes
        self.listed[kind, 1] += blocks

    def unlisted(self) -> Counts:
        """What is lost, but in no record: valgrind shows only what is definitely or possibly lost unless told otherwise."""
        if self.summary is None:
            return Counts() if self.listed[LeakKind.INDIRECTLY_LOST, 1] else Counts(self.hanging_bytes, 0)
        left = [self._left(name) for name in SUMMARY_KINDS if name != _REACHABLE]
        return Counts(sum(counts.bytes for counts in left), sum(counts.blocks for counts in left))

    def notes(self) -> Iterator[str]:
        unlisted = self.unlisted()
        if unlisted.blocks:
            yield f"{unlisted.bytes} bytes in {unlisted.blocks} blocks more are lost: {_ALL_KINDS}"
        elif unlisted.bytes:
            yield f"{unlisted.bytes} bytes more are lost with the blocks that point to them: {_ALL_KINDS}"
        reachable = self._left(_REACHABLE)
        if reachable.bytes:
            yield f"{reachable.bytes} bytes in {reachable.blocks} blocks are still reachable: {_ALL_KINDS}"
        suppressed = (self.summary or {}).get(SUPPRESSED, Counts())
        if suppressed.bytes:
            yield f"{suppressed.bytes} bytes in {suppressed.blocks} blocks are suppressed"

    def _left(self, name: str) -> Counts:
        """What the summary counts of this kind beyond the records."""
        told, kind = (self.summary or {}).get(name, Counts()), SUMMARY_KINDS[name]
        return Counts(max(0, told.bytes - self.listed[kind, 0]), max(0, told.blocks - self.listed[kind, 1]))
