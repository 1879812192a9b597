"""What to use on a target where the check that was wanted cannot work: another checker, and how to say so."""

from __future__ import annotations

from collections.abc import Collection

from memtui_profiler.request import HEAPCHECK_MODES, LSAN, MEMCHECK, PROFILE

# One mode of each checker, the least costly first; a profile names no leaks.
_IN_TURN = (HEAPCHECK_MODES[1], LSAN, MEMCHECK, PROFILE)
# What it gives in the place of a leak check, where that is less or dearer.
_BUT = {MEMCHECK: ", 20 to 50 times slower", PROFILE: ": what is in use, by stack"}

NOTHING_ELSE = "no other check can work on it here"


def instead_of(mode: str, available: Collection[str]) -> str | None:
    """The mode of another checker to use in the place of ``mode``; None: there is none of ``available``."""
    own = HEAPCHECK_MODES if mode in HEAPCHECK_MODES else (mode,)
    return next((other for other in _IN_TURN if other not in own and other in available), None)


def instead_words(mode: str, available: Collection[str]) -> str:
    """That as a phrase for the command line: ``--check lsan works here``."""
    other = instead_of(mode, available)
    return NOTHING_ELSE if other is None else f"--check {other} works here{_BUT.get(other, '')}"
