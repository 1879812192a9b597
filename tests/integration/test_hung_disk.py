"""The disk of the session hangs, as under a snapshot of a virtual machine or with a dead server: nobody waits for it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from memtui_profiler.events import EventKind
from memtui_profiler.run.output_log import WAITING_BYTES
from tests.fixtures.live import Live, is_alive, record
from tests.fixtures.waiting import until

LONGEST_WAIT_S = 1.0
# Prints without end, and keeps its longest write and how much it has written where the disk does not hang.
PRINTS = """
import os, sys, time
line, longest, written = b"x" * 65535 + b"\\n", 0.0, 0
while True:
    began = time.monotonic()
    written += os.write(1, line)
    longest = max(longest, time.monotonic() - began)
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(f"{written} {longest}")
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(0.001)
"""


@dataclass
class Disk:
    folder: Path
    frozen: bool = False

    def freeze(self) -> None:
        subprocess.run(["fsfreeze", "--freeze", self.folder], check=True)
        self.frozen = True

    def thaw(self) -> None:
        if self.frozen:
            subprocess.run(["fsfreeze", "--unfreeze", self.folder], check=True)
            self.frozen = False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of its own that can be made to hang."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk here")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(200 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    disk = Disk(folder)
    try:
        yield disk
    finally:
        disk.thaw()
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def printing(tmp_path: Path, disk: Disk) -> Iterator[tuple[Live, Path]]:
    progress = tmp_path / "progress"
    with record(disk.folder / "sessions", sys.executable, "-c", PRINTS, progress, cwd=tmp_path) as live:
        try:
            until(progress.exists, "it prints")
            until(live.samples, "it is sampled")
            yield live, progress
        finally:
            disk.thaw()


def figures(progress: Path) -> tuple[int, float]:
    written, longest = progress.read_text().split()
    return int(written), float(longest)


def test_a_disk_that_hangs_holds_up_neither_target_nor_recorder(tmp_path: Path, disk: Disk) -> None:
    with printing(tmp_path, disk) as (live, progress):
        before, _ = figures(progress)
        disk.freeze()
        until(lambda: figures(progress)[0] > before + 3 * WAITING_BYTES, "it prints more than is kept")
        # Before the next question, whose wait for its own answer takes what else comes.
        until(
            lambda: any(reply.id == 0 and "does not answer" in str(reply.error) for reply in live.control.poll()),
            "the viewer is told",
        )
        assert live.ask("watch").ok
        refused = live.ask("relaunch", mode="off", release_rate=None)
        assert not refused.ok
        assert "disk does not answer" in str(refused.error)
        assert is_alive(live.launched_pid)
        disk.thaw()
        dropped = until(lambda: live.events(EventKind.OUTPUT_DROPPED), "what was dropped is told")
        assert f"{json.loads(dropped[0].detail)['bytes']} bytes of output were not kept" in dropped[0].text
        assert any("does not answer" in event.text for event in live.events(EventKind.FAILED))
        assert figures(progress)[1] < LONGEST_WAIT_S
        times = [sample.at_s for sample in live.samples()]
        assert max(later - earlier for earlier, later in pairwise(times)) < LONGEST_WAIT_S


def test_a_target_is_stopped_while_the_disk_hangs(tmp_path: Path, disk: Disk) -> None:
    with printing(tmp_path, disk) as (live, _):
        disk.freeze()
        assert live.ask("stop").ok
        until(lambda: not is_alive(live.launched_pid), "it is stopped")
        assert live.ask("watch").ok
        disk.thaw()
        live.settled(1)
