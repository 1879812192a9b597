"""No thread can be made, as under a pids.max that the target has used up: a recorder refuses in a sentence and goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from memtui_profiler.events import EventKind
from tests.fixtures.leaky import build
from tests.fixtures.live import is_alive, record
from tests.fixtures.waiting import until

PIDS_V1, UNIFIED = Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")


@pytest.fixture
def tasks_group() -> Iterator[Path]:
    """A control group that can bound tasks; skips where none can be made."""
    group = (PIDS_V1 if PIDS_V1.is_dir() else UNIFIED) / f"memtui-tasks-{os.getpid()}"
    try:
        group.mkdir()
        (group / "pids.max").write_text("max")
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no control group for tasks can be made here: {error}")
    try:
        yield group
    finally:
        until(lambda: not (group / "cgroup.procs").read_text(), "the control group is empty")
        group.rmdir()


def test_a_recorder_that_can_make_no_thread_goes_on(tmp_path: Path, tasks_group: Path) -> None:
    with record(tmp_path, build("request_server").path, tmp_path / "s", mode="off") as live:
        (tasks_group / "cgroup.procs").write_text(str(live.recorder_pid))
        (tasks_group / "pids.max").write_text("1")
        before = len(live.samples())
        assert live.ask("regions").ok
        until(
            lambda: any("has mapped cannot be read" in event.text for event in live.events(EventKind.NOTE)),
            "it is told",
        )
        live.ask("ask", deadline_s=60)
        until(lambda: len(live.samples()) > before + 20, "it is sampled on")
        assert is_alive(live.recorder_pid) and is_alive(live.launched_pid)
        refused = live.ask("relaunch", mode="off", release_rate=None)
        assert not refused.ok and "pids.max" in str(refused.error)
        assert is_alive(live.recorder_pid)
        (tasks_group / "pids.max").write_text("max")
        until(lambda: live.ask("relaunch", mode="off", release_rate=None).ok, "it can be launched again")
