"""What a launch will be: the program found, its allocator chosen, the exact environment it gets; refused where it cannot work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memtui_profiler.checkers import heapcheck
from memtui_profiler.errors import UserError
from memtui_profiler.preflight import Preflight, preflight, require
from memtui_profiler.request import CHECK_OFF, HEAPCHECK_MODES, LaunchRequest, format_rate
from memtui_profiler.target import Target, resolve_target


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """``environment`` is all the target gets; ``set_by_memtui`` the part of it that memtui adds or changes."""

    target: Target
    preflight: Preflight
    mode: str
    release_rate: float | None
    environment: Mapping[str, str]
    set_by_memtui: Mapping[str, str]


def plan_launch(
    request: LaunchRequest, *, mode: str, release_rate: float | None, dump_folder: Path, inherited: Mapping[str, str]
) -> LaunchPlan:
    """Plan one launch of the request's target with this mode and rate. Raises UserError when it cannot work, and says why."""
    if mode not in (CHECK_OFF, *HEAPCHECK_MODES):
        raise UserError(
            f"no check {mode[:40]}", "there is no such mode", f"one of {', '.join(HEAPCHECK_MODES)}, or off"
        )
    if release_rate is not None and not (math.isfinite(release_rate) and release_rate >= 0):
        raise UserError(f"no release rate {release_rate:g}", "it is no rate", "give a number from 0 to 10")
    heapcheck.conflicts(request.environment, mode, release_rate)
    users = {**inherited, **request.environment}
    target = resolve_target(request.argv, request.cwd, users.get("PATH"))
    found = preflight(target, mode=mode, tcmalloc=request.tcmalloc, environment=users)
    require(found, mode)
    changed = dict(heapcheck.environment(mode, dump_folder, users))
    if release_rate is not None:
        changed["TCMALLOC_RELEASE_RATE"] = format_rate(release_rate)
    if found.preload is not None:
        changed["LD_PRELOAD"] = ":".join(filter(None, (found.preload, users.get("LD_PRELOAD"))))
    kept = {name: value for name, value in users.items() if name not in heapcheck.removed(mode)}
    return LaunchPlan(target, found, mode, release_rate, {**kept, **changed}, changed)
