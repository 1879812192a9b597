"""scripts/setup.sh: nothing to do means nothing done; what it cannot do it says in one sentence.

Run in a copy of the tree, with a PATH that holds stand-ins for what would change the machine.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ORDINARY = ("bash", "env", "cat", "cut", "dirname", "grep", "sha256sum", "uname")


@dataclass
class Machine:
    tree: Path
    commands: Path

    def command(self, name: str, script: str) -> None:
        path = self.commands / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def have(self, *names: str) -> None:
        for name in names:
            self.command(name, "exit 0")

    def make_environment_ready(self, purpose: str) -> None:
        """What an earlier set-up leaves behind."""
        pyproject = (self.tree / "pyproject.toml").read_bytes()
        folder = self.tree / ".venv"
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").symlink_to(sys.executable)
        fingerprint = hashlib.sha256(pyproject + f"{self.tree}\n".encode()).hexdigest()
        (folder / f".ready-for-{purpose}").write_text(f"{fingerprint}\n")

    def setup(self, purpose: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "scripts/setup.sh", purpose],
            cwd=self.tree, env={"PATH": str(self.commands)}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False, start_new_session=True,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path, repository: Path) -> Machine:
    """An ordinary user on Debian, without sudo, a compiler or an environment."""
    tree, commands = tmp_path / "tree", tmp_path / "bin"
    commands.mkdir()
    (tree / "scripts").mkdir(parents=True)
    shutil.copy(repository / "pyproject.toml", tree)
    shutil.copy(repository / "scripts" / "setup.sh", tree / "scripts")
    for name in ORDINARY:
        found = shutil.which(name)
        assert found is not None
        (commands / name).symlink_to(found)
    machine = Machine(tree.resolve(), commands)
    machine.command("id", "echo 1000")
    machine.command("apt-get", f"echo apt-get >>{tmp_path}/changes; exit 100")
    machine.command("python3", f'exec {sys.executable} "$@"')
    return machine


@pytest.mark.parametrize(("made_for", "wanted_for"), [("demo", "demo"), ("test", "demo")])
def test_a_machine_that_is_ready_is_left_alone(
    machine: Machine, made_for: str, wanted_for: str, tmp_path: Path
) -> None:
    machine.have("g++", "sudo")
    machine.make_environment_ready(made_for)
    before = sorted(machine.tree.rglob("*"))
    # No network, no package manager: whatever it reached for would be missing or recorded.
    ended = machine.setup(wanted_for)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert sorted(machine.tree.rglob("*")) == before
    assert not (tmp_path / "changes").exists()


def test_a_changed_project_makes_the_environment_anew(machine: Machine) -> None:
    machine.have("g++")
    machine.make_environment_ready("demo")
    (machine.tree / ".venv/bin/python").unlink()
    (machine.tree / ".venv/bin/python").symlink_to(machine.commands / "failing")
    machine.command("failing", 'case "$*" in *install*) exit 1;; esac')
    with (machine.tree / "pyproject.toml").open("a") as project:
        project.write("\n")
    ended = machine.setup("demo")
    assert ended.returncode == 3
    assert "could not install the Python packages" in ended.stderr


def test_nobody_can_become_root(machine: Machine, tmp_path: Path) -> None:
    machine.make_environment_ready("demo")
    ended = machine.setup("demo")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == (
        "memtui setup: needs g++, and cannot become root: run apt-get install g++ as root, then make demo again\n"
    )
    assert not (tmp_path / "changes").exists()


def test_sudo_that_would_ask_for_a_password_nobody_types(machine: Machine) -> None:
    machine.command("sudo", "exit 1")
    machine.make_environment_ready("demo")
    assert "cannot become root" in machine.setup("demo").stderr


def test_root_installs_exactly_what_is_missing(machine: Machine, tmp_path: Path) -> None:
    machine.command("id", "echo 0")
    machine.command("apt-get", f'echo "$@" >>{tmp_path}/changes; echo for people')
    machine.make_environment_ready("test")
    machine.have(
        "curl",
        "objcopy",
        "file",
        "google-pprof",
        "go",
        "heaptrack_print",
        "jeprof",
        "ld.gold",
        "llvm-symbolizer",
        "pgrep",
        "shellcheck",
        "valgrind",
    )
    machine.have("mariadbd", "memcached", "musl-gcc", "nginx", "node", "perf", "redis-server", "rustc")
    ended = machine.setup("test")
    assert (ended.returncode, ended.stdout) == (0, "")
    installed = (tmp_path / "changes").read_text().splitlines()[-1].split()
    assert installed[-2:] == ["g++", "tmux"]


def test_another_distribution_is_told_which_packages(machine: Machine) -> None:
    (machine.commands / "apt-get").unlink()
    machine.make_environment_ready("demo")
    ended = machine.setup("demo")
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert "what Debian calls g++" in ended.stderr


def test_python_without_ensurepip_or_none_at_all(machine: Machine) -> None:
    machine.have("g++")
    machine.command("python3", 'case "$*" in *ensurepip*) exit 1;; esac')
    assert "needs python3-venv," in machine.setup("demo").stderr
    (machine.commands / "python3").unlink()
    assert "needs python3 python3-venv," in machine.setup("demo").stderr


def test_wrong_purpose(machine: Machine) -> None:
    assert machine.setup("everything").returncode == 3
