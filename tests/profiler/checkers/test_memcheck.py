"""What stands in memcheck's way, and what it means how valgrind ends."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from memtui_profiler.actions import Action
from memtui_profiler.checkers.base import Libraries
from memtui_profiler.checkers.ending import Ended, Output
from memtui_profiler.checkers.memcheck import obstacle
from memtui_profiler.launch.preflight import NO_LIBRARY
from memtui_profiler.run.active_run import conclude
from memtui_profiler.target.program import resolve_target
from memtui_profiler.target.program_facts import look_at
from memtui_profiler.target.tcmalloc_library import AUTO
from tests.fixtures.command_line import run_memtui
from tests.fixtures.tcmalloc_variants import library_without_checker, program

ENDED = Ended(
    pid=10,
    mode="memcheck",
    exit_code=1,
    signal=None,
    oom_killed=False,
    stopped_by_memtui=False,
    stderr=b"",
    follow_children=False,
)
# As valgrind 3.27 wrote it on Debian unstable without libc6-dbg, shortened.
NO_SYMBOLS = b"""
valgrind:  Fatal error at startup: a function redirection
valgrind:  which is mandatory for this platform-tool combination
valgrind:  cannot be set up.  Details of the redirection are:
valgrind:  \nvalgrind:  A must-be-redirected function
valgrind:  whose name matches the pattern:      memcmp
valgrind:  in an object with soname matching:   ld-linux-x86-64.so.2
"""
GLIBC_TOO_OLD = (
    b"./a: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by ./a)\n"
    b"./a: /lib/x86_64-linux-gnu/libm.so.6: version `GLIBC_2.38' not found (required by ./a)\n"
)
MUSL = b"Error loading shared library libgone.so.1: No such file or directory (needed by ./a)\n"
GLIBC = b"./a: error while loading shared libraries: libgone.so.1: cannot open shared object file: No such file or directory\n"


def test_a_tcmalloc_under_which_valgrind_never_ends_is_refused_before() -> None:
    basic = resolve_target((str(program("basic")),), "/", None)
    libraries = Libraries(NO_LIBRARY, (), AUTO)
    refused = obstacle(look_at(basic, {"LD_PRELOAD": str(library_without_checker())}), libraries)
    assert refused is not None and "tcmalloc 2.17" in refused.reason and "never ends" in refused.reason
    assert obstacle(look_at(basic, {}), libraries) is None


def test_missing_debug_symbols_of_the_c_library_are_named(tmp_path: Path) -> None:
    cut = tmp_path / "memcheck.10.xml"
    cut.write_text("<valgrindoutput>\n")
    for outputs in ((Output(cut, 10),), ()):
        conclusion = conclude(replace(ENDED, stderr=NO_SYMBOLS, outputs=outputs))
        assert not conclusion.sources and conclusion.action is Action.SHOW_OUTPUT
        assert "apt-get install libc6-dbg" in conclusion.no_report


@pytest.mark.parametrize("mode", ["memcheck", "lsan", "normal"])
@pytest.mark.parametrize(
    ("stderr", "code", "words"),
    [
        (GLIBC, 127, "package that has libgone.so.1"),
        (
            b"==10== \nERROR: ld.so: object 'x' from LD_PRELOAD cannot be preloaded: ignored.\n" + GLIBC,
            127,
            "libgone.so.1",
        ),
        (MUSL, 127, "package that has libgone.so.1"),
        (GLIBC_TOO_OLD, 1, "libc.so.6 has no GLIBC_2.38"),
    ],
)
def test_a_program_that_the_loader_refused_was_not_checked(
    tmp_path: Path, mode: str, stderr: bytes, code: int, words: str
) -> None:
    whole = tmp_path / "memcheck.10.xml"
    whole.write_text("<valgrindoutput>\n</valgrindoutput>\n")
    ended = replace(ENDED, mode=mode, exit_code=code, stderr=stderr, outputs=(Output(whole, 10),))
    conclusion = conclude(ended)
    assert not conclusion.sources and words in conclusion.no_report
    # What a program says of another one, or a shell of what it starts, is no refusal of itself.
    for other in (
        replace(ended, stderr=b"starting\n" + stderr),
        replace(ended, script=True),
        replace(ended, exit_code=0),
    ):
        assert "loader" not in conclude(other).no_report


def test_debug_information_that_leads_out_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    binary = tmp_path / "odd"
    subprocess.run(["gcc", "-g", str(tmp_path / "a.c"), "-o", str(binary)], check=True)
    data = bytearray(binary.read_bytes())
    _move_section(data, b".debug_abbrev", len(data) - 2, 2)
    binary.write_bytes(data)
    done = run_memtui(tmp_path, ["check", "--check", "memcheck", str(binary)])
    if subprocess.run(["valgrind", "-q", binary], capture_output=True, check=False).returncode == 0:
        assert done.returncode == 0, "this valgrind takes it"
        return
    assert done.returncode == 3 and "debug information of" in done.stderr and "strip --strip-debug" in done.stderr
    assert "no leaks" not in done.stdout + done.stderr


def test_split_dwarf_keeps_its_inlined_calls(tmp_path: Path) -> None:
    """valgrind opens no .dwo file, and gives the inlined call's line to the function around it."""
    (tmp_path / "a.c").write_text(
        "#include <stdlib.h>\n"
        "static inline __attribute__((always_inline)) void *make(int size) { return malloc(size); }\n"
        "__attribute__((noinline)) void lose(int size) { void *volatile block = make(size); block = 0; }\n"
        "int main(void) { lose(1000); lose(24); return 0; }\n"
    )
    # valgrind 3.19 gives up at split DWARF 5.
    subprocess.run(["gcc", "-gdwarf-4", "-gsplit-dwarf", "-O2", "a.c", "-o", "a"], cwd=tmp_path, check=True)
    done = run_memtui(tmp_path, ["check", "--check", "memcheck", "--format", "json", str(tmp_path / "a")])
    report = json.loads(done.stdout)
    assert report["total"]["bytes"] == 1024
    for leak in report["leaks"]:
        calls = [(frame["function"], frame["line"], frame["inlined"]) for frame in leak["stack"]]
        assert calls == [("make", 2, True), ("lose", 3, False), ("main", 4, False)]


def test_a_library_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "gone.c").write_text("int gone(void) { return 0; }\n")
    (tmp_path / "a.c").write_text("int gone(void);\nint main(void) { return gone(); }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "gone.c", "-o", "libgone.so"], cwd=tmp_path, check=True)
    subprocess.run(["gcc", "a.c", "-L.", "-lgone", "-o", "a"], cwd=tmp_path, check=True)
    os.unlink(tmp_path / "libgone.so")
    done = run_memtui(tmp_path, ["check", "--check", "memcheck", str(tmp_path / "a")])
    assert done.returncode == 3 and "Install the package that has libgone.so" in done.stderr


def _move_section(data: bytearray, name: bytes, offset: int, size: int) -> None:
    """Let the header of an ELF64 section say another place."""
    (headers,) = struct.unpack_from("<Q", data, 40)
    count, strings = struct.unpack_from("<HH", data, 60)
    (names,) = struct.unpack_from("<Q", data, headers + 64 * strings + 24)
    for at in range(headers, headers + 64 * count, 64):
        (word,) = struct.unpack_from("<I", data, at)
        if data[names + word :].split(b"\0", 1)[0] == name:
            struct.pack_into("<QQ", data, at + 24, offset, size)
            return
    raise AssertionError(name)
