"""What the stack pane shows: one stack, or an error's and those that explain it, each under its heading."""

from __future__ import annotations

from typing import NamedTuple

from memtui.figures import prose
from memtui.leaks.model import LeakTable
from memtui.leaks.names import is_library_frame, program_index
from memtui_parsers.values import CheckerError, Frame

# More frames of one stack than anybody reads; a hostile report may have as many as it likes.
MOST_FRAMES = 1000


class Section(NamedTuple):
    """A stack, leaf first: ``library[i]`` for the runtime's frames, ``program`` the index of the program's first.

    ``size`` is said beside that one's line. ``left`` frames more than are shown.
    """

    title: str
    stack: tuple[Frame, ...]
    library: tuple[bool, ...]
    program: int | None
    size: str = ""
    left: int = 0


def record_section(table: LeakTable, index: int) -> Section:
    record = table.record(index)
    stack = record.stack[:MOST_FRAMES]
    program = table.names[index].program
    return Section(
        title="",
        stack=stack,
        library=tuple(map(table.in_library, stack)),
        program=program if program is not None and program < len(stack) else None,
        size=prose(record.size_bytes),
        left=len(record.stack) - len(stack),
    )


def error_sections(error: CheckerError) -> tuple[Section, ...]:
    """The error's own stack, then its auxiliary ones: where the block was allocated or freed."""
    return (
        _section("", error.stack),
        *(_section(detail.what, detail.stack) for detail in error.details if detail.what or detail.stack),
    )


def _section(title: str, stack: tuple[Frame, ...]) -> Section:
    shown = stack[:MOST_FRAMES]
    library = tuple(map(is_library_frame, shown))
    return Section(title, shown, library, program_index(shown, library), left=len(stack) - len(shown))
