"""A library that memtui preloads must not break the program, nor have it blamed; how a program crashed is told as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memtui_profiler.target.program import this_machine
from memtui_profiler.target.tcmalloc_library import best_library, preloadable_libraries
from tests.fixtures.command_line import run_memtui

HANDLERS = """\
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
static void handler(int number) { (void)number; _Exit(9); }
static void nothing(int number) { (void)number; }
#ifdef BEFORE_MAIN
__attribute__((constructor))
#endif
static void begin(void) {
    %s
}
int main(void) {
#ifndef BEFORE_MAIN
    begin();
#endif
    void *volatile lost = malloc(777);
    lost = 0;
    return 0;
}
"""
IGNORED = "signal(SIGPIPE, SIG_IGN);"
INSTALLED = """struct sigaction action = {0};
    action.sa_handler = handler;
    if (sigaction(SIGTERM, &action, 0)) _Exit(7);"""
# LeakSanitizer itself may send or cause one of them (gcc 16): the handler goes on.
OF_ALL = "for (int n = 1; n < 32; n++) signal(n, nothing);"
CRASHING = """\
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
int main(int count, char **words) {
    void *volatile lost = malloc(777);
    lost = 0;
    const char *preloaded = getenv("LD_PRELOAD");
    if (count > 2 && (preloaded == 0 || strstr(preloaded, words[2]) == 0)) return 0;
    raise(atoi(words[1]));
    return 0;
}
"""
PYTHON = """\
import os, signal, subprocess, sys, threading
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
threads = [threading.Thread(target=sum, args=(range(1000),)) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert subprocess.run(["/bin/sh", "-c", "echo child"], capture_output=True).stdout == b"child\\n"
if (pid := os.fork()) == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
sys.exit(5)
"""


def compiled(folder: Path, text: str, *flags: str, compiler: str = "gcc") -> Path:
    source, program = folder / f"program.{'c' if compiler == 'gcc' else 'cpp'}", folder / "program"
    source.write_text(text)
    subprocess.run([compiler, "-g", "-w", str(source), *flags, "-o", str(program)], check=True)
    return program


@pytest.mark.parametrize("compiler", ["gcc", "g++"])
@pytest.mark.parametrize("begins_with", [IGNORED, INSTALLED, OF_ALL])
def test_a_program_that_begins_with_signal_handlers_is_checked_by_lsan(
    tmp_path: Path, begins_with: str, compiler: str
) -> None:
    flags = ["-DBEFORE_MAIN"] if begins_with == IGNORED else []
    program = compiled(tmp_path, HANDLERS % begins_with, *flags, compiler=compiler)
    result = run_memtui(tmp_path, ["check", "--check", "lsan", "--format", "json", str(program)])
    document = json.loads(result.stdout)
    assert (result.returncode, document["total"]["bytes"]) == (1, 777), result.stderr
    assert document["run"]["exit_code"] == 0


def test_python_with_handlers_threads_and_children_runs_under_lsan(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(PYTHON)
    result = run_memtui(tmp_path, ["check", "--check", "lsan", "--format", "json", sys.executable, str(script)])
    assert json.loads(result.stdout)["run"]["exit_code"] == 5, result.stderr


@pytest.mark.parametrize("flags", [[], ["-fsanitize=leak"], ["-fsanitize=address"]], ids=["plain", "leak", "address"])
def test_a_crash_under_a_sanitizer_is_a_crash(tmp_path: Path, flags: list[str]) -> None:
    program = compiled(tmp_path, CRASHING, *flags)
    for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL):
        result = run_memtui(tmp_path, ["check", "--check", "lsan", "--format", "json", str(program), str(int(number))])
        document = json.loads(result.stdout)
        assert (result.returncode, document["status"], document["run"]["signal"]) == (4, "not-run", number.name)


@pytest.mark.parametrize(
    ("mode", "library"), [("lsan", "lsan"), pytest.param("normal", "tcmalloc", marks=pytest.mark.heap_checker)]
)
def test_a_crash_under_a_preload_is_tried_once_without(tmp_path: Path, mode: str, library: str) -> None:
    program = compiled(tmp_path, CRASHING)
    check = ["check", "--check", mode, str(program), str(int(signal.SIGSEGV))]
    its_own = run_memtui(tmp_path, check)
    assert its_own.returncode == 4 and "when run again without" in its_own.stderr
    assert "mend the crash first" in its_own.stderr
    ours = run_memtui(tmp_path, [*check, library])
    assert ours.returncode == 4 and "the program is not to blame" in ours.stderr


def test_what_reads_a_pipe_is_not_run_again_and_nobody_is_blamed(tmp_path: Path) -> None:
    program = compiled(tmp_path, CRASHING)
    check = ["check", "--check", "lsan", str(program), str(int(signal.SIGSEGV))]
    read_end, write_end = os.pipe()
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        result = run_memtui(tmp_path, check, stdin=pipe.fileno())
    assert result.returncode == 4 and "again" not in result.stderr and "mend" not in result.stderr
    assert "preloaded by memtui" in result.stderr


OWN_FUNCTIONS = """\
#include <malloc.h>
#include <stdlib.h>
extern void *mallocx(size_t, int);
extern void dallocx(void *, int);
extern void *rallocx(void *, size_t, int);
int main(void) {
    void *block = mallocx(100, 0);
    if (malloc_usable_size(block) < 100) return 1;
    dallocx(block, 0);
    block = malloc(100);
    dallocx(block, 0);
    return rallocx == 0;
}
"""


def test_nothing_is_preloaded_into_a_program_that_calls_functions_of_its_allocator(tmp_path: Path) -> None:
    program = compiled(tmp_path, OWN_FUNCTIONS, "-l:libjemalloc.so.2")
    tcmalloc = best_library(preloadable_libraries(this_machine(), 64), need_checker=False)
    assert tcmalloc is not None
    broken = subprocess.run([program], env={"LD_PRELOAD": tcmalloc.path}, stderr=subprocess.DEVNULL, check=False)
    assert broken.returncode != 0  # as Redis 8 is
    for mode in ("normal", "profile", "lsan"):
        refused = run_memtui(tmp_path, ["check", "--check", mode, str(program)])
        assert refused.returncode == 3 and "it calls dallocx of jemalloc" in refused.stderr
    for words in ([], ["--tcmalloc", tcmalloc.path]):
        launched = run_memtui(tmp_path, ["--plain", *words, "--", str(program)])
        assert "check off, jemalloc" in launched.stdout and "exited with code 0" in launched.stdout


def test_functions_that_a_program_can_do_without_are_no_obstacle(tmp_path: Path) -> None:
    text = HANDLERS % "extern void *mallocx(size_t, int) __attribute__((weak)); if (mallocx) free(malloc(1));"
    program = compiled(tmp_path, text, "-Wl,--no-as-needed", "-l:libjemalloc.so.2")
    result = run_memtui(tmp_path, ["check", "--check", "lsan", "--format", "json", str(program)])
    assert (result.returncode, json.loads(result.stdout)["total"]["bytes"]) == (1, 777), result.stderr
