"""gperftools' heap profiler from the start of the program: snapshots in time, and growth between any two of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from memtui_profiler.checkers.base import ModeHelp, Output, Setup, Wanted
from memtui_profiler.checkers.heapcheck import STACKTRACE_METHOD
from memtui_profiler.checkers.outputs import regular_files
from memtui_profiler.program_facts import Obstacle, ProgramFacts
from memtui_profiler.request import PROFILE

NAME = "heapprofile"
REPORTS_WHEN_KILLED = False
KEEPS_MALLOC = False
MODES = (
    ModeHelp(
        PROFILE,
        "what is in use, by stack: a snapshot every minute, at 100 MiB more in use, at exit, and on s",
        "The one for servers that never exit: d shows what grew between two snapshots. Each allocation records its stack, so"
        " programs that allocate much run several times slower. Snapshots are cut at 1 MiB by gperftools before 2.16.",
    ),
)
PREFIX = "heap"
# gperftools' defaults look at what was allocated in all, each GiB of it: a busy server would do nothing but dump.
INTERVALS = {
    "HEAP_PROFILE_ALLOCATION_INTERVAL": "0",
    "HEAP_PROFILE_INUSE_INTERVAL": str(100 << 20),
    "HEAP_PROFILE_TIME_INTERVAL": "60",
}

# Of a process itself, or of a child: PREFIX_PID.
_OUTPUT = re.compile(r"heap(?:_(?P<pid>\d{1,9}))?\.(?P<number>\d{4,9})\.heap")


def obstacle(program: ProgramFacts) -> Obstacle | None:
    """What preflight.py does not already know of the library that is chosen."""
    return program.blinded


def setup(wanted: Wanted, program: ProgramFacts) -> Setup:
    """The user's own intervals and unwinder stay."""
    users = wanted.environment
    defaults = {**INTERVALS, "TCMALLOC_STACKTRACE_METHOD": STACKTRACE_METHOD}
    environment = {name: value for name, value in defaults.items() if not users.get(name)}
    return Setup(environment={"HEAPPROFILE": os.fspath(wanted.folder / PREFIX), **environment})


def outputs(folder: Path) -> list[Output]:
    """The snapshots, in the order of their numbers; ``pid`` 0 for the process itself."""
    found = [(path, matched) for path in regular_files(folder) if (matched := _OUTPUT.fullmatch(path.name))]
    found.sort(key=lambda item: (int(item[1]["pid"] or 0), int(item[1]["number"])))
    return [Output(path, int(matched["pid"] or 0)) for path, matched in found]
