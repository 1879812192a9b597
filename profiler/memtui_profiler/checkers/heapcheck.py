"""gperftools' heap leak checker (to 2.16): what its modes are called, what they set, and what they leave behind."""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_parsers.clean_text import clean
from memtui_parsers.report.suppressions import Syntax
from memtui_profiler.actions import Action
from memtui_profiler.allocators.tcmalloc import NAME as TCMALLOC
from memtui_profiler.checkers.base import Checker, Knob, Libraries, Mode, Setup, Wanted
from memtui_profiler.checkers.ending import Conclusion, Ended, Output, Source, matching_files, why_killed
from memtui_profiler.checkers.gperftools import checker_obstacle, library_obstacle
from memtui_profiler.errors import UserError
from memtui_profiler.target.program_facts import Obstacle, ProgramFacts
from memtui_profiler.target.tcmalloc_library import CHECKER_CLASS

if TYPE_CHECKING:
    from memtui_parsers.formats.heapcheck_log import HeapcheckLog
    from memtui_profiler.asking.asked_process import AskedProcess
    from memtui_profiler.asking.leak_check import LeakCheck, LeakQuestion

# The checker would start $PPROF_PATH for function names, and write to it however soon it has ended: with /bin/true a
# target of many mappings died of SIGPIPE and left no dump (2.10, measured 3 of 3). A path that cannot be read starts
# nothing.
NO_PPROF = "/dev/null/memtui-names-the-functions"
# Debian's default, libunwind, gave the same stacks in 1.4 times the CPU and 3.9 times the time.
STACKTRACE_METHOD = "libgcc"

MODE_VARIABLE = "HEAPCHECK"
FOLDER_VARIABLE = "HEAP_CHECK_DUMP_DIRECTORY"
# Of a dump that is cut the leaks are those that the checker lists on stderr, 20 by default.
MAX_LEAKS_VARIABLE = "HEAP_CHECK_MAX_LEAKS"
_ABORTING_VARIABLE = "HEAP_CHECK_IDENTIFY_LEAKS"

NORMAL, DRACONIAN, LOCAL = "normal", "draconian", "local"

_SLOW = "Each allocation records its stack: programs that allocate much run many times slower."
_SIGNAL = "A process killed by a signal that it does not handle leaves no report."

# Defaults and meanings as in heap-checker.cc of 2.10; POINTER_SOURCE_ALIGNMENT is sizeof(void*). Left out are the dump
# folder and PPROF_PATH, which memtui sets in every mode.
KNOBS = tuple(
    Knob(f"HEAP_CHECK_{name}", default, meaning)
    for name, default, meaning in (
        ("AFTER_DESTRUCTORS", "false", "check after the global destructors have run"),
        ("STRICT_CHECK", "true", "obsolete: the library still has the flag, but nothing reads it"),
        ("IGNORE_GLOBAL_LIVE", "true", "what global variables reach is no leak"),
        ("IGNORE_THREAD_LIVE", "true", "what thread stacks and registers reach is no leak"),
        ("IDENTIFY_LEAKS", "false", "print the address of each leaked block; aborts a target that leaks (2.10)"),
        ("TEST_POINTER_ALIGNMENT", "false", "say whether unaligned pointers would explain the leaks"),
        ("POINTER_SOURCE_ALIGNMENT", "8", "look for pointers at multiples of so many bytes; 1 is any address"),
        ("MAX_POINTER_OFFSET", "1024", "bytes into a block that a pointer may point and keep it alive; -1 is anywhere"),
        ("MAX_LEAKS", "20", "how many leaks the checker prints; memtui reads all of them"),
        ("DELAY_SECONDS", "0", "wait so many seconds before the check; 2.10 does not read it from the environment"),
        ("RUN_UNDER_GDB", "false", "stay on under a debugger"),
    )
)

MODES = (
    Mode(
        "minimal",
        "at exit, unreachable blocks; ignores what was allocated before main()",
        f"Leaks of global constructors stay unseen. {_SLOW} {_SIGNAL}",
        ("at exit: unreachable, but for", "what came before main()"),
    ),
    Mode(
        NORMAL,
        "at exit, every block that no live pointer reaches",
        f"The one to begin with. {_SLOW} {_SIGNAL}",
        ("at exit: every block that no", "live pointer reaches"),
    ),
    Mode(
        "strict",
        "the same result as normal in gperftools 2.0 to 2.16",
        f"{_SLOW} {_SIGNAL}",
        ("at exit: as normal", ""),
    ),
    Mode(
        DRACONIAN,
        "at exit, everything not freed, reachable or not; most complete, most noise",
        f"What the program keeps on purpose until it ends is in it too. {_SLOW} {_SIGNAL}",
        ("at exit: everything that", "was not freed"),
        counts_everything=True,
        nothing=("Everything that was allocated has been freed.",),
    ),
    Mode(
        "as-is",
        "what the HEAP_CHECK_ variables say",
        f"Set them with --env HEAP_CHECK_...=... {_SLOW} {_SIGNAL}",
        ("at exit: what the HEAP_CHECK_", "variables ask for"),
        knobs=KNOBS,
    ),
    Mode(
        LOCAL,
        "only what the program's own HeapLeakChecker objects check",
        f"Without such objects in its code there is nothing to report. {_SLOW}",
        ("only what the program's own", "checkers look at"),
        no_live_check="in mode local there is no whole-program check",
    ),
)

# NAME.PID.CHECKER-end.heap; NAME is the program's base name and may hold dots itself. _main_ is the whole-program
# check.
_DUMP = re.compile(r".*\.(?P<pid>[0-9]{1,9})\.(?P<checker>.+)-end\.heap", re.DOTALL)

_WHAT, _START_WITH_ONE = "cannot check for leaks now", "start it with HEAPCHECK=normal"
# A flag is an exported std::string; its name ends in B5cxx11E for libstdc++'s present one, in E for others.
_STRING_FLAG = "_ZN62FLAG__namespace_do_not_use_directly_use_DECLARE_string_instead{length}FLAGS_{name}{abi}E"
_MAX_STRING_BYTES = 4096

_STACK_NOT_FOUND = re.compile(rb"Memory region for stack at 0x([0-9a-f]{1,16}) not found[^\n]*\n?")


def environment(mode: str, dump_folder: Path, user: Mapping[str, str]) -> dict[str, str]:
    """The variables that a target needs for this mode; the user's own PPROF_PATH and unwinder stay."""
    variables = {MODE_VARIABLE: mode, FOLDER_VARIABLE: os.fspath(dump_folder)}
    for name, value in (("PPROF_PATH", NO_PPROF), ("TCMALLOC_STACKTRACE_METHOD", STACKTRACE_METHOD)):
        if not user.get(name):
            variables[name] = value
    return variables


def obstacle(program: ProgramFacts, libraries: Libraries) -> Obstacle | None:
    """Why it cannot work; None: nothing stands in its way."""
    return program.check_obstacle or library_obstacle(program, libraries) or checker_obstacle(libraries)


def setup(wanted: Wanted, program: ProgramFacts) -> Setup:
    """The library itself is preflight.py's to choose."""
    variables = environment(wanted.mode, wanted.folder, wanted.environment)
    if wanted.tcmalloc is not None and wanted.tcmalloc.cuts_dumps and not wanted.environment.get(MAX_LEAKS_VARIABLE):
        from memtui_parsers.formats.heapcheck_log import MAX_LEAKS

        variables[MAX_LEAKS_VARIABLE] = str(MAX_LEAKS)
    return Setup(environment=variables)


def launch_notes(users: Mapping[str, str]) -> tuple[str, ...]:
    """What to know of a launch with these variables of the user's."""
    if users.get(_ABORTING_VARIABLE, "")[:1] in tuple("tTyY1"):
        return (f"{_ABORTING_VARIABLE} is set: gperftools 2.10 aborts a target that leaks then",)
    return ()


def outputs(folder: Path) -> list[Output]:
    """Every dump, oldest first: of the process itself, and of children that inherited its environment."""
    dumps = matching_files(folder, _DUMP)
    return [Output(path, int(name["pid"]), name["checker"] == "_main_") for path, name in dumps]


def conclude(ended: Ended) -> Conclusion:
    """Which reports there are, by the dumps and by what the checker said on stderr, or why there is none."""
    # Here and not above: a recorder that only launches and samples starts 10 ms sooner without it.
    from memtui_parsers.formats.heapcheck_log import WHOLE_PROGRAM, parse_heapcheck_log

    local = ended.mode == LOCAL
    own = [dump for dump in ended.outputs if dump.pid == ended.pid and (dump.whole_program or local)]
    others = [dump for dump in ended.outputs if dump.pid != ended.pid and dump.whole_program]
    notes: tuple[str, ...] = ()
    if others and not ended.follow_children:
        notes = (f"child processes left leak reports of their own, {len(others)} in all: --follow-children shows them",)
        others = []
    sources = tuple(Source(dump.pid, dump.path) for dump in (*own, *others))
    if own:
        return Conclusion(sources, "", notes)
    log = parse_heapcheck_log(BytesIO(ended.stderr))
    # What a process that was killed has in its log is of a check while it ran.
    if ended.signal is None and any(check.name == WHOLE_PROGRAM or local for check in log.checks):
        return Conclusion((Source(ended.pid, None), *sources), "", notes)
    return Conclusion(sources, _why_none(ended, log), notes)


def dumps(folder: Path, pid: int) -> list[Path]:
    """The whole-program dumps of this very process, oldest first; those of its children are not its own."""
    return [dump.path for dump in outputs(folder) if dump.pid == pid and dump.whole_program]


def live_check() -> LeakQuestion:
    """gperftools' own whole-program check, run in the process while it serves."""
    from memtui_profiler.asking.leak_check import LeakQuestion

    return LeakQuestion(check_whole_program, "heap")


def check_whole_program(process: AskedProcess, destination: Path) -> LeakCheck:
    """Run the check (FACTS.md, "Heap checker") and fetch its dump to ``destination``.

    Raises UserError when no check is on there, or it hangs.
    """
    from memtui_profiler.asking.leak_check import CHECK_TIMEOUT_S, LeakCheck
    from memtui_profiler.asking.target_files import (
        Version,
        fetch,
        own_pid,
        program_name,
        reserved,
        seen_from_here,
        version_of,
    )

    mode, dump_folder, check = _checker_state(process)
    if not mode:
        why = "no heap check is on in this process"
        raise UserError(_WHAT, why, _START_WITH_ONE, action=Action.CHOOSE_CHECK)
    if unfit := next((each.no_live_check for each in MODES if each.name == mode), ""):
        raise UserError(_WHAT, unfit, "start it with another mode, such as HEAPCHECK=normal")
    guest = process.guest
    pid = process.pid
    # In its dumps' names the process has the pid that it has in its own namespace.
    folder, inner = Path(seen_from_here(pid, dump_folder)), own_pid(pid)

    def versions() -> dict[str, Version]:
        return {str(path): version for path in dumps(folder, inner) if (version := version_of(str(path)))}

    with reserved(pid, str(folder / f"{program_name(pid)}.{inner}._main_-end.heap")):
        before = versions()
        began = time.monotonic()
        guest.call(check, timeout_s=CHECK_TIMEOUT_S)
        seconds = time.monotonic() - began
    written = [path for path, version in versions().items() if before.get(path) != version]
    if written:
        fetch(pid, written[-1], destination, remove=True)
    held_bytes, anonymous_bytes = _held(process)
    return LeakCheck(
        destination if written else None,
        seconds,
        mode,
        guest.stack_range,
        held_bytes=held_bytes,
        anonymous_bytes=anonymous_bytes,
    )


def _held(process: AskedProcess) -> tuple[int | None, int | None]:
    """What tcmalloc holds, in use or free, and all the anonymous memory of the process; None each where it does not say."""
    from memtui_parsers.errors import ParseError
    from memtui_parsers.procfs.process import parse_status
    from memtui_profiler.allocators.tcmalloc import find_tcmalloc

    tcmalloc = find_tcmalloc(process.image)
    try:
        stats = None if tcmalloc is None else tcmalloc.stats(process.guest)
        status = parse_status(Path(f"/proc/{process.pid}/status").read_bytes())
    except (OSError, ParseError, UserError):
        return None, None
    return None if stats is None else stats.in_use_bytes + stats.kept_bytes, status.anon_bytes


def _checker_state(process: AskedProcess) -> tuple[str, str, int]:
    """The mode ('': no check is on any more), the folder of the dumps, and the address of the function that checks.

    They are variables of the process. Raises UserError when it has no heap checker.
    """
    image = process.image
    check = image.address_of(CHECKER_CLASS)
    mode = _string_flag(process, "heap_check")
    if check is None or mode is None:
        raise UserError(_WHAT, _why_no_checker(process), "start it with a check", action=Action.CHOOSE_CHECK)
    return mode, _string_flag(process, "heap_check_dump_directory") or "/tmp", check


def _why_no_checker(process: AskedProcess) -> str:
    from memtui_profiler.asking.target_environment import environment_value

    if process.image.address_of("tc_malloc") is None:
        return "there is no checker in this process, and none can be added while it runs"
    asked = environment_value(process, MODE_VARIABLE)
    started = f"it was started with {MODE_VARIABLE}={clean(os.fsencode(asked), 40)}, but " if asked else ""
    return f"{started}the tcmalloc in this process has no heap checker"


def _string_flag(process: AskedProcess, name: str) -> str | None:
    """The value of a libstdc++ std::string (a pointer and a length first); None when the process has no such flag."""
    mangled = f"FLAGS_{name}"
    for abi in ("B5cxx11", ""):
        symbol = _STRING_FLAG.format(length=len(mangled), name=name, abi=abi)
        address = process.image.address_of(symbol)
        if address is not None:
            pointer, length = struct.unpack("<QQ", process.memory.read(address, 16))
            if length > _MAX_STRING_BYTES:
                return None
            # Up to a NUL, as the checker takes it: for C it ends there, and no path has one.
            return os.fsdecode(process.memory.read(pointer, length).partition(b"\0")[0]) if length else ""
    return None


def without_own_stack(text: bytes, own: tuple[int, int]) -> bytes:
    """The checker's output less its complaint that the guest's stack is not where it looks for the main thread's."""

    def unless_ours(line: re.Match[bytes]) -> bytes:
        return b"" if own[0] <= int(line[1], 16) < own[1] else line[0]

    return _STACK_NOT_FOUND.sub(unless_ours, text)


def _why_none(ended: Ended, log: HeapcheckLog) -> str:
    """Why a check that was asked for left nothing, and what to do."""
    if log.turned_off and not ended.oom_killed:
        return log.turned_off
    if killed := why_killed(ended):
        return killed
    if ended.mode == LOCAL:
        return "in mode local only the program's own HeapLeakChecker objects check, and none of them reported"
    if ended.followed:
        return (
            "the program went on in a process that it forked, and gperftools checks none that was only forked. "
            "Run it in the foreground, or have the fork execute the program anew"
        )
    if not log.active:
        return (
            "the heap checker never spoke: its library was not loaded, or stderr was closed. "
            "Does the program clear its environment or start another one in its place?"
        )
    return (
        "the heap checker was active, but the program ended without its check: by _exit(), quick_exit() or exec, "
        "which skip what runs at exit. Have it return from main() or call exit()"
    )


CHECKER = Checker(
    name="heapcheck",
    modes=MODES,
    usual_mode=NORMAL,
    cost=1,
    obstacle=obstacle,
    setup=setup,
    outputs=outputs,
    conclude=conclude,
    suppression_syntax=Syntax.LSAN,
    live_check=live_check,
    title="heap check",
    automatic=True,
    switches=(MODE_VARIABLE,),
    sets=(FOLDER_VARIABLE,),
    needs_heap_checker=True,
    gperftools=True,
    checked_malloc=TCMALLOC,
    leak_exit_codes=(1,),
    launch_notes=launch_notes,
    nothing=("Memory that is still reachable but never used again does not count as a leak.",),
    caveat="The checker gives no full guarantee: a stale pointer on a stack or in a register hides a leak.",
)
