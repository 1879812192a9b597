"""Lines instead of a screen, on real programs: what they say, how ctrl-c works, and what a reader that leaves does."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from memtui_profiler.process.sampling import rss_bytes
from memtui_profiler.session import folders
from memtui_profiler.session.folders import is_live
from tests.fixtures.attached import running
from tests.fixtures.command_line import run_memtui, start_memtui
from tests.fixtures.leaky import build
from tests.fixtures.mapped_memory import mapped_program
from tests.fixtures.waiting import until

SAMPLE = re.compile(r"00:00:\d\d run 1 pid \d+ rss \S+ anon \S+ file \S+ swap \S+ threads \d+ \S+/s")


def the_session(home: Path) -> Path:
    (session,) = folders.sessions(home / "state" / "memtui" / "sessions")
    return session.path


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.heap_checker
def test_a_program_that_ends_by_itself(tmp_path: Path) -> None:
    program = build("basic")
    result = run_memtui(tmp_path, ["--check", "draconian", str(program.path)])
    assert result.returncode == 0, result.stderr
    lines, _, report = result.stdout.partition("\n\n")
    assert any(" event launched: " in line for line in lines.splitlines())
    for leak in program.leaks:
        place = f"{os.path.basename(leak.file)}:{leak.line}"
        assert any(" leak " in line and line.endswith(place) for line in lines.splitlines())
        assert place in report
    until(lambda: not is_live(the_session(tmp_path)), "the recorder has gone")


def test_for_stops_a_server(tmp_path: Path) -> None:
    result = run_memtui(tmp_path, ["--for", "2", str(build("server").path), "clean"])
    assert result.returncode == 0
    assert sum(bool(SAMPLE.fullmatch(line)) for line in result.stdout.splitlines()) >= 2
    assert " event stopping: " in result.stdout and " event exited: " in result.stdout


@pytest.mark.heap_checker
def test_the_first_interrupt_stops_and_reports(tmp_path: Path) -> None:
    program = build("server")
    process = start_memtui(tmp_path, ["--check", "draconian", str(program.path), "clean"])
    assert process.stdout is not None
    first = next(line for line in process.stdout if " rss " in line)
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(30) == 130
    assert f"{os.path.basename(program.leaks[0].file)}:{program.leaks[0].line}" in rest
    assert not alive(int(first.split()[4]))


def test_the_second_interrupt_kills(tmp_path: Path) -> None:
    process = start_memtui(tmp_path, [str(build("server").path), "ignore"])
    assert process.stdout is not None
    next(line for line in process.stdout if " rss " in line)
    process.send_signal(signal.SIGINT)
    next(line for line in process.stdout if " event stopping: " in line)
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(30) == 130
    assert "SIGKILL" in rest


def test_on_exit_detach_leaves_the_target_running(tmp_path: Path) -> None:
    process = start_memtui(tmp_path, ["--on-exit", "detach", str(build("server").path), "clean"])
    assert process.stdout is not None and process.stderr is not None
    line = next(line for line in process.stdout if " rss " in line)
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert "memtui resume" in process.stderr.read()
    assert process.wait(30) == 130
    target = int(line.split()[4])
    assert alive(target) and is_live(the_session(tmp_path))
    resumed = start_memtui(tmp_path, ["resume"])
    assert resumed.stdout is not None
    assert next(line for line in resumed.stdout if f" pid {target} rss " in line)
    resumed.send_signal(signal.SIGINT)
    resumed.communicate(timeout=30)
    assert not alive(target)


def test_a_reader_that_leaves_is_no_error_and_the_target_runs_on(tmp_path: Path) -> None:
    process = start_memtui(tmp_path, [str(build("server").path), "clean"])
    assert process.stdout is not None and process.stderr is not None
    line = next(line for line in process.stdout if " rss " in line)
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(30) == 0
    assert errors.startswith("memtui: ") and errors.count("\n") == 1 and "memtui resume" in errors
    target = int(line.split()[4])
    assert alive(target)
    stopping = start_memtui(tmp_path, ["resume"])
    assert stopping.stdout is not None
    next(line for line in stopping.stdout if " rss " in line)
    stopping.send_signal(signal.SIGINT)
    stopping.communicate(timeout=30)
    assert not alive(target)


def test_a_program_that_cannot_start_leaves_no_session(tmp_path: Path) -> None:
    result = run_memtui(tmp_path, ["./nowhere"])
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("memtui: ") and result.stderr.count("\n") == 1
    assert folders.sessions(tmp_path / "state" / "memtui" / "sessions") == []


def test_an_unwritable_state_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run_memtui(tmp_path, [str(build("no_leak").path)], extra={"XDG_STATE_HOME": str(tmp_path / "file")})
    assert result.returncode == 3
    assert result.stderr.startswith("memtui: ") and result.stderr.count("\n") == 1


@pytest.mark.heap_checker
def test_sessions_are_listed_and_removed(tmp_path: Path) -> None:
    run_memtui(tmp_path, ["--check", "draconian", str(build("basic").path)])
    session = the_session(tmp_path)
    until(lambda: not is_live(session), "the recorder has gone")
    listed = run_memtui(tmp_path, ["sessions"]).stdout.splitlines()
    assert len(listed) == 2 and listed[1].startswith(session.name) and "finished" in listed[1]
    assert run_memtui(tmp_path, ["sessions", "rm", "nothing"]).returncode == 2
    assert session.exists()
    assert run_memtui(tmp_path, ["sessions", "rm", session.name[:15]]).returncode == 0
    assert not session.exists()


@pytest.mark.heap_checker
def test_resume_of_a_finished_session_prints_it(tmp_path: Path) -> None:
    first = run_memtui(tmp_path, ["--check", "draconian", str(build("basic").path)])
    until(lambda: not is_live(the_session(tmp_path)), "the recorder has gone")
    again = run_memtui(tmp_path, ["resume"])
    assert again.returncode == 0
    report = first.stdout.partition("\n\n")[2]
    assert report and again.stdout.endswith(report)


def test_a_process_of_one_thread_is_asked_only_with_ask_and_a_line_says_so(tmp_path: Path) -> None:
    """Both at once, on a process each: a verdict on what is kept takes some ten seconds."""
    with ExitStack() as stack:
        processes = [stack.enter_context(running([mapped_program(), "freed"])) for _ in range(2)]
        until(
            lambda: all(rss_bytes(process.pid) > 64 << 20 for process in processes),
            "they have freed memory",
            deadline_s=60,
        )
        assert all(len(os.listdir(f"/proc/{process.pid}/task")) == 1 for process in processes)
        watching = []
        for number, words in enumerate((["--plain"], ["--ask", "--format", "jsonl"])):
            (home := tmp_path / str(number)).mkdir()
            watching.append(start_memtui(home, ["attach", *words, "--for", "25", str(processes[number].pid)]))
        (plain, _), (json_lines, errors) = (process.communicate(timeout=90) for process in watching)
    assert re.search(r"^00:00:\d\d not asked: it has one thread; --ask asks it$", plain, re.MULTILINE)
    assert " diagnosis retention: " not in plain
    objects = [json.loads(line) for line in json_lines.splitlines()]
    assert errors == "" and {one["schema"] for one in objects} == {"memtui-lines/1"}
    assert not any(one["type"] == "refusal" for one in objects)
    assert [one["verdict"] for one in objects if one["type"] == "verdict"].count("RETENTION") == 1
    retention = next(one for one in objects if one["type"] == "verdict" and one["verdict"] == "RETENTION")
    assert " of RSS is free memory tcmalloc keeps" in retention["sentence"] and retention["evidence"]
