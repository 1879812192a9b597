"""Whoever starts a recorder ends, by each signal and at each moment: nothing of it is left, or it is recorded by its recorder."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from memtui_profiler.recorder.start import begin_recorder
from memtui_profiler.request import LaunchRequest
from memtui_profiler.run.scratch_folder import scratch_folder
from memtui_profiler.session import folders
from memtui_profiler.session.folders import is_live
from tests.fixtures.attached import running, thread_names
from tests.fixtures.command_line import start_memtui
from tests.fixtures.guest import server
from tests.fixtures.leaky import build
from tests.fixtures.request_server import Client
from tests.fixtures.tmux import Terminal
from tests.fixtures.waiting import until

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]
NAMES = [number.name for number in SIGNALS]
MOMENTS = 3


def processes_below(folder: Path) -> list[psutil.Process]:
    """Those whose command names a path in the folder: recorders of its sessions, and targets started from it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and any(str(folder) in word for word in process.cmdline()):
                found.append(process)
    return found


@contextlib.contextmanager
def in_a_child(work: Callable[[], None]) -> Iterator[int]:
    """A process that does ``work``, which never ends by itself."""
    child = os.fork()
    if child == 0:
        try:
            for number in SIGNALS[:-1]:
                signal.signal(number, signal.SIG_DFL)
            work()
        finally:
            os._exit(1)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program whose path tells whose it is."""
    path = tmp_path / "serves"
    path.write_text("#!/bin/sh\nwhile :; do sleep 0.1; done\n")
    path.chmod(0o755)
    return path


def kill_all_below(folder: Path) -> None:
    """Until there is none: a recorder that is killed may just have started its target, which lives on."""
    until(lambda: not _killed_below(folder), "all are killed")


def _killed_below(folder: Path) -> list[psutil.Process]:
    found = processes_below(folder)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends with another of them
            process.kill()
    return found


def nothing_runs(tmp_path: Path) -> None:
    until(lambda: not processes_below(tmp_path), "nothing is left")


@pytest.mark.parametrize("number", SIGNALS, ids=NAMES)
def test_one_that_ends_before_it_has_handed_the_target_over(
    tmp_path: Path, program: Path, number: signal.Signals
) -> None:
    def start() -> None:
        folder = folders.create("starter", root=tmp_path)
        with begin_recorder(folder, LaunchRequest(argv=(str(program),), cwd=str(tmp_path))):
            (tmp_path / "started").touch()
            signal.pause()

    with in_a_child(start) as starter:
        until((tmp_path / "started").exists, "the target runs")
        assert len(processes_below(tmp_path)) >= 2
        os.kill(starter, number)
        nothing_runs(tmp_path)
    (session,) = folders.sessions(tmp_path)
    assert not session.live


def test_one_that_ends_before_the_target_is_launched(tmp_path: Path, program: Path) -> None:
    folder = tmp_path / "session"
    folder.mkdir()

    def start() -> None:
        begin_recorder(folder, LaunchRequest(argv=(str(program),), cwd=str(tmp_path)))

    with in_a_child(start) as starter:
        (recorder,) = until(lambda: psutil.Process(starter).children(), "the recorder is started")
        recorder.suspend()
        os.kill(starter, signal.SIGKILL)
        recorder.resume()
        nothing_runs(tmp_path)
        assert not folder.exists()


def test_one_that_has_handed_the_target_over(tmp_path: Path, program: Path) -> None:
    def start() -> None:
        folder = folders.create("starter", root=tmp_path)
        begin_recorder(folder, LaunchRequest(argv=(str(program),), cwd=str(tmp_path))).hand_over()
        (tmp_path / "started").touch()
        signal.pause()

    with in_a_child(start) as starter:
        until((tmp_path / "started").exists, "the target runs")
        os.kill(starter, signal.SIGKILL)
    (session,) = folders.sessions(tmp_path)
    assert session.live
    kill_all_below(tmp_path)


@pytest.mark.parametrize("number", SIGNALS, ids=NAMES)
def test_an_attached_process_is_left(tmp_path: Path, number: signal.Signals) -> None:
    with server("epoll", 2) as target:
        root = tmp_path / "sessions"

        def start() -> None:
            folder = folders.create("starter", root=root)
            request = LaunchRequest(argv=("x",), cwd="/", attach_pid=target.pid)
            with begin_recorder(folder, request):
                signal.pause()

        with in_a_child(start) as starter:
            until(lambda: "memtui" in thread_names(target.pid), "it is asked")
            os.kill(starter, number)
            nothing_runs(root)
        assert "memtui" not in thread_names(target.pid)
        assert target.serves()


@pytest.mark.parametrize("number", SIGNALS, ids=NAMES)
def test_the_command_at_any_moment(tmp_path: Path, program: Path, number: signal.Signals) -> None:
    for moment in range(MOMENTS):
        home = tmp_path / str(moment)
        home.mkdir()
        sessions = home / "state" / "memtui" / "sessions"
        with start_memtui(home, ["--plain", str(program)]) as process:
            until(lambda at=sessions: at.is_dir() and any(at.iterdir()), "it has begun", every_s=0.002)  # type: ignore[misc]
            time.sleep(moment * 0.1)  # a moment that nothing tells from outside
            process.send_signal(number)
            process.communicate(timeout=60)

        def is_owned(folder: Path = sessions, begun: bool = moment > 0) -> bool:
            """Nothing runs; or, when it had been handed over, a recorder records it."""
            below = processes_below(tmp_path)
            live = folder.is_dir() and any(is_live(session) for session in folder.iterdir())
            return not below or (number is not signal.SIGINT and live and begun)

        until(is_owned, f"nothing is left at moment {moment}")
        kill_all_below(tmp_path)
        nothing_runs(tmp_path)


@pytest.mark.heap_checker
def test_a_check_that_is_killed(tmp_path: Path, program: Path) -> None:
    with start_memtui(tmp_path, ["check", "--check", "normal", str(program)]) as process:
        until(lambda: any("serves" in " ".join(p.cmdline()[:2]) for p in processes_below(program)), "it runs")
        until(lambda: list(tmp_path.glob("memtui-check-*")), "its folder is there")
        process.kill()
        process.communicate(timeout=60)
    nothing_runs(tmp_path)
    until(lambda: not list(tmp_path.glob("memtui-check-*")), "its folder is gone")


def test_a_live_check_that_is_killed(tmp_path: Path) -> None:
    variables = {"HEAPCHECK": "normal", "HEAP_CHECK_DUMP_DIRECTORY": str(tmp_path)}
    with running([build("request_server").path, tmp_path / "s"], environment=variables) as process:
        client = Client(tmp_path / "s")
        client.ask("hold 100000")  # so that the check takes its time
        with start_memtui(tmp_path, ["attach", "--check-now", str(process.pid)]) as memtui:
            until(lambda: "memtui" in thread_names(process.pid), "the check has begun")
            memtui.kill()
            memtui.communicate(timeout=60)
        until(lambda: "memtui" not in thread_names(process.pid), "the process is let go", deadline_s=60.0)
        until(lambda: not list(tmp_path.glob("memtui-check-*")), "its folder is gone")
        client.ask("ping")
        client.close()
    nothing_runs(tmp_path)


@pytest.mark.parametrize("number", SIGNALS[1:], ids=NAMES[1:])
def test_a_temporary_folder_goes_with_its_process(tmp_path: Path, number: signal.Signals) -> None:
    def work() -> None:
        os.environ["TMPDIR"] = str(tmp_path)
        import tempfile

        tempfile.tempdir = None
        with scratch_folder("memtui-open-") as folder:
            (folder / "session.db").touch()
            (tmp_path / "ready").touch()
            signal.pause()

    with in_a_child(work) as child:
        until((tmp_path / "ready").exists, "it is there")
        os.kill(child, number)
        until(lambda: not list(tmp_path.glob("memtui-open-*")), "its folder is gone")


def test_a_report_on_a_screen_that_is_killed(tmp_path: Path, repository: Path) -> None:
    report = next((repository / "tests" / "fixtures" / "heap").glob("*.heap"))
    with Terminal(80, 24, environment={"TMPDIR": str(tmp_path)}) as terminal:
        terminal.memtui("open", report)
        until(lambda: list(tmp_path.glob("memtui-open-*")), "its folder is there")
        for process in processes_below(report):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() != "tmux" and sys.executable in process.cmdline()[:1]:
                    process.kill()
        until(lambda: not list(tmp_path.glob("memtui-open-*")), "its folder is gone")
    nothing_runs(tmp_path)
