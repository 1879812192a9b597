"""A process that runs already, as the plan of a launch that somebody else made: what it runs, with which allocator, which check."""

from __future__ import annotations

import os

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.maps import file_path, parse_maps
from memtui_profiler.attachable import command_line, environment_of, refuse_what_cannot_be_watched
from memtui_profiler.errors import UserError
from memtui_profiler.launch import LaunchPlan
from memtui_profiler.preflight import NO_LIBRARY, Preflight
from memtui_profiler.program_facts import ALLOCATORS, SANITIZERS
from memtui_profiler.recorders import refuse_what_is_watched
from memtui_profiler.request import CHECK_OFF, HEAPCHECK_MODES
from memtui_profiler.target import Target
from memtui_profiler.tcmalloc_library import PRELOAD, read_library


def plan_attached(pid: int) -> LaunchPlan:
    """Raises UserError when it cannot be watched: see attachable; or when another recorder watches it already."""
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
    mode = environment.get("HEAPCHECK", CHECK_OFF)
    found = Preflight(
        target=target,
        allocator=_allocator(pid, mapped),
        library=NO_LIBRARY,
        preload=None,
        capabilities=(),
    )
    return LaunchPlan(
        target=target,
        preflight=found,
        mode=mode if mode in HEAPCHECK_MODES else CHECK_OFF,
        release_rate=None,
        environment=environment,
        set_by_memtui={},
    )


def _allocator(pid: int, mapped: list[str]) -> str:
    """In words for the header, by the libraries that are mapped; the asker finds out for certain."""
    names = {os.path.basename(path): path for path in dict.fromkeys(mapped)}
    for name, path in names.items():
        if name.startswith("libtcmalloc"):
            try:
                library = read_library(f"/proc/{pid}/root{path}", PRELOAD)
            except (OSError, ParseError):
                library = None
            return library.name if library else clean(os.fsencode(name), 40)
    for prefix, words in (SANITIZERS | ALLOCATORS).items():
        if any(name.startswith(prefix) for name in names):
            return words
    return "glibc malloc" if any(name.startswith(("libc.so.6", "libc-2.")) for name in names) else "malloc"
