"""No descriptor is free: no target is left that nobody records, and a recorder refuses in a sentence and goes on."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from memtui_profiler.recorder.control import short_path
from tests.fixtures.command_line import memtui_command, memtui_environment
from tests.fixtures.leaky import build
from tests.fixtures.live import Live, is_alive, record
from tests.fixtures.waiting import until
from tests.integration.test_starter_ends import processes_below

WATCHED_S = 1.0


@pytest.mark.parametrize("limit", [7, 13, 18, 21])
def test_a_start_with_few_descriptors_leaves_no_target_alone(tmp_path: Path, limit: int) -> None:
    program = tmp_path / "serves"
    program.write_text("#!/bin/sh\nwhile :; do sleep 0.1; done\n")
    program.chmod(0o755)
    ended = subprocess.run(
        ["prlimit", f"--nofile={limit}:{limit}", *memtui_command("--plain", "--for", "0.3", str(program))],
        env=memtui_environment(tmp_path),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    if b"Too many open files" in ended.stderr:
        assert b"see to the disk" not in ended.stderr and b"writable folder" not in ended.stderr, ended.stderr
    until(lambda: not processes_below(tmp_path), "nothing is left")


def limit_descriptors(live: Live, free: int) -> None:
    """Let the recorder have ``free`` more than it has."""
    taken = len(os.listdir(f"/proc/{live.recorder_pid}/fd"))
    resource.prlimit(live.recorder_pid, resource.RLIMIT_NOFILE, (taken + free, 4096))


@pytest.mark.heap_checker
@pytest.mark.parametrize("free", [0, 2, 8])
def test_commands_without_a_free_descriptor(tmp_path: Path, free: int) -> None:
    with record(tmp_path, build("request_server").path, tmp_path / "s", mode="normal") as live:
        until(live.samples, "it is sampled")
        limit_descriptors(live, free)
        for verb in ("ask", "check", "snapshot", "release"):
            assert live.ask(verb, deadline_s=60) is not None
        live.ask("relaunch", mode="off", release_rate=None)
        assert live.ask("watch").ok
        resource.prlimit(live.recorder_pid, resource.RLIMIT_NOFILE, (4096, 4096))
        until(lambda: live.ask("relaunch", mode="off", release_rate=None).ok, "it can be launched again")
        assert is_alive(live.recorder_pid)


def test_clients_that_cannot_be_accepted_cost_no_processor(tmp_path: Path) -> None:
    with record(tmp_path, "sleep", "600") as live, contextlib.ExitStack() as opened:
        limit_descriptors(live, 0)
        for _ in range(4):
            client = opened.enter_context(socket.socket(socket.AF_UNIX))
            with short_path(live.folder) as path:
                client.connect(path)
        recorder = psutil.Process(live.recorder_pid)
        before = sum(recorder.cpu_times()[:2])
        time.sleep(WATCHED_S)  # what it uses meanwhile is what is asked
        assert sum(recorder.cpu_times()[:2]) - before < WATCHED_S / 2
        assert live.ask("watch").ok
