"""SIGKILL of the recorder at random moments: the target serves on, the session opens, and its last second at most is missing."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Event, Sample
from tests.fixtures.attached import attached, running
from tests.fixtures.guest import LONG
from tests.fixtures.leaky import build
from tests.fixtures.live import Live, is_alive, record
from tests.fixtures.request_server import Client
from tests.fixtures.waiting import until

KILLS = 300 if LONG else 4
MOST_MISSING_S = 1.0
LAUNCHED = ("watch", "release", "check", "snapshot", "ask", "relaunch")


@contextlib.contextmanager
def serving(folder: Path, how: str, verb: str) -> Iterator[tuple[Live, Client]]:
    """A server of which the test makes the recorder's end."""
    program, socket = build("request_server").path, folder / "s"
    if how == "launched":
        mode = "normal" if verb == "check" else "off"
        with record(folder, program, socket, cwd=folder, watch=False, mode=mode) as live:
            yield live, Client(socket)
        return
    variables = {"HEAPCHECK": "normal", "HEAP_CHECK_DUMP_DIRECTORY": str(folder)}
    with running([program, socket], environment=variables) as process:
        client = Client(socket)
        with attached(folder, process.pid, watch=False) as live:
            yield live, client


def missing_s(live: Live, killed_s: float) -> float:
    """Seconds of the session's end that are in no row."""
    reader = SessionReader(live.folder / "session.db")
    try:
        newest_s = max(
            max((row.at_s for row in reader.rows(Sample)), default=0.0),
            max((row.at_s for row in reader.rows(Event)), default=0.0),
        )
        return killed_s - float(reader.meta()["boottime"]) - newest_s
    finally:
        reader.close()


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_recorder_that_is_killed(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    how = dice.choice(["launched", "attached"])
    verb = dice.choice(LAUNCHED if how == "launched" else LAUNCHED[:-1])
    with serving(tmp_path, how, verb) as (live, client):
        if dice.random() < 0.5:
            live.ask("watch")
        time.sleep(dice.uniform(0.2, 2.2))  # a moment that nothing tells from outside
        live.control.send(verb, **({"mode": "off", "release_rate": 3.0} if verb == "relaunch" else {}))
        time.sleep(dice.choice([0.0, dice.uniform(0, 0.01), dice.uniform(0, 0.1), dice.uniform(0, 0.6)]))
        recorder = live.recorder_pid
        killed_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        os.kill(recorder, signal.SIGKILL)
        until(lambda: not is_alive(recorder), "it is killed")
        missing = missing_s(live, killed_s)
        with contextlib.closing(sqlite3.connect(live.folder / "session.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if verb != "relaunch":
            client.ask("ping")
            assert is_alive(live.runs()[-1].pid)
        client.close()
        sys.stdout.write(f"missing {missing:.3f} s, {how}, {verb}\n")
        assert missing <= MOST_MISSING_S
