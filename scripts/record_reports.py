"""Records tests/fixtures/reports/ anew: what valgrind, LeakSanitizer, pprof and heaptrack really write of programs built to leak.

Run it by hand, on a machine that has them all (apt: g++, valgrind, liblsan0, libasan8, golang-go, heaptrack, google-perftools):
python scripts/record_reports.py. What it could not record is said, and stays as it was.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "tests" / "fixtures" / "reports"
# The folder is part of what is recorded, so it is the same on each machine.
WORK = Path("/tmp/memtui-reports")
NEW, SOURCES, LEAKY = WORK / "new", WORK / "sources", WORK / "leaky"

LSAN = "/usr/lib/x86_64-linux-gnu/liblsan.so.0"
TCMALLOC = "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4"
FULL = ("--leak-check=full", "--show-leak-kinds=all", "--num-callers=40", "--track-origins=yes", "--demangle=no")


def run(*command: str, cwd: Path = WORK, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
    )


def built(source: Path, *flags: str, name: str = "") -> str:
    program = WORK / (name or source.stem)
    compiler = "gcc" if source.suffix == ".c" else "g++"
    subprocess.run([compiler, "-g", str(source), "-o", str(program), "-pthread", *flags], check=True)
    return f"./{program.name}"


def valgrind() -> None:
    """Protocol 4: newer ones need a newer valgrind (memcheck-protocol6.* are of 3.27, on losses.c with "checks")."""
    faults = built(SOURCES / "faults.cpp", "-O0")

    def record(name: str, *words: str) -> None:
        run("valgrind", "--xml=yes", f"--xml-file={NEW}/{name}.xml", *words)

    record("memcheck-faults", *FULL, faults)
    (NEW / "memcheck-faults.txt").write_text(run("valgrind", *FULL, faults).stderr)
    record("memcheck-defaults", faults)
    record("memcheck-inlined", *FULL, built(LEAKY / "inlined.cpp", "-O2"))
    record("memcheck-recursion", *FULL, built(LEAKY / "deep.cpp", "-O1"))
    record("memcheck-client-checks", "--gen-suppressions=all", *FULL, built(SOURCES / "client_checks.cpp", "-O0"))
    record("memcheck-segfault", *FULL, built(SOURCES / "segfault.c", "-O0"))
    record("memcheck-arguments", *FULL, built(SOURCES / "chain.cpp", "-O1"), "\x1b[31mred\x07", "<&>", "\u00e4")
    (WORK / "chain.supp").write_text("{\n   known\n   Memcheck:Leak\n   ...\n   fun:_Z10known_leakv\n}\n")
    record("memcheck-suppressed", *FULL, f"--suppressions={WORK}/chain.supp", "./chain")
    killed = subprocess.Popen(
        ["valgrind", *FULL, "--xml=yes", f"--xml-file={NEW}/memcheck-killed.xml", "sleep", "60"], cwd=WORK
    )
    deadline = time.monotonic() + 30
    while "RUNNING" not in _text(NEW / "memcheck-killed.xml") and time.monotonic() < deadline:
        time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()


def profilers_of_valgrind() -> None:
    losses = built(SOURCES / "losses.c", "-O0")
    run("valgrind", "--tool=massif", f"--massif-out-file={NEW}/massif.out", losses)
    run("valgrind", "--tool=dhat", f"--dhat-out-file={NEW}/dhat.json", losses)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def sanitizers() -> None:
    inlined, chain = built(LEAKY / "inlined.cpp", "-O2", "-fno-omit-frame-pointer"), built(SOURCES / "chain.cpp", "-O1")
    asan = built(SOURCES / "chain.cpp", "-O1", "-fsanitize=address", name="chain_asan")
    faults = built(SOURCES / "faults.cpp", "-O0", "-fsanitize=address", name="faults_asan")
    stripped = built(SOURCES / "chain.cpp", "-O1", "-s", name="chain_stripped")
    (WORK / "known.supp").write_text("leak:known_leak\n")
    (WORK / "all.supp").write_text("leak:*\n")

    def record(name: str, *command: str, **environment: str) -> None:
        (NEW / f"{name}.log").write_text(run(*command, **environment).stderr)

    record("lsan-names", inlined, LD_PRELOAD=LSAN)
    record("lsan-offsets", inlined, LD_PRELOAD=LSAN, LSAN_OPTIONS="symbolize=0")
    record("lsan-stripped", stripped, LD_PRELOAD=LSAN)
    record("lsan-live", chain, "ask", LD_PRELOAD=LSAN, LSAN_OPTIONS="suppressions=known.supp")
    none = built(LEAKY / "no_leak.cpp", "-O1")
    record("lsan-none", none, LD_PRELOAD=LSAN, LSAN_OPTIONS="log_threads=1")
    record("lsan-all-suppressed", chain, LD_PRELOAD=LSAN, LSAN_OPTIONS="suppressions=all.supp")
    record("asan-leaks", asan)
    record("asan-colours", asan, ASAN_OPTIONS="color=always")
    record("asan-largest", asan, LSAN_OPTIONS="max_leaks=1:report_objects=1")
    record("asan-fault", faults)
    record("asan-not-first", asan, LD_PRELOAD=TCMALLOC)
    record("lsan-traced", "strace", "-f", "-o", "/dev/null", asan)


def profiles() -> None:
    go = WORK / "go"
    go.mkdir(exist_ok=True)
    (go / "main.go").write_text((SOURCES / "heap.go").read_text())
    (go / "go.mod").write_text("module leaky\n\ngo 1.19\n")
    subprocess.run(["go", "build", "-o", "leaky", "."], cwd=go, check=True)
    subprocess.run(["./leaky", str(NEW / "pprof-go.pb.gz")], cwd=go, check=True)
    raw = run("go", "tool", "pprof", "-raw", str(NEW / "pprof-go.pb.gz")).stdout
    (NEW / "pprof-go.txt").write_text(raw)
    templates = built(LEAKY / "templates.cpp", "-O1")
    run(templates, LD_PRELOAD=TCMALLOC, HEAPPROFILE=f"{WORK}/templates")
    (NEW / "pprof-native.heap").write_bytes((WORK / "templates.0001.heap").read_bytes())
    proto = f"-output={NEW}/pprof-native.pb.gz"
    run("go", "tool", "pprof", "-proto", "-symbolize=none", proto, templates, "templates.0001.heap")


def heaptrack() -> None:
    run("heaptrack", "-o", "chain.heaptrack", built(SOURCES / "chain.cpp", "-O1"))
    (recording,) = WORK.glob("chain.heaptrack.*")
    printed = run(
        "heaptrack_print",
        "-f",
        str(recording),
        "-F",
        str(NEW / "heaptrack-leaked.txt"),
        "--flamegraph-cost-type",
        "leaked",
    )
    (NEW / "heaptrack-summary.txt").write_text(printed.stdout[printed.stdout.index("total runtime") :])


def main() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(OUT / "sources", SOURCES)
    shutil.copytree(ROOT / "tests" / "fixtures" / "leaky", LEAKY)
    NEW.mkdir()
    try:
        for record in (valgrind, profilers_of_valgrind, sanitizers, profiles, heaptrack):
            attempt(record)
        shutil.copytree(NEW, OUT, dirs_exist_ok=True)
    finally:
        shutil.rmtree(WORK)


def attempt(record: Callable[[], None]) -> None:
    try:
        record()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"not recorded: {record.__name__}: {error}\n")


if __name__ == "__main__":
    main()
