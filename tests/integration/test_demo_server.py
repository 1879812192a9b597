"""The bundled server: built once, leaks where its source says, keeps memory as the release rate has it, ends cleanly."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from memtui.demo import build as demo
from memtui_profiler.errors import UserError
from tests.fixtures.gperftools import reference_pprof

TCMALLOC = "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4"
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.build(tmp_path_factory.mktemp("cache"))


@contextmanager
def running(server: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The server with tcmalloc, once it listens; killed at the end when it still runs."""
    target = {**os.environ, "LD_PRELOAD": TCMALLOC, "PPROF_PATH": "/bin/true", **environment}
    with subprocess.Popen(
        [str(server), *arguments], env=target, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_second_build_runs_no_compiler(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert demo.build(server.parents[1]) == server
    assert server.parent.stat().st_mode & 0o777 == 0o700
    assert (server.parent / "rpc_server.cpp").read_bytes() == demo.SOURCE.read_bytes()


def test_debug_information_names_the_source_beside_the_program(server: Path) -> None:
    lines = subprocess.run(["objdump", "-WL", str(server)], capture_output=True, text=True, check=True).stdout
    assert str(server.parent / "rpc_server.cpp") in lines


def test_no_compiler_is_one_sentence_that_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no C\+\+ compiler.*apt-get install g\+\+"):
        demo.build(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_failing_compiler_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text(
        "#!/bin/sh\necho 'In file included from x:' >&2\necho 'x.h:1: fatal error: no \033[31mheader' >&2\nexit 1\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(UserError, match=r"failed: x\.h:1: fatal error: no  \[31mheader:") as caught:
        demo.build(tmp_path / "cache")
    assert "\033" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_program_that_others_can_replace_is_not_run(server: Path) -> None:
    server.parent.chmod(0o777)
    try:
        with pytest.raises(UserError, match="every user may write"):
            demo.build(server.parents[1])
    finally:
        server.parent.chmod(0o700)


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_draconian_report_holds_exactly_the_planted_leaks(server: Path, tmp_path: Path) -> None:
    checked = {"HEAPCHECK": "draconian", "HEAP_CHECK_DUMP_DIRECTORY": str(tmp_path)}
    with running(server, "--storyboard", "--for", "2", **checked) as process:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
    (dump,) = tmp_path.glob("*.heap")
    command = [
        reference_pprof(),
        "--text",
        "--lines",
        "--heapcheck",
        "--show_bytes",
        "--inuse_space",
        str(server),
        str(dump),
    ]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    rows = [row.split() for row in report[:3]]
    leaking = [demo.SOURCE.read_text().splitlines()[int(row[-1].rpartition(":")[2]) - 1] for row in rows]
    assert all("// planted leak" in line for line in leaking)
    assert [re.findall(r"new (\w+)", line) for line in leaking] == [["Session"], ["Message"], ["Trace"]]
    leaked = re.search(r"leaked_bytes=(\d+)", output)
    assert leaked is not None
    assert sum(int(row[0]) for row in rows) == int(leaked[1])
    assert 0.85 < int(rows[0][0]) / int(leaked[1]) < 0.92


def test_normal_mode_finds_nothing_without_leaks(server: Path, tmp_path: Path) -> None:
    checked = {"HEAPCHECK": "normal", "HEAP_CHECK_DUMP_DIRECTORY": str(tmp_path)}
    with running(server, "--leak", "0", "--no-bursts", "--for", "1", **checked) as process:
        assert process.wait(timeout=60) == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(server: Path, number: signal.Signals) -> None:
    with running(server) as process:
        assert first_line(process).startswith("rpc_server pid=")
        process.send_signal(number)
        assert process.wait(timeout=20) == 0


def test_sigterm_can_be_ignored(server: Path) -> None:
    with running(server, "--ignore-sigterm") as process:
        first_line(process)
        process.terminate()
        assert first_line(process) == "signal=SIGTERM ignored\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("arguments", [["--for", "soon"], ["--port"], ["--leak", "-1"], ["--nonsense"]])
def test_wrong_usage_exits_with_2(server: Path, arguments: list[str]) -> None:
    ended = subprocess.run([str(server), *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: rpc_server")


def test_hostile_frames_cost_only_their_connection(server: Path) -> None:
    with running(server, "--no-bursts") as process:
        port = int(first_line(process).split("port=")[1].split()[0])
        for frame in (b"\xff" * 8, b"\x04\x00\x00\x00\x63\x00\x00\x00abcd", b"GET / HTTP/1.0\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
                peer.sendall(frame)
                with suppress(ConnectionResetError):
                    assert peer.recv(100) == b""
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_release_rate_decides_what_stays_after_the_bursts(server: Path) -> None:
    """The demo's story: at rate 1 the wall stays, at 7.5 the same load falls back to what is in use."""
    deadline = time.monotonic() + 60
    with (
        running(server, "--storyboard", TCMALLOC_RELEASE_RATE="1") as low,
        running(server, "--storyboard", TCMALLOC_RELEASE_RATE="7.5") as high,
    ):
        processes = (low, high)
        outputs = {process.pid: b"" for process in processes}
        peaks = dict.fromkeys(outputs, 0)
        # Both are over their last burst and its flurry when they log their tenth second.
        while not all(b"time_s=10 " in output for output in outputs.values()) and time.monotonic() < deadline:
            for process in processes:
                peaks[process.pid] = max(peaks[process.pid], rss_bytes(process.pid))
            for process in processes:
                assert process.stdout is not None
                if select.select([process.stdout], [], [], 0.05)[0]:
                    outputs[process.pid] += os.read(process.stdout.fileno(), 4096)
        assert time.monotonic() < deadline
        stays, falls = rss_bytes(low.pid), rss_bytes(high.pid)
    assert max(peaks.values()) < 600 * MIB
    assert stays > 340 * MIB
    assert falls < 130 * MIB
