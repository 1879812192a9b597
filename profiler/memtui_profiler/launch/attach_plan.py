"""The plan of a launch that somebody else made: the program, allocator and check of a process that runs already."""

from __future__ import annotations

import os
from dataclasses import replace

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.procfs.maps import file_path, parse_maps
from memtui_profiler.checkers import mode_in
from memtui_profiler.checkers.growth import why_not
from memtui_profiler.errors import UserError
from memtui_profiler.launch.attachable import (
    command_line,
    environment_of,
    refuse_what_cannot_be_watched,
    refuse_what_is_watched,
)
from memtui_profiler.launch.plan import LaunchPlan
from memtui_profiler.launch.preflight import NO_LIBRARY, Capability, Preflight
from memtui_profiler.request import PAGE_FAULTS
from memtui_profiler.target.program import Target
from memtui_profiler.target.program_facts import SANITIZERS, allocator_libraries, look_at
from memtui_profiler.target.tcmalloc_library import PRELOAD, read_library


def plan_attached(pid: int) -> LaunchPlan:
    """Return the plan. Raises UserError when it cannot be watched (see attachable), or another recorder watches it."""
    refuse_what_cannot_be_watched(pid)
    refuse_what_is_watched(pid)
    argv = command_line(pid)
    try:
        executable = os.readlink(f"/proc/{pid}/exe")
        cwd = os.readlink(f"/proc/{pid}/cwd")
        with open(f"/proc/{pid}/maps", "rb") as stream:
            mapped = [path for m in parse_maps(stream.read()) if m.executable and (path := file_path(m))]
    except OSError as error:
        raise UserError(
            f"cannot attach to {pid}", "it has ended, or become another user's", "see `ps -e` for its pid"
        ) from error
    target = Target(argv or (executable,), executable, executable, False, cwd)
    environment = environment_of(pid)
    facts = Preflight(
        target, _allocator(pid, mapped, target), NO_LIBRARY, preload=None, capabilities=(_page_faults(pid),)
    )
    return LaunchPlan(
        target=target,
        preflight=facts,
        mode=mode_in(environment),
        release_rate=None,
        environment=environment,
        set_by_memtui={},
    )


def _page_faults(pid: int) -> Capability:
    """Whether its growth can be watched, which takes nothing of memtui's in it."""
    obstacle = why_not(pid)
    return Capability(
        PAGE_FAULTS, obstacle is None, *(("", "") if obstacle is None else (obstacle.reason, obstacle.remedy))
    )


def _allocator(pid: int, mapped: list[str], target: Target) -> str:
    """The allocator in words for the header, by the program's file and the mapped libraries; the asker finds out for certain."""
    names = {os.path.basename(path): path for path in dict.fromkeys(mapped)}
    for name, path in names.items():
        if name.startswith("libtcmalloc"):
            try:
                library = read_library(f"/proc/{pid}/root{path}", PRELOAD)
            except (OSError, ParseError):
                library = None
            return library.name if library else clean(os.fsencode(name), 40)
    for prefix, words in (SANITIZERS | allocator_libraries()).items():
        if any(name.startswith(prefix) for name in names):
            return words
    program = look_at(replace(target, binary=f"/proc/{pid}/exe"), {})
    return program.tcmalloc.name if program.tcmalloc is not None else program.malloc
