"""Reports of processes whose files are not where their paths lead: deleted, replaced, in another mount or pid namespace."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memtui_parsers.values import LeakReport
from memtui_profiler.asking.allocator_figures import ask_figures
from memtui_profiler.asking.asked_process import AskedProcess
from memtui_profiler.asking.target_files import own_pid
from memtui_profiler.errors import UserError
from memtui_profiler.process.descendants import children_of
from memtui_profiler.process.held_files import HeldFiles
from memtui_profiler.session.reports import load_report
from memtui_profiler.session.rows import Run
from tests.fixtures.attached import attached, named_reports, newest_figures, running, thread_names
from tests.fixtures.leaky import build
from tests.fixtures.live import Live, record
from tests.fixtures.request_server import LEAKING_LINE, SESSION_BYTES, Client
from tests.fixtures.waiting import until

NOBODY = 65534
CHECKED = {"HEAPCHECK": "normal", "PPROF_PATH": "/bin/true", "TCMALLOC_STACKTRACE_METHOD": "libgcc"}


def checked_now(live: Live, count: int = 1) -> LeakReport:
    """The newest of ``count`` reports, the last of which is asked for here."""
    reply = live.ask("check", deadline_s=60.0)
    assert reply.ok, reply.error
    return load_report(live.reader, named_reports(live, count)[-1])


def leaked_at(report: LeakReport, file: str, line: int) -> int:
    return sum(
        leak.size_bytes
        for leak in report.leaks
        if any(frame.line == line and (frame.file or "").endswith(file) for frame in leak.stack)
    )


def replace(path: Path, other: Path) -> None:
    """As a deployment does it: the file is gone, and another lies at its path."""
    path.unlink()
    shutil.copy(other, path)


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_a_program_that_was_replaced_is_named_from_the_file_that_runs(tmp_path: Path) -> None:
    program = Path(shutil.copy(build("request_server").path, tmp_path / "server"))
    environment = {**CHECKED, "HEAP_CHECK_DUMP_DIRECTORY": str(tmp_path)}
    with running([program, tmp_path / "s"], environment=environment) as process:
        client = Client(tmp_path / "s")
        client.ask("leak 100")
        replace(program, build("no_leak").path)
        assert os.readlink(f"/proc/{process.pid}/exe").endswith(" (deleted)")
        with attached(tmp_path, process.pid) as live:
            assert live.runs()[0].executable == f"{program} (deleted)"
            report = checked_now(live)
            assert leaked_at(report, "request_server.cpp", LEAKING_LINE) >= 95 * SESSION_BYTES
            assert not any("deleted" in note for note in report.notes)
            # Its name is the same whether or not somebody deletes the file: two reports can be compared.
            identifiers = {leak.leak_id for leak in report.leaks}
        client.ask("leak 10")
        with attached(tmp_path, process.pid) as live:
            assert {leak.leak_id for leak in checked_now(live).leaks} & identifiers
        client.close()


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_a_library_that_was_replaced_is_named_from_the_file_that_runs(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may open what is mapped of a deleted library")
    built = build("library_server")
    shutil.copytree(built.folder, tmp_path / "made")
    library = tmp_path / "made" / "libleaky.so"
    environment = {**CHECKED, "HEAP_CHECK_DUMP_DIRECTORY": str(tmp_path)}
    with running([tmp_path / "made" / "library_server"], environment=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline().startswith(b"ready")
        replace(library, Path("/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4"))
        with attached(tmp_path, process.pid) as live:
            report = checked_now(live)
        for leak in built.leaks:
            found = leaked_at(report, Path(leak.file).name, leak.line)
            # A stale pointer on a stack or in a register may keep one of them reachable.
            assert leak.bytes - leak.bytes / leak.objects <= found <= leak.bytes, (leak, report.notes)


@pytest.mark.heap_checker
def test_a_launched_program_that_is_built_anew_while_it_runs_is_named_at_its_exit(tmp_path: Path) -> None:
    built = build("library_server")
    shutil.copytree(built.folder, tmp_path / "made")
    program = tmp_path / "made" / "library_server"
    with record(tmp_path, program, mode="draconian") as live:
        until(lambda: b"ready" in (live.folder / "runs/1/output.log").read_bytes(), "it serves")
        replace(program, build("no_leak").path)
        seen = len(live.samples())
        # The recorder looks at the mappings some times a second.
        until(lambda: len(live.samples()) > seen + 10, "a second goes by")
        assert live.ask("stop").ok
        live.settled(1)
        report = load_report(live.reader, named_reports(live, 1)[0])
        own = next(leak for leak in built.leaks if leak.file.endswith("library_server.cpp"))
        assert leaked_at(report, "library_server.cpp", own.line) == own.bytes, report.notes


@contextlib.contextmanager
def in_namespaces(program: Path) -> Iterator[int]:
    """The server with a /tmp, a /proc and pids of its own, as in a container; its pid as we see it. Its socket is /tmp/s."""
    script = (
        # Opened first: it may lie below the /tmp that is hidden then.
        f"exec 3<'{program}' && mount -t tmpfs tmpfs /tmp && mkdir /tmp/own /tmp/dumps && "
        "cat <&3 >/tmp/own/server && chmod +x /tmp/own/server && cd / && exec /tmp/own/server /tmp/s 3<&-"
    )
    environment = {**CHECKED, "HEAP_CHECK_DUMP_DIRECTORY": "/tmp/dumps"}
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script]
    with running(command, environment=environment) as outer:

        def server() -> int | None:
            return next((pid for pid in children_of(outer.pid) if os.path.lexists(f"/proc/{pid}/root/tmp/s")), None)

        if not until(lambda: server() or outer.poll() is not None, "it serves"):
            pytest.skip("no namespaces can be made here")
        pid = server()
        assert pid is not None
        yield pid


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_a_process_in_other_mount_and_pid_namespaces(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("namespaces are made by root here")
    with in_namespaces(build("request_server").path) as pid:
        assert own_pid(pid) == 1
        client = Client(Path(f"/proc/{pid}/root/tmp/s"))
        client.ask("leak 100")
        client.ask("burst 50")
        before = sorted(os.listdir(f"/proc/{pid}/root/tmp"))
        threads = thread_names(pid)
        assert not Path("/tmp/own/server").exists(), "its paths mean nothing here"
        with attached(tmp_path, pid) as live:
            figures = newest_figures(live)
            assert figures.free_bytes > 45 << 20
            report = checked_now(live)
            assert leaked_at(report, "request_server.cpp", LEAKING_LINE) >= 95 * SESSION_BYTES, report.notes
            assert report.pid == pid
            # A snapshot goes through a file in its own /tmp: it does not see ours.
            assert live.ask("snapshot", deadline_s=60.0).ok
            client.ask("leak 50")
            assert live.ask("snapshot", deadline_s=60.0).ok
            snapshot = load_report(live.reader, named_reports(live, 2)[-1])
            assert leaked_at(snapshot, "request_server.cpp", LEAKING_LINE) == 50 * SESSION_BYTES
            assert live.ask("release").ok
        assert sorted(os.listdir(f"/proc/{pid}/root/tmp")) == before
        assert thread_names(pid) == threads
        client.ask("ping")
        client.close()


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_another_users_process_as_root(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may look into another user's process")
    before = set(os.listdir("/tmp"))
    with tempfile.TemporaryDirectory(prefix="nobodys-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        os.chmod(folder, 0o755)
        command: list[str | Path] = [
            "setpriv",
            f"--reuid={NOBODY}",
            f"--regid={NOBODY}",
            "--clear-groups",
            build("request_server").path,
        ]
        environment = {**CHECKED, "HEAP_CHECK_DUMP_DIRECTORY": folder}
        with running([*command, f"{folder}/s"], environment=environment) as process:
            client = Client(Path(folder) / "s")
            assert os.stat(f"/proc/{process.pid}").st_uid == NOBODY
            client.ask("leak 100")
            with attached(tmp_path, process.pid) as live:
                newest_figures(live)
                report = checked_now(live)
                assert leaked_at(report, "request_server.cpp", LEAKING_LINE) >= 95 * SESSION_BYTES
                # It may not write into a session of root's: its snapshots go through /tmp.
                assert live.ask("snapshot", deadline_s=60.0).ok
                client.ask("leak 30")
                assert live.ask("snapshot", deadline_s=60.0).ok
                snapshot = load_report(live.reader, named_reports(live, 2)[-1])
                assert leaked_at(snapshot, "request_server.cpp", LEAKING_LINE) == 30 * SESSION_BYTES
            assert "memtui" not in thread_names(process.pid)
            client.ask("ping")
            client.close()
            assert os.listdir(folder) == ["s"]
    left = {name for name in set(os.listdir("/tmp")) - before if name.startswith("memtui-") and name.endswith(".heap")}
    assert not left


def test_the_session_says_that_it_is_attached(tmp_path: Path) -> None:
    with running(["sleep", "600"], preload="") as process, attached(tmp_path, process.pid) as live:
        assert live.reader.meta()["attached"] == str(process.pid)
        (run,) = live.reader.rows(Run)
        assert (run.pid, run.mode) == (process.pid, "off")


def main_stack_bytes(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if line.endswith("[stack]"))
    start, _, end = line.split()[0].partition("-")
    return int(end, 16) - int(start, 16)


def test_a_main_thread_that_has_used_all_its_stack_is_asked_below_it(tmp_path: Path) -> None:
    """There is no unused part of it left, and no other thread sleeps long enough; but the kernel lets a stack grow."""
    with running([build("deep_stack").path]) as process:
        until(lambda: len(thread_names(process.pid)) == 2, "its threads are there")
        sizes = [main_stack_bytes(process.pid)]
        assert sizes[0] > 300 * 4096
        for _ in range(3):
            with attached(tmp_path, process.pid) as live:
                newest_figures(live)
            sizes.append(main_stack_bytes(process.pid))
        assert 0 < sizes[1] - sizes[0] <= 128 << 10
        assert sizes[1:] == [sizes[1]] * 3, "what was added once serves again"
        assert process.poll() is None


def as_user(uid: int, work: Callable[[], str]) -> str:
    """What ``work`` gives in a process of that user."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        said = "it failed"
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            said = work()
        except (OSError, UserError) as error:
            said = str(error)
        finally:
            os.write(theirs, said.encode())
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def test_an_ordinary_user_asks_and_reads_what_is_its_own(tmp_path: Path) -> None:
    """Without root there is no /proc/PID/map_files, but /proc/PID/exe."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory(prefix="nobodys-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        program = Path(shutil.copy(build("request_server").path, f"{folder}/server"))
        content = program.read_bytes()
        command: list[str | Path] = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", program]
        with running([*command, f"{folder}/s"]) as process:
            client = Client(Path(folder) / "s")
            client.ask("burst 50")
            program.unlink()

            def asked() -> str:
                asked_process = AskedProcess(process.pid, force=False, on_arrival=lambda _: None)
                free_bytes = ask_figures(asked_process).stats.free_bytes
                asked_process.leave()
                files = HeldFiles()
                files.look(process.pid, Path(f"/proc/{process.pid}/maps").read_bytes())
                same = Path(files.paths[f"{program} (deleted)"]).read_bytes() == content
                return f"over 40 MiB free: {free_bytes > 40 << 20}, the same file: {same}"

            assert as_user(NOBODY, asked) == "over 40 MiB free: True, the same file: True"
            assert "memtui" not in thread_names(process.pid)
            said = as_user(NOBODY, lambda: str(AskedProcess(1, force=False, on_arrival=lambda _: None).image))
            assert "sudo memtui attach 1" in said
            client.ask("ping")
            client.close()
