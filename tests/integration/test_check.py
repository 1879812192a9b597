"""`memtui check` on real programs: every exit code, the report alone on stdout, the target's output on stderr."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memtui.session.follower import SessionFollower
from memtui.session.report_names import origin_words
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Event
from tests.fixtures.command_line import memtui_command, memtui_environment, run_memtui, start_memtui
from tests.fixtures.leaky import Built, build
from tests.fixtures.waiting import until

MEMORY_CGROUP = Path("/sys/fs/cgroup/memory")


def check_json(home: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    result = run_memtui(home, ["check", "--format", "json", *words])
    return result.returncode, json.loads(result.stdout), result.stderr


def is_error_line(text: str) -> bool:
    return text.startswith("memtui: ") and "Traceback" not in text


def leaked_lines(document: dict[str, Any], program: Built) -> dict[int, tuple[int, int]]:
    """Bytes and objects by line of the program's own sources, from each record's first frame there."""
    sources = {os.path.basename(leak.file) for leak in program.leaks}
    found: dict[int, tuple[int, int]] = {}
    for leak in document["leaks"]:
        frame = next((f for f in leak["stack"] if os.path.basename(f["file"] or "") in sources), None)
        if frame is not None:
            size, objects = found.get(frame["line"], (0, 0))
            found[frame["line"]] = size + leak["bytes"], objects + leak["objects"]
    return found


def nothing_is_left(home: Path) -> bool:
    return not [path for path in home.iterdir() if path.name.startswith("memtui-")]


@pytest.mark.heap_checker
def test_0_no_leak(tmp_path: Path) -> None:
    code, document, _ = check_json(tmp_path, str(build("no_leak").path))
    assert code == 0
    assert (document["status"], document["leaks"], document["mode"]) == ("complete", [], "normal")
    assert document["total"] == {"bytes": 0, "objects": 0}
    assert document["run"]["exit_code"] == 0
    assert nothing_is_left(tmp_path)


@pytest.mark.heap_checker
def test_1_leaks_are_named_by_their_lines(tmp_path: Path) -> None:
    program = build("basic")
    code, document, stderr = check_json(tmp_path, "--check", "draconian", str(program.path))
    assert code == 1
    assert (document["schema"], document["status"]) == ("memtui-report/1", "complete")
    lines = leaked_lines(document, program)
    for leak in program.leaks:
        assert lines[leak.line] == (leak.bytes, leak.objects)
    assert document["total"]["bytes"] == sum(leak["bytes"] for leak in document["leaks"])
    assert document["target"]["argv"] == [str(program.path)]
    assert "heap leak checker is active" in stderr
    assert nothing_is_left(tmp_path)


@pytest.mark.heap_checker
def test_1_as_text(tmp_path: Path) -> None:
    program = build("basic")
    result = run_memtui(tmp_path, ["check", "--check", "draconian", str(program.path)])
    assert result.returncode == 1
    for leak in program.leaks:
        assert f"{os.path.basename(leak.file)}:{leak.line}" in result.stdout
    assert "heap leak checker is active" not in result.stdout


@pytest.mark.parametrize(
    "words",
    [["check"], ["check", "--check", "off", "p"], ["check", "--release-rate", "abc", "p"]],
)
def test_2_wrong_usage(tmp_path: Path, words: list[str]) -> None:
    result = run_memtui(tmp_path, words)
    assert (result.returncode, result.stdout) == (2, "") and is_error_line(result.stderr)


def test_2_a_variable_that_an_option_also_sets(tmp_path: Path) -> None:
    words = ["check", "--check", "normal", "--env", "HEAPCHECK=strict", str(build("no_leak").path)]
    result = run_memtui(tmp_path, words)
    assert (result.returncode, result.stdout) == (2, "")
    assert "HEAPCHECK" in result.stderr and is_error_line(result.stderr.splitlines()[-1])


def of_another_user(program: Path, folder: Path) -> Path:
    """A setuid copy that changes its user when we start it: only then does the loader ignore LD_PRELOAD."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a setuid program of another user")
    copy = folder / "setuid"
    shutil.copy(program, copy)
    os.chown(copy, 65534, 65534)
    copy.chmod(0o4755)
    return copy


@pytest.mark.parametrize("name", ["static", "setuid", "wrong_machine", "linked_minimal"])
def test_3_no_check_is_possible(tmp_path: Path, name: str) -> None:
    program = build(name).path
    if name == "setuid":
        program = of_another_user(program, tmp_path)
    code, document, stderr = check_json(tmp_path, str(program))
    assert (code, document["status"], document["leaks"]) == (3, "not-run", [])
    assert document["notes"] and is_error_line(stderr)


def test_3_a_program_that_is_missing(tmp_path: Path) -> None:
    result = run_memtui(tmp_path, ["check", "./nowhere"])
    assert (result.returncode, result.stdout) == (3, "")
    assert is_error_line(result.stderr) and "nowhere" in result.stderr and result.stderr.count("\n") == 1
    assert nothing_is_left(tmp_path)


def test_3_a_local_check_that_never_came(tmp_path: Path) -> None:
    code, document, stderr = check_json(tmp_path, "--check", "local", str(build("basic").path))
    assert (code, document["status"]) == (3, "not-run")
    assert document["notes"] and is_error_line(stderr.splitlines()[-1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_4_killed_by_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    code, document, stderr = check_json(tmp_path, str(build("dies").path), str(int(number)))
    assert (code, document["status"]) == (4, "not-run")
    assert document["run"]["signal"] == number.name and document["notes"]
    assert number.name in stderr.splitlines()[-1]


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    """A control group of 256 MiB; memtui and its target run there, as they would in a container."""
    group = MEMORY_CGROUP / f"memtui-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")
    (group / "memory.limit_in_bytes").write_text(str(256 << 20))
    yield group
    until(lambda: not (group / "cgroup.procs").read_text(), "the control group is empty")
    group.rmdir()


def test_5_killed_by_the_oom_killer(tmp_path: Path, memory_cgroup: Path) -> None:
    words = memtui_command("check", "--format", "json", str(build("exhaust").path), "2000")
    result = subprocess.run(
        ["sh", "-c", 'echo $$ > "$0"; exec "$@"', str(memory_cgroup / "cgroup.procs"), *words],
        env=memtui_environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    document = json.loads(result.stdout)
    assert (result.returncode, document["status"]) == (5, "not-run")
    assert document["run"]["oom_killed"] is True
    assert "OOM" in result.stderr.splitlines()[-1]


def test_6_no_leak_but_the_program_failed(tmp_path: Path) -> None:
    code, document, stderr = check_json(tmp_path, str(build("no_leak").path), "7")
    assert (code, document["status"]) == (6, "complete")
    assert document["run"]["exit_code"] == 7
    assert "7" in stderr.splitlines()[-1]


@pytest.mark.heap_checker
def test_130_interrupted_still_reports(tmp_path: Path) -> None:
    program = build("server")
    process = start_memtui(tmp_path, ["check", "--check", "draconian", str(program.path), "clean"])
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("ready "):
            break
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"{os.path.basename(program.leaks[0].file)}:{program.leaks[0].line}" in stdout
    assert nothing_is_left(tmp_path)


def test_130_a_second_interrupt_kills(tmp_path: Path) -> None:
    process = start_memtui(tmp_path, ["check", str(build("server").path), "ignore"])
    assert process.stderr is not None
    target = 0
    for line in process.stderr:
        if line.startswith("ready "):
            target = int(line.split()[1])
            break
    process.send_signal(signal.SIGINT)
    session = next(tmp_path.glob("memtui-check-*/*"))
    until(lambda: stopping_steps(session), "the ladder began")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not Path(f"/proc/{target}").exists()


def stopping_steps(session: Path) -> list[str]:
    reader = SessionReader(session / "session.db")
    try:
        return [json.loads(e.detail)["step"] for e in reader.rows(Event) if e.kind == "stopping"]
    finally:
        reader.close()


@pytest.mark.heap_checker
def test_for_ends_a_server_by_the_ladder(tmp_path: Path) -> None:
    program = build("server")
    code, document, _ = check_json(tmp_path, "--check", "draconian", "--for", "1", str(program.path), "clean")
    assert code == 1
    assert leaked_lines(document, program)[program.leaks[0].line] == (program.leaks[0].bytes, program.leaks[0].objects)


@pytest.mark.heap_checker
def test_keep_leaves_a_session_that_opens(tmp_path: Path) -> None:
    program = build("basic")
    result = run_memtui(tmp_path, ["check", "--keep", "--check", "draconian", str(program.path)])
    kept = Path(result.stderr.splitlines()[-1].rpartition(" ")[2])
    assert result.returncode == 1 and (kept / "session.db").is_file()
    opened = run_memtui(tmp_path, ["open", str(kept)])
    assert opened.returncode == 0
    assert opened.stdout.strip() == result.stdout.strip()


def test_the_targets_stdin_is_ours(tmp_path: Path) -> None:
    result = subprocess.run(
        memtui_command("check", "--", "cat"),
        env=memtui_environment(tmp_path),
        input="through\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "through\n" in result.stderr and "through" not in result.stdout


@pytest.mark.heap_checker
def test_the_targets_environment(tmp_path: Path) -> None:
    words = ["check", "--check", "draconian", "--release-rate", "2.5", "--env", "MINE=x y", "--", "env"]
    result = run_memtui(tmp_path, words)
    lines = result.stderr.splitlines()
    assert "HEAPCHECK=draconian" in lines and "TCMALLOC_RELEASE_RATE=2.5" in lines and "MINE=x y" in lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_check_that_is_told_to_end_takes_its_target_along(tmp_path: Path, number: signal.Signals) -> None:
    process = start_memtui(tmp_path, ["check", str(build("server").path), "clean"])
    assert process.stderr is not None
    ready = next(line for line in process.stderr if line.startswith("ready "))
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not Path(f"/proc/{ready.split()[1]}").exists()
    assert nothing_is_left(tmp_path)


@pytest.mark.heap_checker
def test_a_daemon_is_followed(tmp_path: Path) -> None:
    program = build("daemon")
    code, document, _ = check_json(tmp_path, "--check", "draconian", str(program.path), "300", "exec")
    assert code == 1
    assert leaked_lines(document, program)[program.leaks[0].line] == (program.leaks[0].bytes, program.leaks[0].objects)


@pytest.mark.heap_checker
def test_a_script_is_checked_as_what_it_becomes(tmp_path: Path) -> None:
    program = build("script")
    code, document, _ = check_json(tmp_path, "--check", "draconian", str(program.path))
    assert code == 1
    for leak in program.leaks:
        assert leaked_lines(document, program)[leak.line] == (leak.bytes, leak.objects)


@pytest.mark.heap_checker
def test_a_flood_of_output_arrives_whole_and_costs_no_report(tmp_path: Path) -> None:
    program = build("flood")
    code, document, stderr = check_json(tmp_path, "--check", "draconian", str(program.path), "60")
    assert code == 1
    assert leaked_lines(document, program)[program.leaks[0].line] == (program.leaks[0].bytes, program.leaks[0].objects)
    numbers = [int(line[:12]) for line in stderr.splitlines() if line.endswith("the lazy dog, again")]
    assert numbers == list(range(60 * 16384))


@pytest.mark.heap_checker
def test_children_are_reported_when_asked_for(tmp_path: Path) -> None:
    program = build("forks")
    words = ["--check", "draconian", "--follow-children", str(program.path), "exec"]
    code, document, _ = check_json(tmp_path, *words)
    assert code == 1 and document["notes"]
    quiet, unasked, _ = check_json(tmp_path, "--check", "draconian", str(program.path), "exec")
    assert quiet == code
    assert unasked["target"]["pid"] is not None


def test_memcheck_follows_children_when_asked_to(tmp_path: Path) -> None:
    """A child that leaks, of a program that does not: its report, and whose it is."""
    program = build("forks")
    child = next(leak for leak in program.leaks if leak.by == "child")
    words = ["--keep", "--check", "memcheck", str(program.path)]
    for name in ("asked", "unasked"):
        (tmp_path / name).mkdir()
    code, document, _ = check_json(tmp_path / "unasked", *words)
    assert (code, document["leaks"]) == (0, [])
    code, document, _ = check_json(tmp_path / "asked", "--follow-children", *words)
    assert code == 1
    assert leaked_lines(document, program)[child.line] == (child.bytes, child.objects)
    assert "one of 2 reports of this run, the session has the others" in document["notes"]
    (session,) = (tmp_path / "asked").glob("state/memtui/sessions/*")
    follower = SessionFollower(session)
    reports = follower.poll(0.0, live=False).reports
    follower.close()
    assert [report.child_pid for report in reports] == [document["target"]["pid"], None], (
        "the program's own is the newest"
    )
    assert origin_words(reports[0]) == f"at exit · child {document['target']['pid']}"


def test_memcheck_of_a_script_says_what_it_saw(tmp_path: Path) -> None:
    program = build("basic")
    executes, starts = tmp_path / "executes", tmp_path / "starts"
    executes.write_text(f"#!/bin/sh\nexec {program.path}\n")
    starts.write_text(f"#!/bin/sh\n{program.path}\nexit 0\n")
    for script in (executes, starts):
        script.chmod(0o755)
    code, document, _ = check_json(tmp_path, "--check", "memcheck", str(executes))
    assert (code, document["status"]) == (3, "not-run")
    assert "executed another one in its place" in document["notes"][0]
    code, document, _ = check_json(tmp_path, "--check", "memcheck", str(starts))
    assert code == 0
    assert any("only the script's interpreter was checked" in note for note in document["notes"])
    for script in (executes, starts):
        code, document, _ = check_json(tmp_path, "--follow-children", "--check", "memcheck", str(script))
        assert code == 1
        assert all(line in leaked_lines(document, program) for line in (leak.line for leak in program.leaks))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no small file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_told_in_sentences(tmp_path: Path, tiny_disk: Path) -> None:
    words = ["check", "--format", "json", "--for", "2", str(build("flood").path), "20"]
    result = run_memtui(tmp_path, words, extra={"TMPDIR": str(tiny_disk)})
    document = json.loads(result.stdout)
    assert (result.returncode, document["status"]) == (3, "not-run")
    assert "Traceback" not in result.stderr and "disk" in result.stderr and document["notes"]


@pytest.mark.heap_checker
def test_a_hostile_name_is_checked_like_any_other(tmp_path: Path) -> None:
    program = build("basic")
    name = "p\udcff\x1b[31m\nx"
    shutil.copy(program.path, tmp_path / name)
    words = ["check", "--check", "draconian", f"./{name}", "\udcfe"]
    result = run_memtui(tmp_path, words)
    assert result.returncode == 1
    assert f"basic.cpp:{program.leaks[0].line}" in result.stdout
    assert all(line.isprintable() for line in result.stdout.splitlines())
    document = json.loads(run_memtui(tmp_path, [*words[:1], "--format", "json", *words[1:]]).stdout)
    assert document["target"]["argv"] == ["./p?\x1b[31m\nx", "?"], "JSON has no bytes that are not UTF-8"


@pytest.mark.heap_checker
def test_a_reader_that_goes_away_does_not_change_the_exit_code(tmp_path: Path) -> None:
    process = start_memtui(tmp_path, ["check", "--check", "draconian", "--format", "json", str(build("basic").path)])
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 1
