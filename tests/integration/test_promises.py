"""What memtui says can work on a program does, and what it says cannot is not launched: the other checkers, on real programs.

The heap checker's own promises are kept in tests/profiler/test_preflight.py.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from memtui_profiler.launch.preflight import preflight
from memtui_profiler.target.program import resolve_target, this_machine
from memtui_profiler.target.tcmalloc_library import preloadable_libraries
from tests.fixtures.command_line import memtui_command, memtui_environment, run_memtui
from tests.fixtures.tcmalloc_variants import program

MODES = ("lsan", "memcheck", "profile")
PROMISED = {
    "basic": MODES,
    "linked": ("memcheck", "profile"),
    "linked_minimal": ("memcheck",),
    "built_in": ("memcheck",),
    "built_in_stripped": ("memcheck",),
    "built_in_profiler": ("memcheck", "profile"),
    "static": (),
    "static_pie": (),
    "static_tcmalloc": (),
    "asan": ("lsan",),
    "jemalloc": MODES,
}
# Of the 100 KB that `basic` leaks a stale pointer may hide some from LeakSanitizer.
LEAKED_BYTES = 95_000


@pytest.mark.parametrize("variant", PROMISED)
@pytest.mark.whole_dumps
def test_each_checker_finds_the_leaks_or_is_refused(variant: str, tmp_path: Path) -> None:
    path = program(variant)
    target = resolve_target((str(path),), "/", "/bin:/usr/bin")
    promised = preflight(target, mode="off", tcmalloc="auto", environment={}).checks
    assert promised & set(MODES) == set(PROMISED[variant])
    for mode in MODES:
        done = run_memtui(tmp_path, ["check", "--check", mode, "--format", "json", str(path)])
        if mode in promised:
            assert done.returncode == (0 if mode == "profile" else 1), (mode, done.stderr)
            assert json.loads(done.stdout)["total"]["bytes"] >= LEAKED_BYTES, mode
        else:
            assert done.returncode == 3, (mode, done.stdout)
            assert f"--check {mode} cannot work on" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root may hide a library from a process")
def test_on_a_machine_without_tcmalloc_lsan_is_what_is_used(tmp_path: Path) -> None:
    """`check` takes it by itself, and doctor says so."""
    libraries = {os.path.realpath(library.path) for library in preloadable_libraries(this_machine(), 64)}
    hide = "".join(f"mount --bind /dev/null {shlex.quote(path)} && " for path in sorted(libraries))

    def without(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["unshare", "--mount", "sh", "-c", f"{hide} exec {shlex.join(memtui_command(*words))}"]
        environment = memtui_environment(tmp_path)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    path = str(program("basic"))
    done = without("check", "--format", "json", path)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["checker"] == "lsan"
    said = " ".join(without("doctor", path).stdout.split())
    assert "✗ heap check no libtcmalloc is installed here → apt-get install libgoogle-perftools4" in said
    assert "✓ instead --check lsan works here" in said
    refused = without("check", "--check", "normal", path)
    assert refused.returncode == 3
    assert refused.stderr.rstrip().endswith("or --tcmalloc PATH; --check lsan works here")
