"""The recorder where things go wrong around it: it goes on, and says in one sentence what it could not do."""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from memtui_profiler.recorder.report_queue import AT_WORK
from memtui_profiler.session.rows import ReportEnd
from tests.fixtures.live import is_alive, record
from tests.fixtures.waiting import until


@pytest.mark.parametrize(
    "args",
    [
        {"mode": "no-such-mode", "release_rate": None},
        {"mode": "off", "release_rate": -1},
        {"mode": "off", "release_rate": float("nan")},
    ],
    ids=["mode", "negative", "nan"],
)
def test_a_relaunch_with_what_is_no_mode_or_rate_is_refused(tmp_path: Path, args: dict[str, Any]) -> None:
    with record(tmp_path, "sleep", "60") as live:
        reply = live.ask("relaunch", **args)
        assert not reply.ok
        assert is_alive(live.launched_pid)
        assert live.ask("watch").ok


def test_a_fifo_in_place_of_a_log_holds_nobody_up(tmp_path: Path) -> None:
    with record(tmp_path, "sleep", "60") as live:
        os.mkfifo(live.folder / "runs" / "1" / "stderr.log")
        live.ask("stop")
        live.end(1, deadline_s=10)


def is_collector(process: psutil.Process) -> bool:
    try:
        return "memtui-collector" in process.cmdline()
    except psutil.Error:  # it has ended
        return False


@pytest.mark.heap_checker
def test_hundreds_of_dumps_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    dumps = 30
    script = f"""
i=0
while [ $i -lt {dumps} ]; do
  echo 'heap profile:      1:        8 [     1:        8] @ heapprofile' > "$HEAP_CHECK_DUMP_DIRECTORY/sh.$$.c$i-end.heap"
  i=$((i+1))
done
touch ready
exec sleep 60
"""
    with record(tmp_path, "sh", "-c", script, mode="local") as live:
        until((tmp_path / "ready").exists, "all dumps are there")
        recorder, most = psutil.Process(live.recorder_pid), 0

        def settled() -> bool:
            nonlocal most
            most = max(most, sum(is_collector(child) for child in recorder.children()))
            return len(live.reader.rows(ReportEnd)) == dumps

        os.kill(live.launched_pid, signal.SIGKILL)
        until(settled, "each dump has its report", deadline_s=60)
        live.settled(1)
        assert 1 <= most <= AT_WORK


@pytest.mark.heap_checker
def test_a_session_folder_that_is_deleted_ends_neither_target_nor_recorder(tmp_path: Path) -> None:
    script = 'touch "$HEAP_CHECK_DUMP_DIRECTORY/sh.$$._main_-end.heap"; trap "exit 0" TERM; while :; do sleep 0.1; done'
    with record(tmp_path, "sh", "-c", script, mode="normal") as live:
        dump = live.folder / "runs" / "1" / f"sh.{live.launched_pid}._main_-end.heap"
        until(dump.exists, "a dump is there")
        content = live.folder / "runs"
        shutil.rmtree(content)
        shutil.move(live.folder / "recorder.log", tmp_path)
        (live.folder / "recorder.log").mkdir()
        content.mkdir()
        (content / "1").mkdir()
        dump.touch()
        live.ask("stop")
        live.settled(1)
        assert live.reader.rows(ReportEnd)
        assert is_alive(live.recorder_pid)


def test_what_is_over_does_not_block_the_next_run(tmp_path: Path) -> None:
    with record(tmp_path, "sleep", "60") as live:
        until(live.samples, "it runs")
        descriptors = Path(f"/proc/{live.recorder_pid}/fd")
        before = len(list(descriptors.iterdir()))
        for _ in range(5):
            assert live.ask("relaunch", mode="off", release_rate=1).ok
        until(lambda: len(list(descriptors.iterdir())) <= before, "no descriptor is left of the runs before")


# Its child goes on writing to the terminals that the run's end closes.
OUTLIVED = """
import os, time
if os.fork() == 0:
    os.setsid()
    open("child", "w").write(str(os.getpid()))
    while not os.path.exists("go"):
        time.sleep(0.01)
    os.write(1, b"x" * 1000)
    os.write(2, b"y" * 1000)
    open("written", "w").close()
time.sleep(60)
"""


def test_output_that_comes_in_the_same_turn_as_the_end_harms_nothing(tmp_path: Path) -> None:
    with record(tmp_path, sys.executable, "-c", OUTLIVED) as live:
        pid_file = tmp_path / "child"
        child = int(until(lambda: pid_file.read_text() if pid_file.exists() else None, "the child runs"))
        try:
            os.kill(live.recorder_pid, signal.SIGSTOP)
            os.kill(live.launched_pid, signal.SIGKILL)
            until(lambda: not is_alive(live.launched_pid), "the target has ended")
            (tmp_path / "go").touch()
            until((tmp_path / "written").exists, "its child has written after that")
            os.kill(live.recorder_pid, signal.SIGCONT)
            assert live.end(1).signal == "SIGKILL"
            live.settled(1)
            assert live.ask("watch").ok
        finally:
            os.kill(child, signal.SIGKILL)
