"""The wheel holds the three packages with what they need at run time, and nothing with a generic name."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = {"memtui", "memtui_profiler", "memtui_parsers"}
DATA = {"memtui/demo/rpc_server.cpp", *(f"{package}/py.typed" for package in PACKAGES)}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    # Built by the installed hatchling, not in an environment that pip would have to download.
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("memtui-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_top_level_is_the_three_packages(names: set[str]) -> None:
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES


def test_data_files_are_there(names: set[str]) -> None:
    assert names >= DATA


def test_every_file_of_the_sources_is_there(names: set[str], repository: Path) -> None:
    """Modules, style sheets, the demo's source and its recording alike."""
    sources = {
        str(path.relative_to(repository / root))
        for root in ("tui", "parsers", "profiler")
        for path in (repository / root).glob("*/**/*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == sources


def test_licence_and_entry_point_are_there(names: set[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert any(name.endswith(".dist-info/entry_points.txt") for name in names)
