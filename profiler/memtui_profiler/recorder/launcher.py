"""Plans and starts the runs of a session, and records what each is: the rows that describe the session, and each run."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from memtui_parsers import __version__
from memtui_profiler.actions import Action
from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.launch.environment import original_environment
from memtui_profiler.launch.plan import LaunchPlan, plan_launch, preview
from memtui_profiler.request import NO_MODES, RATE_VARIABLE, LaunchRequest, format_rate
from memtui_profiler.run.active_run import ActiveRun
from memtui_profiler.session.recording import Recording
from memtui_profiler.session.rows import CapabilityRow, Meta, Run


class Launcher:
    """Launches the program of ``request``, or attaches to its process; ``recording.run`` counts the runs."""

    def __init__(self, request: LaunchRequest, recording: Recording) -> None:
        self._request = request
        self._recording = recording
        self._inherited = original_environment()
        for row in meta_rows(request, recording.began_s):
            recording.add(row)

    def plan(self, mode: str, release_rate: float | None) -> LaunchPlan:
        """Return how to start the next run. Raises UserError when it cannot work."""
        self._refuse_stalled()
        if self._request.attach_pid is not None:
            from memtui_profiler.launch.attach_plan import plan_attached

            return plan_attached(self._request.attach_pid)
        return plan_launch(
            self._request,
            mode=mode,
            release_rate=release_rate,
            dump_folder=self._folder(self._recording.run + 1),
            inherited=self._inherited,
        )

    def launch(self, plan: LaunchPlan) -> ActiveRun:
        """Start the next run, or attach to what runs already. Raises UserError when that fails."""
        self._refuse_stalled()
        number, recording = self._recording.run + 1, self._recording
        run = ActiveRun(
            number,
            plan,
            self._folder(number),
            recording.now_s(),
            inherit_stdin=self._request.inherit_stdin and number == 1,
            attach_pid=self._request.attach_pid,
        )
        recording.run = number
        try:
            self._record(run)
        except BaseException:
            # Whatever it is, such as a lack of memory: the recorder may end of it, and no target runs that nobody records.
            if not run.attached:
                run.process.send_group(signal.SIGKILL)
            raise
        return run

    def _record(self, run: ActiveRun) -> None:
        recording, plan = self._recording, run.plan
        recording.add(run_row(run))
        for row in capability_rows(run, self._request, self._folder(run.number + 1), self._inherited):
            recording.add(row)
        attached = "attached to " if run.attached else ""
        recording.event(
            EventKind.LAUNCHED,
            f"{attached}pid {run.process.pid}, check {plan.mode}, {plan.preflight.allocator}",
            pid=run.process.pid,
            mode=plan.mode,
            release_rate=plan.release_rate,
            allocator=plan.preflight.allocator,
        )
        for note in plan.preflight.notes:
            recording.event(EventKind.NOTE, note)
        if run.attached:
            recording.commit_now()  # so that a second memtui sees at once that this process is taken

    def _refuse_stalled(self) -> None:
        """A run needs a folder, and the recorder must not wait for a disk that may never answer."""
        if self._recording.stalled:
            why, todo = "the session's disk does not answer", "launch it again when it does"
            raise UserError("cannot launch", why, todo, action=Action.LAUNCH)

    def _folder(self, number: int) -> Path:
        return self._recording.folder / "runs" / str(number)


def meta_rows(request: LaunchRequest, boottime_s: float) -> Iterator[Meta]:
    """Return facts of the session; ``boottime_s`` is CLOCK_BOOTTIME at its second 0. Values of the user's --env are left out."""
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
        yield Meta(key=key, value=value)


def run_row(run: ActiveRun) -> Run:
    """Return what was launched, and with which environment."""
    plan = run.plan
    return Run(
        at_s=run.started_s,
        pid=run.process.pid,
        executable=plan.target.executable,
        argv=json.dumps(plan.target.argv),
        cwd=plan.target.cwd,
        mode=plan.mode,
        release_rate=plan.release_rate if plan.release_rate is not None else _inherited_rate(plan.environment),
        allocator=plan.preflight.allocator,
        environment=json.dumps(dict(plan.set_by_memtui)),
        environment_names=json.dumps(sorted(set(plan.environment) - set(plan.set_by_memtui))),
    )


def capability_rows(
    run: ActiveRun, request: LaunchRequest, next_folder: Path, inherited: Mapping[str, str]
) -> Iterator[CapabilityRow]:
    """Return what can work on the target, and what the next launch, into ``next_folder``, would set for it."""
    preflight = run.plan.preflight
    for capability in preflight.capabilities:
        sets = ""
        if capability.available and capability.name not in NO_MODES:
            changed, command = preview(request, preflight, capability.name, folder=next_folder, inherited=inherited)
            sets = json.dumps({"environment": dict(changed), "command": list(command)})
        yield CapabilityRow(
            run=run.number,
            name=capability.name,
            available=int(capability.available),
            reason=capability.reason,
            remedy=capability.remedy,
            sets=sets,
            blind=int(capability.blind),
        )


def relaunched(old: ActiveRun | None, run: ActiveRun) -> tuple[str, dict[str, Any]]:
    """Return the text and detail of a relaunch event: what changed between the two runs, then the pids."""
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
        rate = float(environment.get(RATE_VARIABLE, ""))
    except ValueError:
        return None
    return rate if math.isfinite(rate) else None


def _rate(rate: float | None) -> str:
    return "default" if rate is None else format_rate(rate)
