"""What every checker's module has, so that a new one is one more module.

A checker answers three questions: can it work on this target here (``memtui_profiler.preflight`` asks, and says what would
mend it); what it changes in the target's environment; and how its output becomes a report. The functions are those of the
``Checker`` protocol, which a module fulfils by having them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ModeHelp:
    """The words for one mode: ``summary`` when it reports and on what, ``detail`` what to know before choosing it."""

    name: str
    summary: str
    detail: str


@dataclass(frozen=True, slots=True)
class Knob:
    """A variable that tunes a checker: its default as the checker has it, and its meaning in words."""

    name: str
    default: str
    meaning: str


class Checker(Protocol):
    """A module is one when it has these functions."""

    def environment(self, mode: str, dump_folder: Path, user: Mapping[str, str]) -> dict[str, str]:
        """The variables a target needs for this mode, on top of the user's own."""
        ...

    def removed(self, mode: str) -> frozenset[str]:
        """The variables of the user's that the target must not get in this mode."""
        ...

    def dumps(self, folder: Path, pid: int) -> list[Path]:
        """The reports that process ``pid`` left in ``folder``, oldest first."""
        ...
