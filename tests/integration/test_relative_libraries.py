"""Libraries that a program has loaded by relative paths: their frames have the lines that liblsan itself would print."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.command_line import run_memtui

_LIBRARY = """
#include <stdlib.h>
__attribute__((noinline)) void *NAME(int size) {
    void *block = malloc(size);
    return block;
}
"""
_PROGRAM = """
#include <dlfcn.h>
void *linked(int);
int main(void) {
    for (int i = 0; i < 10; i++) linked(100);
    void *plugin = dlopen("./plugins/libplugin.so", RTLD_NOW);
    if (!plugin) return 9;
    void *(*loaded)(int) = (void *(*)(int))dlsym(plugin, "loaded");
    for (int i = 0; i < 5; i++) loaded(33);
    return 0;
}
"""
_STEP = re.compile(r"#\d+ 0x[0-9a-f]+ in (linked|loaded) (\S+):(\d+)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that names one library as ./liblinked.so, one that has it from a relative rpath; both open a plugin."""
    folder = tmp_path_factory.mktemp("relative")
    (folder / "plugins").mkdir()
    for name, library in (("linked", "liblinked.so"), ("loaded", "plugins/libplugin.so")):
        source = folder / f"{name}.c"
        source.write_text(_LIBRARY.replace("NAME", name))
        _gcc(folder, "-shared", "-fPIC", str(source), "-o", library)
    program = folder / "program.c"
    program.write_text(_PROGRAM)
    _gcc(folder, str(program), "./liblinked.so", "-ldl", "-o", "by_path")
    _gcc(folder, str(program), "-L.", "-llinked", "-ldl", "-Wl,-rpath,.", "-o", "by_rpath")
    return folder


def _gcc(folder: Path, *words: str) -> None:
    subprocess.run(["gcc", "-g", "-O1", *words], cwd=folder, check=True)


def liblsans_own(folder: Path, program: str, options: str = "") -> str:
    environment = {**os.environ, "LD_PRELOAD": "liblsan.so.0", "LSAN_OPTIONS": options}
    ran = subprocess.run([f"./{program}"], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return ran.stderr


def places(document: dict) -> dict[str, tuple[str, int, int]]:  # type: ignore[type-arg]
    """File, line and bytes of each leak by the function at the end of its stack."""
    first = [(leak["stack"][0], leak["bytes"]) for leak in document["leaks"]]
    return {frame["function"]: (os.path.basename(frame["file"]), frame["line"], size) for frame, size in first}


@pytest.mark.parametrize("program", ["by_path", "by_rpath"])
def test_a_check_has_the_lines_of_liblsan(program: str, folder: Path, tmp_path: Path) -> None:
    own = {
        function: (os.path.basename(file), int(line))
        for function, file, line in _STEP.findall(liblsans_own(folder, program))
    }
    assert set(own) == {"linked", "loaded"}
    words = ["check", "--check", "lsan", "--format", "json", "--cwd", str(folder), f"./{program}"]
    result = run_memtui(tmp_path, words)
    found = places(json.loads(result.stdout))
    assert {function: place[:2] for function, place in found.items()} == own
    assert (found["linked"][2], found["loaded"][2]) == (1000, 165)


def test_a_log_by_itself_is_named_by_the_files_beside_it_and_that_is_said(folder: Path, tmp_path: Path) -> None:
    log = folder / "lsan.log"
    log.write_text(liblsans_own(folder, "by_rpath", "symbolize=0"))
    text = run_memtui(tmp_path, ["open", "--plain", str(log)]).stdout
    if "BuildId" in log.read_text():
        assert "note: " not in text  # newer sanitizers say which build it was
    else:
        assert "note: all names are from files of this machine: the report has no build-id to compare" in text
    assert re.search(r"in 10 objects \(direct, .*\): linked$", text, re.MULTILINE)
    assert re.search(r"in 5 objects \(direct, .*\): loaded$", text, re.MULTILINE)


def test_only_names_from_files_of_this_machine_are_marked(folder: Path, tmp_path: Path) -> None:
    """A log that names some frames itself, and not those of a library."""
    log = folder / "mixed.log"
    whole = liblsans_own(folder, "by_path", "symbolize=0")
    library = re.compile(r"(#\d+ 0x[0-9a-f]+ +)\((\S*by_path)\+0x[0-9a-f]+\).*")
    mixed = library.sub(r"\1in work /build/work.c:7", whole)
    if library.search(whole) is None:  # the unwinder went no further than the library
        mixed = re.sub(r"(?m)^( +)#1 (.*)$", r"\1#1 \2\n\1#2 0x123456 in work /build/work.c:7", whole)
    log.write_text(re.sub(r" \(BuildId: [0-9a-f]+\)", "", mixed))
    text = run_memtui(tmp_path, ["open", "--plain", str(log)]).stdout
    assert "note: names marked unchecked are from " in text
    assert re.search(r"^ +linked \(unchecked\)  \S+linked\.c:4$", text, re.MULTILINE)
    assert re.search(r"^ +work  /build/work\.c:7$", text, re.MULTILINE)


def test_a_library_that_is_nowhere_stays_as_the_report_has_it(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "elsewhere.log"
    log.write_text(liblsans_own(folder, "by_path", "symbolize=0").replace(str(folder), "/no/such/folder"))
    text = run_memtui(tmp_path, ["open", "--plain", str(log)]).stdout
    assert re.search(r"^ +liblinked\.so\+0x[0-9a-f]+$", text, re.MULTILINE) and "unchecked" not in text
