"""gperftools' heap profiler, on from the program's start: snapshots in time, and growth between any two of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from memtui_parsers.report.suppressions import Syntax
from memtui_profiler.actions import Action
from memtui_profiler.checkers.base import Checker, Libraries, Mode, Setup, Wanted
from memtui_profiler.checkers.ending import Conclusion, Ended, Output, conclude_by_files, matching_files, why_killed
from memtui_profiler.checkers.gperftools import library_obstacle, profiler_obstacle
from memtui_profiler.checkers.heapcheck import STACKTRACE_METHOD
from memtui_profiler.target.program_facts import Obstacle, ProgramFacts

NAME = "heapprofile"
PROFILE = "profile"
VARIABLE = "HEAPPROFILE"
PREFIX = "heap"
# gperftools' defaults look at what was allocated in all, each GiB of it: a busy server would do nothing but dump.
INTERVALS = {
    "HEAP_PROFILE_ALLOCATION_INTERVAL": "0",
    "HEAP_PROFILE_INUSE_INTERVAL": str(100 << 20),
    "HEAP_PROFILE_TIME_INTERVAL": "60",
}

# Of a process itself, or of a child: PREFIX_PID.
_OUTPUT = re.compile(r"heap(?:_(?P<pid>\d{1,9}))?\.(?P<number>\d{4,9})\.heap")


def obstacle(program: ProgramFacts, libraries: Libraries) -> Obstacle | None:
    """Why it cannot work; None: nothing stands in its way."""
    return program.blinded or library_obstacle(program, libraries) or profiler_obstacle(libraries)


def setup(wanted: Wanted, program: ProgramFacts) -> Setup:
    """Return the profiler's variables; the user's own intervals and unwinder stay."""
    users = wanted.environment
    defaults = {**INTERVALS, "TCMALLOC_STACKTRACE_METHOD": STACKTRACE_METHOD}
    environment = {name: value for name, value in defaults.items() if not users.get(name)}
    return Setup(environment={VARIABLE: os.fspath(wanted.folder / PREFIX), **environment})


def outputs(folder: Path) -> list[Output]:
    """The snapshots, in the order of their numbers; ``pid`` 0 is the process that was launched."""
    snapshots = matching_files(folder, _OUTPUT)
    snapshots.sort(key=lambda item: (int(item[1]["pid"] or 0), int(item[1]["number"])))
    return [Output(path, int(name["pid"] or 0)) for path, name in snapshots]


def conclude(ended: Ended) -> Conclusion:
    """Return the snapshots that no report was made of yet, or why there is none."""
    if killed := why_killed(ended):
        return conclude_by_files(ended, killed)
    none = "no snapshot was written: the program ended by _exit() or exec before the first; take one while it runs"
    return conclude_by_files(ended, none, action=Action.SNAPSHOT)


CHECKER = Checker(
    name=NAME,
    modes=(
        Mode(
            PROFILE,
            "what is in use, by stack: a snapshot every minute, at 100 MiB more in use, at exit, and when asked for",
            "The one for servers that never exit: two snapshots tell what grew. Each allocation records its"
            " stack, so programs that allocate much run several times slower. Snapshots are cut at 1 MiB by gperftools"
            " before 2.16.",
            ("what is in use, by stack:", "each minute, and when asked"),
            actions=(Action.SNAPSHOT, Action.SHOW_REPORTS),
            at_work="Profiling what is in use, by stack.",
            meanwhile="A snapshot comes every minute, at each 100 MiB more in use, and at exit",
            nothing=("Nothing that was allocated since the profiler began is in use.",),
        ),
    ),
    usual_mode=PROFILE,
    cost=4,
    obstacle=obstacle,
    setup=setup,
    outputs=outputs,
    conclude=conclude,
    suppression_syntax=Syntax.LSAN,
    instead_note=": what is in use, by stack",
    sets=(VARIABLE,),
    takes_snapshots=True,
    snapshot_words="heap snapshot",
    found_nothing="nothing is in use",
    gperftools=True,
)
