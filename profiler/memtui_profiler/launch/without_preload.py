"""Runs a program that crashed with a library of memtui's in it once more, without the library: which of the two crashes?"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from memtui_profiler.errors import UserError
from memtui_profiler.launch.plan import plan_launch
from memtui_profiler.request import CHECK_OFF, LaunchRequest
from memtui_profiler.target.tcmalloc_library import OFF

# What ran longer may have done work that must not be done twice.
LONGEST_RUN_S = 10.0
_GRACE_S, _LOOK_EVERY_S = 2.0, 0.05


def may_be_repeated(ran_s: float) -> bool:
    """Whether a program that crashed after so long may be run again: soon, and what it reads can be read again."""
    if ran_s > LONGEST_RUN_S:
        return False
    try:
        facts = os.fstat(0)
    except OSError:
        return True
    return os.isatty(0) or stat.S_ISREG(facts.st_mode) or facts.st_rdev == os.stat(os.devnull).st_rdev


def crash_without_preload(
    request: LaunchRequest, inherited: Mapping[str, str], longest_s: float, interrupted: Callable[[], bool]
) -> str | None:
    """Run the program of ``request`` with nothing of memtui's in it, its output dropped; return the signal that ended it.

    '': it ended otherwise, or lived ``longest_s`` and was ended. None: it could not be run, or ``interrupted`` was True.
    """
    try:
        plan = plan_launch(
            replace(request, tcmalloc=OFF),
            mode=CHECK_OFF,
            release_rate=None,
            dump_folder=Path("/"),
            inherited=inherited,
        )
        with _input() as stdin:
            process = subprocess.Popen(
                plan.target.argv,
                executable=plan.target.executable,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=plan.target.cwd,
                env=plan.environment,
                start_new_session=True,
            )
    except (OSError, UserError):
        return None
    deadline = time.monotonic() + longest_s
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if interrupted():
                return None
            time.sleep(_LOOK_EVERY_S)
        code = process.returncode
    finally:
        _end_group(process)
    return "" if code is None or code >= 0 else signal.Signals(-code).name


@contextlib.contextmanager
def _input() -> Iterator[int]:
    """What memtui's stdin is, from its start where it is a file; else nothing to read."""
    try:
        is_file = stat.S_ISREG(os.fstat(0).st_mode)
    except OSError:
        is_file = False
    if not is_file:
        yield subprocess.DEVNULL
        return
    descriptor = os.open("/proc/self/fd/0", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of it and of its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
