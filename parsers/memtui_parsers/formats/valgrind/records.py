"""The leak records and errors in memcheck's reports, as XML and as text, and what its summary counts beyond the records.

``leakedbytes`` of a definitely lost block includes the blocks that only it points to. A check that shows all kinds
lists those again as indirectly lost, so the direct bytes, which only the record's text states, are taken.

Texts and numbers are as print_results in valgrind's memcheck/mc_leakcheck.c and pp_LossRecord in mc_errors.c write them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from memtui_parsers.formats.bounded_xml import Fields
from memtui_parsers.formats.stack_table import StackTable
from memtui_parsers.values import CheckerError, ErrorDetail, LeakKind

MAX_ERRORS = 10_000  # valgrind stops at 1,000 by default
MAX_STEPS = 4_000_000

# The elements of protocol 6's leak_summary; the text has the same words.
SUMMARY_KINDS = {
    "definitely_lost": LeakKind.DEFINITELY_LOST,
    "indirectly_lost": LeakKind.INDIRECTLY_LOST,
    "possibly_lost": LeakKind.POSSIBLY_LOST,
    "still_reachable": LeakKind.STILL_REACHABLE,
}
# The kinds of errors, as Leak_DefinitelyLost.
KINDS = {f"Leak_{name.title().replace('_', '')}": kind for name, kind in SUMMARY_KINDS.items()}
SUPPRESSED = "suppressed"

# A number, and how it has changed since the check before.
GROUPED = r"([\d,]{1,24})(?: \([+-][\d,]{1,24}\))?"
_NUMBER = re.compile(GROUPED)
_DIRECT = re.compile(rf"\({GROUPED} direct, {GROUPED} indirect\)")
_RECORD_NUMBER = re.compile(r"in (?:new )?loss record ([\d,]{1,16}) of ([\d,]{1,16})\s*$")
MAX_SEEN = 1_000_000

RERUN = "Rerun with --leak-check=full --show-leak-kinds=all"
ASK_AGAIN = "Ask again with leak_check full reachable any"

Steps = tuple[int, ...]


@dataclass(slots=True)
class _Error:
    kind: str
    what: str
    steps: Steps
    details: list[tuple[str, Steps]]
    count: int = 1


class ErrorTable:
    """The errors that are no leaks, by their number in the file (``unique``) and in its order, each with its stacks."""

    def __init__(self, table: StackTable) -> None:
        self._table = table
        self._errors: dict[str, _Error] = {}
        self._steps = 0
        self._beyond = 0

    def add(self, unique: str, kind: str, fields: Fields) -> None:
        """Add an error. ``fields`` are the texts and the stacks (as steps) of its element, in their order."""
        error = self._read(kind, fields)
        self._steps += len(error.steps) + sum(len(steps) for _, steps in error.details)
        if len(self._errors) >= MAX_ERRORS or self._steps > MAX_STEPS:
            self._beyond += 1
        else:
            self._errors[unique] = error

    def count(self, unique: str, count: int) -> None:
        """Set how often the error with this number was seen, which the end of the file states."""
        error = self._errors.get(unique)
        if error is not None and count > 0:
            error.count = count

    def values(self) -> Iterator[CheckerError]:
        stack = self._table.stack
        for error in self._errors.values():
            details = tuple(ErrorDetail(what, stack(steps)) for what, steps in error.details)
            yield CheckerError(error.kind, error.what, stack(error.steps), details, error.count)

    def notes(self) -> Iterator[str]:
        if self._beyond:
            yield f"{self._beyond} errors beyond the first {len(self._errors)} are left out"

    def _read(self, kind: str, fields: Fields) -> _Error:
        whats: list[str] = []
        stack: Steps | None = None
        details: list[tuple[str, Steps]] = []
        auxiliary: str | None = None  # a text whose stack has not come yet
        for name, value in zip(fields[::2], fields[1::2], strict=True):
            if name == "what":
                whats.append(value)
            elif name == "stack" and stack is None and auxiliary is None:
                stack = value
            elif name == "stack":
                details.append((auxiliary or "", value))
                auxiliary = None
            elif name == "auxwhat":
                if auxiliary is not None:
                    details.append((auxiliary, ()))
                auxiliary = self._table.text(value)
        if auxiliary is not None:
            details.append((auxiliary, ()))
        return _Error(self._table.text(kind), self._table.text(" ".join(whats)), stack or (), details)


class Counts(NamedTuple):
    """Bytes, and the number of blocks that hold them."""

    bytes: int = 0
    blocks: int = 0

    def words(self) -> str:
        return f"{self.bytes} bytes in {self.blocks} {'block' if self.blocks == 1 else 'blocks'}"


class RecordNumber(NamedTuple):
    """The number of a record in its check, from 1, and the number of records in the check; 0 where it is not stated."""

    number: int = 0
    total: int = 0


def record_number(text: str) -> RecordNumber:
    """Read ``in loss record 3 of 12`` at the end of a record's text."""
    matched = _RECORD_NUMBER.search(text)
    return RecordNumber(ungrouped(matched[1]), ungrouped(matched[2])) if matched else RecordNumber()


def direct_bytes(text: str, leaked_bytes: int) -> int:
    """The part of ``leaked_bytes`` in the record's own blocks, by its text; all of it where the text states no part."""
    matched = _DIRECT.search(text)
    if not matched or ungrouped(matched[1]) + ungrouped(matched[2]) != leaked_bytes:
        return leaked_bytes
    return ungrouped(matched[1])


def ungrouped(text: str) -> int:
    """Return the number that ``1,234`` is."""
    return int(text.replace(",", "") or "0")


def read_number(text: str) -> int | None:
    """Return the number that ``1,234`` or ``1,234 (+34)`` is; None for another text."""
    matched = _NUMBER.fullmatch(text.strip())
    return ungrouped(matched[1]) if matched and matched[1].isascii() else None


@dataclass(slots=True)
class LeakCheck:
    """One leak check. ``table`` has its records, ``summary`` valgrind's own sums, by SUMMARY_KINDS and SUPPRESSED.

    Only definitely lost blocks point to ``indirect_bytes``. ``asked``: gdb or vgdb asked for it.
    """

    table: StackTable
    summary: Mapping[str, Counts] = field(default_factory=dict)
    indirect_bytes: int = 0
    records: int = 0
    asked: bool = False
    _listed: Counter[tuple[LeakKind, int]] = field(default_factory=Counter)
    _unlisted: Counter[tuple[LeakKind, int]] = field(default_factory=Counter)
    _seen: set[int] = field(default_factory=set)
    _last: tuple[int, int] = (0, 0)
    _total: int = 0

    def goes_on(self, record: RecordNumber, unique: int | None = None) -> bool:
        """Whether a record can be one more of this check, before whose summary it stands.

        A tool may have sorted the records. valgrind itself writes them in the order of their numbers, and gives its
        errors ascending numbers ``unique``: a record that is behind by the one and ahead by the other is of a later check.
        """
        if not self.records or not record.number:
            return True
        number, last_unique = self._last
        later = unique is not None and unique > last_unique and record.number < number
        return record.total == self._total and record.number not in self._seen and not later

    def add(
        self,
        kind: LeakKind,
        steps: Sequence[int],
        size_bytes: int,
        blocks: int,
        record: RecordNumber,
        unique: int | None = None,
    ) -> None:
        self.records += 1
        if len(self._seen) < MAX_SEEN:
            self._seen.add(record.number)
        self._total = record.total
        self._last = max(record.number, self._last[0]), max(unique or 0, self._last[1])
        self._listed[kind, 0] += size_bytes
        self._listed[kind, 1] += blocks
        self.table.add(kind, steps, size_bytes, blocks)

    def close(self) -> None:
        """Add what the summary counts beyond the records, a row for each kind: it has no stack."""
        if self.summary:
            for name, total in self.summary.items():
                if (kind := SUMMARY_KINDS.get(name)) is None:
                    continue  # what is suppressed is no leak
                left = Counts(total.bytes - self._listed[kind, 0], total.blocks - self._listed[kind, 1])
                self._add_unlisted(kind, Counts(max(0, left.bytes), max(0, left.blocks)))
        if (not self.summary or self.is_limited()) and not self._listed[LeakKind.INDIRECTLY_LOST, 1]:
            self._add_unlisted(LeakKind.INDIRECTLY_LOST, Counts(self.indirect_bytes, 0))

    def is_limited(self) -> bool:
        """Whether the summary, too, leaves records out, as with ``leak_check full limited 10``."""
        counted = (self.summary.get(name, Counts()).bytes for name in ("indirectly_lost", SUPPRESSED))
        return bool(self.summary) and self.indirect_bytes > sum(counted)

    def lost(self) -> Counts:
        """What is definitely, indirectly and possibly lost."""
        kinds = [kind for kind in SUMMARY_KINDS.values() if kind is not LeakKind.STILL_REACHABLE]
        size, blocks = (sum(self._listed[kind, at] + self._unlisted[kind, at] for kind in kinds) for at in (0, 1))
        return Counts(size, blocks)

    def notes(self) -> Iterator[str]:
        words = [
            f"{Counts(self._unlisted[kind, 0], self._unlisted[kind, 1]).words()} {name.replace('_', ' ')}"
            for name, kind in SUMMARY_KINDS.items()
            if self._unlisted[kind, 1]
        ]
        todo = ASK_AGAIN if self.asked else RERUN
        if words:
            yield f"valgrind lists no stack for {', '.join(words)}. {todo}"
        elif size := self._unlisted[LeakKind.INDIRECTLY_LOST, 0]:
            yield f"{size} bytes are lost with the blocks that point to them, and have no stack here. {todo}"
        if self.is_limited():
            yield "Some records are neither listed nor in valgrind's own summary (leak_check ... limited): more is lost"
        suppressed = self.summary.get(SUPPRESSED, Counts())
        if suppressed.blocks:
            yield f"{suppressed.words()} {'is' if suppressed.blocks == 1 else 'are'} suppressed"
        if self.summary and (more := [name for name, kind in SUMMARY_KINDS.items() if self._exceeds(name, kind)]):
            names = ", ".join(name.replace("_", " ") for name in more)
            yield f"The records add up to more than valgrind's own summary says ({names})"

    def _exceeds(self, name: str, kind: LeakKind) -> bool:
        return name in self.summary and self._listed[kind, 0] > self.summary[name].bytes

    def _add_unlisted(self, kind: LeakKind, left: Counts) -> None:
        if left.bytes or left.blocks:
            self._unlisted[kind, 0] += left.bytes
            self._unlisted[kind, 1] += left.blocks
            self.table.add(kind, (), left.bytes, left.blocks)
