"""Whether a watch would be refused is known without one, and nothing is left open."""

from __future__ import annotations

import os
import subprocess

import pytest

from memtui_profiler.checkers import growth
from memtui_profiler.errors import UserError
from memtui_profiler.growth import permission
from memtui_profiler.growth.permission import may_watch
from memtui_profiler.target.program_facts import Obstacle


def test_what_can_be_watched_can_be_told(tmp_path: object) -> None:
    before = os.listdir("/proc/self/fd")
    assert growth.why_not(os.getpid()) is None
    assert os.listdir("/proc/self/fd") == before


def test_what_is_gone_cannot() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(UserError, match="has ended"):
        may_watch(process.pid)
    obstacle = growth.why_not(process.pid)
    assert isinstance(obstacle, Obstacle) and "has ended" in obstacle.reason and obstacle.remedy


def test_another_machine_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permission, "MACHINE", "another")
    obstacle = growth.why_not(os.getpid())
    assert obstacle is not None and f"this is {os.uname().machine}" in obstacle.reason
