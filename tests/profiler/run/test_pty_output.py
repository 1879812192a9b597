import os
import subprocess
import sys
from pathlib import Path

import pytest

from memtui_profiler.run import output_log
from memtui_profiler.run.output_log import OutputLog, output_files
from memtui_profiler.run.pty_output import open_terminal, read_available
from tests.fixtures.waiting import until


def drain(master: int, log: OutputLog, *, stderr: bool = False) -> None:
    def ended() -> bool:
        data, end = read_available(master)
        log.write(data, stderr=stderr)
        return end

    until(ended, "the stream ends")


def run_on_terminal(code: str, tmp_path: Path) -> OutputLog:
    terminal, log = open_terminal(), OutputLog(tmp_path)
    with subprocess.Popen([sys.executable, "-c", code], stdout=terminal.slave, stdin=subprocess.DEVNULL):
        os.close(terminal.slave)
        drain(terminal.master, log)
    os.close(terminal.master)
    log.close()
    return log


def test_bytes_come_through_unchanged(tmp_path: Path) -> None:
    everything = bytes(range(256)) * 50
    run_on_terminal(f"import os; os.write(1, {everything!r})", tmp_path)
    assert (tmp_path / "output.log").read_bytes() == everything


def test_the_target_sees_a_terminal_that_is_not_its_controlling_one(tmp_path: Path) -> None:
    code = """
import os
print(os.isatty(1))
try:
    os.open("/dev/tty", os.O_RDWR)
except OSError as error:
    print(error.errno)
"""
    terminal, log = open_terminal(), OutputLog(tmp_path)
    with subprocess.Popen([sys.executable, "-c", code], stdout=terminal.slave, start_new_session=True):
        os.close(terminal.slave)
        drain(terminal.master, log)
    os.close(terminal.master)
    log.close()
    assert (tmp_path / "output.log").read_bytes().split() == [b"True", b"6"]  # ENXIO: no controlling terminal


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_log, "HEAD_BYTES", 100)
    monkeypatch.setattr(output_log, "SEGMENT_BYTES", 50)


@pytest.mark.usefixtures("small_bounds")
@pytest.mark.parametrize("chunk", [1, 7, 50, 333])
def test_head_and_newest_tail_are_kept_in_order(tmp_path: Path, chunk: int) -> None:
    log, data = OutputLog(tmp_path), bytes(n % 251 for n in range(333))
    for start in range(0, len(data), chunk):
        log.write(data[start : start + chunk], stderr=False)
    log.close()
    kept = b"".join(path.read_bytes() for path in output_files(tmp_path))
    assert kept == data[:100] + data[250:]
    assert log.dropped_bytes == 150


def test_stderr_keeps_how_it_began_and_how_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_log, "STDERR_HEAD_BYTES", 10)
    monkeypatch.setattr(output_log, "STDERR_TAIL_BYTES", 20)
    log = OutputLog(tmp_path)
    for line in range(100):
        log.write(b"%04d\n" % line, stderr=True)
    log.close()
    assert (tmp_path / "stderr.log").read_bytes() == b"0000\n0001\n0096\n0097\n0098\n0099\n"


def test_a_full_disk_costs_the_output_alone(tmp_path: Path) -> None:
    log = OutputLog(tmp_path)
    with open("/dev/full", "wb", buffering=0) as full:
        log._files._file = full  # the one way to a full disk that needs no mount
        log.write(b"lost", stderr=True)
        log.close()
    assert log.failure is not None and log.failure.errno == 28
    assert log.dropped_bytes == 4
    assert log.stderr() == b"lost"


def test_what_a_target_puts_in_the_way_is_neither_followed_nor_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_log, "HEAD_BYTES", 10)
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    run = tmp_path / "run"
    run.mkdir()
    os.mkfifo(run / "output.tail.0")
    (run / "output.tail.1").symlink_to(victim)
    (run / "stderr.log").symlink_to(victim)
    log = OutputLog(run)
    log.write(b"0123456789 and more", stderr=True)
    log.write(b"and more", stderr=True)
    log.close()
    assert (run / "output.log").read_bytes() == b"0123456789"
    assert victim.read_text() == "untouched"
    assert log.dropped_bytes == len(b" and more" + b"and more")


def test_nobody_waits_for_a_disk_that_does_not_answer(tmp_path: Path) -> None:
    log = OutputLog(tmp_path)
    reader, writer = os.pipe()
    line = b"x" * (1 << 20)
    with open(writer, "wb", buffering=0) as hung:  # it takes 64 KiB, and no more until it is read
        log._files._file = hung
        for _ in range(12):
            log.write(line, stderr=False)
        written = log.write_file(tmp_path / "small", b"small")
        assert not written.done.is_set()
        assert log.new_refused_bytes() == 0
        log.close(0.0)
        kept = 0
        while kept < output_log.WAITING_BYTES:
            kept += len(os.read(reader, 1 << 16))
        assert log.closed.wait(20)
    os.close(reader)
    assert log.new_refused_bytes() == log.dropped_bytes == 12 * len(line) - kept
    assert (tmp_path / "small").read_bytes() == b"small"
