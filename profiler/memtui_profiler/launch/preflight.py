"""What can work on a target and what cannot, why, and what would mend it; told before a launch.

A heap checker that is not there keeps silent, and silence reads as "no leaks": so every way to lose it is looked for
first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from memtui_profiler.checkers import checker_of, checkers, instead_words, mode_names
from memtui_profiler.checkers.base import Libraries
from memtui_profiler.checkers.gperftools import library_obstacle
from memtui_profiler.errors import UserError
from memtui_profiler.request import CHECK_OFF, NO_MODES, PAGE_FAULTS, RELEASE_RATE
from memtui_profiler.target.program import Target, shown
from memtui_profiler.target.program_facts import Obstacle, ProgramFacts, look_at
from memtui_profiler.target.tcmalloc_library import (
    AUTO,
    INSTALL_TCMALLOC,
    LINKED,
    NONE,
    OFF,
    PRELOAD,
    STATIC,
    TcmallocLibrary,
    best_library,
    library_asked_for,
    preloadable_libraries,
)

_HOW = {LINKED: "linked", STATIC: "built in", PRELOAD: "preloaded"}
BUT = "it would run, but "
NO_LIBRARY = TcmallocLibrary("", None, minimal=False, has_checker=False, how=NONE)


@dataclass(frozen=True, slots=True)
class Capability:
    """``reason`` and ``remedy`` are phrases without a full stop, empty where the capability is available.

    One that is available with a ``reason`` works on a part of the program's memory, which the reason says; ``blind``: on
    none of what it allocates.
    """

    name: str
    available: bool
    reason: str = ""
    remedy: str = ""
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a launch will get. ``allocator``: in words for the header; ``preload``: the first file of LD_PRELOAD.

    ``preloads``: that file for each mode, and ``libraries`` the tcmalloc. ``program`` None: it runs already, and was not read.
    """

    target: Target
    allocator: str
    library: TcmallocLibrary
    preload: str | None
    capabilities: tuple[Capability, ...]
    notes: tuple[str, ...] = ()
    program: ProgramFacts | None = None
    preloads: Mapping[str, str | None] = field(default_factory=dict)
    libraries: Mapping[str, TcmallocLibrary] = field(default_factory=dict)

    @property
    def checks(self) -> frozenset[str]:
        """The modes that can work, and see what the program allocates."""
        return frozenset(c.name for c in self.capabilities if c.available and c.name not in NO_MODES and not c.blind)

    def capability(self, name: str) -> Capability:
        return next(c for c in self.capabilities if c.name == name)


def preflight(target: Target, *, mode: str, tcmalloc: str, environment: Mapping[str, str]) -> Preflight:
    """Return what this launch will get. ``environment`` is all that the user gives the target, --env included.

    Raises UserError when --tcmalloc names a file that cannot be preloaded as tcmalloc.
    """
    program = look_at(target, environment)
    installed = preloadable_libraries(program.machine, program.bits)
    plain, checking = (_choose(program, installed, tcmalloc, need_checker=need) for need in (False, True))
    libraries = {name: _library_for(name, program, plain, checking) for name in (CHECK_OFF, *mode_names())}
    libraries[CHECK_OFF] = _without_check(program, plain, tcmalloc)
    preloads = {name: _preload(library, program) for name, library in libraries.items()}
    library = libraries[mode]
    capabilities = [
        # What is seen from outside sees all memory, whoever allocates it.
        _capability(each.name, obstacle) if checker.from_outside else _check(each.name, obstacle, program)
        for checker in checkers()
        for each in checker.modes
        for obstacle in (checker.obstacle(program, Libraries(libraries[each.name], installed, tcmalloc)),)
    ]
    rate = _capability(RELEASE_RATE, _rate_obstacle(program, Libraries(library, installed, tcmalloc), mode))
    return Preflight(
        target=target,
        allocator=_allocator(program, library),
        library=library,
        preload=preloads[mode],
        capabilities=(*capabilities, rate, _page_faults(mode, capabilities)),
        program=program,
        preloads=preloads,
        libraries=libraries,
        notes=(*program.notes, *_notes(program, library, preloads[mode], mode, environment)),
    )


def _page_faults(mode: str, capabilities: Sequence[Capability]) -> Capability:
    """Whether growth can be watched whatever the check is: not where the memory that grows is a checker's own."""
    checker = checker_of(mode)
    if checker is not None and checker.fills_the_process:
        return Capability(
            PAGE_FAULTS, False, f"under --check {mode} most of the memory is the checker's own", "choose another"
        )
    modes = {each.name for other in checkers() if other.from_outside for each in other.modes}
    watching = next(each for each in capabilities if each.name in modes)
    return replace(watching, name=PAGE_FAULTS)


def why_blind(facts: Preflight, mode: str) -> str:
    """Why a check in this mode sees nothing of what the target allocates, and what does, as a note; '' where it sees some."""
    check = next((each for each in facts.capabilities if each.name == mode and each.blind), None)
    return "" if check is None else f"{check.reason.removeprefix(BUT)}: {check.remedy}"


def require(facts: Preflight, mode: str) -> None:
    """Raises UserError when ``mode`` cannot work on this target, rather than launch it and report nothing."""
    if mode == CHECK_OFF:
        return
    capability = facts.capability(mode)
    if not capability.available:
        what = f"--check {mode} cannot work on {shown(facts.target.argv[0])}"
        raise UserError(what, capability.reason, f"{capability.remedy}; {instead_words(mode, facts.checks)}")


def _library_for(
    mode: str, program: ProgramFacts, plain: TcmallocLibrary, checking: TcmallocLibrary
) -> TcmallocLibrary:
    checker = checker_of(mode)
    if checker is not None and checker.keeps_malloc:
        return program.tcmalloc or NO_LIBRARY
    return checking if checker is not None and checker.needs_heap_checker else plain


def _without_check(program: ProgramFacts, plain: TcmallocLibrary, tcmalloc: str) -> TcmallocLibrary:
    """What a launch without a check runs with: another allocator of the program's is left in its place, unless asked."""
    return NO_LIBRARY if program.other_allocator and tcmalloc == AUTO and program.tcmalloc is None else plain


def _preload(library: TcmallocLibrary, program: ProgramFacts) -> str | None:
    return library.path if library.how == PRELOAD and library != program.tcmalloc else None


def _choose(
    program: ProgramFacts, installed: Sequence[TcmallocLibrary], tcmalloc: str, *, need_checker: bool
) -> TcmallocLibrary:
    """The tcmalloc that the target will run with; NO_LIBRARY where there is none."""
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


def _rate_obstacle(program: ProgramFacts, libraries: Libraries, mode: str) -> Obstacle | None:
    checker = checker_of(mode)
    if program.tracing is not None:
        return program.tracing
    if libraries.chosen.how == NONE and checker is not None and checker.keeps_malloc:
        return Obstacle(f"under --check {mode} its malloc is not tcmalloc's", "choose another check")
    if libraries.chosen.how == NONE and program.other_allocator and program.preload_obstacle is None:
        best = best_library(libraries.installed, need_checker=False)
        remedy = INSTALL_TCMALLOC if best is None else f"--tcmalloc {shown(best.path)}"
        return Obstacle(
            f"it brings {program.other_allocator}, which has none, and memtui leaves it in its place", remedy
        )
    return library_obstacle(program, libraries)


def _check(name: str, obstacle: Obstacle | None, program: ProgramFacts) -> Capability:
    """A check that works may still see a part alone, or nothing but wrong reads and writes, where malloc is not all."""
    if obstacle is not None:
        return _capability(name, program.unseen or obstacle)
    if program.unseen is not None:
        return Capability(name, True, BUT + program.unseen.reason, program.unseen.remedy, blind=True)
    if program.own_heap is not None:
        heap = program.own_heap
        return Capability(
            name, True, f"works on what malloc gives: {heap.name}'s own heap is not seen", heap.alternative
        )
    return Capability(name, True)


def _capability(name: str, obstacle: Obstacle | None) -> Capability:
    return Capability(name, obstacle is None, *(("", "") if obstacle is None else (obstacle.reason, obstacle.remedy)))


def _notes(
    program: ProgramFacts, library: TcmallocLibrary, preload: str | None, mode: str, environment: Mapping[str, str]
) -> tuple[str, ...]:
    notes = []
    if preload is not None and program.other_allocator:
        notes.append(
            f"the program brings {program.other_allocator}; memtui puts {library.name} before it"
            " (--tcmalloc off leaves it alone)"
        )
    elif program.other_allocator and mode == CHECK_OFF and library.how == NONE and program.preload_obstacle is None:
        notes.append(
            f"the program brings {program.other_allocator}, and memtui puts nothing before it (--tcmalloc PATH does)"
        )
    chosen = checker_of(mode)
    for variable in (name for checker in checkers() if checker != chosen for name in checker.switches):
        if environment.get(variable) is not None:
            notes.append(f"{variable} of your environment is not passed on: --check says {mode}")
    return (*notes, *(() if chosen is None else chosen.launch_notes(environment)))
