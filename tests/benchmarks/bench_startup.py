"""CPU until the first painted frame: memtui and its recorder against an empty Textual application, in the same run.

Aim: the viewer at most 1.8 times, with the recorder at most 2.5 times. Medians of alternating rounds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import statistics
import struct
import sys
import tempfile
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from memtui_profiler.session import folders
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Run
from tests.fixtures.waiting import until

ROUNDS = 15
EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("painted")
Empty().run()
"""


def cpu_s(pid: int) -> float:
    """CPU seconds of all threads, to the nanosecond: /proc/PID/stat counts in hundredths."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def until_painted(argv: Sequence[str], mark: bytes, environment: Mapping[str, str]) -> tuple[float, int]:
    """CPU seconds that ``argv`` has used when ``mark`` reaches its terminal, and its pid: it runs on."""
    pid, master = pty.fork()
    if pid == 0:
        os.execve(argv[0], list(argv), {**os.environ, "TERM": "xterm-256color", **environment})
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    shown = b""
    while mark not in shown:
        shown += os.read(master, 1 << 16)
    spent = cpu_s(pid)
    threading.Thread(target=drain, args=(master,), daemon=True).start()
    return spent, pid


def drain(master: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(master, 1 << 16):
            pass


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def empty_round() -> float:
    spent, pid = until_painted([sys.executable, "-c", EMPTY], b"painted", {})
    end(pid)
    return spent


def memtui_round() -> tuple[float, float]:
    """CPU seconds of the viewer, and of the recorder at the same moment."""
    with tempfile.TemporaryDirectory() as state:
        argv = [sys.executable, "-m", "memtui", "--release-rate", "1", "sleep", "60"]
        spent, pid = until_painted(argv, "▲now".encode(), {"XDG_STATE_HOME": state, "LANG": "C.UTF-8"})
        folder = folders.sessions(Path(state) / "memtui" / "sessions")[0].path
        reader = SessionReader(folder / "session.db")
        recorder = int(until(lambda: reader.meta().get("recorder_pid"), "the recorder's first commit"))
        recording = cpu_s(recorder)
        run = until(lambda: reader.rows(Run), "the run is recorded")[0]
        reader.close()
        end(pid)
        for other in (recorder, run.pid):
            os.kill(other, signal.SIGKILL)
        return spent, recording


def main() -> int:
    empty, viewer, recorder = [], [], []
    for _ in range(ROUNDS):
        empty.append(empty_round())
        one, other = memtui_round()
        viewer.append(one)
        recorder.append(other)
    base, ours, theirs = (statistics.median(figures) for figures in (empty, viewer, recorder))
    say(f"an empty Textual application  {base:.3f} s CPU")
    say(f"memtui's viewer               {ours:.3f} s CPU, {ours / base:.2f} times (at most 1.8)")
    say(f"with the recorder             {ours + theirs:.3f} s CPU, {(ours + theirs) / base:.2f} times (at most 2.5)")
    return int(ours > 1.8 * base or ours + theirs > 2.5 * base)


if __name__ == "__main__":
    raise SystemExit(main())
