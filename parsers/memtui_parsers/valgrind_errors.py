"""The faults in memcheck's XML that are no leaks: each with its stack, and with what valgrind adds to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memtui_parsers.bounded_xml import Fields
from memtui_parsers.stack_table import StackTable
from memtui_parsers.values import CheckerError, ErrorDetail

MAX_ERRORS = 10_000  # valgrind stops at 1,000 unless told otherwise
MAX_STEPS = 4_000_000

Steps = tuple[int, ...]


@dataclass(slots=True)
class _Error:
    kind: str
    what: str
    steps: Steps
    details: list[tuple[str, Steps]]
    count: int = 1


class ErrorTable:
    """Errors by their number in the file (``unique``), in the order they came."""

    def __init__(self, table: StackTable) -> None:
        self._table = table
        self._errors: dict[str, _Error] = {}
        self._steps = 0
        self._beyond = 0

    def add(self, unique: str, kind: str, fields: Fields) -> None:
        """``fields`` of the error element: its texts, as text, and its stacks, as steps, in their order."""
        error = self._read(kind, fields)
        self._steps += len(error.steps) + sum(len(steps) for _, steps in error.details)
        if len(self._errors) >= MAX_ERRORS or self._steps > MAX_STEPS:
            self._beyond += 1
        else:
            self._errors[unique] = error

    def count(self, unique: str, count: int) -> None:
        """How often the error with this number was seen, as told at the end of the file."""
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
        said: str | None = None  # a text that waits for its stack
        for name, value in zip(fields[::2], fields[1::2], strict=True):
            if name == "what":
                whats.append(value)
            elif name == "stack" and stack is None and said is None:
                stack = value
            elif name == "stack":
                details.append((said or "", value))
                said = None
            elif name == "auxwhat":
                if said is not None:
                    details.append((said, ()))
                said = self._table.text(value)
        if said is not None:
            details.append((said, ()))
        return _Error(self._table.text(kind), self._table.text(" ".join(whats)), stack or (), details)
