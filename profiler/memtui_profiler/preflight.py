"""Says before a launch what can work on this target and what cannot, why, and what would mend it.

A heap checker that is not there keeps silent, and silence reads as "no leaks": so every way to lose it is looked for first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from memtui_profiler.checkers import checker_of
from memtui_profiler.errors import UserError
from memtui_profiler.instead import instead_words
from memtui_profiler.program_facts import Obstacle, ProgramFacts, look_at
from memtui_profiler.request import CHECK_MODES, CHECK_OFF, HEAPCHECK_MODES, LSAN, MEMCHECK, PROFILE, RELEASE_RATE
from memtui_profiler.target import Target, shown
from memtui_profiler.tcmalloc_library import (
    INSTALL_TCMALLOC,
    LINKED,
    NONE,
    PRELOAD,
    STATIC,
    TcmallocLibrary,
    best_library,
    library_asked_for,
    preloadable_libraries,
)

AUTO, OFF = "auto", "off"

_HOW = {LINKED: "linked", STATIC: "built in", PRELOAD: "preloaded"}
NO_LIBRARY = TcmallocLibrary("", None, minimal=False, has_checker=False, how=NONE)


@dataclass(frozen=True, slots=True)
class Capability:
    """``reason`` and ``remedy`` are phrases without a full stop, empty where the capability is available."""

    name: str
    available: bool
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Preflight:
    """``allocator`` in words for the header, ``preload`` the file to put first in LD_PRELOAD, before the user's own.

    ``preloads`` says the same of that file for each mode. ``program`` None: nothing of it was looked at, because it runs
    already.
    """

    target: Target
    allocator: str
    library: TcmallocLibrary
    preload: str | None
    capabilities: tuple[Capability, ...]
    notes: tuple[str, ...] = ()
    program: ProgramFacts | None = None
    preloads: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def checks(self) -> frozenset[str]:
        """The modes that can work."""
        return frozenset(c.name for c in self.capabilities if c.available and c.name in CHECK_MODES)

    def capability(self, name: str) -> Capability:
        return next(c for c in self.capabilities if c.name == name)


def preflight(target: Target, *, mode: str, tcmalloc: str, environment: Mapping[str, str]) -> Preflight:
    """What this launch will get. ``environment`` is all the user gives the target, --env included.

    Raises UserError when --tcmalloc names a file that cannot be preloaded as tcmalloc.
    """
    program = look_at(target, environment)
    installed = preloadable_libraries(program.machine, program.bits)
    plain, checking = (_choose(program, installed, tcmalloc, need_checker=need) for need in (False, True))
    libraries = {name: _library_for(name, program, plain, checking) for name in (CHECK_OFF, *CHECK_MODES)}
    library = libraries[mode]
    preload = _preload(library, program)
    return Preflight(
        target=target,
        allocator=_allocator(program, library),
        library=library,
        preload=preload,
        capabilities=(
            *(_check_capability(name, program, checking, installed, tcmalloc) for name in HEAPCHECK_MODES),
            *(_capability(name, checker_of(name).obstacle(program)) for name in (MEMCHECK, LSAN)),
            _capability(PROFILE, _profile_obstacle(program, plain, installed, tcmalloc)),
            _rate_capability(program, library, tcmalloc, mode),
        ),
        program=program,
        preloads={name: _preload(chosen, program) for name, chosen in libraries.items()},
        notes=(*program.notes, *_notes(program, library, preload, mode, environment)),
    )


def require(found: Preflight, mode: str) -> None:
    """Raises UserError when ``mode`` cannot work on this target, rather than launch it and report nothing."""
    if mode == CHECK_OFF:
        return
    capability = found.capability(mode)
    if not capability.available:
        what = f"--check {mode} cannot work on {shown(found.target.argv[0])}"
        raise UserError(what, capability.reason, f"{capability.remedy}; {instead_words(mode, found.checks)}")


def _library_for(
    mode: str, program: ProgramFacts, plain: TcmallocLibrary, checking: TcmallocLibrary
) -> TcmallocLibrary:
    if mode in HEAPCHECK_MODES:
        return checking
    if mode != CHECK_OFF and checker_of(mode).KEEPS_MALLOC:
        return program.tcmalloc or NO_LIBRARY
    return plain


def _preload(library: TcmallocLibrary, program: ProgramFacts) -> str | None:
    return library.path if library.how == PRELOAD and library != program.tcmalloc else None


def _choose(
    program: ProgramFacts, installed: Sequence[TcmallocLibrary], tcmalloc: str, *, need_checker: bool
) -> TcmallocLibrary:
    """The tcmalloc the target will run with; NO_LIBRARY where there is none."""
    if program.tcmalloc is not None and (tcmalloc in (AUTO, OFF) or program.preload_obstacle is not None):
        return program.tcmalloc
    if tcmalloc == OFF:
        return NO_LIBRARY
    if tcmalloc != AUTO:
        asked = library_asked_for(tcmalloc, program.machine, program.bits)
        return asked if program.preload_obstacle is None else NO_LIBRARY
    if program.preload_obstacle is not None:
        return NO_LIBRARY
    return best_library(installed, need_checker=need_checker) or NO_LIBRARY


def _allocator(program: ProgramFacts, library: TcmallocLibrary) -> str:
    if library.how == NONE:
        return program.malloc
    return f"{library.name} {_HOW[library.how]}"


def _check_capability(
    name: str, program: ProgramFacts, library: TcmallocLibrary, installed: Sequence[TcmallocLibrary], tcmalloc: str
) -> Capability:
    obstacle = program.check_obstacle
    if obstacle is None and library.how == NONE:
        obstacle = program.preload_obstacle or _no_library(tcmalloc)
    if obstacle is None and not library.has_checker:
        obstacle = Obstacle(_why_no_checker(library), _checker_remedy(library, installed))
    return _capability(name, obstacle)


def _profile_obstacle(
    program: ProgramFacts, library: TcmallocLibrary, installed: Sequence[TcmallocLibrary], tcmalloc: str
) -> Obstacle | None:
    obstacle = checker_of(PROFILE).obstacle(program)
    if obstacle is None and library.how == NONE:
        obstacle = program.preload_obstacle or _no_library(tcmalloc)
    if obstacle is None and not library.has_profiler:
        where = _where(library)
        why = f"{where} is the minimal tcmalloc, which never had the heap profiler"
        if not library.minimal:
            why = f"{where} has no heap profiler"
        better = next((other for other in installed if other.has_profiler), None)
        obstacle = Obstacle(why, _other_library(library, better, "link the program with -ltcmalloc, dynamically"))
    return obstacle


def _rate_capability(program: ProgramFacts, library: TcmallocLibrary, tcmalloc: str, mode: str) -> Capability:
    obstacle = program.rate_obstacle
    if obstacle is None and library.how == NONE and mode != CHECK_OFF and checker_of(mode).KEEPS_MALLOC:
        obstacle = Obstacle(f"under --check {mode} its malloc is not tcmalloc's", "choose another check")
    if obstacle is None and library.how == NONE:
        obstacle = program.preload_obstacle or _no_library(tcmalloc)
    return _capability(RELEASE_RATE, obstacle)


def _capability(name: str, obstacle: Obstacle | None) -> Capability:
    return Capability(name, obstacle is None, *(("", "") if obstacle is None else (obstacle.reason, obstacle.remedy)))


def _no_library(tcmalloc: str) -> Obstacle:
    if tcmalloc == OFF:
        return Obstacle("--tcmalloc off leaves the target without tcmalloc", "leave --tcmalloc off out")
    return Obstacle("no libtcmalloc is installed here", INSTALL_TCMALLOC)


def _where(library: TcmallocLibrary) -> str:
    return "the tcmalloc built into the program" if library.how == STATIC else shown(library.path)


def _why_no_checker(library: TcmallocLibrary) -> str:
    if library.minimal:
        return f"{_where(library)} is the minimal tcmalloc, which never had the heap checker"
    version = f" ({library.version})" if library.version else ""
    return f"{_where(library)}{version} has no heap checker: gperftools 2.17 removed it"


def _checker_remedy(library: TcmallocLibrary, installed: Sequence[TcmallocLibrary]) -> str:
    better = best_library(installed, need_checker=True)
    return _other_library(
        library,
        better if better is not None and better.has_checker else None,
        "link the program with -ltcmalloc of gperftools 2.16 or older",
    )


def _other_library(library: TcmallocLibrary, better: TcmallocLibrary | None, link: str) -> str:
    """``link``: what helps a program that has its library built in; ``better``: one that is installed."""
    if library.how == STATIC:
        return link
    if better is not None:
        return f"--tcmalloc {shown(better.path)}"
    if library.minimal:
        return INSTALL_TCMALLOC
    return "--tcmalloc PATH of a libtcmalloc of gperftools 2.16 or older"


def _notes(
    program: ProgramFacts, library: TcmallocLibrary, preload: str | None, mode: str, environment: Mapping[str, str]
) -> tuple[str, ...]:
    notes = []
    if preload is not None and program.other_allocator:
        notes.append(
            f"the program brings {program.other_allocator}; memtui puts {library.name} before it"
            " (--tcmalloc off leaves it alone)"
        )
    if mode not in HEAPCHECK_MODES and environment.get("HEAPCHECK") is not None:
        notes.append(f"HEAPCHECK of your environment is not passed on: --check says {mode}")
    if mode == MEMCHECK:
        notes.append("RSS and its parts are valgrind's and the program's together")
    if mode in HEAPCHECK_MODES and environment.get("HEAP_CHECK_IDENTIFY_LEAKS", "")[:1] in tuple("tTyY1"):
        notes.append("HEAP_CHECK_IDENTIFY_LEAKS is set: gperftools 2.10 aborts a target that leaks then")
    return tuple(notes)
