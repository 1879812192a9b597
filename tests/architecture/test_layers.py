"""Layers point down only: asked of import-linter, and of running interpreters."""

from __future__ import annotations

import ast
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOTS = ("tui", "parsers", "profiler")
HELP_CPU_S = 0.1


def modules_under(root: Path) -> list[str]:
    """The dotted name of every module in a source root."""
    files = sorted(path.relative_to(root) for path in root.glob("*/**/*.py"))
    return [".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files]


def run_python(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(repository / root) for root in ROOTS)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def loaded_by(repository: Path, statements: str) -> set[str]:
    """The top-level packages in sys.modules after ``statements``, in an interpreter of their own."""
    show = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.__stderr__)"
    ended = run_python(repository, "-c", f"{statements}\n{show}")
    assert ended.returncode == 0, ended.stderr
    return set(ended.stderr.splitlines()[-1].split())


def test_import_linter_keeps_the_contracts(repository: Path) -> None:
    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=repository, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("root", ["parsers", "profiler"])
def test_lower_layers_load_no_textual(root: str, repository: Path) -> None:
    modules = modules_under(repository / root)
    assert len(modules) > 5
    loaded = loaded_by(repository, "\n".join(f"import {module}" for module in modules))
    assert not loaded & {"textual", "rich", "memtui"}
    if root == "parsers":
        assert not loaded & {"memtui_profiler", "psutil", "sqlite3"}


def test_only_the_viewer_imports_textual_and_rich(repository: Path) -> None:
    """Also not inside functions: commands import the viewer, never what draws it."""
    package = repository / "tui" / "memtui"
    files = [path for path in package.rglob("*.py") if path.relative_to(package).parts[0] != "viewer"]
    assert len(files) > 50
    importers = {
        str(path.relative_to(package))
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in _imported(node)
        if name.partition(".")[0] in ("textual", "rich")
    }
    assert not importers


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def test_help_loads_neither_textual_nor_what_is_slow(repository: Path) -> None:
    loaded = loaded_by(repository, "from memtui.cli import main\nassert main(['--help']) == 0")
    assert not loaded & {"textual", "rich", "psutil", "elftools", "sqlite3", "asyncio"}


def test_help_takes_a_tenth_of_a_second_of_cpu(repository: Path) -> None:
    """Best of several: another process on the same core makes a run slower, never faster."""

    def cpu_s() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = run_python(repository, "-m", "memtui", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert ended.returncode == 0 and "memtui check" in ended.stdout
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu_s() for _ in range(7)) <= HELP_CPU_S


@pytest.mark.parametrize("root", ROOTS)
def test_every_module_imports_by_itself_in_any_order(root: str, repository: Path) -> None:
    modules = [module for module in modules_under(repository / root) if not module.endswith("__main__")]
    ended = run_python(repository, "-W", "error", "-c", "\n".join(f"import {module}" for module in reversed(modules)))
    assert ended.returncode == 0, ended.stderr
