"""``memtui attach`` on the command line: its options, and every pid that cannot be watched, each told in one sentence."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memtui.options import usage
from memtui.options.parse import Attach, Check, Demo, Launch, Show, parse
from memtui_profiler.errors import UserError
from memtui_profiler.launch.attachable import command_line, process_name, refuse_what_cannot_be_watched
from tests.fixtures.command_line import run_memtui
from tests.fixtures.waiting import until

NOBODY = 65534


def attach(*words: str) -> Attach:
    command, warnings = parse(("attach", *words), "0")
    assert isinstance(command, Attach) and warnings == ()
    return command


def test_a_pid_alone() -> None:
    assert attach("4343") == Attach(pid=4343)
    assert attach("redis") == Attach(pid=0, names=("redis",))
    assert attach("1", "2") == Attach(pid=0, names=("1", "2"))


def test_all_options_before_or_after_the_pid() -> None:
    assert attach("--for", "20", "--sample-hz=5", "--no-guest", "7", "--plain", "--ascii") == Attach(
        pid=7, for_s=20.0, sample_hz=5.0, no_guest=True, plain=True, ascii=True
    )
    assert attach("7", "--force-guest").force_guest
    assert attach("7", "--check-now", "--format", "json", "--keep") == Attach(
        pid=7, check_now=True, format="json", keep=True
    )
    assert attach("7", "--growth", "30", "--format=json", "--anyway") == Attach(
        pid=7, growth_s=30.0, format="json", anyway=True
    )
    assert parse(["--ascii", "attach", "7"], "0")[0] == Attach(pid=7, ascii=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "PID is missing"),
        (("-1",), "no process id"),
        (("0",), "no process id"),
        (("1.5",), "no process id"),
        (("٣",), "no process id"),
        (("9" * 30,), "no process id"),
        (("7", "--format", "json"), "--check-now"),
        (("7", "--keep"), "--check-now"),
        (("7", "--check-now", "--no-guest"), "guest"),
        (("7", "--growth", "0"), "--growth 0"),
        (("7", "--growth", "soon"), "--growth soon"),
        (("7", "--growth", "5", "--check-now"), "one report"),
        (("7", "--growth", "5", "--for", "3"), "a time of its own"),
        (("7", "--growth", "5", "--plain"), "no screen"),
        (("7", "--growth", "5", "--format", "jsonl"), "one document"),
        (("7", "--anyway"), "--growth"),
        (("7", "--check-now", "--for", "3"), "by itself"),
        (("7", "--check-now", "--plain"), "no screen"),
        (("7", "--check-now", "--format", "xml"), "text, json, jsonl"),
        (("7", "--no-guest", "--force-guest"), "leave one of them out"),
        (("7", "--on-exit", "stop"), "memtui PROGRAM"),
        (("7", "--release-rate", "2"), "memtui PROGRAM"),
        (("7", "--check", "normal"), "memtui PROGRAM"),
    ],
)
def test_wrong_usage_is_one_sentence(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(("attach", *words), "0")
    error = caught.value
    assert error.exit_code == 2
    assert said in str(error) and "\n" not in str(error)
    assert all((error.what, error.why, error.todo))


def test_the_guest_is_for_every_launch_to_forbid_or_to_force() -> None:
    launched = parse(["--no-guest", "p"], "0")[0]
    checked = parse(["check", "--force-guest", "p"], "0")[0]
    demo = parse(["demo", "--no-guest"], "0")[0]
    assert isinstance(launched, Launch) and launched.no_guest and not launched.force_guest
    assert isinstance(checked, Check) and checked.launch.force_guest
    assert isinstance(demo, Demo) and demo.launch.no_guest
    with pytest.raises(UserError):
        parse(["--no-guest", "--force-guest", "p"], "0")


def test_help_says_what_it_does_to_the_process() -> None:
    assert parse(["attach", "--help"], "0")[0] == Show(usage.HELP["attach"])
    assert "never stops the process" in usage.HELP["attach"]
    assert "attach PID" in usage.HELP["launch"]


# What cannot be watched


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        until(lambda: command_line(process.pid)[:1] == ("sleep",), "it has become what it is")
        yield process
        process.kill()


def refusal(pid: int) -> UserError:
    with pytest.raises(UserError) as caught:
        refuse_what_cannot_be_watched(pid)
    error = caught.value
    assert error.exit_code == 3 and "\n" not in str(error)
    assert all((error.what, error.why, error.todo)) and str(pid) in error.what
    return error


def nobody_there() -> int:
    """A pid that was just freed; the kernel gives out all others before it comes round."""
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


@pytest.mark.parametrize("pid", [nobody_there, lambda: 1 << 22, lambda: 10**18])
def test_no_such_process(pid: Callable[[], int]) -> None:
    assert "no such process" in refusal(pid()).why


def test_memtui_itself() -> None:
    assert "memtui itself" in refusal(os.getpid()).why


def test_a_thread_is_told_from_its_process() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        error = refusal(thread.native_id)
    finally:
        done.set()
        thread.join()
    assert f"a thread of process {os.getpid()} (" in error.why and error.todo == f"memtui attach {os.getpid()}"


def kernel_threads() -> list[int]:
    """Those whose parent is kthreadd, pid 2 of the whole machine; none inside a container."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and not command_line(int(entry)):
            try:
                stat = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if stat[1] == "2":
                found.append(int(entry))
    return found


def test_a_thread_of_the_kernel() -> None:
    found = kernel_threads()
    if not found:
        pytest.skip("no thread of the kernel is to be seen here")
    assert "thread of the kernel" in refusal(found[0]).why


def test_a_process_that_has_ended_and_nobody_has_buried() -> None:
    process = subprocess.Popen(["true"])
    try:
        until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "it ended")
        assert "has ended" in refusal(process.pid).why
    finally:
        process.wait()


def said_as(uid: int, pid: int) -> str:
    """What a memtui of that user says of a pid."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.setresuid(uid, uid, uid)
        said = "nothing"
        try:
            refuse_what_cannot_be_watched(pid)
        except UserError as error:
            said = str(error)
        finally:
            os.write(theirs, said.encode())
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as stream:
        said = stream.read().decode()
    os.waitpid(child, 0)
    return said


def test_another_users_process_takes_sudo(sleeper: subprocess.Popen[bytes]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    said = said_as(NOBODY, sleeper.pid)
    assert said == f"cannot attach to {sleeper.pid}: it belongs to another user, root: sudo memtui attach {sleeper.pid}"
    found = kernel_threads()
    if found:
        assert "thread of the kernel" in said_as(NOBODY, found[0])


def test_the_names_of_a_process(sleeper: subprocess.Popen[bytes]) -> None:
    assert process_name(sleeper.pid) == "sleep"
    assert command_line(sleeper.pid) == ("sleep", "600")
    gone = nobody_there()
    assert (process_name(gone), command_line(gone)) == ("", ())


# The whole command


def test_what_cannot_be_watched_leaves_no_session(tmp_path: Path) -> None:
    result = run_memtui(tmp_path, ["attach", str(nobody_there())])
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("memtui: cannot attach to ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "state").exists()


def test_a_check_of_what_cannot_be_watched_is_still_a_document(tmp_path: Path) -> None:
    import json

    pid = nobody_there()
    result = run_memtui(tmp_path, ["attach", "--check-now", "--format", "json", str(pid)])
    document = json.loads(result.stdout)
    assert (result.returncode, document["status"], document["target"]["pid"]) == (3, "not-run", pid)
    assert "no such process" in document["notes"][0] and result.stderr.count("\n") == 1


def test_lines_of_json_and_a_process_of_one_thread() -> None:
    assert attach("--ask", "--format", "jsonl", "7") == Attach(pid=7, ask=True, format="jsonl")
    launch = parse(["--ask", "--format=jsonl", "./server", "--format", "x"], "0")[0]
    assert isinstance(launch, Launch) and (launch.ask, launch.format) == (True, "jsonl")
    assert launch.argv == ("./server", "--format", "x")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "json", "./server"], "lines, not one document"),
        (["resume", "--format", "json"], "lines, not one document"),
        (["check", "--format", "jsonl", "./server"], "one document, not lines"),
        (["open", "--format", "jsonl", "x"], "one document, not lines"),
        (["regions", "--format", "jsonl", "7"], "one document, not lines"),
        (["attach", "--check-now", "--format", "jsonl", "7"], "one document, not lines"),
        (["attach", "--ask", "--no-guest", "7"], "leave one of them out"),
        (["regions", "--plain", "7"], "not an option of `memtui regions`"),
        (["regions", "0"], "no process id"),
    ],
)
def test_each_command_has_its_format(words: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(words, "0")
    assert said in str(caught.value)
