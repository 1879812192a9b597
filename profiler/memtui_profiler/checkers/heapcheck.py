"""gperftools' heap leak checker (to 2.16): what its modes are called, what they set, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.checkers.base import Knob, ModeHelp, Output, Setup, Wanted
from memtui_profiler.errors import EXIT_USAGE, UserError
from memtui_profiler.program_facts import Obstacle, ProgramFacts
from memtui_profiler.request import CHECK_OFF, HEAPCHECK_MODES, PROFILE

NAME = "heapcheck"
REPORTS_WHEN_KILLED = False
KEEPS_MALLOC = False
# The checker would start $PPROF_PATH for function names, and write to it however soon it has ended: with /bin/true a target
# of many mappings died of SIGPIPE and left no dump (2.10, measured 3 of 3). A path that cannot be read starts nothing.
NO_PPROF = "/dev/null/memtui-names-the-functions"
# Debian's default, libunwind, gave the same stacks in 1.4 times the CPU and 3.9 times the time.
STACKTRACE_METHOD = "libgcc"

RATE_VARIABLE = "TCMALLOC_RELEASE_RATE"
FOLDER_VARIABLE = "HEAP_CHECK_DUMP_DIRECTORY"

_SLOW = "Each allocation records its stack: programs that allocate much run many times slower."
_SIGNAL = "A process killed by a signal that it does not handle leaves no report."

MODES: tuple[ModeHelp, ...] = (
    ModeHelp(CHECK_OFF, "no check", "Costs nothing."),
    ModeHelp(
        "minimal",
        "at exit, unreachable blocks; ignores what was allocated before main()",
        f"Leaks of global constructors stay unseen. {_SLOW} {_SIGNAL}",
    ),
    ModeHelp(
        "normal", "at exit, every block that no live pointer reaches", f"The one to begin with. {_SLOW} {_SIGNAL}"
    ),
    ModeHelp("strict", "the same result as normal in gperftools 2.0 to 2.16", f"{_SLOW} {_SIGNAL}"),
    ModeHelp(
        "draconian",
        "at exit, everything not freed, reachable or not; most complete, most noise",
        f"What the program keeps on purpose until it ends is in it too. {_SLOW} {_SIGNAL}",
    ),
    ModeHelp(
        "as-is", "what the HEAP_CHECK_ variables say", f"Set them with --env HEAP_CHECK_...=... {_SLOW} {_SIGNAL}"
    ),
    ModeHelp(
        "local",
        "only what the program's own HeapLeakChecker objects check",
        f"Without such objects in its code there is nothing to report. {_SLOW}",
    ),
)

# Defaults and meanings as in heap-checker.cc of 2.10; POINTER_SOURCE_ALIGNMENT is sizeof(void*). Left out are the dump folder
# and PPROF_PATH, which memtui sets in every mode.
AS_IS_KNOBS: tuple[Knob, ...] = (
    Knob("HEAP_CHECK_AFTER_DESTRUCTORS", "false", "check after the global destructors have run"),
    Knob("HEAP_CHECK_STRICT_CHECK", "true", "obsolete: the library still has the flag, but nothing reads it"),
    Knob("HEAP_CHECK_IGNORE_GLOBAL_LIVE", "true", "what global variables reach is no leak"),
    Knob("HEAP_CHECK_IGNORE_THREAD_LIVE", "true", "what thread stacks and registers reach is no leak"),
    Knob(
        "HEAP_CHECK_IDENTIFY_LEAKS",
        "false",
        "print the address of each leaked block; aborts a target that leaks (2.10)",
    ),
    Knob("HEAP_CHECK_TEST_POINTER_ALIGNMENT", "false", "say whether unaligned pointers would explain the leaks"),
    Knob(
        "HEAP_CHECK_POINTER_SOURCE_ALIGNMENT", "8", "look for pointers at multiples of so many bytes; 1 is any address"
    ),
    Knob(
        "HEAP_CHECK_MAX_POINTER_OFFSET",
        "1024",
        "bytes into a block that a pointer may point and keep it alive; -1 is anywhere",
    ),
    Knob("HEAP_CHECK_MAX_LEAKS", "20", "how many leaks the checker prints; memtui reads all of them"),
    Knob(
        "HEAP_CHECK_DELAY_SECONDS",
        "0",
        "wait so many seconds before the check; 2.10 does not read it from the environment",
    ),
    Knob("HEAP_CHECK_RUN_UNDER_GDB", "false", "stay on under a debugger"),
)

# NAME.PID.CHECKER-end.heap; NAME is the program's base name and may hold dots itself.
_DUMP = re.compile(r".*\.(?P<pid>[0-9]{1,9})\.(?P<checker>.+)-end\.heap", re.DOTALL)

_STACK_NOT_FOUND = re.compile(rb"Memory region for stack at 0x([0-9a-f]{1,16}) not found[^\n]*\n?")


def environment(mode: str, dump_folder: Path, user: Mapping[str, str]) -> dict[str, str]:
    """The variables a target needs for this mode; the user's own PPROF_PATH and unwinder stay. Empty for off."""
    if mode == CHECK_OFF:
        return {}
    assert mode in HEAPCHECK_MODES, mode
    wanted = {"HEAPCHECK": mode, FOLDER_VARIABLE: os.fspath(dump_folder)}
    for name, value in (("PPROF_PATH", NO_PPROF), ("TCMALLOC_STACKTRACE_METHOD", STACKTRACE_METHOD)):
        if not user.get(name):
            wanted[name] = value
    return wanted


def obstacle(program: ProgramFacts) -> Obstacle | None:
    """What preflight.py does not already know of the library that is chosen."""
    return program.check_obstacle


def setup(wanted: Wanted, program: ProgramFacts) -> Setup:
    """The library itself is preflight.py's to choose."""
    return Setup(environment=environment(wanted.mode, wanted.folder, wanted.environment))


def outputs(folder: Path) -> list[Output]:
    """Every dump, oldest first; those of the program's own checks too."""
    return [Output(dump.path, dump.pid) for dump in all_dumps(folder)]


def conflicts(user: Mapping[str, str], mode: str, release_rate: float | None) -> None:
    """Raises UserError (usage) when an --env variable is one that an option sets too: which of them counts is not to be guessed."""
    options = {"HEAPCHECK": "--check"}
    if mode in HEAPCHECK_MODES:
        options[FOLDER_VARIABLE] = f"--check {mode}"
    if mode == PROFILE:
        options["HEAPPROFILE"] = "--check profile"
    if release_rate is not None:
        options[RATE_VARIABLE] = "--release-rate"
    for name, option in options.items():
        if name in user:
            raise UserError(f"--env {name}", f"{option} sets it too", "leave one of the two out", exit_code=EXIT_USAGE)


@dataclass(frozen=True, slots=True)
class Dump:
    """A leak report on disk: of which process, by which checker ('_main_' is the whole-program one, others the program's own)."""

    path: Path
    pid: int
    checker: str

    @property
    def whole_program(self) -> bool:
        return self.checker == "_main_"


def all_dumps(folder: Path) -> list[Dump]:
    """Every report in ``folder``, oldest first: of the process itself, and of children that inherited its environment."""
    found: list[tuple[int, Dump]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                matched = _DUMP.fullmatch(entry.name)
                if not matched:
                    continue
                with contextlib.suppress(FileNotFoundError):  # one that goes meanwhile must not hide the others
                    facts = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(facts.st_mode):
                        dump = Dump(Path(entry.path), int(matched["pid"]), matched["checker"])
                        found.append((facts.st_mtime_ns, dump))
    except OSError:  # the folder itself is gone, or no folder any more
        return []
    return [dump for _, dump in sorted(found, key=lambda item: (item[0], item[1].path))]


def dumps(folder: Path, pid: int) -> list[Path]:
    """The whole-program reports that this very process left in ``folder``, oldest first; those of its children are not its own."""
    return [dump.path for dump in all_dumps(folder) if dump.pid == pid and dump.whole_program]


def without_own_stack(text: bytes, own: tuple[int, int]) -> bytes:
    """The checker's output less its complaint that the guest's stack is not where it looks for the main thread's."""

    def unless_ours(line: re.Match[bytes]) -> bytes:
        return b"" if own[0] <= int(line[1], 16) < own[1] else line[0]

    return _STACK_NOT_FOUND.sub(unless_ours, text)
