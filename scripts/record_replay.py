"""Records tui/memtui/demo/replay.db: the bundled server, launched and relaunched by a real recorder, as `memtui demo` shows it.

Run 1 at rate 1 keeps what its bursts freed; run 2 at 7.5 gives it back. Both are checked (draconian): run 2 is asked to release
what it keeps and is checked twice while it runs, and both end with a report.
What tells of the machine it was made on (host, paths of its user) is left out of the file.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from memtui.demo.build import build
from memtui_profiler.recorder.control import ControlClient, Reply
from memtui_profiler.recorder.start import start_recorder
from memtui_profiler.request import LaunchRequest
from memtui_profiler.session import folders
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import RunSettled
from memtui_profiler.session.writer import DATABASE

REPLAY = Path(__file__).resolve().parents[1] / "tui" / "memtui" / "demo" / "replay.db"
PLACE = "/usr/src/memtui-demo"
RUN_1_S, RUN_2_S = 18.0, 24.0
DEADLINE_S = 60.0


def main() -> int:
    with tempfile.TemporaryDirectory() as root:
        program = build(Path(root))
        folder = folders.create("rpc_server", root=Path(root))
        words = (str(program), "--storyboard")
        start_recorder(folder, LaunchRequest(argv=words, cwd=root, mode="draconian", release_rate=1.0))
        control = ControlClient(folder)
        ask(control, "watch")
        time.sleep(RUN_1_S)
        ask(control, "relaunch", mode="draconian", release_rate=7.5)
        time.sleep(RUN_2_S / 2)
        ask(control, "release")
        for _ in range(2):
            time.sleep(RUN_2_S / 4)
            ask(control, "check")
        ask(control, "stop")
        wait_settled(folder, run=2)
        control.close()
        deadline = time.monotonic() + DEADLINE_S
        while folders.is_live(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
        anonymous(folder / DATABASE, str(program.parent), root)
        shutil.copyfile(folder / DATABASE, REPLAY)
    sys.stdout.write(f"{REPLAY}: {REPLAY.stat().st_size // 1024} KiB\n")
    return 0


def ask(control: ControlClient, verb: str, **args: object) -> Reply:
    identifier = control.send(verb, **args)
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for reply in control.poll():
            if reply.id == identifier:
                if reply.error is not None:
                    raise reply.error
                return reply
        time.sleep(0.02)
    raise TimeoutError(verb)


def wait_settled(folder: Path, run: int) -> None:
    reader = SessionReader(folder / DATABASE)
    deadline = time.monotonic() + DEADLINE_S
    while not reader.rows_of(RunSettled, "run", run):
        if time.monotonic() > deadline:
            raise TimeoutError(f"run {run} did not settle")
        time.sleep(0.1)
    reader.close()


def anonymous(database: Path, built: str, root: str) -> None:
    """Put the paths of this machine in a place of no one's, and leave out its name and its user's variables."""
    with sqlite3.connect(database) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
                if kind == "TEXT":
                    for path in (built, root):
                        db.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (path, PLACE))
        db.execute("UPDATE meta SET value = 'demo' WHERE key = 'host'")
        db.execute("UPDATE run SET environment_names = '[]'")
    with sqlite3.connect(database) as db:
        db.execute("VACUUM")


if __name__ == "__main__":
    raise SystemExit(main())
