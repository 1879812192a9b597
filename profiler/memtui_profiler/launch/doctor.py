"""What of memtui works on this machine and on one program, and what would mend the rest. Nothing is launched."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from memtui_parsers.elf.facts import ElfFacts
from memtui_parsers.errors import ParseError
from memtui_profiler.checkers import checkers, checkers_by_cost, heapcheck, instead_words, usual_checker
from memtui_profiler.checkers.growth import why_not
from memtui_profiler.errors import UserError
from memtui_profiler.guest.ptrace import yama_scope
from memtui_profiler.launch.environment import original_environment
from memtui_profiler.launch.preflight import preflight
from memtui_profiler.own_folder import foreign_part
from memtui_profiler.process.memory_limits import MemoryLimits
from memtui_profiler.request import CHECK_OFF, RELEASE_RATE
from memtui_profiler.session.folders import sessions_root
from memtui_profiler.symbols.debug_files import open_debug_file
from memtui_profiler.target.libraries import loaded_libraries
from memtui_profiler.target.program import Target, read_facts, resolve_target, shown, this_machine
from memtui_profiler.target.program_facts import privileges
from memtui_profiler.target.tcmalloc_library import INSTALL_TCMALLOC, best_library, preloadable_libraries

ROOT = Path("/")
PYTHON = (3, 10)
COMPILERS = ("g++", "c++", "clang++")
GIB = 1 << 30
# Below this the two output logs of one run (at most 80 MiB each) and a large dump may not fit.
LOW_SPACE_BYTES = 1 << 29
CAP_SYS_PTRACE = 19


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of doctor. ``remedy`` is the command or step that mends it ('' where ``ok``); no full stops."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def diagnose_machine(
    program: str | None = None, *, environment: Mapping[str, str] | None = None, cwd: str | None = None
) -> list[Finding]:
    """What works here; then, with a program, what works on it.

    The environment and the folder are this process's own where they are not given.
    """
    findings = [*_machine(), *_folders(), *_tcmalloc(), _compiler()]
    if program is not None:
        users = original_environment() if environment is None else environment
        findings += _program(program, users, _folder() if cwd is None else cwd)
    return findings


def _folder() -> str:
    """The working directory; one that was deleted has no path, and only absolute names work from it."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


def _finding(name: str, ok: bool, detail: str, remedy: str) -> Finding:
    return Finding(name, ok, detail, "" if ok else remedy)


def _machine() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield _finding(
        "Python", sys.version_info[:2] >= PYTHON, version, f"install Python {'.'.join(map(str, PYTHON))} or newer"
    )
    yield _kernel()
    yield _proc()
    yield _ptrace()
    yield asking_finding()
    yield _growth()
    yield _limit()


def _kernel() -> Finding:
    release = f"{os.uname().release}, {this_machine()}"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        return Finding("kernel", False, f"{release}: pidfd_open is missing or forbidden", "use Linux 5.3 or newer")
    return Finding("kernel", True, f"{release}, pidfd")


def _proc(root: Path = ROOT) -> Finding:
    for name in ("statm", "status", "maps"):
        try:
            (root / "proc/self" / name).read_bytes()
        except OSError as error:
            why = f"/proc/self/{name} cannot be read: {error.strerror}"
            return Finding("/proc", False, why, "mount -t proc proc /proc")
    return Finding("/proc", True, "readable")


def _ptrace(root: Path = ROOT) -> Finding:
    """The heap checker holds the threads by ptrace while it reads their stacks; Yama may forbid that."""
    scope = yama_scope(root)
    if scope is None:
        return Finding("ptrace", True, "not restricted by Yama")
    if scope < 2 or (scope == 2 and _may_ptrace(root)):
        return Finding("ptrace", True, f"Yama's scope is {scope}: the heap checker can read thread stacks")
    why = f"Yama's scope is {scope}: the heap checker cannot read thread stacks, and reports what only they reach"
    remedy = (
        "sysctl kernel.yama.ptrace_scope=1"
        if scope == 2
        else "sysctl cannot lower 3: set it to 1 and start the system again"
    )
    return Finding("ptrace", False, why, remedy)


def asking_finding(root: Path = ROOT, *, machine: str | None = None) -> Finding:
    """Whether running processes can be asked (ARCHITECTURE.md, "The guest thread"): memtui's own targets, and others."""
    name = "asking"
    here = machine or this_machine()
    if here != "x86-64":
        return Finding(name, False, f"processes of {here} cannot be asked yet", "all that is seen from outside works")
    if _may_ptrace(root):
        return Finding(name, True, "any process on this machine, its allocator's figures and leaks")
    scope = yama_scope(root) or 0
    if scope > 1:
        why = f"Yama's scope is {scope}: nobody's processes but root's to ask"
        return Finding(name, False, why, "sudo memtui attach PID")
    if scope == 1:
        return Finding(name, True, "processes that memtui starts; for others: sudo memtui attach PID")
    return Finding(name, True, "your own processes; for others: sudo memtui attach PID")


def _growth() -> Finding:
    obstacle = why_not(os.getpid())
    if obstacle is not None:
        return Finding("growth", False, obstacle.reason, obstacle.remedy)
    whose = "any process" if os.geteuid() == 0 else "your own processes"
    return Finding("growth", True, f"page faults of {whose} can be watched: which code makes them grow")


def _may_ptrace(root: Path) -> bool:
    try:
        lines = (root / "proc/self/status").read_text().splitlines()
    except OSError:
        return False
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> CAP_SYS_PTRACE & 1)


def _limit() -> Finding:
    limit = MemoryLimits(os.getpid()).read()
    if limit is None:
        why = "neither a cgroup nor /proc/meminfo says how much there is"
        return Finding("memory limit", False, why, "mount /proc")
    owner = "set by this cgroup" if limit.source == "cgroup" else "the machine's memory: no cgroup sets less"
    return Finding("memory limit", True, f"{limit.limit_bytes / GIB:.1f} GiB, {owner}")


def _folders() -> Iterator[Finding]:
    root = sessions_root()
    nearest = next(folder for folder in (root, *root.parents) if os.path.exists(folder))
    remedy = "set XDG_STATE_HOME to a folder that can be written"
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        yield Finding("sessions", False, f"{shown(str(nearest))} cannot be written", remedy)
        return
    if foreign := foreign_part(nearest):
        yield Finding("sessions", False, shown(foreign), "set XDG_STATE_HOME to a folder that only you can write to")
        return
    facts = os.statvfs(nearest)
    free_bytes = facts.f_bavail * facts.f_frsize
    free = f"{shown(str(root))}, {free_bytes / GIB:.1f} GiB free"
    yield _finding("sessions", free_bytes >= LOW_SPACE_BYTES, free, f"make room, or {remedy}")


def _tcmalloc() -> Iterator[Finding]:
    libraries = preloadable_libraries(this_machine(), 64)
    best = best_library(libraries, need_checker=False)
    missing = "no libtcmalloc is installed"
    detail = missing if best is None else f"{best.name}, {shown(best.path)}"
    yield _finding("tcmalloc", best is not None, detail, INSTALL_TCMALLOC)
    checking = best_library(libraries, need_checker=True)
    if checking is not None and checking.has_checker:
        modes = ", ".join(mode.name for mode in heapcheck.MODES)
        cut = (
            "; gperftools 2.16 loses up to 8 KiB of each leak dump: memtui takes the leaks from what the checker prints, and"
            " those of a process that it did not start only as far as the dump goes"
        )
        yield Finding("heap checker", True, f"in {shown(checking.path)}: {modes}{cut if checking.cuts_dumps else ''}")
    elif best is None or best.minimal:
        why = missing if best is None else "the minimal tcmalloc never had it"
        yield Finding("heap checker", False, why, INSTALL_TCMALLOC)
    else:
        others = [c.usual_mode for c in checkers_by_cost() if c != usual_checker() and not c.takes_snapshots]
        remedy = f"--check {' or '.join(others)}, or --tcmalloc PATH of a libtcmalloc of gperftools 2.16 or older"
        yield Finding("heap checker", False, f"{best.name} has none: gperftools 2.17 removed it", remedy)


def _compiler() -> Finding:
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    detail = "none in PATH: memtui demo replays a recorded session instead"
    if compiler is not None:
        detail = f"{compiler}, for memtui demo"
    return _finding("C++ compiler", compiler is not None, detail, "apt-get install g++ (Fedora: dnf install gcc-c++)")


def _program(program: str, environment: Mapping[str, str], cwd: str) -> Iterator[Finding]:
    try:
        target = resolve_target((program,), cwd, environment.get("PATH"))
    except UserError as error:
        yield Finding("program", False, f"{error.what}: {error.why}", error.todo)
        return
    names = shown(target.executable) + (f", run by {shown(target.binary)}" if target.script else "")
    yield Finding("program", True, names)
    yield from _files_of(target, environment)
    able = preflight(target, mode=CHECK_OFF, tcmalloc="auto", environment=environment)
    yield Finding("allocator", True, able.allocator)
    # One library and one program: what stands in the way of one of a checker's modes stands in the way of all.
    for checker in checkers():
        check = able.capability(checker.usual_mode)
        name = checker.title or f"--check {checker.usual_mode}"
        yield Finding(name, check.available and not check.blind, check.reason or "works", check.remedy)
    usual = able.capability(usual_checker().usual_mode)
    if not usual.available:
        yield _finding("instead", bool(able.checks), instead_words(usual.name, able.checks), usual.remedy)
    rate = able.capability(RELEASE_RATE)
    yield Finding("release rate", rate.available, rate.reason or "works", rate.remedy)
    for note in able.notes:
        yield Finding("note", True, note)


def _files_of(target: Target, environment: Mapping[str, str]) -> Iterator[Finding]:
    try:
        facts = read_facts(target.binary)
    except (OSError, ParseError):
        facts = None
    if facts is None:
        name = shown(target.binary)
        yield Finding("program file", False, f"{name} cannot be read", f"chmod +r {name}")
        return
    secure = privileges(target.binary) is not None
    missing = loaded_libraries(target.binary, facts, environment, target.cwd, secure=secure).missing
    if missing:
        names = ", ".join(map(shown, missing[:5])) + (" ..." if len(missing) > 5 else "")
        yield Finding("libraries", False, f"not found: {names}", "install them, or set LD_LIBRARY_PATH")
    yield _debug_info(target.binary, facts)


def _debug_info(binary: str, facts: ElfFacts) -> Finding:
    name = "source lines"
    if facts.has_debug_info:
        return Finding(name, True, "the program holds its debug information")
    notes: list[str] = []
    stream = open_debug_file(binary, facts, notes=notes)
    if stream is not None:
        with stream:
            return Finding(name, True, f"from {shown(os.readlink(f'/proc/self/fd/{stream.fileno()}'))}")
    names = "functions are named, lines are not" if facts.has_symtab else "only exported functions are named"
    why = "; ".join([f"no debug information: {names}", *map(shown, notes)])
    return Finding(name, False, why, "compile it with -g, or install its -dbgsym (Fedora: -debuginfo) package")
