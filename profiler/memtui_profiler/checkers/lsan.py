"""LeakSanitizer: gcc's liblsan preloaded into an unmodified program, or the runtime that a program was built with.

Flags: `LSAN_OPTIONS=help=1`. It writes a report only where something leaked, so its word on each thread that it looked at is
asked for too (log_threads): that a check was made at all.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from memtui_parsers.suppressions import Syntax
from memtui_profiler.checkers.base import ModeHelp, Output, Setup, Wanted
from memtui_profiler.checkers.outputs import numbered_by_pid
from memtui_profiler.library_search import library_at, read_cache, standard_folders
from memtui_profiler.program_facts import Obstacle, ProgramFacts
from memtui_profiler.request import LSAN
from memtui_profiler.suppression_files import files_of

NAME = "lsan"
REPORTS_WHEN_KILLED = False
KEEPS_MALLOC = True
MODES = (
    ModeHelp(
        LSAN,
        "at exit, by LeakSanitizer: what no pointer reaches, directly and indirectly; c asks while it runs",
        "liblsan is preloaded, no rebuild is needed; a program built with -fsanitize=address or leak uses its own. Faster than"
        " the heap checker, and there where gperftools has none. A process killed by a signal leaves no report.",
    ),
)
CONTEXT_FRAMES = 40
STATIC = Obstacle("it is statically linked: no loader takes LD_PRELOAD", "link it dynamically")
INSTALL = "apt-get install liblsan0 (Fedora: dnf install liblsan)"
WITH_LEAKS = ("AddressSanitizer", "LeakSanitizer")

_LIBRARY = re.compile(r"liblsan\.so\.\d+")
_OUTPUT = re.compile(r"lsan\.(?P<pid>\d{1,9})")


def obstacle(program: ProgramFacts) -> Obstacle | None:
    """None: nothing stands in its way."""
    if program.malloc in WITH_LEAKS:
        return program.tracing
    if program.is_static:
        return STATIC
    if program.tcmalloc is not None:
        return Obstacle(
            f"it brings {program.tcmalloc.name}, and LeakSanitizer has to be its malloc", "link it without tcmalloc"
        )
    if program.preload_obstacle is not None:
        return program.preload_obstacle
    if library(program.machine, program.bits) is None:
        return Obstacle("liblsan is not installed", INSTALL)
    return None


def library(machine: str, bits: int) -> str | None:
    """The newest liblsan that such a program can load; None: there is none."""
    found = [file for name, files in read_cache().items() if _LIBRARY.fullmatch(name) for file in files]
    for folder in standard_folders(machine):
        found += sorted(_names(folder))
    for path in sorted(dict.fromkeys(found), key=_number, reverse=True):
        there = library_at(path)
        if there is not None and (there.facts.machine, there.facts.bits) == (machine, bits):
            return path
    return None


def setup(wanted: Wanted, program: ProgramFacts) -> Setup:
    """The user's own flags stay, and ours come behind them: the last word wins."""
    own = program.malloc in WITH_LEAKS
    common = [
        f"log_path={_quoted(str(wanted.folder / 'lsan'))}",
        "symbolize=0",
        f"malloc_context_size={CONTEXT_FRAMES}",
    ]
    leaks = ["log_threads=1", "max_leaks=0", "report_objects=0", "print_suppressions=0"]
    leaks += [f"suppressions={_quoted(path)}" for path in files_of(wanted.suppressions, Syntax.LSAN)[-1:]]
    if own and program.malloc == "AddressSanitizer":
        flags = {"ASAN_OPTIONS": [*common, "detect_leaks=1"], "LSAN_OPTIONS": leaks}
    else:
        # Without the frame pointers that the fast unwinder needs, stacks would end at the first library.
        flags = {"LSAN_OPTIONS": [*common, *leaks, "exitcode=0", "fast_unwind_on_malloc=0"]}
    users = wanted.environment
    environment = {name: ":".join(filter(None, (users.get(name), *words))) for name, words in flags.items()}
    return Setup(environment=environment, preload=None if own else library(program.machine, program.bits))


def outputs(folder: Path) -> list[Output]:
    """Its logs, oldest first."""
    return numbered_by_pid(folder, _OUTPUT)


def _quoted(path: str) -> str:
    """Flags end at a colon or a blank; quotes hold them together (sanitizer_flag_parser.cpp)."""
    return f"'{path}'" if re.search(r"[:\s,]", path) else path


def _names(folder: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder) if _LIBRARY.fullmatch(name)]
    except OSError:
        return []


def _number(path: str) -> int:
    return int(path.rpartition(".")[2])
