from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from memtui_profiler.launch.doctor import Finding, asking_finding, diagnose_machine
from tests.fixtures.gperftools import library, version
from tests.fixtures.leaky import build
from tests.fixtures.tcmalloc_variants import program

PATH = {"PATH": "/bin:/usr/bin"}


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


@pytest.mark.heap_checker
def test_this_machine_can_do_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = by_name(diagnose_machine())
    assert found.keys() >= {
        "Python",
        "kernel",
        "/proc",
        "ptrace",
        "asking",
        "memory limit",
        "sessions",
        "tcmalloc",
        "heap checker",
    }
    assert found["tcmalloc"].detail == f"tcmalloc {version()}, {library('libtcmalloc.so.4')}"
    assert str(tmp_path) in found["sessions"].detail
    for finding in found.values():
        assert finding.ok, finding
        assert finding.remedy == ""
    assert not (tmp_path / "memtui").exists()


def test_a_folder_that_cannot_be_written_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/etc/passwd")
    found = by_name(diagnose_machine())["sessions"]
    assert not found.ok and found.detail == "/etc/passwd cannot be written"
    assert found.remedy == "set XDG_STATE_HOME to a folder that can be written"


def test_a_missing_compiler_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = by_name(diagnose_machine())["C++ compiler"]
    assert not found.ok and found.remedy.startswith("apt-get install g++")


@pytest.mark.heap_checker
def test_a_program_that_can_be_checked(tmp_path: Path) -> None:
    found = by_name(diagnose_machine(str(program("basic")), environment=PATH, cwd=str(tmp_path)))
    assert found["program"] == Finding("program", True, str(program("basic")))
    assert found["allocator"].detail == f"tcmalloc {version()} preloaded"
    assert found["heap check"].ok and found["release rate"].ok and found["source lines"].ok
    assert "libraries" not in found


def test_a_program_that_cannot() -> None:
    found = by_name(diagnose_machine(str(program("static")), environment=PATH, cwd="/"))
    assert not found["heap check"].ok and "statically linked" in found["heap check"].detail
    assert found["heap check"].remedy == "link it dynamically"
    assert not found["release rate"].ok
    assert not found["--check memcheck"].ok and "would see no block" in found["--check memcheck"].detail
    assert found["--check growth"].ok, "nothing of the program is in its way"
    assert found["instead"] == Finding("instead", True, "--check growth works here: what grows, by stack")


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_what_to_use_instead() -> None:
    minimal = by_name(diagnose_machine(str(program("linked_minimal")), environment=PATH, cwd="/"))
    assert minimal["instead"] == Finding("instead", True, "--check memcheck works here, 20 to 50 times slower")
    asan = by_name(diagnose_machine(str(program("asan")), environment=PATH, cwd="/"))
    assert asan["instead"] == Finding("instead", True, "--check lsan works here")
    assert "instead" not in by_name(diagnose_machine(str(program("basic")), environment=PATH, cwd="/"))


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    found = by_name(diagnose_machine("./none", environment=PATH, cwd=str(tmp_path)))
    assert found["program"] == Finding(
        "program", False, f"cannot run {tmp_path}/none: it does not exist", "check the path"
    )
    assert "heap check" not in found


def test_debug_information_is_looked_for_where_the_symbols_come_from() -> None:
    separate = by_name(diagnose_machine(str(build("separate_debug").path), environment=PATH, cwd="/"))["source lines"]
    assert separate.ok and separate.detail == f"from {build('separate_debug').folder}/.debug/separate_debug.debug"
    stripped = by_name(diagnose_machine(str(build("stripped").path), environment=PATH, cwd="/"))["source lines"]
    assert not stripped.ok and stripped.detail == "no debug information: only exported functions are named"


def test_missing_libraries_are_named(tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.write_bytes(build("shared_library").path.read_bytes())
    moved.chmod(0o755)
    found = by_name(diagnose_machine(str(moved), environment=PATH, cwd="/"))["libraries"]
    assert not found.ok and found.detail == "not found: libleaky.so"
    assert subprocess.run([moved], capture_output=True).returncode == 127
    beside = {**PATH, "LD_LIBRARY_PATH": str(build("shared_library").folder)}
    assert "libraries" not in by_name(diagnose_machine(str(moved), environment=beside, cwd="/"))


def test_a_script_is_told_with_its_interpreter() -> None:
    script = build("script").path
    found = by_name(diagnose_machine(str(script), environment=PATH, cwd="/"))
    assert found["program"].detail.startswith(f"{script}, run by /bin/")
    assert found["note"].ok and "a script" in found["note"].detail


@pytest.mark.parametrize(
    ("scope", "capabilities", "ok", "words"),
    [
        ("0", "0", True, "your own processes"),
        ("1", "0", True, "that memtui starts"),
        ("2", "0", False, "Yama's scope is 2"),
        ("3", "0", False, "Yama's scope is 3"),
        ("1", f"{1 << 19:x}", True, "any process"),
    ],
)
def test_who_may_be_asked(scope: str, capabilities: str, ok: bool, words: str, tmp_path: Path) -> None:
    yama, status = tmp_path / "proc/sys/kernel/yama/ptrace_scope", tmp_path / "proc/self/status"
    for path in (yama, status):
        path.parent.mkdir(parents=True)
    yama.write_text(scope)
    status.write_text(f"CapEff:\t{capabilities}\n")
    found = asking_finding(tmp_path, machine="x86-64")
    assert found.ok is ok
    assert words in found.detail
    assert bool(found.remedy) is not ok


def test_other_machines_cannot_be_asked_yet(tmp_path: Path) -> None:
    found = asking_finding(tmp_path, machine="aarch64")
    assert not found.ok
    assert "aarch64" in found.detail
