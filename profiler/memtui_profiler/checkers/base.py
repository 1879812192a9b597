"""What every checker's module has, so that a new one is one more module.

A checker answers three questions: can it work on this target here, and what would mend it; what it changes in the launch; and
which files it leaves, that a collector makes reports of. The functions are those of the ``Checker`` protocol, which a module
fulfils by having them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from memtui_profiler.program_facts import Obstacle, ProgramFacts


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user wants of a launch that concerns its checker.

    ``environment`` is all the user gives the target; ``folder`` is the run's own, for what the checker writes.
    """

    mode: str
    folder: Path
    environment: Mapping[str, str]
    follow_children: bool = False
    valgrind_args: tuple[str, ...] = ()
    suppressions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """What a checker changes in a launch, on top of the user's own.

    ``removed`` are variables of the user's that the target must not get, ``command`` goes before the program and its
    arguments, ``preload`` first into LD_PRELOAD.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    command: tuple[str, ...] = ()
    preload: str | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a checker left, of the process ``pid`` (as that sees itself)."""

    path: Path
    pid: int


class Checker(Protocol):
    """A module is one when it has these names.

    ``NAME`` as reports have it. ``REPORTS_WHEN_KILLED``: a signal that ends the program does not cost its report.
    ``KEEPS_MALLOC``: it works on the allocator that the program has, so memtui preloads none.
    """

    NAME: str
    MODES: tuple[ModeHelp, ...]
    REPORTS_WHEN_KILLED: bool
    KEEPS_MALLOC: bool

    def obstacle(self, program: ProgramFacts) -> Obstacle | None:
        """Why it cannot work on this program here; None: nothing stands in its way."""
        ...

    def setup(self, wanted: Wanted, program: ProgramFacts) -> Setup:
        """What the launch needs for it."""
        ...

    def outputs(self, folder: Path) -> list[Output]:
        """The reports that are in a run's folder, oldest first; those of child processes too."""
        ...
