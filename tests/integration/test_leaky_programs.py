"""The programs that other tests rely on leak what their markers say, by the word of gperftools itself and google-pprof."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.fixtures.gperftools import reference_pprof
from tests.fixtures.leaky import build

TCMALLOC = Path("/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4")

CHECKED = [
    "basic",
    "containers",
    "deep",
    "dwarf4",
    "flood",
    "inlined",
    "linked",
    "no_pie",
    "optimized",
    "pie",
    "separate_debug",
    "shared_library",
    "templates",
    "threads",
]


def draconian(dumps: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HEAPCHECK": "draconian",
        "HEAP_CHECK_DUMP_DIRECTORY": str(dumps),
        "LD_PRELOAD": str(TCMALLOC),
        "PPROF_PATH": "/bin/true",
        "TCMALLOC_STACKTRACE_METHOD": "libgcc",
    }


def run_draconian(program: Path, dumps: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(program), *arguments]
    return subprocess.run(command, env=draconian(dumps), capture_output=True, text=True, timeout=60, check=False)


def pprof_lines(program: Path, dump: Path, measure: str) -> Counter[str]:
    """What google-pprof says leaked from each FILE:LINE, callees included."""
    command = [reference_pprof(), "--text", "--lines", "--heapcheck", "--show_bytes", measure, str(program), str(dump)]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    lines: Counter[str] = Counter()
    for row in text.splitlines()[1:]:
        columns = row.split()
        lines[columns[-1]] += int(columns[3])
    return lines


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_google_pprof_names_every_planted_line(name: str, tmp_path: Path) -> None:
    program = build(name)
    assert run_draconian(program.path, tmp_path, *(["1"] if name == "flood" else [])).returncode == 1
    (dump,) = tmp_path.glob("*.heap")
    objects = pprof_lines(program.path, dump, "--inuse_objects")
    sizes = pprof_lines(program.path, dump, "--inuse_space")
    for leak in program.leaks:
        assert (objects[f"{leak.file}:{leak.line}"], sizes[f"{leak.file}:{leak.line}"]) == (leak.objects, leak.bytes)


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_plugin_leaks_whether_it_stays_loaded_or_not(tmp_path: Path) -> None:
    program = build("plugin")
    planted = sum(leak.objects for leak in program.leaks)
    for manner in ("unload", "keep"):
        dumps = tmp_path / manner
        dumps.mkdir()
        run_draconian(program.path, dumps, manner)
        (dump,) = dumps.glob("*.heap")
        text = dump.read_text()
        assert planted <= int(text.split(":")[1]) <= planted + 40
        assert ("libleaky.so" in text.partition("MAPPED_LIBRARIES")[2]) == (manner == "keep")


@pytest.mark.heap_checker
def test_no_leak_in_normal_mode_and_exit_code_kept(tmp_path: Path) -> None:
    environment = {**os.environ, "LD_PRELOAD": str(TCMALLOC), "HEAPCHECK": "normal", "PPROF_PATH": "/bin/true"}
    ended = subprocess.run(
        [str(build("no_leak").path), "7"], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 7
    assert "No leaks found" in ended.stderr


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_only_an_executed_child_is_checked(tmp_path: Path) -> None:
    program = build("forks")
    for manner, dumped in (("fork", 1), ("exec", 2)):
        dumps = tmp_path / manner
        dumps.mkdir()
        assert run_draconian(program.path, dumps, "leak", manner).returncode == 1
        assert len(list(dumps.glob("*.heap"))) == dumped
        assert sum(f" {700}] @" in line for dump in dumps.glob("*.heap") for line in dump.open()) == 12 * (dumped - 1)


@pytest.mark.parametrize(("number", "returncode"), [("9", -9), ("11", -11), ("15", -15)])
def test_death_by_a_signal_leaves_no_report(number: str, returncode: int, tmp_path: Path) -> None:
    ended = run_draconian(build("dies").path, tmp_path, number)
    assert ended.returncode == returncode
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("manner", "returncode", "dumped"), [("", -15, 0), ("clean", 1, 1)])
@pytest.mark.heap_checker
def test_server_reports_only_when_it_handles_sigterm(manner: str, returncode: int, dumped: int, tmp_path: Path) -> None:
    command = [str(build("server").path), manner]
    with subprocess.Popen(
        command, env=draconian(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith(b"ready ")
        server.terminate()
        assert server.wait(timeout=60) == returncode
    assert len(list(tmp_path.glob("*.heap"))) == dumped


@pytest.mark.heap_checker
def test_script_runs_the_program_beside_it(tmp_path: Path) -> None:
    program = build("script")
    assert program.path.read_bytes().startswith(b"#!/bin/sh")
    assert run_draconian(program.path, tmp_path).returncode == 1
    assert [dump.name.split(".")[0] for dump in tmp_path.glob("basic.*.heap")] == ["basic"]


def test_static_and_foreign_programs_are_what_they_claim(tmp_path: Path) -> None:
    assert run_draconian(build("static").path, tmp_path).returncode == 0
    assert not list(tmp_path.iterdir())
    assert build("setuid").path.stat().st_mode & 0o4000
    with pytest.raises(OSError, match="format"):
        subprocess.run([str(build("wrong_machine").path)], check=False)
