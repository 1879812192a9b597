"""Growth by stack: memtui samples the page faults of the process from outside, and says who touched first what has come."""

from __future__ import annotations

import os
from pathlib import Path

from memtui_parsers.report.suppressions import Syntax
from memtui_profiler.actions import Action
from memtui_profiler.checkers.base import Checker, Libraries, Mode, Setup, Wanted
from memtui_profiler.checkers.ending import Conclusion, Ended, Output
from memtui_profiler.errors import UserError
from memtui_profiler.target.program_facts import Obstacle, ProgramFacts

NAME = "growth"
GROWTH = "growth"
MACHINE = "x86-64"


def obstacle(program: ProgramFacts, _: Libraries) -> Obstacle | None:
    """Why it cannot work; None: nothing stands in its way."""
    if program.machine != MACHINE:
        return Obstacle(f"stacks are unwound on {MACHINE} only, and this is {program.machine}", f"use it on {MACHINE}")
    if program.secured is not None and os.geteuid() != 0:
        return Obstacle(program.secured.reason.partition(":")[0], "run memtui as root")
    return why_not(os.getpid())


def why_not(pid: int) -> Obstacle | None:
    """Why whoever runs memtui may not watch the page faults of this process; None: they may. Nothing is left open."""
    from memtui_profiler.growth.permission import may_watch

    try:
        may_watch(pid)
    except UserError as error:
        return Obstacle(error.why, error.todo)
    return None


def setup(_: Wanted, __: ProgramFacts) -> Setup:
    """Nothing in the launch is changed."""
    return Setup()


def outputs(_: Path) -> list[Output]:
    """Nothing is left by the target: its reports come of memtui's own watcher."""
    return []


def conclude(_: Ended) -> Conclusion:
    """Nothing follows from the end of the run: the watcher makes its last report then, or says why there is none."""
    return Conclusion()


CHECKER = Checker(
    name=NAME,
    modes=(
        Mode(
            GROWTH,
            "what has grown, by stack: 10 s after the start, ever more seldom later, at its end, and when asked for",
            "memtui samples page faults from outside: nothing is put into the process, whatever allocates there, and it is"
            " hardly slowed down. It names who touched memory first that is still there, which is not always who keeps it."
            " What the program takes in its first moments counts as there before.",
            ("what has grown, by stack:", "page faults, seen from outside"),
            actions=(Action.SNAPSHOT, Action.SHOW_REPORTS),
            at_work="Watching page faults: what grows, by stack.",
            meanwhile="A report comes 10 s after the start, then ever more seldom, and at its end",
            nothing=("All memory that is there now was there when the watching began.",),
        ),
    ),
    usual_mode=GROWTH,
    cost=5,
    obstacle=obstacle,
    setup=setup,
    outputs=outputs,
    conclude=conclude,
    suppression_syntax=Syntax.LSAN,
    instead_note=": what grows, by stack",
    keeps_malloc=True,
    reports_when_killed=True,
    takes_snapshots=True,
    snapshot_words="growth",
    found_nothing="nothing has grown",
    gperftools=True,
    from_outside=True,
)
