"""Valgrind's memcheck (its manual, "Memcheck: a memory error detector")."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_parsers.clean_text import clean
from memtui_parsers.report.suppressions import Syntax
from memtui_profiler.actions import Action
from memtui_profiler.allocators import allocator_of
from memtui_profiler.checkers.base import Checker, Libraries, Mode, Setup, Wanted
from memtui_profiler.checkers.ending import Conclusion, Ended, conclude_by_files, numbered_by_pid
from memtui_profiler.checkers.suppression_files import files_of
from memtui_profiler.errors import UserError
from memtui_profiler.helper_process import find_program
from memtui_profiler.target.program_facts import SANITIZERS, Obstacle, ProgramFacts
from memtui_profiler.target.tcmalloc_library import STATIC, version_numbers

if TYPE_CHECKING:
    from memtui_profiler.asking.asked_process import AskedProcess
    from memtui_profiler.asking.leak_check import LeakCheck, LeakQuestion

MEMCHECK = "memcheck"
CALLERS = 40  # valgrind's own default, 12, cuts stacks that the other checkers have whole
# Measured on 3.19: its malloc comes by LD_PRELOAD, so it counts "0 allocs" there, and finds nothing lost.
SEES_NOTHING = Obstacle(
    "it is statically linked: no loader gives it valgrind's malloc, so memcheck would see no block",
    "link it dynamically",
)
# Seen with 2.16 under valgrind 3.24, whole and minimal, linked and preloaded: eight million calls of malloc in 15 s before
# main(); 2.18 under 3.27 ends at once.
LOOPS_WITH = frozenset({(2, 16), (2, 17)})
INSTALL = "apt-get install valgrind (Fedora: dnf install valgrind)"

_END, _TAIL_BYTES = b"</valgrindoutput>", 256
# Errors are written as they happen, behind the little that valgrind says of the program.
_ERROR, _HEAD_BYTES = b"<error>", 1 << 20
_OUTPUT = re.compile(r"memcheck\.(?P<pid>\d{1,9})\.xml")

_ONLY_THE_SCRIPT = (
    "only the script's interpreter was checked: --follow-children checks the programs that it starts, too"
)
_EXECUTED_ANOTHER = (
    "the program executed another one in its place (exec), which ran unchecked: --follow-children checks that one, or"
    " name it yourself"
)
_VALGRIND_GAVE_UP = "valgrind itself gave up before its leak check; what it said is in the output"
# How valgrind ends where it misses the names of ld.so's functions (m_redir.c), where debug information leads it out of
# its file (m_debuginfo/image.c), where memory has run out, and where it is at fault itself (each seen on 3.19 to 3.27).
_LAST_WORDS = (
    (
        re.compile(rb"Fatal error at startup: a function redirection"),
        "valgrind could not start: it needs the debug symbols of the C library: apt-get install libc6-dbg, for a 32-bit"
        " program libc6-dbg:i386 (Fedora: dnf debuginfo-install glibc)",
    ),
    (
        re.compile(rb'debuginfo reader: ensure_valid failed[^"]{0,2000}"([^"\n]{1,1000})"'),
        "valgrind gave up at the debug information of {0}, which leads it out of the file (as -gsplit-dwarf makes older"
        " ones do): use a newer valgrind, build it without, or check a copy that has none (strip --strip-debug)",
    ),
    (
        re.compile(rb"Valgrind cannot continue|valgrind: the 'impossible' happened|valgrind: .*: Assertion '"),
        _VALGRIND_GAVE_UP,
    ),
)
_NEVER_STARTED = "valgrind left no report: it could not start the program, or was killed. What it said is in the output"

_PRELOADED = "vgpreload_memcheck-"  # the library by which valgrind's memcheck takes the place of malloc
VGDB_TIMEOUT_S = 300.0
VGDB_COMMAND = ("leak_check", "full", "kinds", "all", "any")
_WHAT = "cannot check for leaks now"


def obstacle(program: ProgramFacts, _: Libraries) -> Obstacle | None:
    """Why it cannot work; None: nothing stands in its way."""
    if valgrind(os.environ.get("PATH")) is None:
        return Obstacle("valgrind is not installed", INSTALL)
    if program.malloc in SANITIZERS.values():
        return Obstacle(
            f"it is built with {program.malloc}, which does not run under valgrind", "build it without -fsanitize"
        )
    if program.tracing is not None:
        return program.tracing
    if program.tcmalloc is not None and version_numbers(program.tcmalloc.version)[:2] in LOOPS_WITH:
        return Obstacle(
            f"with {program.tcmalloc.name} valgrind never ends: the library allocates for ever when malloc is valgrind's",
            "link gperftools before 2.16, or from 2.18 on",
        )
    return SEES_NOTHING if program.is_static else program.secured


def valgrind(path: str | None) -> str | None:
    """The path of valgrind; None when it is not installed."""
    return shutil.which("valgrind", path=path)


def setup(wanted: Wanted, program: ProgramFacts) -> Setup:
    """Return valgrind's command. Names stay mangled, so that a leak has the same id whichever checker finds it."""
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
        "--child-silent-after-fork=" + ("no" if wanted.request.follow_children else "yes"),
        "--trace-children=" + ("yes" if wanted.request.follow_children else "no"),
    ]
    synonym = _malloc_elsewhere(program)
    if synonym:
        command.append(f"--soname-synonyms=somalloc={synonym}")
    command += [f"--suppressions={path}" for path in files_of(wanted.request.suppressions, Syntax.VALGRIND)]
    command += wanted.request.valgrind_args
    return Setup(command=tuple(command))


def conclude(ended: Ended) -> Conclusion:
    """Return the reports, or why there is none: a report that is cut off counts only for the errors in it."""
    notes: tuple[str, ...] = ()
    if not ended.follow_children:
        own = [output for output in ended.outputs if output.pid == ended.pid]
        if ended.script:
            notes = (_ONLY_THE_SCRIPT,)
        if ended.exit_code is not None and own and not any(ends_whole(output.path) for output in own):
            gave_up = _why_it_gave_up(ended.stderr)
            why = gave_up or _EXECUTED_ANOTHER
            if not any(has_errors(output.path) for output in own):
                return Conclusion((), why, action=Action.SHOW_OUTPUT if gave_up else None)
            notes = (*notes, why)
    return conclude_by_files(ended, _why_it_gave_up(ended.stderr) or _NEVER_STARTED, notes, action=Action.SHOW_OUTPUT)


def _why_it_gave_up(stderr: bytes) -> str:
    """The reason for which valgrind itself ended the program; '' where it said none."""
    for words, sentence in _LAST_WORDS:
        if matched := words.search(stderr):
            return sentence.format(*(clean(group, 200) for group in matched.groups()))
    return ""


def live_check() -> LeakQuestion:
    """valgrind's own leak check, asked for through vgdb: no thread of memtui's is needed in the process."""
    from memtui_profiler.asking.leak_check import LeakQuestion

    return LeakQuestion(check_with_memcheck, "txt", guest=False, library=_PRELOADED)


def check_with_memcheck(process: AskedProcess, destination: Path) -> LeakCheck:
    """Run the check; ``destination`` gets valgrind's answer as text. Raises UserError when there is none."""
    from memtui_profiler.asking.leak_check import LeakCheck
    from memtui_profiler.asking.target_environment import environment_value

    vgdb = find_program("vgdb")
    if vgdb is None:
        raise UserError(_WHAT, "vgdb is not installed", "apt-get install valgrind")
    destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # vgdb and valgrind meet in this folder (VG_(tmpdir) in m_libcfile.c); who started valgrind may have another one than we.
    environment = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    if folder := environment_value(process, "TMPDIR"):
        environment["TMPDIR"] = folder
    began = time.monotonic()
    try:
        with destination.open("xb") as answer:
            # The answer goes into a file, which cannot fill a pipe; valgrind's own bound on it is the number of its stacks.
            done = subprocess.run(
                [vgdb, f"--pid={process.pid}", *VGDB_COMMAND],
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.PIPE,
                timeout=VGDB_TIMEOUT_S,
                env=environment,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise UserError(_WHAT, f"valgrind did not answer within {VGDB_TIMEOUT_S:g} s", "try again") from error
    except OSError as error:
        raise UserError(_WHAT, f"vgdb could not be run ({error.strerror})", "apt-get install valgrind") from error
    if done.returncode != 0 or os.path.getsize(destination) == 0:
        last_line = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(_WHAT, f"valgrind did not answer ({last_line[:200]})", "is it still starting? try again")
    return LeakCheck(destination, time.monotonic() - began)


def ends_whole(report: Path) -> bool:
    """Whether valgrind came to the end of its report: not where it was killed, or the program executed another one."""
    try:
        with report.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return _END in stream.read(_TAIL_BYTES)
    except OSError:
        return False


def has_errors(report: Path) -> bool:
    """Whether it found errors before its leak check, which is missing in a report that is cut off."""
    try:
        with report.open("rb") as stream:
            return _ERROR in stream.read(_HEAD_BYTES)
    except OSError:
        return False


def _malloc_elsewhere(program: ProgramFacts) -> str:
    """The library of a malloc that is not libc's, for --soname-synonyms: without it memcheck sees no allocation."""
    if program.tcmalloc is not None:
        return "NONE" if program.tcmalloc.how == STATIC else "*tcmalloc*"
    if program.own_malloc:
        return "NONE"
    kind = allocator_of(program.other_allocator or program.malloc)
    return "" if kind is None else kind.synonym


CHECKER = Checker(
    name="memcheck",
    modes=(
        Mode(
            MEMCHECK,
            "at exit or when asked, by valgrind: lost and still reachable blocks, and invalid reads, writes and frees",
            "Needs valgrind and no rebuild, whatever the allocator. Programs run 20 to 50 times slower, one thread at a"
            " time, and RSS is valgrind's and the program's together. A signal that ends the program does not cost the"
            " report.",
            ("at exit, by valgrind: lost,", "reachable, and other errors"),
            actions=(Action.CHECK,),
            at_work="Checking: memcheck, under valgrind.",
            meanwhile="It runs 20 to 50 times slower meanwhile.",
            nothing=("Every block that valgrind saw has been freed.",),
        ),
    ),
    usual_mode=MEMCHECK,
    cost=3,
    obstacle=obstacle,
    setup=setup,
    outputs=partial(numbered_by_pid, name=_OUTPUT),
    conclude=conclude,
    live_check=live_check,
    instead_note=", 20 to 50 times slower",
    keeps_malloc=True,
    takes_arguments=True,
    reports_when_killed=True,
    unwinds_by_sections=True,
    fills_the_process=True,
    suppression_syntax=Syntax.VALGRIND,
    launch_notes=lambda environment: ("RSS and its parts are valgrind's and the program's together",),
    no_rate=("there is no release rate under valgrind: malloc is its own", "no release rate under valgrind"),
)
