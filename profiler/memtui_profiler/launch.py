"""What a launch will be: the program found, its allocator chosen, the exact environment it gets; refused where it cannot work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.checkers import checker_of, heapcheck
from memtui_profiler.checkers.base import Setup, Wanted
from memtui_profiler.errors import UserError
from memtui_profiler.preflight import Preflight, preflight, require
from memtui_profiler.request import CHECK_MODES, CHECK_OFF, HEAPCHECK_MODES, LSAN, LaunchRequest, format_rate
from memtui_profiler.target import Target, resolve_target

AUTOMATIC = ("normal", LSAN)


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """``environment`` is all the target gets; ``set_by_memtui`` the part of it that memtui adds or changes.

    ``command``: what is started in its place and starts it, with the program and its arguments behind.
    """

    target: Target
    preflight: Preflight
    mode: str
    release_rate: float | None
    environment: Mapping[str, str]
    set_by_memtui: Mapping[str, str]
    command: tuple[str, ...] = ()


def plan_launch(
    request: LaunchRequest, *, mode: str, release_rate: float | None, dump_folder: Path, inherited: Mapping[str, str]
) -> LaunchPlan:
    """Plan one launch of the request's target with this mode and rate. Raises UserError when it cannot work, and says why."""
    if mode not in (CHECK_OFF, *CHECK_MODES):
        raise UserError(f"no check {mode[:40]}", "there is no such mode", f"one of {', '.join(CHECK_MODES)}, or off")
    if release_rate is not None and not (math.isfinite(release_rate) and release_rate >= 0):
        raise UserError(f"no release rate {release_rate:g}", "it is no rate", "give a number from 0 to 10")
    heapcheck.conflicts(request.environment, mode, release_rate)
    users = {**inherited, **request.environment}
    target = resolve_target(request.argv, request.cwd, users.get("PATH"))
    found = preflight(target, mode=mode, tcmalloc=request.tcmalloc, environment=users)
    require(found, mode)
    setup = _setup(request, mode, dump_folder, users, found)
    changed = _changed(setup, found.preloads.get(mode), release_rate, users)
    # Off means off: an inherited HEAPCHECK goes, and is not left empty either, which makes the library print a line.
    unwanted = setup.removed | (frozenset() if mode in HEAPCHECK_MODES else {"HEAPCHECK"})
    kept = {name: value for name, value in users.items() if name not in unwanted}
    return LaunchPlan(target, found, mode, release_rate, {**kept, **changed}, changed, setup.command)


def automatic_mode(request: LaunchRequest, inherited: Mapping[str, str]) -> str:
    """Normal where gperftools' heap checker can work, else LeakSanitizer; normal too where neither can: its refusal says why."""
    users = {**inherited, **request.environment}
    try:
        target = resolve_target(request.argv, request.cwd, users.get("PATH"))
        found = preflight(target, mode=CHECK_OFF, tcmalloc=request.tcmalloc, environment=users)
    except UserError:
        return AUTOMATIC[0]  # the launch will say the same, and is where it belongs
    return next((mode for mode in AUTOMATIC if found.capability(mode).available), AUTOMATIC[0])


def preview(
    request: LaunchRequest, found: Preflight, mode: str, *, folder: Path, inherited: Mapping[str, str]
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """What a launch with this mode would set, and what it would start in the program's place; for people to read before it."""
    users = {**inherited, **request.environment}
    setup = _setup(request, mode, folder, users, found)
    return _changed(setup, found.preloads.get(mode), None, users), setup.command


def _changed(setup: Setup, preload: str | None, release_rate: float | None, users: Mapping[str, str]) -> dict[str, str]:
    changed = dict(setup.environment)
    if release_rate is not None:
        changed[heapcheck.RATE_VARIABLE] = format_rate(release_rate)
    if first := setup.preload or preload:
        changed["LD_PRELOAD"] = ":".join(filter(None, (first, users.get("LD_PRELOAD"))))
    return changed


def _setup(request: LaunchRequest, mode: str, folder: Path, users: Mapping[str, str], found: Preflight) -> Setup:
    if mode == CHECK_OFF or found.program is None:
        return Setup()
    wanted = Wanted(
        mode=mode,
        folder=folder,
        environment=users,
        follow_children=request.follow_children,
        valgrind_args=request.valgrind_args,
        suppressions=request.suppressions,
    )
    return checker_of(mode).setup(wanted, found.program)
