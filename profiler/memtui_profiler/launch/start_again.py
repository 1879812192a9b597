"""How a process that has no checker in it would have to be started to be checked: its program is looked at for that."""

from __future__ import annotations

import os

from memtui_profiler.checkers import checkers_by_cost, usual_checker
from memtui_profiler.errors import UserError
from memtui_profiler.launch.attachable import command_line, environment_of, working_folder
from memtui_profiler.launch.preflight import preflight
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.target.program import Target
from memtui_profiler.target.tcmalloc_library import AUTO


def with_a_way(error: UserError, pid: int) -> UserError:
    """The refusal of a live check, with what can be done for this very program in the place of its remedy."""
    return UserError(error.what, error.why, how_to_check(pid) or error.todo, action=error.action)


def how_to_check(pid: int) -> str:
    """A phrase: the check to start the program with, or why there is none and what there is instead; '' when it is gone."""
    program = f"/proc/{pid}/exe"
    try:
        path = os.readlink(program)
    except OSError:
        return ""
    argv = command_line(pid) or (path,)
    target = Target(argv, path, program, False, working_folder(pid))
    able = preflight(target, mode=CHECK_OFF, tcmalloc=AUTO, environment=environment_of(pid))
    modes = (checker.usual_mode for checker in checkers_by_cost() if not checker.takes_snapshots)
    mode = next((mode for mode in modes if mode in able.checks), None)
    if mode is not None:
        return f"start the program with one: memtui --check {mode} PROGRAM"
    usual = able.capability(usual_checker().usual_mode)
    return f"no check of memtui's can be started with it ({usual.reason}): {usual.remedy}"
