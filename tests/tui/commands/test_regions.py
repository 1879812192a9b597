"""memtui regions, and which process the words of a command mean, on real processes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from memtui.commands.which_process import the_process
from memtui_profiler.errors import EXIT_USAGE, UserError
from tests.fixtures import mapped_memory
from tests.fixtures.command_line import run_memtui
from tests.fixtures.mapped_memory import holding, mapped_program


def run_regions(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_memtui(home, ["regions", *words])


def test_a_table_and_the_same_in_json(tmp_path: Path) -> None:
    with holding("memfd") as pid:
        table = run_regions(tmp_path, str(pid))
        told = json.loads(run_regions(tmp_path, "--format", "json", str(pid)).stdout)
    assert table.returncode == 0 and table.stderr == ""
    lines = table.stdout.splitlines()
    assert lines[0] == f"pid {pid}  {mapped_program()} memfd"
    assert lines[3].split()[:3] == ["REGION", "RSS", "SHARE"]
    assert lines[4].startswith("shared memory /memfd:cache of ours") and "24.0 MiB" in lines[4]
    assert lines[-1].split()[:1] == ["RSS"]
    assert (told["schema"], told["pid"], told["threads"], told["seconds"]) == ("memtui-regions/1", pid, 1, None)
    first = told["regions"][0]
    assert (first["kind"], first["name"]) == ("shared", "/memfd:cache of ours")
    assert first["rss_bytes"] == mapped_memory.SHARED_BYTES
    assert told["total"]["rss_bytes"] == sum(region["rss_bytes"] for region in told["regions"])


def test_growth_between_two_looks(tmp_path: Path) -> None:
    with holding("growing") as pid:
        told = json.loads(run_regions(tmp_path, "--for", "1", "--format", "json", str(pid)).stdout)
        table = run_regions(tmp_path, "--for", "1", str(pid)).stdout
    stacks = next(region for region in told["regions"] if region["kind"] == "thread-stacks")
    assert told["seconds"] >= 1 and stacks["change_bytes"] >= mapped_memory.TOUCHED_BYTES
    assert abs(told["total"]["change_bytes"] - stacks["change_bytes"]) < 1 << 20
    assert re.search(r"SHARE +IN \d+ s", table) and any(
        line.startswith("thread stacks") and " +" in line for line in table.splitlines()
    )


def test_what_cannot_be_looked_at_is_refused(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    refused = run_regions(tmp_path, str(ended.pid))
    assert refused.returncode == 3 and "there is no such process" in refused.stderr and refused.stdout == ""
    assert run_regions(tmp_path).returncode == 2


@pytest.fixture
def namesake(tmp_path: Path) -> Iterator[Path]:
    """A program with a name that no other process has."""
    program = tmp_path / "memtui-namesake"
    shutil.copy("/bin/sleep", program)
    yield program


def test_a_name_that_one_process_has_means_that(namesake: Path) -> None:
    with subprocess.Popen([namesake, "60"]) as one:
        try:
            assert the_process([str(one.pid)], "attach") == one.pid
            assert the_process([namesake.name], "attach") == one.pid
        finally:
            one.kill()


@pytest.mark.parametrize("name", ["memtui-namesake", "memtui-namesak"])
def test_a_name_of_several_lists_them(namesake: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        both = [stack.enter_context(subprocess.Popen([namesake, words])) for words in ("61", "62")]
        try:
            with pytest.raises(UserError) as refused:
                the_process([name], "attach")
        finally:
            for one in both:
                one.kill()
    listed = capsys.readouterr().err.splitlines()
    assert listed[0].split() == ["PID", "RSS", "COMMAND"]
    for one, words in zip(both, ("61", "62"), strict=True):
        row = next(line for line in listed if line.split()[0] == str(one.pid))
        assert row.endswith(f"{namesake} {words}") and ("KiB" in row or "MiB" in row)
    assert refused.value.exit_code == EXIT_USAGE
    assert "give the pid of one, for example memtui attach " in refused.value.todo


def test_two_processes_are_listed_and_none_is_taken(namesake: Path, tmp_path: Path) -> None:
    with subprocess.Popen([namesake, "60"]) as one:
        try:
            refused = run_memtui(tmp_path, ["attach", "--plain", str(one.pid), "1"])
        finally:
            one.kill()
    assert refused.returncode == EXIT_USAGE
    assert any(line.split()[0] == str(one.pid) and line.endswith("60") for line in refused.stderr.splitlines())
    assert "it takes one process at a time, 2 are given" in refused.stderr


def test_a_name_that_nobody_has(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="no process is called so"):
        the_process(["no such name in the world"], "attach")
    assert capsys.readouterr().err == ""


def test_a_hostile_name_is_listed_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "memtui-evil"
    shutil.copy("/bin/sleep", program)
    with ExitStack() as stack:
        both = [stack.enter_context(subprocess.Popen(["\x1b[2Jevil", "60"], executable=program)) for _ in range(2)]
        try:
            with pytest.raises(UserError):
                the_process([program.name], "regions")
        finally:
            for one in both:
                one.kill()
    assert "\x1b" not in capsys.readouterr().err
