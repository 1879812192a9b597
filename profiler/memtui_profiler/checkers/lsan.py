"""LeakSanitizer: gcc's liblsan preloaded into an unmodified program, or the runtime that a program was built with.

Its flags: `LSAN_OPTIONS=help=1`. It writes a report only where something leaked. So its line on each thread that it
searched is asked for too (log_threads), which tells that a check was made at all.
"""

from __future__ import annotations

import os
import re
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_parsers.clean_text import clean
from memtui_parsers.report.suppressions import Syntax
from memtui_profiler.actions import Action
from memtui_profiler.checkers.base import Checker, Libraries, Mode, Setup, Wanted
from memtui_profiler.checkers.ending import Conclusion, Ended, conclude_by_files, numbered_by_pid, why_killed
from memtui_profiler.checkers.suppression_files import files_of
from memtui_profiler.errors import UserError
from memtui_profiler.files import size_or_zero
from memtui_profiler.target.libraries import library_at, library_files
from memtui_profiler.target.program_facts import Obstacle, ProgramFacts

if TYPE_CHECKING:
    from memtui_profiler.asking.asked_process import AskedProcess
    from memtui_profiler.asking.leak_check import LeakCheck, LeakQuestion

LSAN = "lsan"
CONTEXT_FRAMES = 40
STATIC = Obstacle("it is statically linked: no loader takes LD_PRELOAD", "link it dynamically")
INSTALL = "apt-get install liblsan0 (Fedora: dnf install liblsan)"
WITH_LEAKS = ("AddressSanitizer", "LeakSanitizer")

_LIBRARY = re.compile(r"liblsan\.so\.\d+")
# gcc 12's liblsan takes up its work at the first malloc. Before that its signal() jumps to null, and its sigaction()
# fails (measured on Debian 12): what calls one at the start of main, or before it as Rust does, crashes or loses its
# handlers. libstdc++ allocates when it is loaded (libsupc++'s eh_alloc.cc), which is before any code of the program.
_EARLY_MALLOC = re.compile(r"libstdc\+\+\.so\.\d+")
# What ReportFile::ReopenIfNecessary() writes to stderr (sanitizer_file.cpp).
_CANNOT_WRITE = re.compile(rb"ERROR: Can't open file: (?P<path>[^\n]{1,4096}?) \(reason: (?P<errno>\d{1,4})\)")
_OUTPUT = re.compile(r"lsan\.(?P<pid>\d{1,9})")

# A sanitizer takes a crash for its own error, writes that to its log and exits: how the program ended would be lost.
_LET_CRASH = tuple(f"handle_{name}=0" for name in ("segv", "sigbus", "abort", "sigill", "sigfpe"))

RECOVERABLE_CHECK = "__lsan_do_recoverable_leak_check"
MAX_LOG_BYTES = 64 << 20

_WHAT = "cannot check for leaks now"
_OPTIONS = ("ASAN_OPTIONS", "LSAN_OPTIONS")
_LOG_PATH = re.compile(r"(?:^|[:\s,])log_path=(?:'([^']*)'|\"([^\"]*)\"|([^:\s,]*))")


def obstacle(program: ProgramFacts, _: Libraries) -> Obstacle | None:
    """Why it cannot work; None: nothing stands in its way."""
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
    """The path of the newest liblsan that such a program can load; None: there is none."""
    return _newest(_LIBRARY, machine, bits)


def _preload(program: ProgramFacts) -> str | None:
    """liblsan, and behind it the libstdc++ that the program has anyway: another one might be too old for it."""
    liblsan = library(program.machine, program.bits)
    own = (path for path in program.libraries if _EARLY_MALLOC.fullmatch(os.path.basename(path)))
    early = next(own, None) or _newest(_EARLY_MALLOC, program.machine, program.bits)
    return ":".join(filter(None, (liblsan, early))) or None


def _newest(name: re.Pattern[str], machine: str, bits: int) -> str | None:
    for path in sorted(library_files(name, machine), key=_number, reverse=True):
        candidate = library_at(path)
        if candidate is not None and (candidate.facts.machine, candidate.facts.bits) == (machine, bits):
            return path
    return None


def setup(wanted: Wanted, program: ProgramFacts) -> Setup:
    """Return the sanitizer's options. The user's own stay, and memtui's come behind them: the last one counts.

    Only how it takes crashes is the user's to say.
    """
    built_in = program.malloc in WITH_LEAKS
    common = [
        f"log_path={_quoted(str(wanted.folder / 'lsan'))}",
        "symbolize=0",
        f"malloc_context_size={CONTEXT_FRAMES}",
    ]
    leaks = ["log_threads=1", "max_leaks=0", "report_objects=0", "print_suppressions=0"]
    leaks += [f"suppressions={_quoted(path)}" for path in files_of(wanted.request.suppressions, Syntax.LSAN)[-1:]]
    if built_in and program.malloc == "AddressSanitizer":
        flags = {"ASAN_OPTIONS": [*common, "detect_leaks=1"], "LSAN_OPTIONS": leaks}
    else:
        # Without the frame pointers that the fast unwinder needs, stacks would end at the first library.
        flags = {"LSAN_OPTIONS": [*common, *leaks, "exitcode=0", "fast_unwind_on_malloc=0"]}
    users = wanted.environment
    crashes = next(iter(flags))
    environment = {
        name: ":".join(filter(None, (*(_LET_CRASH if name == crashes else ()), users.get(name), *own)))
        for name, own in flags.items()
    }
    return Setup(environment=environment, preload=None if built_in else _preload(program))


def live_check() -> LeakQuestion:
    """LeakSanitizer's own recoverable check, run in the process while it serves."""
    from memtui_profiler.asking.leak_check import LeakQuestion

    return LeakQuestion(check_with_sanitizer, "lsan", symbol=RECOVERABLE_CHECK)


def check_with_sanitizer(process: AskedProcess, destination: Path) -> LeakCheck:
    """Run the check; ``destination`` gets what it wrote. Raises UserError where there is no LeakSanitizer, or no log of it."""
    from memtui_profiler.asking.leak_check import CHECK_TIMEOUT_S, LeakCheck
    from memtui_profiler.asking.target_files import own_pid, reserved, seen_from_here

    check = process.image.address_of(RECOVERABLE_CHECK)
    if check is None:
        raise UserError(_WHAT, "there is no LeakSanitizer in this process", "--check lsan has one")
    pid = process.pid
    prefix = _log_path(process)
    if prefix is None:
        why = "its LeakSanitizer writes to the process's own stderr, which is not memtui's to read"
        raise UserError(_WHAT, why, "start it with LSAN_OPTIONS=log_path=/tmp/lsan, or by memtui")
    log = seen_from_here(pid, f"{prefix}.{own_pid(pid)}")
    before = size_or_zero(Path(log))
    guest = process.guest
    with reserved(pid, log):
        began = time.monotonic()
        guest.call(check, timeout_s=CHECK_TIMEOUT_S)
        seconds = time.monotonic() - began
    output = _read_from(pid, log, before)
    destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    destination.write_bytes(output)
    return LeakCheck(destination, seconds, own_stack=guest.stack_range, log_bytes=before + len(output))


def _log_path(process: AskedProcess) -> str | None:
    """The last log_path in its options; None when that is stderr."""
    from memtui_profiler.asking.target_environment import environment_value

    log_path = None
    for name in _OPTIONS:
        for matched in _LOG_PATH.finditer(environment_value(process, name) or ""):
            log_path = next((path for path in matched.groups() if path), None)
    return None if log_path in (None, "stderr", "stdout") else log_path


def _read_from(pid: int, path: str, start: int) -> bytes:
    """What was appended. Raises UserError when there is no log: a check writes at least which threads it looked at."""
    from memtui_profiler.asking.target_files import open_target_file

    try:
        with open_target_file(pid, path) as stream:
            stream.seek(start)
            return stream.read(MAX_LOG_BYTES)
    except OSError as error:
        why = f"its log {path} cannot be read ({error.strerror})"
        raise UserError("the check left no log", why, "try again") from error


def conclude(ended: Ended) -> Conclusion:
    """Return the reports, or why there is none."""
    never_spoke = (
        "LeakSanitizer never spoke: the program ended without its check, by _exit(), quick_exit() or exec, was not"
        " given it (a cleared environment, a program of another kind started in its place), or never allocated, which"
        " begins it"
    )
    return conclude_by_files(ended, _why_not_written(ended) or why_killed(ended) or never_spoke)


def _why_not_written(ended: Ended) -> str:
    """Why LeakSanitizer found no place for its report, upon which it ends the program itself; '' where it did."""
    refused = _CANNOT_WRITE.search(ended.stderr)
    if refused is None:
        return ""
    path, why = clean(refused["path"], 200), os.strerror(int(refused["errno"]))
    return (
        f"LeakSanitizer cannot write its report to {path}: {why}. A program that changes its user when it runs has to be "
        "started as that user, or with an option that keeps it from changing"
    )


def _quoted(path: str) -> str:
    """Flags end at a colon or a blank; quotes hold them together (sanitizer_flag_parser.cpp)."""
    return f"'{path}'" if re.search(r"[:\s,]", path) else path


def _number(path: str) -> int:
    return int(path.rpartition(".")[2])


CHECKER = Checker(
    name="lsan",
    modes=(
        Mode(
            LSAN,
            "at exit or when asked, by LeakSanitizer: what no pointer reaches, directly and indirectly",
            "liblsan is preloaded, no rebuild is needed; a program built with -fsanitize=address or leak uses its own."
            " Faster than the heap checker, and there where gperftools has none. A process killed by a signal leaves no"
            " report.",
            ("at exit, by LeakSanitizer:", "what no pointer reaches"),
            actions=(Action.CHECK,),
            nothing=(
                "A pointer to a block anywhere, on a stack or in a register, stale or not, hides a leak.",
                "Memory that is still reachable but never used again does not count as a leak.",
            ),
        ),
    ),
    usual_mode=LSAN,
    cost=2,
    obstacle=obstacle,
    setup=setup,
    outputs=partial(numbered_by_pid, name=_OUTPUT),
    conclude=conclude,
    suppression_syntax=Syntax.LSAN,
    live_check=live_check,
    automatic=True,
    keeps_malloc=True,
    appends=True,
    leak_exit_codes=(1, 23),  # 1 is AddressSanitizer's (FACTS.md)
    no_rate=("there is no release rate under LeakSanitizer: malloc is its own", "no release rate under the check"),
)
