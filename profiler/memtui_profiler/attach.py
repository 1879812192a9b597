"""A process that runs already, as the plan of a launch that somebody else made: what it runs, with which allocator, which check."""

from __future__ import annotations

import os

from memtui_parsers.clean_text import clean
from memtui_parsers.errors import ParseError
from memtui_parsers.maps import file_path, parse_maps
from memtui_profiler.errors import UserError
from memtui_profiler.launch import LaunchPlan
from memtui_profiler.preflight import NO_LIBRARY, Preflight
from memtui_profiler.program_facts import ALLOCATORS, SANITIZERS
from memtui_profiler.questions.gperftools import environment_value
from memtui_profiler.request import CHECK_OFF, HEAPCHECK_MODES
from memtui_profiler.target import Target
from memtui_profiler.tcmalloc_library import PRELOAD, read_library

MAX_CMDLINE_BYTES = 1 << 20
_WHAT = "cannot attach to {pid}"


def plan_attached(pid: int) -> LaunchPlan:
    """Raises UserError when there is no such process, it is a kernel thread, or it may not be looked at."""
    what = _WHAT.format(pid=pid)
    if pid == os.getpid():
        raise UserError(what, "that is memtui itself", "give another pid")
    argv = command_line(pid)
    try:
        executable = os.readlink(f"/proc/{pid}/exe")
        cwd = os.readlink(f"/proc/{pid}/cwd")
        with open(f"/proc/{pid}/maps", "rb") as stream:
            mapped = [path for m in parse_maps(stream.read()) if m.executable and (path := file_path(m))]
    except PermissionError as error:
        raise UserError(what, "it belongs to another user", f"sudo memtui attach {pid}") from error
    except OSError as error:
        why = "it is a thread of the kernel" if os.path.exists(f"/proc/{pid}") else "there is no such process"
        raise UserError(what, why, "see `ps` for its pid") from error
    target = Target(argv or (executable,), executable, executable, False, cwd)
    mode = environment_value(pid, "HEAPCHECK") or CHECK_OFF
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
        environment={},
        set_by_memtui={},
    )


def command_line(pid: int) -> tuple[str, ...]:
    """The arguments as the process shows them now; empty for one that shows none. Raises UserError when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            text = stream.read(MAX_CMDLINE_BYTES)
    except OSError as error:
        raise UserError(_WHAT.format(pid=pid), "there is no such process", "see `ps` for its pid") from error
    return tuple(os.fsdecode(word) for word in text.removesuffix(b"\0").split(b"\0")) if text else ()


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
