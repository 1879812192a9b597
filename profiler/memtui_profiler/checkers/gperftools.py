"""What stands in the way of gperftools' heap checker and heap profiler in the tcmalloc that a launch would run with."""

from __future__ import annotations

from memtui_profiler.checkers.base import Libraries
from memtui_profiler.target.program import shown
from memtui_profiler.target.program_facts import Obstacle, ProgramFacts
from memtui_profiler.target.tcmalloc_library import INSTALL_TCMALLOC, NONE, OFF, STATIC, TcmallocLibrary, best_library


def library_obstacle(program: ProgramFacts, libraries: Libraries) -> Obstacle | None:
    """Why the target gets no tcmalloc; None: it gets one."""
    if libraries.chosen.how != NONE:
        return None
    if program.preload_obstacle is not None:
        return program.preload_obstacle
    if libraries.option == OFF:
        return Obstacle("--tcmalloc off leaves the target without tcmalloc", "leave --tcmalloc off out")
    return Obstacle("no libtcmalloc is installed here", INSTALL_TCMALLOC)


def checker_obstacle(libraries: Libraries) -> Obstacle | None:
    """Why the chosen tcmalloc has no heap checker; None: it has one."""
    library = libraries.chosen
    if library.has_checker:
        return None
    version = f" ({library.version})" if library.version else ""
    why = f"{_where(library)}{version} has no heap checker: gperftools 2.17 removed it"
    if library.minimal:
        why = f"{_where(library)} is the minimal tcmalloc, which never had the heap checker"
    best = best_library(libraries.installed, need_checker=True)
    better = best if best is not None and best.has_checker else None
    return Obstacle(
        why, _other_library(library, better, "link the program with -ltcmalloc of gperftools 2.16 or older")
    )


def profiler_obstacle(libraries: Libraries) -> Obstacle | None:
    """Why the chosen tcmalloc has no heap profiler; None: it has one."""
    library = libraries.chosen
    if library.has_profiler:
        return None
    why = f"{_where(library)} has no heap profiler"
    if library.minimal:
        why = f"{_where(library)} is the minimal tcmalloc, which never had the heap profiler"
    better = next((other for other in libraries.installed if other.has_profiler), None)
    return Obstacle(why, _other_library(library, better, "link the program with -ltcmalloc, dynamically"))


def _where(library: TcmallocLibrary) -> str:
    return "the tcmalloc built into the program" if library.how == STATIC else shown(library.path)


def _other_library(library: TcmallocLibrary, better: TcmallocLibrary | None, link: str) -> str:
    """``link``: what helps a program that has its library built in; ``better``: one that is installed."""
    if library.how == STATIC:
        return link
    if better is not None:
        return f"--tcmalloc {shown(better.path)}"
    if library.minimal:
        return INSTALL_TCMALLOC
    return "--tcmalloc PATH of a libtcmalloc of gperftools 2.16 or older"
