"""How findings look; what they are is tests/profiler's."""

from __future__ import annotations

from pathlib import Path

from memtui.commands.doctor import finding_lines
from memtui_profiler.launch.doctor import Finding
from tests.fixtures.command_line import run_memtui

FINDINGS = [
    Finding("kernel", True, "6.1"),
    Finding("heap checker", False, "none\x1b[31m", "apt-get install libgoogle-perftools4"),
]


def test_aligned_with_the_remedy_below() -> None:
    assert list(finding_lines(FINDINGS, ascii=False)) == [
        "✓ kernel        6.1",
        "✗ heap checker  none",
        "                → apt-get install libgoogle-perftools4",
    ]


def test_what_holds_for_several_is_said_once() -> None:
    same = [Finding(name, False, "a Go program", "use Go's profiler") for name in ("lsan", "profile")]
    lines = list(finding_lines([*same, Finding("rate", False, "a Go program", "none"), *same[:1]], ascii=True))
    assert lines == [
        "-- lsan     a Go program",
        "-- profile  for the same reason",
        "            > use Go's profiler",
        "-- rate     for the same reason",
        "            > none",
        "-- lsan     for the same reason",
        "            > use Go's profiler",
    ]


def test_in_ascii() -> None:
    lines = list(finding_lines(FINDINGS, ascii=True))
    assert lines[0] == "ok kernel        6.1"
    assert lines[1] == "-- heap checker  none"
    assert lines[2] == "                 > apt-get install libgoogle-perftools4"


def test_on_this_machine(tmp_path: Path) -> None:
    result = run_memtui(tmp_path, ["doctor", "sh"], extra={"LC_ALL": "C"})
    assert result.returncode == 0 and result.stdout.isascii() and result.stderr == ""
    assert "tcmalloc" in result.stdout and "program" in result.stdout


def test_a_program_that_is_missing_is_a_finding(tmp_path: Path) -> None:
    result = run_memtui(tmp_path, ["doctor", "./nowhere"])
    assert result.returncode == 0 and "nowhere" in result.stdout
