"""``memtui attach`` as a person meets it: on the screen, in lines, for one leak check; and what leaving does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from memtui_profiler.errors import UserError
from memtui_profiler.events import EventKind
from memtui_profiler.recorder.control import ControlClient
from memtui_profiler.recorder.start import start_recorder
from memtui_profiler.request import LaunchRequest
from memtui_profiler.session import folders
from memtui_profiler.session.folders import is_live
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import AllocatorSample, Event, RunEnd, RunSettled
from tests.fixtures.attached import attached, newest_figures, running, thread_names
from tests.fixtures.command_line import memtui_command, memtui_environment, run_memtui, start_memtui
from tests.fixtures.leaky import build
from tests.fixtures.live import is_alive, record
from tests.fixtures.request_server import LEAKING_LINE, SESSION_BYTES, Client
from tests.fixtures.tmux import Terminal
from tests.fixtures.waiting import until

SAMPLE = re.compile(r"00:00:\d\d run 1 pid \d+ rss .*")


@dataclass
class Server:
    pid: int
    client: Client


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Server]:
    """A server that somebody else started; it must still serve when memtui has gone."""
    socket = folder / "socket"
    with running([build("request_server").path, socket], environment=environment) as process:
        client = Client(socket)
        yield Server(process.pid, client)
        assert process.poll() is None, "it was not memtui's to end"
        client.ask("ping")
        assert "memtui" not in thread_names(process.pid)
        client.close()


def the_session(home: Path) -> Path:
    (session,) = folders.sessions(home / "state" / "memtui" / "sessions")
    return session.path


def events(session: Path, kind: EventKind) -> list[Event]:
    reader = SessionReader(session / "session.db")
    try:
        return [event for event in reader.rows(Event) if event.kind == kind.value]
    finally:
        reader.close()


# In lines


def test_for_ends_the_watching_alone(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        result = run_memtui(tmp_path, ["attach", "--for", "2", str(server.pid)])
        assert result.returncode == 0, result.stderr
        lines = result.stdout.splitlines()
        assert sum(bool(SAMPLE.fullmatch(line)) for line in lines) >= 2
        assert f"attached to pid {server.pid}" in lines[0]
        assert any(f"memtui lets go of pid {server.pid}: it runs on" in line for line in lines)
        session = the_session(tmp_path)
        assert not is_live(session), "the recorder has gone"
        reader = SessionReader(session / "session.db")
        assert not reader.rows(RunEnd)
        assert reader.rows(RunSettled)
        assert reader.rows(AllocatorSample)
        reader.close()
        assert run_memtui(tmp_path, ["open", str(session)]).returncode == 0


def watching(home: Path, *words: str) -> subprocess.Popen[str]:
    """A memtui that prints lines, once it has printed what the process answered."""
    process = start_memtui(home, ["attach", *words])
    assert process.stdout is not None
    for line in process.stdout:
        if " now answers" in line:
            return process
    raise AssertionError(process.communicate())


@pytest.mark.heap_checker
def test_ctrl_c_lets_go_and_says_what_was_found(tmp_path: Path) -> None:
    with serving(tmp_path, HEAPCHECK="normal", HEAP_CHECK_DUMP_DIRECTORY=str(tmp_path)) as server:
        server.client.ask("leak 100")
        process = watching(tmp_path, str(server.pid))
        assert "memtui" in thread_names(server.pid)
        with closing(ControlClient(the_session(tmp_path))) as control:
            control.send("check")
            until(lambda: any(reply.ok for reply in control.poll()), "it is checked")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == 130, stderr
        lines, _, report = stdout.partition("\n\n")
        assert "event detached: memtui lets go" in lines
        assert f"request_server.cpp:{LEAKING_LINE}" in report
        assert "memtui" not in thread_names(server.pid)
        assert not is_live(the_session(tmp_path))


def test_a_reader_that_leaves_lets_go(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        process = watching(tmp_path, str(server.pid))
        assert process.stdout is not None
        process.stdout.close()
        process.wait(timeout=30)
        until(lambda: not is_live(the_session(tmp_path)), "the recorder lets go")


def test_a_viewer_that_is_killed_loses_nothing_and_resume_comes_back(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        process = watching(tmp_path, str(server.pid))
        process.kill()
        process.wait()
        session = the_session(tmp_path)
        assert is_live(session)
        again = start_memtui(tmp_path, ["resume"])
        assert again.stdout is not None
        assert any(SAMPLE.fullmatch(line.rstrip()) for line in again.stdout)
        again.send_signal(signal.SIGINT)
        stdout, stderr = again.communicate(timeout=30)
        assert "lets go" in stdout and again.returncode == 130, stderr
        assert not is_live(session)


def test_the_last_of_two_viewers_lets_go(tmp_path: Path) -> None:
    with serving(tmp_path) as server, attached(tmp_path, server.pid) as live:
        newest_figures(live)
        environment = {"XDG_STATE_HOME": str(tmp_path / "state")}
        second = start_memtui(tmp_path, ["resume", str(live.folder)], extra=environment)
        assert second.stdout is not None and second.stdout.readline()
        second.send_signal(signal.SIGINT)
        _, stderr = second.communicate(timeout=30)
        assert "runs on: memtui resume" in stderr
        seen = len(live.samples())
        until(lambda: len(live.samples()) > seen, "the first goes on watching")
        assert live.ask("detach").result["let_go"] is True
        live.settled(1)
        assert len(live.events(EventKind.DETACHED)) == 1


def test_no_guest_only_looks(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        result = run_memtui(tmp_path, ["attach", "--no-guest", "--for", "2", str(server.pid)])
        assert result.returncode == 0
        assert any(SAMPLE.fullmatch(line) for line in result.stdout.splitlines())
        reader = SessionReader(the_session(tmp_path) / "session.db")
        assert not reader.rows(AllocatorSample)
        reader.close()


def test_the_process_ends_while_it_is_watched(tmp_path: Path) -> None:
    with running(["sleep", "600"], preload="") as target:
        process = start_memtui(tmp_path, ["attach", str(target.pid)])
        assert process.stdout is not None and process.stdout.readline()
        target.kill()
        target.wait()
        stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == 0, stderr
        # How a child of another process ended, the kernel tells from Linux 6.15 on.
        assert re.search(rf"pid {target.pid} (was killed by SIGKILL|ended, nobody knows how)$", stdout, re.MULTILINE)


def test_what_is_not_for_an_attached_process_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as server, attached(tmp_path, server.pid) as live:
        relaunch: dict[str, Any] = {"mode": "normal", "release_rate": 1}
        for reply in (live.ask("stop"), live.ask("kill"), live.ask("relaunch", **relaunch)):
            error = reply.error
            assert error is not None and "did not start this process" in error.why
        assert live.ask("rate", release_rate=3.5).ok
        assert live.ask("detach").ok
        live.settled(1)
        error = live.ask("release").error
        assert error is not None and "memtui attach" in error.todo


def test_detaching_is_not_for_what_memtui_launched(tmp_path: Path) -> None:
    with record(tmp_path, "sleep", "60") as live:
        error = live.ask("detach").error
        assert error is not None and "memtui started this process" in error.why
        assert is_alive(live.launched_pid)


# Two recorders


def refused(pid: int, root: Path) -> UserError:
    folder = folders.create("second", root=root)
    with pytest.raises(UserError) as caught:
        start_recorder(folder, LaunchRequest(argv=("x",), cwd="/", attach_pid=pid))
    return caught.value


def test_what_memtui_launched_has_a_recorder_already(tmp_path: Path) -> None:
    with record(tmp_path, "sleep", "60") as live:
        error = refused(live.launched_pid, tmp_path)
        assert "memtui watches it already" in error.why
        assert error.todo == f"memtui resume {live.folder}"
        live.ask("stop")
        live.end(1)


def test_what_memtui_attached_to_has_a_recorder_until_it_lets_go(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        with attached(tmp_path, server.pid) as live:
            assert "memtui watches it already" in refused(server.pid, tmp_path).why
            result = run_memtui(tmp_path, ["attach", str(server.pid)])
            assert result.returncode == 3
            assert result.stderr.endswith(f"memtui watches it already: memtui resume {live.folder}\n")
        with attached(tmp_path, server.pid) as live:
            newest_figures(live)


# For one leak check


def check_now(home: Path, pid: int, *words: str, **options: Any) -> tuple[int, dict[str, Any], str]:
    result = run_memtui(home, ["attach", "--check-now", "--format", "json", *words, str(pid)], **options)
    return result.returncode, json.loads(result.stdout), result.stderr


def nothing_is_left(home: Path) -> bool:
    return not [path for path in home.iterdir() if path.name.startswith("memtui-")]


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_a_check_of_a_server_that_was_started_by_hand(tmp_path: Path) -> None:
    dumps = tmp_path / "dumps"
    dumps.mkdir()
    with serving(tmp_path, HEAPCHECK="normal", HEAP_CHECK_DUMP_DIRECTORY=str(dumps)) as server:
        code, document, stderr = check_now(tmp_path, server.pid)
        assert (code, document["status"], document["leaks"]) == (0, "complete", []), stderr
        server.client.ask("leak 100")
        code, document, stderr = check_now(tmp_path, server.pid)
        assert code == 1, stderr
        assert (document["schema"], document["checker"], document["mode"]) == ("memtui-report/1", "heapcheck", "normal")
        assert document["target"]["pid"] == server.pid
        assert document["run"] == {"exit_code": None, "signal": None, "oom_killed": False, "seconds": None}
        assert all(
            any(
                frame["line"] == LEAKING_LINE and frame["file"].endswith("request_server.cpp")
                for frame in leak["stack"]
            )
            for leak in document["leaks"][:1]
        )
        assert 95 * SESSION_BYTES <= document["total"]["bytes"] <= 100 * SESSION_BYTES
        server.client.ask("leak 50")
        result = run_memtui(tmp_path, ["attach", "--check-now", str(server.pid)])
        assert result.returncode == 1
        assert f"request_server.cpp:{LEAKING_LINE}" in result.stdout
        assert nothing_is_left(tmp_path) and not (tmp_path / "state").exists() and not list(dumps.iterdir())


def test_a_server_that_was_started_with_leak_sanitizer_is_checked_by_that(tmp_path: Path) -> None:
    program = build("request_server").path
    socket, log = tmp_path / "socket", tmp_path / "lsan"
    environment = {"LSAN_OPTIONS": f"log_path={log}:symbolize=0"}
    with running([program, socket], environment=environment, preload="liblsan.so.0") as process:
        with closing(Client(socket)) as client:
            client.ask("leak 100")
            code, document, _ = check_now(tmp_path, process.pid)
        assert (code, document["checker"], document["mode"], document["status"]) == (1, "lsan", "lsan", "complete")
        assert document["total"]["bytes"] >= 98 * SESSION_BYTES


def test_a_check_that_is_kept_can_be_opened(tmp_path: Path) -> None:
    with serving(tmp_path, HEAPCHECK="normal", HEAP_CHECK_DUMP_DIRECTORY=str(tmp_path)) as server:
        server.client.ask("leak 100")
        result = run_memtui(tmp_path, ["attach", "--check-now", "--keep", str(server.pid)])
        kept = Path(result.stderr.splitlines()[-1].rpartition(" ")[2])
        opened = run_memtui(tmp_path, ["open", str(kept)])
        assert opened.stdout.strip() == result.stdout.strip()


@pytest.mark.heap_checker
def test_without_a_heap_check_there_is_none_to_be_had(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        code, document, stderr = check_now(tmp_path, server.pid)
        assert (code, document["status"], document["leaks"]) == (3, "not-run", [])
        assert "no heap check is on in this process" in document["notes"][0]
        assert "memtui --check normal PROGRAM" in stderr and stderr.count("\n") == 1
        result = run_memtui(tmp_path, ["attach", "--check-now", str(server.pid)])
        assert (result.returncode, result.stdout, result.stderr) == (3, "", stderr)
        assert nothing_is_left(tmp_path)


@pytest.mark.heap_checker
def test_a_process_without_tcmalloc_is_told_so(tmp_path: Path) -> None:
    with running(["sleep", "600"], preload="") as process:
        code, document, _ = check_now(tmp_path, process.pid)
        assert code == 3 and "there is no checker in this process" in document["notes"][0]
        assert "start the program with one: memtui --check normal PROGRAM" in document["notes"][0]
        assert thread_names(process.pid) == ["sleep"]


def test_a_check_that_is_interrupted_lets_go(tmp_path: Path) -> None:
    with serving(tmp_path, HEAPCHECK="normal", HEAP_CHECK_DUMP_DIRECTORY=str(tmp_path)) as server:
        server.client.ask("hold 1000000")  # so that the check takes its time
        command = memtui_command("attach", "--check-now", "--format", "json", str(server.pid))
        process = subprocess.Popen(
            command, env=memtui_environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        until(lambda: "memtui" in thread_names(server.pid), "the check has begun")
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM
        assert json.loads(stdout)["status"] == "not-run"
        # The check itself goes on to its end; then the thread leaves.
        until(lambda: "memtui" not in thread_names(server.pid), "the process is let go", deadline_s=60.0)
        assert nothing_is_left(tmp_path)


# On a screen


def test_attached_in_a_real_terminal(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(tmp_path) as server, Terminal(120, 40, environment={"XDG_STATE_HOME": str(state)}) as terminal:
        server.client.ask("burst 300")
        terminal.memtui("attach", str(server.pid))
        shown = terminal.wait_for("attached", "▲now", "q quit", f"pid {server.pid}", "■ kept")
        assert "relaunch" not in shown and "stop" not in shown
        terminal.keys("2")
        terminal.wait_for("page heap free", "tcmalloc")
        terminal.keys("x")
        terminal.wait_for("released 2")
        until(lambda: rss_bytes(server.pid) < 60 << 20, "RSS falls")
        terminal.keys("q")
        shown = terminal.wait_for("leave it running")
        assert "stop it" not in shown
        terminal.keys("l")
        assert terminal.exit_code() == 0
        assert f"memtui has let go of pid {server.pid}" in "".join(terminal.screen().split("\n"))
        assert "memtui" not in thread_names(server.pid)
        (session,) = folders.sessions(state / "memtui" / "sessions")
        assert not session.live
        assert len(events(session.path, EventKind.DETACHED)) == 1


def test_a_terminal_that_is_lost_keeps_the_recording(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(tmp_path) as server:
        with Terminal(80, 24, environment={"XDG_STATE_HOME": str(state)}) as terminal:
            terminal.memtui("attach", str(server.pid))
            terminal.wait_for("running", "q quit")
            viewer = terminal.pid
            os.kill(viewer, signal.SIGHUP)
            until(lambda: not is_alive(viewer), "the viewer ends")
        (session,) = folders.sessions(state / "memtui" / "sessions")
        assert session.live
        with Terminal(80, 24, environment={"XDG_STATE_HOME": str(state)}) as terminal:
            terminal.memtui("resume")
            terminal.wait_for("running", "attached")
            terminal.keys("C-c")
            terminal.wait_for("leave it running")
            terminal.keys("Enter")
            assert terminal.exit_code() == 0
        until(lambda: not is_live(session.path), "the recorder lets go")


def test_for_under_a_screen_leaves_the_screen(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(tmp_path) as server, Terminal(100, 30, environment={"XDG_STATE_HOME": str(state)}) as terminal:
        terminal.memtui("attach", "--for", "2", str(server.pid))
        terminal.wait_for("running")
        terminal.wait_for("not watched", f"pid {server.pid}")
        assert "memtui" not in thread_names(server.pid)
        terminal.keys("q")
        assert terminal.exit_code() == 0


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
