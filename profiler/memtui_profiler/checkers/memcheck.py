"""Valgrind's memcheck: what it needs, how it is started, what it leaves (its manual, "Memcheck: a memory error detector")."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from memtui_parsers.suppressions import Syntax
from memtui_profiler.checkers.base import ModeHelp, Output, Setup, Wanted
from memtui_profiler.checkers.outputs import numbered_by_pid
from memtui_profiler.program_facts import SANITIZERS, Obstacle, ProgramFacts
from memtui_profiler.request import MEMCHECK
from memtui_profiler.suppression_files import files_of
from memtui_profiler.tcmalloc_library import STATIC

NAME = "memcheck"
REPORTS_WHEN_KILLED = True
KEEPS_MALLOC = True
MODES = (
    ModeHelp(
        MEMCHECK,
        "at exit, by valgrind: lost and still reachable blocks, and invalid reads, writes and frees; c asks while it runs",
        "Needs valgrind and no rebuild, whatever the allocator. Programs run 20 to 50 times slower, one thread at a time, and"
        " RSS is valgrind's and the program's together. A signal that ends the program does not cost the report.",
    ),
)
CALLERS = 40  # valgrind's own default, 12, cuts stacks that the other checkers have whole
# Measured on 3.19: its malloc comes by LD_PRELOAD, so it counts "0 allocs" there, and finds nothing lost.
SEES_NOTHING = Obstacle(
    "it is statically linked: no loader gives it valgrind's malloc, so memcheck would see no block",
    "link it dynamically",
)
INSTALL = "apt-get install valgrind (Fedora: dnf install valgrind)"

_END, _TAIL_BYTES = b"</valgrindoutput>", 256
# Errors are written as they happen, behind the little that valgrind says of the program.
_ERROR, _HEAD_BYTES = b"<error>", 1 << 20
_OUTPUT = re.compile(r"memcheck\.(?P<pid>\d{1,9})\.xml")


def obstacle(program: ProgramFacts) -> Obstacle | None:
    """None: nothing stands in its way."""
    if valgrind(os.environ.get("PATH")) is None:
        return Obstacle("valgrind is not installed", INSTALL)
    if program.malloc in SANITIZERS.values():
        return Obstacle(
            f"it is built with {program.malloc}, which does not run under valgrind", "build it without -fsanitize"
        )
    if program.tracing is not None:
        return program.tracing
    return SEES_NOTHING if program.is_static else program.secured


def valgrind(path: str | None) -> str | None:
    """Where valgrind is; None when it is not installed."""
    return shutil.which("valgrind", path=path)


def setup(wanted: Wanted, program: ProgramFacts) -> Setup:
    """Names stay as the symbol tables have them: the same leak has the same id whichever checker finds it."""
    program_path = valgrind(wanted.environment.get("PATH")) or valgrind(os.environ.get("PATH")) or "valgrind"
    command = [
        program_path,
        "--tool=memcheck",
        "--leak-check=full",
        "--show-leak-kinds=all",
        f"--num-callers={CALLERS}",
        "--demangle=no",
        "--xml=yes",
        # %p is the pid; a per cent sign of the folder's own is written twice.
        f"--xml-file={str(wanted.folder).replace('%', '%%')}/memcheck.%p.xml",
        "--child-silent-after-fork=" + ("no" if wanted.follow_children else "yes"),
        "--trace-children=" + ("yes" if wanted.follow_children else "no"),
    ]
    synonym = _malloc_elsewhere(program)
    if synonym:
        command.append(f"--soname-synonyms=somalloc={synonym}")
    command += [f"--suppressions={path}" for path in files_of(wanted.suppressions, Syntax.VALGRIND)]
    command += wanted.valgrind_args
    return Setup(command=tuple(command))


def outputs(folder: Path) -> list[Output]:
    """Its XML files, oldest first."""
    return numbered_by_pid(folder, _OUTPUT)


def ends_whole(report: Path) -> bool:
    """Whether valgrind came to the end of its report: not where it was killed, or the program executed another one."""
    try:
        with report.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return _END in stream.read(_TAIL_BYTES)
    except OSError:
        return False


def has_errors(report: Path) -> bool:
    """Whether it found any before its leak check, of which there is nothing in a report that is cut."""
    try:
        with report.open("rb") as stream:
            return _ERROR in stream.read(_HEAD_BYTES)
    except OSError:
        return False


def _malloc_elsewhere(program: ProgramFacts) -> str:
    """Where malloc is when it is not libc's, as --soname-synonyms wants it: without that, memcheck sees no allocation at all."""
    if program.tcmalloc is not None:
        return "NONE" if program.tcmalloc.how == STATIC else "*tcmalloc*"
    if program.own_malloc:
        return "NONE"
    return "*jemalloc*" if program.other_allocator == "jemalloc" else ""
