"""What a checker is, for all who launch, ask, collect or show: a value of facts, words and functions.

A checker answers four questions: can it work on this target here, and if not what would mend it; what it changes in the
launch; which files it leaves, that reports are made of; and what the end of a run means for its report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_profiler.actions import Action
from memtui_profiler.request import CHECK_OFF, LaunchRequest

# Here and not above: a screen that shows the modes starts 15 ms sooner without them.
if TYPE_CHECKING:
    from memtui_parsers.report.suppressions import Syntax
    from memtui_profiler.asking.leak_check import LeakQuestion
    from memtui_profiler.checkers.ending import Conclusion, Ended, Output
    from memtui_profiler.target.program_facts import Obstacle, ProgramFacts
    from memtui_profiler.target.tcmalloc_library import TcmallocLibrary


@dataclass(frozen=True, slots=True)
class Knob:
    """A variable that tunes a checker: its default as the checker has it, and its meaning in words."""

    name: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Mode:
    """One mode of a checker, in words.

    ``summary``: when it reports, and what. ``detail``: what to know before choosing it. ``brief``: the summary in two
    lines of 30 characters. ``knobs``: the variables that tune it. ``counts_everything``: it reports what was not freed,
    reachable or not. ``no_live_check``: why the running process cannot be checked in this mode, '' where it can be.
    ``at_work``: what it is doing while the process runs, and ``meanwhile`` what to know until its report comes ('' for
    the usual words). ``nothing``: sentences that say what it means that nothing was found (empty: those of the
    checker). ``actions``: what a user can do with it, beyond waiting for the report at exit.
    """

    name: str
    summary: str
    detail: str
    brief: tuple[str, str]
    knobs: tuple[Knob, ...] = ()
    counts_everything: bool = False
    no_live_check: str = ""
    at_work: str = ""
    meanwhile: str = ""
    nothing: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()


OFF = Mode(CHECK_OFF, "no check", "Costs nothing.", ("no check, costs nothing", ""))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A launch with a checker. ``environment``: all that the user gives the target; ``folder``: the run's own.

    ``tcmalloc``: what it will run with; None where that is not known.
    """

    request: LaunchRequest
    mode: str
    folder: Path
    environment: Mapping[str, str]
    tcmalloc: TcmallocLibrary | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """What a checker changes in a launch, on top of the user's own.

    ``command`` goes before the program and its arguments, ``preload`` first into LD_PRELOAD.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    preload: str | None = None


@dataclass(frozen=True, slots=True)
class Libraries:
    """The tcmalloc that a launch would run with; those installed, best first; and the value of --tcmalloc."""

    chosen: TcmallocLibrary
    installed: Sequence[TcmallocLibrary]
    option: str


@dataclass(frozen=True, slots=True)
class Checker:
    """One checker. Whoever needs to know something of a checker asks this value, and compares no names.

    ``name``: as reports have it; ``title``: as doctor has it ('' for ``--check`` and the usual mode). ``usual_mode``:
    proposed where another checker cannot work, in the order of ``cost``, with ``instead_note`` behind it.
    ``automatic``: ``memtui check`` may choose it by itself. ``live_check``: gives the question that checks the running
    process; None: there is none.

    ``switches``: variables that turn it on, with a mode as their value; a launch with another checker takes them away.
    ``sets``: further variables that it sets and that ``--env`` may therefore not set. ``needs_heap_checker``: it is in
    some builds of tcmalloc only. ``keeps_malloc``: it works on the allocator that the program has, so memtui preloads
    none. ``takes_arguments``: ``--valgrind-args`` are for it. ``reports_when_killed``: a signal that ends the program
    does not cost its report, so no clean exit is needed. ``takes_snapshots``: its reports are snapshots of what is in
    use, written while the program runs. ``appends``: a live check appends to the file that the report at exit is in.
    ``unwinds_by_sections``: it cannot follow calls through files without section headers.
    ``checked_malloc``: the allocator whose blocks it checks, where that one tells how much it holds. ``fills_the_process``:
    most of the process's memory may be the checker's own.
    ``gperftools``: its reports are gperftools' .heap files, and what the library prints; else the file itself tells its
    format. ``from_outside``: memtui watches the process without anything in it, whatever allocates there, and a snapshot
    covers the time since the watching began. ``snapshot_words``: what one of its snapshots is called, ``found_nothing``: what
    is said where it found nothing. ``leak_exit_codes``: what the target's exit code may become where it found leaks.
    ``suppression_syntax``: of the files that say which leaks to leave out. ``launch_notes``: what to know of a launch with
    this environment. ``nothing``: what it means that nothing was found, and ``caveat`` what that is worth where the checker
    itself does not say. ``no_rate``: why there is no release rate under it, as a sentence and as a phrase of 33 characters;
    None: there may be one.
    """

    name: str
    modes: tuple[Mode, ...]
    usual_mode: str
    cost: int
    obstacle: Callable[[ProgramFacts, Libraries], Obstacle | None]
    setup: Callable[[Wanted, ProgramFacts], Setup]
    outputs: Callable[[Path], list[Output]]
    conclude: Callable[[Ended], Conclusion]
    suppression_syntax: Syntax
    live_check: Callable[[], LeakQuestion] | None = None
    title: str = ""
    instead_note: str = ""
    automatic: bool = False
    switches: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    needs_heap_checker: bool = False
    keeps_malloc: bool = False
    takes_arguments: bool = False
    reports_when_killed: bool = False
    takes_snapshots: bool = False
    appends: bool = False
    unwinds_by_sections: bool = False
    checked_malloc: str = ""
    fills_the_process: bool = False
    gperftools: bool = False
    from_outside: bool = False
    snapshot_words: str = ""
    found_nothing: str = "no leaks found"
    leak_exit_codes: tuple[int, ...] = ()
    launch_notes: Callable[[Mapping[str, str]], tuple[str, ...]] = lambda environment: ()
    nothing: tuple[str, ...] = ()
    caveat: str = ""
    no_rate: tuple[str, str] | None = None
