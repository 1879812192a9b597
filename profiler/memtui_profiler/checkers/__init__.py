"""The checkers: one module each, and this table of them.

To add a checker, write a module that has a ``CHECKER`` (see base.Checker) and name it in ``_MODULES``. A checker from
elsewhere is added with register(). Modules are imported when they are first looked for, in the order of the table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from memtui_profiler.request import CHECK_OFF

if TYPE_CHECKING:
    from memtui_profiler.asking.asked_process import AskedProcess
    from memtui_profiler.asking.leak_check import LeakCheck, LeakQuestion
    from memtui_profiler.checkers.base import Checker, Mode

# In the order of the picker.
_MODULES = ("heapcheck", "memcheck", "lsan", "heapprofile", "growth")
_registered: list[Checker] = []

NOTHING_ELSE = "no other check can work on it here"


def register(checker: Checker) -> None:
    """Add a checker behind the others. Raises ValueError when its name, or the name of a mode, is taken."""
    taken = {CHECK_OFF, *mode_names(), *(other.name for other in checkers())}
    if clash := sorted(taken & {checker.name, *(mode.name for mode in checker.modes)}):
        raise ValueError(f"there is a checker or a mode of this name already: {', '.join(clash)}")
    _registered.append(checker)


def unregister(checker: Checker) -> None:
    """Take away one that register() has added. Raises ValueError when it was not."""
    _registered.remove(checker)


def checkers() -> Iterator[Checker]:
    """All checkers, in the order of the picker."""
    for name in _MODULES:
        checker: Checker = import_module(f"{__name__}.{name}").CHECKER
        yield checker
    yield from _registered


def all_modes() -> tuple[Mode, ...]:
    """Off first, then every mode in the order of the picker."""
    from memtui_profiler.checkers.base import OFF

    return (OFF, *(mode for _, mode in _modes()))


def mode_names() -> tuple[str, ...]:
    """The names of all modes but off, in the order of the picker."""
    return tuple(mode.name for _, mode in _modes())


def checker_of(mode: str) -> Checker | None:
    """The checker that has this mode; None for off, and for a name that is no mode's."""
    return None if mode == CHECK_OFF else next((checker for checker, each in _modes() if each.name == mode), None)


def mode_named(name: str) -> Mode | None:
    """The mode of this name; None for off, and for a name that is no mode's."""
    return None if name == CHECK_OFF else next((mode for _, mode in _modes() if mode.name == name), None)


def checker_named(name: str) -> Checker | None:
    """The checker that has this name in its reports; None where there is none."""
    return next((checker for checker in checkers() if checker.name == name), None)


def can_check_live(name: str) -> bool:
    """Whether the running process can be checked for leaks in the mode of this name."""
    checker, mode = checker_of(name), mode_named(name)
    return checker is not None and checker.live_check is not None and mode is not None and not mode.no_live_check


def live_question(checker: Checker | None, *, attached: bool) -> LeakQuestion:
    """The question of the run's own checker; a process that memtui did not start (``attached``) may have any in it.

    Where there is no checker to ask, the usual one's question refuses, and says why.
    """
    from memtui_profiler.asking.leak_check import LeakQuestion

    if attached:
        return LeakQuestion(_ask_what_is_there, "heap")
    live_check = (None if checker is None else checker.live_check) or usual_checker().live_check
    assert live_check is not None, "the usual checker can be asked while the process runs"
    return live_check()


def _ask_what_is_there(process: AskedProcess, destination: Path) -> LeakCheck:
    for checker in checkers():
        question = None if checker.live_check is None else checker.live_check()
        if question is not None and question.is_for(process):
            return replace(question.ask(process, destination), checker=checker.name, mode=checker.usual_mode)
    return live_question(None, attached=False).ask(process, destination)


def checkers_by_cost() -> list[Checker]:
    """All checkers, the least costly first: the order in which they are proposed."""
    return sorted(checkers(), key=lambda checker: checker.cost)


def usual_checker() -> Checker:
    """The checker that is proposed first, and that speaks for a process of which no check is known."""
    return checkers_by_cost()[0]


def mode_in(environment: Mapping[str, str]) -> str:
    """The mode that a process with this environment was started with, where a variable tells it; else off."""
    modes = (mode.name for checker, mode in _modes() if mode.name in map(environment.get, checker.switches))
    return next(modes, CHECK_OFF)


def instead_of(mode: str, available: Collection[str]) -> str | None:
    """The mode of another checker to use in the place of ``mode``; None: there is none of ``available``."""
    own = checker_of(mode)
    proposals = (other.usual_mode for other in checkers_by_cost() if other != own)
    return next((proposal for proposal in proposals if proposal in available), None)


def instead_words(mode: str, available: Collection[str]) -> str:
    """Return instead_of() as a phrase for the command line: ``--check lsan works here``."""
    other = instead_of(mode, available)
    checker = None if other is None else checker_of(other)
    return NOTHING_ELSE if checker is None else f"--check {other} works here{checker.instead_note}"


def _modes() -> Iterator[tuple[Checker, Mode]]:
    return ((checker, mode) for checker in checkers() for mode in checker.modes)
