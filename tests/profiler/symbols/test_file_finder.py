"""What a user has collected in a folder, ``open --sysroot``: found there by path or by name, and of the right build only."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from memtui_profiler.symbols.file_finder import FileFinder
from memtui_profiler.symbols.source_lines import source_lines
from tests.profiler.symbols.test_symbolize import build, build_id, calls, lines, run

NAMED = {0: [3, 8], 1: [12]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.mark.parametrize("place", ["srv/app/server", "server"])
@pytest.mark.parametrize("known", [True, False])
def test_a_file_is_found_by_its_path_or_by_its_name_alone(root: Path, place: str, known: bool) -> None:
    path = build((root / place).parent, "-g", "-O1", "-Wl,--build-id=sha1")
    found = FileFinder(root, moved=True).open("/srv/app/server", build_id(path) if known else "")
    with found.stream:
        assert (found.local_path, found.path, found.root, found.other_builds) == (
            str(root / place),
            f"/{place}",
            root,
            (),
        )
    symbols, source, notes = run(path, calls(path), sysroot=root, moved=True, module_path="/srv/app/server (deleted)")
    assert lines(symbols) == NAMED and source and notes == []


def test_links_lead_to_what_is_in_the_folder(root: Path) -> None:
    path = build(root / "opt/v2", "-g", "-O1")
    (root / "srv").symlink_to("/opt/v2")
    symbols, _, notes = run(path, calls(path), sysroot=root, moved=True, module_path="/srv/server")
    assert lines(symbols) == NAMED and notes == []


@pytest.mark.parametrize("place", ["usr/lib/debug/.build-id/{}/{}.debug", "server.debug", ".debug/server.debug"])
def test_a_debug_file_is_collected_beside_the_binary(root: Path, place: str) -> None:
    path = build(root, "-g", "-O1", "-Wl,--build-id=sha1")
    offsets, identity = calls(path), build_id(path)
    debug = root / place.format(identity[:2], identity[2:])
    debug.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["objcopy", "--only-keep-debug", path, debug], check=True)
    subprocess.run(["objcopy", "--strip-all", f"--add-gnu-debuglink={debug}", path], check=True)
    symbols, _, notes = run(path, offsets, sysroot=root, moved=True, module_path="/srv/app/server")
    assert lines(symbols) == NAMED and notes == []


def test_the_debug_file_that_this_machine_has_of_that_build_does(root: Path, tmp_path: Path) -> None:
    here = build(tmp_path / "here", "-g", "-O1", "-Wl,--build-id=sha1")
    offsets = calls(here)
    shutil.copytree(here.parent, root / str(here.parent).lstrip("/"))
    stripped = root / str(here).lstrip("/")
    subprocess.run(["objcopy", "--only-keep-debug", here, f"{here}.debug"], check=True)
    subprocess.run(["objcopy", "--strip-all", f"--add-gnu-debuglink={here}.debug", stripped], check=True)
    symbols, _, notes = run(stripped, offsets, sysroot=root, moved=True, module_path=str(here))
    assert lines(symbols) == NAMED and notes == []


def test_the_build_decides_between_two_of_that_name(root: Path) -> None:
    wrong = build(root / "srv", "-O2", "-Wl,--build-id=sha1")
    path = build(root, "-g", "-O1", "-Wl,--build-id=sha1")
    symbols, _, notes = run(path, calls(path), sysroot=root, moved=True, module_path="/srv/server")
    assert lines(symbols) == NAMED
    assert notes == [f"{wrong} (build-id {build_id(wrong)[:12]}) is not the server that ran, which is {path}"]


def test_what_is_not_there_is_taken_from_its_own_path_only_as_the_same_build(root: Path, tmp_path: Path) -> None:
    path = build(tmp_path, "-g", "-O1", "-Wl,--build-id=sha1")
    offsets = calls(path)
    assert lines(run(path, offsets, sysroot=root, moved=True)[0]) == NAMED
    missing = [f"no names from server: not found under {root}"]
    for identity in ("", "00" * 20):
        assert run(path, offsets, sysroot=root, moved=True, known_build_id=identity) == ([], [], missing)
    # The recorder's sysroot is a container's root: what is not in it did not run.
    assert run(path, offsets, sysroot=root)[0] == []


def test_another_build_is_refused_with_both_ids(root: Path) -> None:
    path = build(root, "-g", "-Wl,--build-id=sha1")
    offsets, before = calls(path), build_id(path)
    build(root, "-g", "-O2", "-Wl,--build-id=sha1")
    for known in (before, "ab"):
        symbols, _, notes = run(
            path, offsets, sysroot=root, moved=True, module_path="/srv/server", known_build_id=known
        )
        why = f"{path} is another build (build-id {build_id(path)[:12]}, what ran had {known[:12]})"
        assert symbols == [] and notes == [f"no names from server: {why}"]


@pytest.mark.parametrize("strange", ["fifo", "folder", "empty", "loop", "text", "closed"])
def test_what_is_no_binary_is_said(root: Path, strange: str) -> None:
    path = build(root.parent, "-g")
    if strange == "fifo":
        os.mkfifo(root / "server")
    elif strange == "folder":
        (root / "server").mkdir()
    elif strange == "loop":
        (root / "server").symlink_to("server")
    elif strange == "closed":
        (root / "server").write_text("x")
        (root / "server").chmod(0)
    else:
        (root / "server").write_text("" if strange == "empty" else "no ELF file at all")
    symbols, _, (note,) = run(path, calls(path), sysroot=root, moved=True, module_path="/srv/server", known_build_id="")
    assert symbols == [] and note.startswith("no names from server: ") and "not found" not in note


def test_sources_come_from_the_folder_first_then_from_this_machine(root: Path, tmp_path: Path) -> None:
    file_finder = FileFinder(root, moved=True)
    code = tmp_path / "src/a.cpp"
    code.parent.mkdir()

    def line() -> str:
        return next((row.text for row in source_lines({str(code): {1}}, {str(code): {"/srv/app"}}, file_finder)), "")

    assert line() == ""
    for place, text in ((code, "here"), (root / "a.cpp", "flat"), (root / "srv/app/a.cpp", "beside the binary")):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        assert line() == text
    inside = root / str(code).lstrip("/")
    inside.parent.mkdir(parents=True)
    inside.write_text("at its path")
    assert line() == "at its path"
