"""The viewer on a real pseudo-terminal: how it starts, and how it ends when it is not the user who ends it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fixtures.sessions import storyboard
from tests.fixtures.waiting import until

ROOT = Path(__file__).parents[3]
PROGRAM = (
    "import sys; from pathlib import Path; from memtui.viewer.app import MemtuiApp; MemtuiApp(Path(sys.argv[1])).run()"
)


@dataclass
class Screen:
    pid: int
    master: int
    shown: bytearray = field(default_factory=bytearray)
    status: int | None = None

    def read(self) -> None:
        while select.select([self.master], [], [], 0)[0]:
            try:
                data = os.read(self.master, 1 << 16)
            except OSError:
                return
            if not data:
                return
            self.shown += data

    def shows(self, text: bytes) -> None:
        def seen() -> bool:
            self.read()
            return text in self.shown

        until(seen, f"{text!r} on the screen")

    def ended(self, *, reading: bool = True) -> int:
        def gone() -> bool:
            if reading:
                self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            return pid != 0

        until(gone, "the viewer ends", deadline_s=15)
        assert self.status is not None
        return self.status


def environment() -> dict[str, str]:
    path = os.pathsep.join(str(ROOT / part) for part in ("tui", "parsers", "profiler"))
    variables = {**os.environ, "PYTHONPATH": path, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    variables.pop("NO_COLOR", None)
    return variables


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    folder = storyboard(tmp_path)
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.execve(sys.executable, [sys.executable, "-c", PROGRAM, str(folder)], environment())
    started = Screen(pid, master)
    yield started
    if started.status is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        os.close(master)


def test_q_ends_a_recorded_session_and_gives_the_terminal_back(screen: Screen) -> None:
    screen.shows(b"open_session")
    os.write(screen.master, b"q")
    assert screen.ended() == 0
    assert b"\x1b[?1049l" in screen.shown
    assert b"Traceback" not in screen.shown


def test_sigterm_detaches_and_gives_the_terminal_back(screen: Screen) -> None:
    screen.shows(b"open_session")
    os.kill(screen.pid, signal.SIGTERM)
    assert screen.ended() == 0
    assert b"\x1b[?1049l" in screen.shown


def test_a_hangup_ends_the_viewer(screen: Screen) -> None:
    screen.shows(b"open_session")
    os.close(screen.master)
    assert screen.ended(reading=False) == 0


def test_a_terminal_that_is_gone_without_a_signal_is_noticed(tmp_path: Path) -> None:
    folder = storyboard(tmp_path)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    # A terminal that is not the controlling one: its end sends no SIGHUP.
    viewer = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(),
        start_new_session=True,
    )
    os.close(slave)
    try:
        Screen(viewer.pid, master).shows(b"open_session")
        os.close(master)
        assert viewer.wait(15) == 0
    finally:
        viewer.kill()
        viewer.wait()


def test_sigterm_ends_it_even_when_nobody_reads_the_terminal(screen: Screen) -> None:
    screen.shows(b"open_session")
    # Keys make it draw more than the terminal's buffer and Textual's queue take, and nobody reads.
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not select.select([], [screen.master], [], 0)[1]:
            break
        try:
            os.set_blocking(screen.master, False)
            os.write(screen.master, b"1435" * 50)
        except BlockingIOError:
            break
    os.kill(screen.pid, signal.SIGTERM)
    assert screen.ended(reading=False) == 0
