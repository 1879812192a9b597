"""CPU until the first painted frame: memtui and its recorder against an empty Textual application, in the same run.

DESIGN: the viewer at most 1.8 times, with the recorder at most 2.5 times. Medians of alternating rounds.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from memtui_profiler.sampling import ProcessSampler
from memtui_profiler.session import folders
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import Run
from tests.fixtures.tmux import Terminal
from tests.fixtures.waiting import until

ROUNDS = 7
EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("painted")
Empty().run()
"""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def cpu_s(pid: int) -> float:
    return ProcessSampler(pid).cpu_s()


def empty_round() -> float:
    with Terminal(120, 40) as terminal:
        terminal.start(sys.executable, "-c", EMPTY)
        terminal.wait_for("painted")
        return cpu_s(terminal.pid)


def memtui_round() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as state, Terminal(120, 40, environment={"XDG_STATE_HOME": state}) as terminal:
        terminal.memtui("--release-rate", "1", "sleep", "60")
        terminal.wait_for("▲now")
        viewer = cpu_s(terminal.pid)
        folder = folders.sessions(Path(state) / "memtui" / "sessions")[0].path
        reader = SessionReader(folder / "session.db")
        run = until(lambda: reader.rows(Run), "the run is recorded")[0]
        recorder = int(reader.meta()["recorder_pid"])
        reader.close()
        spent = cpu_s(recorder)
        for pid in (recorder, run.pid):
            os.kill(pid, 9)
        return viewer, spent


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
