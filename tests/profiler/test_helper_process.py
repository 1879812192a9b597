"""memtui's own Python processes import nothing from the folder that they work in."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from memtui_profiler.collect.job import CollectorJob
from memtui_profiler.collect.request import CollectRequest
from memtui_profiler.helper_process import helper_command
from memtui_profiler.recorder.start import start_recorder
from memtui_profiler.request import LaunchRequest
from memtui_profiler.session import folders
from memtui_profiler.session.reader import SessionReader
from memtui_profiler.session.rows import ReportEnd, RunSettled
from tests.fixtures.leaky import build
from tests.fixtures.waiting import until

# What each helper process imports first, of memtui and of the standard library.
PLANTED = ("memtui", "memtui_profiler", "memtui_parsers", "json", "struct", "sqlite3", "selectors", "runpy")
PRODUCT = ("tui", "profiler", "parsers")


def plant(folder: Path) -> Path:
    """Put modules of these names into ``folder`` that create the file which is returned."""
    marker = folder / "planted-module-ran"
    for name in PLANTED:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"open({str(marker)!r}, 'w').close()\nraise SystemExit(77)\n")
    return marker


def test_a_planted_module_would_run_without_isolation(tmp_path: Path) -> None:
    marker = plant(tmp_path)
    command = [sys.executable, "-m", "memtui_profiler.collect.worker"]
    ended = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, check=False, timeout=60)
    assert (ended.returncode, marker.exists()) == (77, True)


def test_a_collector_ignores_modules_in_the_sessions_folder(tmp_path: Path) -> None:
    marker = plant(tmp_path)
    request = CollectRequest(1, "heapcheck", "normal", dump=str(tmp_path / "none.heap"))
    with (tmp_path / "collector.log").open("w+b") as log:
        job = CollectorJob(request, log.fileno())
        until(lambda: list(job.read()) or job.done, "the collector answers")
        job.close()
        assert (log.seek(0), log.read()) == (0, b"")
    assert not marker.exists()


@pytest.mark.heap_checker
def test_a_recorder_and_its_collectors_ignore_modules_in_the_sessions_folder(tmp_path: Path) -> None:
    program = build("basic").path
    folder = folders.create("basic", root=tmp_path)
    marker = plant(folder)
    start_recorder(folder, LaunchRequest(argv=(str(program),), cwd=str(folder), mode="draconian"))
    reader = until(lambda: SessionReader(folder / "session.db"), "the session can be read")
    until(lambda: reader.rows(RunSettled), "the run is settled", deadline_s=60)
    assert reader.rows(ReportEnd)
    reader.close()
    until(lambda: not folders.is_live(folder), "the recorder ends", deadline_s=60)
    assert not marker.exists()


def test_a_helper_gets_its_arguments_and_gives_its_exit_code() -> None:
    ended = subprocess.run(
        helper_command("memtui.cli", "memtui", "recorder"), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2 and "takes a session's folder" in ended.stderr


@pytest.mark.parametrize("root", PRODUCT)
def test_no_interpreter_is_started_without_isolation(root: str, repository: Path) -> None:
    """A list that names sys.executable has -I next to it."""
    for path in (repository / root).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.List) and "sys.executable" in map(ast.unparse, node.elts):
                assert "'-I'" in map(ast.unparse, node.elts), f"{path}:{node.lineno}"
