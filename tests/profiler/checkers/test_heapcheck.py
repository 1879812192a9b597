from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from memtui_profiler.checkers import all_modes, heapcheck, mode_names
from memtui_profiler.errors import EXIT_USAGE, UserError
from memtui_profiler.launch.plan import plan_launch, refuse_conflicts
from memtui_profiler.request import CHECK_OFF, LaunchRequest
from tests.fixtures.leaky import build
from tests.fixtures.tcmalloc_variants import program

LIBRARY = "/lib/x86_64-linux-gnu/libtcmalloc.so.4"
HEAPCHECK_MODES = tuple(mode.name for mode in heapcheck.MODES)

# Maps so much that the checker's list of mappings overflows a socket's buffer.
MANY_MAPPINGS = """
#include <stdlib.h>
#include <sys/mman.h>
static void *volatile kept;
int main(void) {
    for (int i = 0; i < 10; i++) kept = malloc(100);
    char *at = mmap(0, 20000 * 4096L, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 20000; i += 2) mprotect(at + i * 4096L, 4096, PROT_READ);
    return 0;
}
"""


def run(
    path: Path, folder: Path, user: Mapping[str, str], mode: str = "draconian"
) -> subprocess.CompletedProcess[bytes]:
    changed = heapcheck.environment(mode, folder, user)
    environment = {"PATH": "/bin:/usr/bin", "LD_PRELOAD": LIBRARY, **user, **changed}
    return subprocess.run([path], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)


def stacks(folder: Path) -> list[tuple[int, tuple[str, ...]]]:
    """Of the only dump in ``folder``: bytes and names of frames of the program itself, which lie at fixed addresses."""
    (dump,) = folder.glob("*.heap")
    entries = re.findall(r"^ *\d+: +(\d+) .*@(.*)$", dump.read_text().split("MAPPED")[0], re.MULTILINE)
    own = [(int(size), tuple(a for a in addresses.split() if int(a, 16) < 1 << 32)) for size, addresses in entries[1:]]
    return sorted(entry for entry in own if entry[1])


def test_the_environment_of_a_mode() -> None:
    for mode in HEAPCHECK_MODES:
        assert heapcheck.environment(mode, Path("/s/runs/1"), {}) == {
            "HEAPCHECK": mode,
            "HEAP_CHECK_DUMP_DIRECTORY": "/s/runs/1",
            "PPROF_PATH": heapcheck.NO_PPROF,
            "TCMALLOC_STACKTRACE_METHOD": "libgcc",
        }
    users = {"PPROF_PATH": "/my/pprof", "TCMALLOC_STACKTRACE_METHOD": "libunwind"}
    assert heapcheck.environment("normal", Path("/x"), users).keys() == {"HEAPCHECK", "HEAP_CHECK_DUMP_DIRECTORY"}


def test_off_sets_nothing(tmp_path: Path) -> None:
    request = LaunchRequest(("true",), "/")
    users = {"PATH": "/bin:/usr/bin", "HEAPCHECK": "normal"}
    plan = plan_launch(request, mode=CHECK_OFF, release_rate=None, dump_folder=tmp_path, inherited=users)
    assert "HEAPCHECK" not in plan.environment and "HEAPCHECK" not in plan.set_by_memtui


@pytest.mark.heap_checker
def test_a_target_of_many_mappings_is_reported_whole(tmp_path: Path) -> None:
    source = tmp_path / "many.c"
    source.write_text(MANY_MAPPINGS)
    path = tmp_path / "many"
    subprocess.run(["gcc", "-O1", source, "-o", path], check=True)
    folder = tmp_path / "run"
    folder.mkdir()
    ended = run(path, folder, {})
    assert ended.returncode == 1
    assert b"Exiting with error code" in ended.stderr
    (dump,) = folder.glob("*.heap")
    assert dump.read_text().count("r--p") > 9000
    # What NO_PPROF is for: a program that ends at once kills the target. Should this fail, the trouble is gone.
    assert run(path, tmp_path, {"PPROF_PATH": "/bin/true"}).returncode < 0


@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_the_faster_unwinder_sees_the_same_stacks(tmp_path: Path) -> None:
    path = build("threads", flags=("-no-pie", "-fno-pie")).path
    seen = []
    for method in ("libgcc", "libunwind"):
        folder = tmp_path / method
        folder.mkdir()
        assert run(path, folder, {"TCMALLOC_STACKTRACE_METHOD": method}).returncode == 1
        seen.append(stacks(folder))
    # The stacks and not their sizes: the checker now and then misses a block of a thread that is just ending.
    found, expected = ({addresses for _, addresses in stacks_seen} for stacks_seen in seen)
    assert found == expected
    assert any(len(addresses) > 1 for addresses in found)


@pytest.mark.heap_checker
def test_each_mode_is_known_to_the_library(tmp_path: Path) -> None:
    for mode in HEAPCHECK_MODES:
        ended = run(program("basic"), tmp_path, {}, mode)
        assert b"heap leak checker is active" in ended.stderr, mode
        assert ended.returncode == (0 if mode == "local" else 1), mode


@pytest.mark.heap_checker
def test_knobs_are_those_the_library_reads() -> None:
    text = Path(LIBRARY).read_bytes()
    for knob in heapcheck.KNOBS:
        read = knob.name.encode() + b"\0" in text
        said_to_be_unread = "nothing reads it" in knob.meaning or "does not read it" in knob.meaning
        assert read != said_to_be_unread, knob.name


def test_every_mode_has_its_words() -> None:
    assert tuple(mode.name for mode in all_modes()) == (CHECK_OFF, *mode_names())
    assert all(mode.summary and mode.detail and mode.brief[0] for mode in all_modes())
    assert all(len(line) <= 30 for mode in all_modes() for line in mode.brief)


@pytest.mark.parametrize(
    ("user", "mode", "rate", "named"),
    [
        ({"HEAPCHECK": "strict"}, CHECK_OFF, None, "HEAPCHECK"),
        ({"HEAPCHECK": "normal"}, "normal", None, "HEAPCHECK"),
        ({"HEAP_CHECK_DUMP_DIRECTORY": "/tmp"}, "local", None, "HEAP_CHECK_DUMP_DIRECTORY"),
        ({"TCMALLOC_RELEASE_RATE": "1"}, CHECK_OFF, 1.0, "TCMALLOC_RELEASE_RATE"),
    ],
)
def test_a_variable_that_an_option_sets_is_wrong_usage(
    user: dict[str, str], mode: str, rate: float | None, named: str
) -> None:
    with pytest.raises(UserError) as caught:
        refuse_conflicts(user, mode, rate)
    assert caught.value.exit_code == EXIT_USAGE
    assert caught.value.what == f"--env {named}"


def test_what_no_option_sets_is_no_conflict() -> None:
    refuse_conflicts({"HEAP_CHECK_DUMP_DIRECTORY": "/tmp", "TCMALLOC_RELEASE_RATE": "2"}, CHECK_OFF, None)
    refuse_conflicts({"PPROF_PATH": "/p", "LD_PRELOAD": "x.so", "HEAP_CHECK_MAX_LEAKS": "9"}, "as-is", 3.0)


def test_dumps_are_told_apart_by_pid(tmp_path: Path) -> None:
    names = [
        "prog.12._main_-end.heap",
        "prog.123._main_-end.heap",
        "prog.12.mine-end.heap",
        "odd.12.name.12._main_-end.heap",
        "prog.12._main_-end.heap.tmp",
        "output.log",
    ]
    for age, name in enumerate(names):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    (tmp_path / "dir.12._main_-end.heap").mkdir()
    (tmp_path / "link.12._main_-end.heap").symlink_to("/etc/passwd")
    assert [p.name for p in heapcheck.dumps(tmp_path, 12)] == [names[3], names[0]]
    assert heapcheck.dumps(tmp_path / "none", 12) == []


@pytest.mark.heap_checker
def test_a_childs_dump_is_not_its_parents(tmp_path: Path) -> None:
    changed = heapcheck.environment("draconian", tmp_path, {})
    environment = {"PATH": "/bin:/usr/bin", "LD_PRELOAD": LIBRARY, **changed}
    command = [str(build("forks").path), "exec", "leak"]
    parent = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parent.wait(60)
    (own,) = heapcheck.dumps(tmp_path, parent.pid)
    (childs,) = set(tmp_path.glob("*.heap")) - {own}
    assert heapcheck.dumps(tmp_path, int(childs.name.split(".")[-3])) == [childs]


def test_dumps_are_found_among_more_files_than_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may dump into /tmp: what others leave there must not hide its dump, which would mean no leaks."""
    for number in range(20):
        (tmp_path / f"other-{number}").write_text("x")
    dump = tmp_path / "prog.42._main_-end.heap"
    dump.write_text("x")
    monkeypatch.setattr("memtui_profiler.checkers.ending.MAX_FILES", 1)
    assert heapcheck.dumps(tmp_path, 42) == [dump]
