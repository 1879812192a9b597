"""The rows that say what a session and a run of it are."""

from __future__ import annotations

import json
import math
import os
import resource
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from memtui_parsers import __version__
from memtui_profiler.active_run import ActiveRun
from memtui_profiler.launch import preview
from memtui_profiler.request import CHECK_MODES, LaunchRequest, format_rate
from memtui_profiler.session.rows import CapabilityRow, Meta, Run


def meta_rows(request: LaunchRequest, boottime_s: float) -> Iterator[Meta]:
    """Facts of the session; ``boottime_s`` is CLOCK_BOOTTIME at its second 0. Values of the user's --env stay out."""
    now = time.time()
    facts = {
        "memtui": __version__,
        "started": repr(now),
        "boottime": repr(boottime_s),
        "utc_offset": str(time.localtime(now).tm_gmtoff),
        "argv": json.dumps(request.argv),
        "cwd": request.cwd,
        "host": socket.gethostname(),
        "sample_hz": repr(request.sample_hz),
        "page_bytes": str(resource.getpagesize()),
        "recorder_pid": str(os.getpid()),
        "request": json.dumps({**asdict(request), "environment": sorted(request.environment)}),
    }
    if request.attach_pid is not None:
        facts["attached"] = str(request.attach_pid)
    for key, value in facts.items():
        yield Meta(key=key, value=_storable(value))


def run_row(run: ActiveRun, inherited: Mapping[str, str]) -> Run:
    plan = run.plan
    return Run(
        at_s=run.started_s,
        pid=run.process.pid,
        executable=_storable(plan.target.executable),
        argv=json.dumps(plan.target.argv),
        cwd=_storable(plan.target.cwd),
        mode=plan.mode,
        release_rate=plan.release_rate if plan.release_rate is not None else _inherited_rate(plan.environment),
        allocator=plan.preflight.allocator,
        environment=json.dumps(dict(plan.set_by_memtui)),
        environment_names=json.dumps(sorted(set(plan.environment) - set(plan.set_by_memtui))),
    )


def capability_rows(
    run: ActiveRun, request: LaunchRequest, next_folder: Path, inherited: Mapping[str, str]
) -> Iterator[CapabilityRow]:
    """What can work on the target, and what the next launch, into ``next_folder``, would set for it."""
    found = run.plan.preflight
    for capability in found.capabilities:
        sets = ""
        if capability.available and capability.name in CHECK_MODES:
            changed, command = preview(request, found, capability.name, folder=next_folder, inherited=inherited)
            sets = json.dumps({"environment": dict(changed), "command": list(command)})
        yield CapabilityRow(
            run=run.number,
            name=capability.name,
            available=int(capability.available),
            reason=_storable(capability.reason),
            remedy=_storable(capability.remedy),
            sets=sets,
        )


def relaunched(old: ActiveRun | None, run: ActiveRun) -> tuple[str, dict[str, Any]]:
    """The text and detail of a relaunch event: what changed between the two runs, then the pids."""
    detail: dict[str, Any] = {"pid": run.process.pid, "mode": run.plan.mode, "release_rate": run.plan.release_rate}
    if old is None:
        return f"pid {run.process.pid}", detail
    detail |= {"old_pid": old.process.pid, "old_mode": old.plan.mode, "old_release_rate": old.plan.release_rate}
    changes = [f"pid {old.process.pid} -> {run.process.pid}"]
    if old.plan.mode != run.plan.mode:
        changes.insert(0, f"check {old.plan.mode} -> {run.plan.mode}")
    if old.plan.release_rate != run.plan.release_rate:
        changes.insert(0, f"rate {_rate(old.plan.release_rate)} -> {_rate(run.plan.release_rate)}")
    return ", ".join(changes), detail


def _inherited_rate(environment: Mapping[str, str]) -> float | None:
    """A rate that the user's own environment sets: the screen shows what the process has."""
    try:
        rate = float(environment.get("TCMALLOC_RELEASE_RATE", ""))
    except ValueError:
        return None
    return rate if math.isfinite(rate) else None


def _rate(rate: float | None) -> str:
    return "default" if rate is None else format_rate(rate)


def _storable(text: str) -> str:
    """SQLite keeps UTF-8 alone; bytes of a path that are none are written out."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
