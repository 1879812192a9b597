"""Two snapshots that a real program's heap profiler wrote, compared: each change is of the line that made it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.fixtures.command_line import run_memtui
from tests.fixtures.leaky import build
from tests.integration.test_leaky_programs import TCMALLOC

# What the program's comments say. One call of session() may be a stack of its own where the compiler unrolls the loop.
CHANGES = {"session()": (400_000, 400), "cache()": (-500_000, -1), "retry()": (700, 10)}


def snapshots(folder: Path) -> list[Path]:
    program = build("snapshots", flags=("-ldl",)).path
    environment = {**os.environ, "HEAPPROFILE": str(folder / "p"), "LD_PRELOAD": str(TCMALLOC)}
    environment["TCMALLOC_STACKTRACE_METHOD"] = "libgcc"
    subprocess.run([str(program)], env=environment, capture_output=True, timeout=60, check=True)
    return sorted(folder.glob("p.*.heap"))[:2]


def test_what_has_come_and_gone_is_told_by_line(tmp_path: Path) -> None:
    older, newer = map(str, snapshots(tmp_path))
    result = run_memtui(tmp_path, ["open", "--format", "json", older, newer])
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    found: dict[str, tuple[int, int]] = {}
    for leak in document["leaks"]:
        name = next((frame["function"] for frame in leak["stack"] if frame["function"] in CHANGES), None)
        if name is not None:
            size, objects = found.get(name, (0, 0))
            found[name] = (size + leak["delta"]["bytes"], objects + leak["delta"]["objects"])
    assert found == CHANGES
    assert sum(leak["delta"]["bytes"] for leak in document["leaks"]) == document["delta"]["bytes"]
    back = json.loads(run_memtui(tmp_path, ["open", "--format", "json", newer, older]).stdout)
    assert back["delta"] == {name: -figure for name, figure in document["delta"].items()}


def test_the_text_names_source_and_state(tmp_path: Path) -> None:
    older, newer = map(str, snapshots(tmp_path))
    result = run_memtui(tmp_path, ["open", older, newer, "--ascii"])
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == "-97.0 KiB and +409 objects from p.0001.heap to p.0002.heap"
    assert "(in-use, gone): cache()" in result.stdout and "(in-use, new): retry()" in result.stdout
    assert "| return memset(malloc(500000), 1, 500000);" in result.stdout
