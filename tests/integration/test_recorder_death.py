"""The recorder dies: what the target prints to is still there, one small process holds it, and that ends with the target."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from memtui_profiler.session.folders import is_live
from tests.fixtures.live import Live, is_alive, record
from tests.fixtures.waiting import until

WRITES = 8
WAITING_BYTES, EMPTYING_BYTES = 2 << 20, 16 << 20


def _python(folder: Path) -> list[str]:
    return [sys.executable, "-c", "import time\nwhile True:\n    print('served', flush=True)\n    time.sleep(0.02)"]


def _logging(folder: Path) -> list[str]:
    code = "import logging, sys, time\nlogging.basicConfig(stream=sys.stderr, level=20)\n"
    return [sys.executable, "-c", code + "while True:\n    logging.info('served')\n    time.sleep(0.02)"]


def _node(folder: Path) -> list[str]:
    return [_tool("node"), "-e", "setInterval(() => console.log('served'), 20)"]


def _rust(folder: Path) -> list[str]:
    source = folder / "prints.rs"
    source.write_text(
        'fn main() { loop { println!("served"); std::thread::sleep(std::time::Duration::from_millis(20)); } }'
    )
    subprocess.run([_tool("rustc"), "-o", folder / "prints", source], check=True)
    return [str(folder / "prints")]


def _shell(folder: Path) -> list[str]:
    return ["sh", "-e", "-c", "while :; do echo served; sleep 0.02; done"]


def _c(folder: Path) -> list[str]:
    source = folder / "prints.c"
    source.write_text(
        "#include <stdio.h>\n#include <unistd.h>\n"
        'int main(void) { for (;;) { if (puts("served") < 0 || fflush(stdout)) return 1; usleep(20000); } }'
    )
    subprocess.run(["gcc", "-o", folder / "prints", source], check=True)
    return [str(folder / "prints")]


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def holders(pid: int) -> list[psutil.Process]:
    """The children of a recorder that hold terminals."""
    return [child for child in psutil.Process(pid).children() if _is_holder(child)]


def _is_holder(process: psutil.Process) -> bool:
    try:
        return "memtui-holder" in process.cmdline()
    except psutil.Error:  # it has ended
        return False


def own_bytes(process: psutil.Process) -> int:
    """Memory that goes back to the machine when it ends."""
    return int(process.memory_full_info().uss)


def writes(pid: int) -> int:
    return psutil.Process(pid).io_counters().write_count


def goes_on_writing(pid: int) -> None:
    before = writes(pid)
    until(lambda: writes(pid) >= before + WRITES, "it goes on writing")
    assert is_alive(pid)


def end_recorder(live: Live, number: int) -> psutil.Process:
    """Its holder."""
    (holder,) = holders(live.recorder_pid)
    os.kill(live.recorder_pid, number)
    until(lambda: not is_alive(live.recorder_pid), "the recorder has ended")
    return holder


@pytest.mark.parametrize(
    ("program", "number"),
    [(program, signal.SIGKILL) for program in (_python, _logging, _node, _rust, _shell, _c)]
    + [(_python, signal.SIGTERM)],
)
def test_what_prints_goes_on_when_the_recorder_ends(
    tmp_path: Path, program: Callable[[Path], list[str]], number: signal.Signals
) -> None:
    with record(tmp_path, *program(tmp_path)) as live:
        goes_on_writing(live.launched_pid)
        holder = end_recorder(live, number)
        goes_on_writing(live.launched_pid)
        os.kill(live.launched_pid, signal.SIGKILL)
        until(lambda: not is_alive(holder.pid), "the holder ends with the target")


def test_the_holder_is_one_and_small_and_no_recorder(tmp_path: Path) -> None:
    with record(tmp_path, *_shell(tmp_path)) as live:
        goes_on_writing(live.launched_pid)
        (waiting,) = holders(live.recorder_pid)
        assert own_bytes(waiting) < WAITING_BYTES
        holder = end_recorder(live, signal.SIGKILL)
        goes_on_writing(live.launched_pid)
        until(lambda: "-c" in holder.cmdline() and "memtui-holder" not in holder.cmdline(), "it empties the terminals")
        assert own_bytes(holder) < EMPTYING_BYTES
        assert not is_live(live.folder)
        assert not any("session" in file.path for file in holder.open_files())


def test_no_holder_is_left_of_a_run_that_has_ended(tmp_path: Path) -> None:
    with record(tmp_path, *_shell(tmp_path)) as live:
        goes_on_writing(live.launched_pid)
        (first,) = holders(live.recorder_pid)
        assert live.ask("relaunch", mode="off", release_rate=None).ok
        until(lambda: not is_alive(first.pid), "the first run's holder has ended")
        (second,) = holders(live.recorder_pid)
        live.ask("kill")
        live.settled(2)
        until(lambda: not is_alive(second.pid), "the second run's holder has ended")


OUTLIVED = """
import os, time
if os.fork():
    time.sleep(60)
os.setsid()
open("child.new", "w").write(str(os.getpid()))
os.rename("child.new", "child")
while True:
    print("served", flush=True)
    time.sleep(0.02)
"""


def test_a_child_that_outlives_the_target_goes_on_printing(tmp_path: Path) -> None:
    with record(tmp_path, sys.executable, "-c", OUTLIVED) as live:
        pid_file = tmp_path / "child"
        until(pid_file.exists, "the child runs")
        child = int(pid_file.read_text())
        try:
            goes_on_writing(child)
            os.kill(live.launched_pid, signal.SIGKILL)
            live.end(1)
            live.settled(1)
            goes_on_writing(child)
        finally:
            os.kill(child, signal.SIGKILL)
