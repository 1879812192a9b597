"""The recorder over real targets with real gperftools: launching, relaunching, stopping, dying."""

import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.process.descendants import descendants_of
from memtui_profiler.session import folders
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Followed, ReportEnd, Sample
from tests.fixtures import leaky
from tests.fixtures.live import environment_of, is_alive, record
from tests.fixtures.waiting import until

SETS = ("TCMALLOC_RELEASE_RATE", "HEAPCHECK")


def set_in(pid: int) -> dict[str, str]:
    return {name: value for name, value in environment_of(pid).items() if name in SETS}


@pytest.fixture
def server() -> Path:
    return leaky.build("server").path


@pytest.mark.heap_checker
def test_the_target_gets_exactly_what_was_asked_for(tmp_path: Path, server: Path) -> None:
    with record(tmp_path, server, mode="draconian", release_rate=2.5) as live:
        assert set_in(live.launched_pid) == {"TCMALLOC_RELEASE_RATE": "2.5", "HEAPCHECK": "draconian"}
        assert os.getsid(live.launched_pid) == live.launched_pid
        run = live.runs()[0]
        assert (run.mode, run.release_rate, run.pid) == ("draconian", 2.5, live.launched_pid)


def test_without_options_nothing_is_set_but_the_preload(tmp_path: Path, server: Path) -> None:
    with record(tmp_path, server) as live:
        environment = environment_of(live.launched_pid)
        assert set_in(live.launched_pid) == {}
        changed = {name for name, value in environment.items() if os.environ.get(name) != value}
        assert changed <= {"LD_PRELOAD"} | {n for n in environment if n.startswith("PYTEST_")}


def test_relaunch_gives_a_new_pid_with_the_new_rate_and_keeps_the_history(tmp_path: Path, server: Path) -> None:
    with record(tmp_path, server, release_rate=1.0) as live:
        until(lambda: len(live.samples()) > 5, "run 1 is sampled")
        reply = live.ask("relaunch", mode="off", release_rate=3.0)
        assert reply.ok
        assert reply.result["pid"] != live.launched_pid
        assert set_in(reply.result["pid"]) == {"TCMALLOC_RELEASE_RATE": "3"}
        until(lambda: any(s.run == 2 for s in live.samples()), "run 2 is sampled")
        assert {s.run for s in live.samples()} == {1, 2}
        (event,) = until(lambda: live.events(EventKind.RELAUNCH), "the relaunch is recorded")
        assert event.text == f"rate 1 -> 3, pid {live.launched_pid} -> {reply.result['pid']}"
        assert live.end(1).signal == "SIGTERM" or live.end(1).exit_code == 0


def test_a_relaunch_that_cannot_work_costs_nothing(tmp_path: Path, server: Path) -> None:
    program = tmp_path / "server"
    shutil.copy(server, program)
    with record(tmp_path, program) as live:
        program.unlink()
        reply = live.ask("relaunch", mode="draconian", release_rate=None)
        assert not reply.ok and reply.error is not None
        assert "server" in str(reply.error)
        assert is_alive(live.launched_pid)
        (event,) = until(lambda: live.events(EventKind.REFUSED), "the refusal is recorded")
        assert event.text == str(reply.error)


def test_samples_come_ten_times_a_second_with_details_once(tmp_path: Path, server: Path) -> None:
    with record(tmp_path, server) as live:
        samples = until(lambda: s if len(s := live.samples()) >= 30 else None, "three seconds of samples")
        gaps = [b.at_s - a.at_s for a, b in itertools.pairwise(samples)]
        assert max(gaps) < 0.3
        assert 0.09 < sorted(gaps)[len(gaps) // 2] < 0.12
        detailed = [s for s in samples if s.threads is not None]
        assert 3 <= len(detailed) <= 5
        assert all(0 <= s.shared_bytes <= s.rss_bytes and s.rss_bytes > 0 for s in samples)


def test_a_server_that_ignores_sigterm_is_killed_by_the_ladder(tmp_path: Path, server: Path) -> None:
    with record(tmp_path, "sh", "-c", "trap '' TERM; while :; do sleep 1; done") as live:
        until(lambda: live.samples(), "it runs")
        live.ask("stop")
        end = live.end(1, deadline_s=20)
        assert (end.exit_code, end.signal) == (None, "SIGKILL")
        steps = [event.text.partition(", ")[2] for event in live.events(EventKind.STOPPING)]
        assert steps == ["SIGTERM", "SIGTERM to its group", "SIGKILL"]


def test_kill_skips_the_ladder(tmp_path: Path) -> None:
    with record(tmp_path, "sh", "-c", "trap '' TERM; while :; do sleep 1; done") as live:
        live.ask("stop")
        live.ask("kill")
        assert live.end(1, deadline_s=4).signal == "SIGKILL"


def test_for_stops_the_target_after_its_time(tmp_path: Path) -> None:
    with record(tmp_path, "sleep", "60", for_s=1.0) as live:
        end = live.end(1)
        assert end.signal == "SIGTERM"
        assert 0.9 < end.at_s < 4


@pytest.mark.parametrize(
    ("script", "exit_code", "signal_name"),
    [("exit 7", 7, None), ("kill -SEGV $$", None, "SIGSEGV"), ("true", 0, None), ("kill -40 $$", None, "SIGRTMIN+6")],
)
def test_how_a_target_ended_is_recorded(
    tmp_path: Path, script: str, exit_code: int | None, signal_name: str | None
) -> None:
    with record(tmp_path, "sh", "-c", script) as live:
        end = live.end(1)
        assert (end.exit_code, end.signal, end.oom_killed) == (exit_code, signal_name, 0)
        live.settled(1)


@pytest.mark.heap_checker
def test_the_report_of_a_checked_run_follows_its_end(tmp_path: Path) -> None:
    program = leaky.build("basic")
    with record(tmp_path, program.path, mode="draconian") as live:
        live.settled(1)
        (end,) = live.reader.rows(ReportEnd)
        planted = sum(leak.bytes for leak in program.leaks)
        assert end.status == "complete"
        assert end.total_bytes >= planted
        assert len(live.events(EventKind.REPORT)) == 1


@pytest.mark.heap_checker
def test_a_killed_target_says_why_there_is_no_report(tmp_path: Path) -> None:
    with record(tmp_path, "sh", "-c", "kill -KILL $$", mode="draconian") as live:
        live.settled(1)
        (event,) = live.events(EventKind.NO_REPORT)
        assert "SIGKILL" in event.text


CHILDREN = """
import os, signal, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1)
while True:
    time.sleep(1)
"""


def two_below(pid: int) -> tuple[int, ...]:
    """Those that do not mind SIGTERM, as soon as both are there and ignore it."""
    pids = descendants_of(pid)
    ignoring = [line for p in pids for line in Path(f"/proc/{p}/status").read_text().splitlines() if "SigIgn" in line]
    return pids if sum(int(line.split()[1], 16) >> 14 & 1 for line in ignoring) == 2 else ()


def test_children_that_ignore_sigterm_do_not_outlive_a_stop(tmp_path: Path) -> None:
    with record(tmp_path, Path(sys.executable), "-c", CHILDREN) as live:
        below = until(lambda: two_below(live.launched_pid), "both are there")
        assert live.ask("stop").ok
        until(lambda: not any(is_alive(pid) for pid in below), "both are gone")
        notes = until(lambda: live.events(EventKind.NOTE), "it is said")
        assert any("killed what the stopped target had left" in note.text for note in notes)


def test_a_daemon_is_followed_into_its_second_process(tmp_path: Path) -> None:
    with record(tmp_path, leaky.build("daemon").path, "60000") as live:

        def settled_daemon() -> Followed | None:
            rows = live.reader.rows(Followed)
            after = [s for s in live.samples() if rows and s.at_s > rows[-1].at_s]
            return rows[-1] if len(after) > 10 else None

        followed = until(settled_daemon, "the daemon is followed and sampled")
        assert followed.pid != live.launched_pid
        assert is_alive(followed.pid)
        assert not is_alive(live.launched_pid)
        live.ask("stop")
        live.end(1)
        until(lambda: not is_alive(followed.pid), "the daemon is stopped")


def test_killing_the_recorder_leaves_the_target_and_a_session_that_opens(tmp_path: Path, server: Path) -> None:
    with record(tmp_path, server, watch=False) as live:
        until(lambda: len(live.samples()) > 20, "some samples")
        boottime = float(live.reader.meta()["boottime"])
        import time

        os.kill(live.recorder_pid, signal.SIGKILL)
        killed_s = time.clock_gettime(time.CLOCK_BOOTTIME) - boottime
        until(lambda: not folders.is_live(live.folder), "the lock is free")
        assert is_alive(live.launched_pid)
        reader = SessionReader(live.folder / "session.db")
        assert killed_s - reader.rows(Sample)[-1].at_s <= 1.0
        reader.close()
        with sqlite3.connect(live.folder / "session.db") as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert is_alive(live.launched_pid)


def test_a_viewer_that_vanishes_stops_nothing(tmp_path: Path, server: Path) -> None:
    with record(tmp_path, server) as live:
        live.control.close()
        seen = len(live.samples())
        samples = until(lambda: s if len(s := live.samples()) > seen + 20 else None, "samples go on")
        assert max(b.at_s - a.at_s for a, b in itertools.pairwise(samples)) < 0.3
        assert is_alive(live.launched_pid)


def test_the_recorder_ends_when_the_target_has_and_nobody_watches(tmp_path: Path) -> None:
    with record(tmp_path, "true") as live:
        live.settled(1)
        assert folders.is_live(live.folder)
        recorder = live.recorder_pid
        live.reader.close()
        live.control.close()
        until(lambda: not folders.is_live(live.folder), "the recorder ends")
        until(lambda: not is_alive(recorder), "its process is gone")
        assert not (live.folder / "session.db-wal").exists()


def test_a_finished_session_can_be_relaunched_while_watched(tmp_path: Path) -> None:
    with record(tmp_path, "true") as live:
        live.settled(1)
        assert live.ask("relaunch", mode="off", release_rate=4).result["run"] == 2
        live.settled(2)


def test_the_recorder_names_itself(tmp_path: Path) -> None:
    with record(tmp_path, "sleep", "60") as live:
        assert Path(f"/proc/{live.recorder_pid}/comm").read_text() == "memtui-rec\n"
        words = Path(f"/proc/{live.recorder_pid}/cmdline").read_bytes().split(b"\0")
        assert words[-4:] == [b"memtui", b"recorder", bytes(live.folder), b""]


@pytest.mark.parametrize("rate_mib", [100])
def test_a_target_that_floods_its_output_is_drained_and_sampled(tmp_path: Path, rate_mib: int) -> None:
    with record(tmp_path, "sh", "-c", "yes 0123456789012345678901234567890123456789012345678901234567890") as live:
        log = live.folder / "runs" / "1"
        until(lambda: (log / "output.tail.1").exists(), "the ring is in use", deadline_s=60)
        samples = live.samples()
        assert max(b.at_s - a.at_s for a, b in itertools.pairwise(samples)) < 0.3
        live.ask("stop")
        live.end(1)
        assert sum(path.stat().st_size for path in log.iterdir()) < 90 << 20


LAUNCH_ERRORS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "nothing-here", "nothing-here"),
    "a folder": (lambda folder: folder, "directory"),
    "not executable": (lambda folder: _file(folder, b"#!/bin/sh\n", 0o644), "execut"),
    "no format": (lambda folder: _file(folder, b"\x00\x01\x02\x03" * 100, 0o755), ""),
    "interpreter missing": (lambda folder: _file(folder, b"#!/no/such/interpreter\n", 0o755), "interpreter"),
}


def _file(folder: Path, content: bytes, mode: int) -> Path:
    path = folder / "program"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("case", LAUNCH_ERRORS.values(), ids=LAUNCH_ERRORS.keys())
def test_what_cannot_start_is_said_in_one_sentence(tmp_path: Path, case: tuple[Callable[[Path], Path], str]) -> None:
    make, word = case
    with pytest.raises(UserError) as caught, record(tmp_path, make(tmp_path)):
        pass
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_the_shell_sees_no_process_of_ours_left(tmp_path: Path) -> None:
    with record(tmp_path, "sh", "-c", "sleep 60 & sleep 60") as live:
        until(lambda: live.samples(), "it runs")
        live.ask("stop")
        live.end(1)
        group = live.launched_pid
        until(
            lambda: subprocess.run(["pgrep", "-g", str(group)], capture_output=True).returncode == 1,
            "what the target left in its group is stopped too",
        )


def test_a_stop_that_is_asked_for_during_a_relaunch_wins(tmp_path: Path) -> None:
    with record(tmp_path, "sh", "-c", "trap '' TERM; while :; do sleep 1; done") as live:
        until(lambda: live.samples(), "it runs")
        relaunch = live.control.send("relaunch", mode="off", release_rate=None)
        assert live.ask("stop").ok
        assert live.ask("kill").ok
        live.settled(1)
        assert len(live.runs()) == 1
        assert relaunch == 2  # its refusal came between the two answers


@pytest.mark.parametrize("rate", [int("9" * 400), "3", [1], True])
def test_a_relaunch_with_what_is_no_rate_is_refused_and_recording_goes_on(tmp_path: Path, rate: object) -> None:
    with record(tmp_path, "sleep", "60") as live:
        reply = live.ask("relaunch", mode="no-such-mode", release_rate=rate)
        assert not reply.ok
        seen = len(live.samples())
        until(lambda: len(live.samples()) > seen, "samples go on")
        assert is_alive(live.launched_pid)


def test_what_an_earlier_run_left_behind_is_not_followed_as_a_later_one(tmp_path: Path) -> None:
    flag = tmp_path / "second"
    script = f"if [ -e {flag} ]; then exit 0; fi; touch {flag}; setsid sleep 60 & sleep 60"
    with record(tmp_path, "sh", "-c", script) as live:
        until(flag.exists, "the first run has left a process")
        assert live.ask("relaunch", mode="off", release_rate=None).ok
        end = live.end(2)
        assert end.exit_code == 0
        assert not [row for row in live.reader.rows(Followed) if row.run == 2]
