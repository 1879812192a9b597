"""``memtui open --sysroot`` over a dump of a real program whose binary and library have moved since, or been rebuilt."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.command_line import run_memtui
from tests.fixtures.leaky import SOURCES, planted_in
from tests.integration.test_leaky_programs import draconian

FLAGS = ("-std=c++17", "-g", "-O1", "-fno-omit-frame-pointer", "-Wl,--build-id=sha1")
# (bytes, objects) by file and line.
Sums = dict[tuple[str, int], tuple[int, int]]
OF_PROGRAM: Sums = {
    ("shared_library.cpp", leak.line): (leak.bytes, leak.objects) for leak in planted_in(SOURCES / "shared_library.cpp")
}
OF_LIBRARY: Sums = {
    ("library.cpp", leak.line): (leak.bytes, leak.objects) for leak in planted_in(SOURCES / "library.cpp")
}
PLANTED = {**OF_PROGRAM, **OF_LIBRARY}


@dataclass(frozen=True, slots=True)
class Moved:
    """``files`` were made and run in ``home``, which is gone: they are in ``kept`` now, and ``dump`` is of them."""

    home: Path
    kept: Path
    dump: Path


@pytest.fixture
def moved(tmp_path: Path) -> Moved:
    home, dumps = tmp_path / "build", tmp_path / "dumps"
    home.mkdir()
    dumps.mkdir()
    for name in ("leaky.h", "library.cpp", "shared_library.cpp"):
        shutil.copy(SOURCES / name, home)
    compile_library(home)
    link = ("./libleaky.so", "-Wl,-rpath,$ORIGIN")
    subprocess.run(["g++", *FLAGS, "shared_library.cpp", "-o", "server", *link], check=True, cwd=home)
    subprocess.run([str(home / "server")], env=draconian(dumps), capture_output=True, timeout=60, check=False)
    (dump,) = dumps.glob("*.heap")
    home.rename(tmp_path / "kept")
    return Moved(home, tmp_path / "kept", dump)


def compile_library(folder: Path) -> None:
    shared = ("-fPIC", "-shared", "-Wl,-soname,libleaky.so")
    subprocess.run(["g++", *FLAGS, *shared, "library.cpp", "-o", "libleaky.so"], check=True, cwd=folder)


def compile_anew(folder: Path) -> None:
    """The library with 16 KiB of code more, all of it before what leaks."""
    library = folder / "library.cpp"
    library.write_text('__asm__(".text\\n.skip 16384, 0x90");\n' + library.read_text())
    compile_library(folder)


def collected(moved: Moved, root: Path, *, flat: bool) -> Path:
    folder = root if flat else root / str(moved.home).lstrip("/")
    shutil.copytree(moved.kept, folder)
    return folder


def opened(home: Path, report: Path, *words: str) -> dict[str, Any]:
    result = run_memtui(home, ["open", "--plain", "--format", "json", *words, str(report)])
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def planted(document: dict[str, Any]) -> Sums:
    """Summed over the leaks that run through each planted line."""
    found: Sums = {}
    for leak in document["leaks"]:
        for place in {(Path(frame["file"] or "").name, frame["line"]) for frame in leak["stack"]} & PLANTED.keys():
            size, objects = found.get(place, (0, 0))
            found[place] = (size + leak["bytes"], objects + leak["objects"])
    return found


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_the_planted_lines_are_named_from_where_the_files_are_now(moved: Moved, tmp_path: Path, flat: bool) -> None:
    root = tmp_path / "root"
    collected(moved, root, flat=flat)
    without = opened(tmp_path, moved.dump)
    assert planted(without) == {} and "no names from libleaky.so: No such file or directory" in without["notes"]
    document = opened(tmp_path, moved.dump, "--sysroot", str(root))
    assert planted(document) == PLANTED
    assert document["total"] == without["total"]
    assert f"no names from libc.so.6: not found under {root}" in document["notes"]
    assert not any("libleaky" in note or "server" in note for note in document["notes"])
    text = run_memtui(tmp_path, ["open", "--plain", "--ascii", "--sysroot", "root", str(moved.dump)])
    assert text.returncode == 0, text.stderr
    assert "| char* entry = new char[640]; LOSE(entry);" in text.stdout
    # A leak's id is of names and not of places.
    moved.kept.rename(moved.home)
    at_home = opened(tmp_path, moved.dump)
    named = {leak["id"] for leak in at_home["leaks"] if planted({"leaks": [leak]})}
    assert named and named == {leak["id"] for leak in document["leaks"] if planted({"leaks": [leak]})}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_a_library_that_was_rebuilt_names_nothing(moved: Moved, tmp_path: Path, flat: bool) -> None:
    root = tmp_path / "root"
    folder = collected(moved, root, flat=flat)
    named = opened(tmp_path, moved.dump, "--sysroot", str(root))
    (ran,) = {
        f["build_id"] for leak in named["leaks"] for f in leak["stack"] if f["module"] == f"{moved.home}/libleaky.so"
    }
    compile_anew(folder)
    document = opened(tmp_path, moved.dump, "--sysroot", str(root))
    library = folder / "libleaky.so"
    why = f"{library} is another build: its code is not where the dump has it mapped"
    assert f"no names from libleaky.so: {why}" in document["notes"]
    assert planted(document) == OF_PROGRAM

    # At its own path, without a folder named, it is no more the one that ran.
    shutil.copytree(folder, moved.home)
    at_home = opened(tmp_path, moved.dump)
    assert planted(at_home) == OF_PROGRAM
    assert any(f"{moved.home}/libleaky.so is another build: its code is not where" in note for note in at_home["notes"])

    # A report that knows the build: of what it has no names for, both ids are said.
    for leak in named["leaks"]:
        for frame in leak["stack"]:
            frame.update(function=None, linkage_name=None, file=None, line=None)
    report = tmp_path / "named.json"
    report.write_text(json.dumps(named))
    again = opened(tmp_path, report, "--sysroot", str(root))
    (note,) = [note for note in again["notes"] if "libleaky" in note]
    here = build_id(library)
    assert here != ran
    assert (
        note == f"no names from libleaky.so: {library} is another build (build-id {here[:12]}, what ran had {ran[:12]})"
    )
    assert planted(again) == OF_PROGRAM


def build_id(path: Path) -> str:
    text = subprocess.run(["readelf", "-n", str(path)], capture_output=True, text=True, check=True).stdout
    return next(line.split()[-1] for line in text.splitlines() if "Build ID" in line)


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_two_dumps_are_compared_with_names_from_there(moved: Moved, tmp_path: Path) -> None:
    root = tmp_path / "root"
    collected(moved, root, flat=True)
    half = tmp_path / "half.heap"
    lines = moved.dump.read_text().splitlines(keepends=True)
    half.write_text("".join(line for line in lines if ":      640 [" not in line))
    words = ["open", "--plain", "--ascii", "--sysroot", str(root), str(half), str(moved.dump)]
    result = run_memtui(tmp_path, words)
    assert result.returncode == 0, result.stderr
    assert "cache::store(char const*)" in result.stdout and "| char* entry = new char[640]" in result.stdout
