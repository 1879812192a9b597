"""The plan of a launch: the program, its allocator and its exact environment; refused where it cannot work."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from memtui_profiler.checkers import checker_of, checkers, checkers_by_cost, mode_names
from memtui_profiler.checkers.base import Setup, Wanted
from memtui_profiler.errors import EXIT_USAGE, UserError
from memtui_profiler.launch.preflight import Preflight, preflight, require
from memtui_profiler.request import CHECK_OFF, RATE_VARIABLE, RELEASE_RATE, LaunchRequest, format_rate
from memtui_profiler.target.program import Target, resolve_target


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """``environment`` is all the target gets; ``set_by_memtui`` the part of it that memtui adds or changes.

    ``command``: what is started in its place and starts it, with the program and its arguments behind. ``preloaded``: the
    name of the library that memtui puts first into LD_PRELOAD, '' where it puts none.
    """

    target: Target
    preflight: Preflight
    mode: str
    release_rate: float | None
    environment: Mapping[str, str]
    set_by_memtui: Mapping[str, str]
    command: tuple[str, ...] = ()
    preloaded: str = ""


def plan_launch(
    request: LaunchRequest, *, mode: str, release_rate: float | None, dump_folder: Path, inherited: Mapping[str, str]
) -> LaunchPlan:
    """Plan one launch of the request's target with this mode and rate. Raises UserError when it cannot work."""
    if mode != CHECK_OFF and checker_of(mode) is None:
        raise UserError(f"no check {mode[:40]}", "there is no such mode", f"one of {', '.join(mode_names())}, or off")
    if release_rate is not None and not (math.isfinite(release_rate) and release_rate >= 0):
        raise UserError(f"no release rate {release_rate:g}", "it is no rate", "give a number from 0 to 10")
    refuse_conflicts(request.environment, mode, release_rate)
    users = {**inherited, **request.environment}
    target = resolve_target(request.argv, request.cwd, users.get("PATH"))
    facts = preflight(target, mode=mode, tcmalloc=request.tcmalloc, environment=users)
    require(facts, mode)
    if release_rate is not None and not (able := facts.capability(RELEASE_RATE)).available:
        facts = replace(facts, notes=(*facts.notes, f"the release rate {release_rate:g} has no effect: {able.reason}"))
    setup = _setup(request, mode, dump_folder, users, facts)
    preload = setup.preload or facts.preloads.get(mode) or ""
    changed = _changed(setup, preload, release_rate, users)
    # Off means off: an inherited HEAPCHECK goes, and is not left empty either, which makes the library print a line.
    switches = {name for checker in checkers() for name in checker.switches}
    kept = {name: value for name, value in users.items() if name not in switches}
    preloaded = os.path.basename(preload.partition(":")[0])
    return LaunchPlan(target, facts, mode, release_rate, {**kept, **changed}, changed, setup.command, preloaded)


def refuse_conflicts(user: Mapping[str, str], mode: str, release_rate: float | None) -> None:
    """Raises UserError (usage) when --env sets a variable that an option sets too: which counts is not guessed."""
    options = {name: "--check" for checker in checkers() for name in checker.switches}
    if (checker := checker_of(mode)) is not None:
        options |= dict.fromkeys(checker.sets, f"--check {mode}")
    if release_rate is not None:
        options[RATE_VARIABLE] = "--release-rate"
    for name, option in options.items():
        if name in user:
            raise UserError(f"--env {name}", f"{option} sets it too", "leave one of the two out", exit_code=EXIT_USAGE)


def automatic_mode(request: LaunchRequest, inherited: Mapping[str, str]) -> str:
    """The first usual mode that can work, least costly first; where none can, the first one, whose refusal says why."""
    proposals = [checker.usual_mode for checker in checkers_by_cost() if checker.automatic]
    users = {**inherited, **request.environment}
    try:
        target = resolve_target(request.argv, request.cwd, users.get("PATH"))
        facts = preflight(target, mode=CHECK_OFF, tcmalloc=request.tcmalloc, environment=users)
    except UserError:
        return proposals[0]  # the launch will say the same, and is where it belongs
    return next((mode for mode in proposals if facts.capability(mode).available), proposals[0])


def preview(
    request: LaunchRequest, facts: Preflight, mode: str, *, folder: Path, inherited: Mapping[str, str]
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The variables that a launch with this mode would set, and the command before the program; for people to read."""
    users = {**inherited, **request.environment}
    setup = _setup(request, mode, folder, users, facts)
    return _changed(setup, facts.preloads.get(mode), None, users), setup.command


def _changed(setup: Setup, preload: str | None, release_rate: float | None, users: Mapping[str, str]) -> dict[str, str]:
    changed = dict(setup.environment)
    if release_rate is not None:
        changed[RATE_VARIABLE] = format_rate(release_rate)
    if first := setup.preload or preload:
        changed["LD_PRELOAD"] = ":".join(filter(None, (first, users.get("LD_PRELOAD"))))
    return changed


def _setup(request: LaunchRequest, mode: str, folder: Path, users: Mapping[str, str], facts: Preflight) -> Setup:
    checker = checker_of(mode)
    if checker is None or facts.program is None:
        return Setup()
    return checker.setup(Wanted(request, mode, folder, users, facts.libraries.get(mode)), facts.program)
