"""Functions, lines and inlined calls of 10,000 addresses: CPU seconds and memory beside native tools, and the same answers.

    python tests/benchmarks/bench_symbols.py [BINARY]

Without a BINARY one of two units is built (15 MB of DWARF, half a minute; `big_program.py FOLDER` makes one of 100 MB). The
kernel counts the CPU time of each side, and of the processes it starts, in a fork of its own: the least of three. Ours also
demangles, makes a report's rows, reads the source and fills the cache; "debug information alone" is what a symbolizer does.

Goals: functions and lines equal to llvm-symbolizer's in 99.9 %, chains in 99 %; at most its CPU, a tenth of it from the cache,
a third of its memory. On 99 MB the CPU is 1.7 times llvm-symbolizer's (the debug information alone: the same) and a fifth from
the cache.
"""

from __future__ import annotations

import gc
import json
import os
import posixpath
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "parsers"), str(ROOT / "profiler")]

ADDRESSES = 10_000
UNITS = 2
ROUNDS = 3

Call = tuple[str | None, str | None, int]
Answers = dict[int, list[Call]]
# A side does its work when it is called; reading what it answered is the benchmark's own.
Reading = Callable[[], Answers]
Side = Callable[[Path, list[int]], Reading]


def sample(path: Path) -> list[int]:
    from memtui_parsers.elf.image import read_image

    with path.open("rb") as stream:
        text = read_image(stream).section(".text")
    assert text is not None
    places = range(text.address, text.address + text.size)
    return sorted(random.Random(1).sample(places, min(ADDRESSES, len(places))))


def ours(path: Path, addresses: list[int]) -> Reading:
    """What a collector does with the frames of a report: from the cache where XDG_CACHE_HOME has one."""
    gc.disable()  # as collect_worker.py does
    from memtui_parsers.elf.facts import read_elf_facts
    from memtui_profiler.session.rows import LeakFrame, ModuleRow, Symbol
    from memtui_profiler.symbols.symbolize import symbolize

    with path.open("rb") as stream:
        build_id = read_elf_facts(stream).build_id
    module = ModuleRow(report=1, ordinal=0, path=str(path), build_id=build_id)
    # Frames hold return addresses: the byte before is what is looked up.
    frames = [LeakFrame(1, n, hex(a), 0, hex(a + 1)) for n, a in enumerate(addresses)]
    rows = list(symbolize(1, [module], frames))

    def read() -> Answers:
        found: dict[int, dict[int, Symbol]] = {}
        for row in rows:
            if isinstance(row, Symbol):
                found.setdefault(row.frame, {})[row.depth] = row
        return {
            addresses[frame]: [(r.linkage_name or r.function, r.file, r.line or 0) for _, r in sorted(rows.items())]
            for frame, rows in found.items()
        }

    return read


def without_cache(path: Path, addresses: list[int]) -> Reading:
    shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
    return ours(path, addresses)


def debug_information(path: Path, addresses: list[int]) -> Reading:
    """The reader alone: what llvm-symbolizer answers without demangling."""
    gc.disable()
    from memtui_parsers.dwarf.calls import find_calls
    from memtui_parsers.dwarf.sections import open_dwarf
    from memtui_parsers.elf.image import read_image
    from memtui_parsers.elf.symbols import read_functions

    with path.open("rb") as stream:
        image = read_image(stream)
        names = read_functions(stream, image).names_at(addresses)
        sections = open_dwarf(stream, image)
        assert sections is not None
        found = list(find_calls(sections, addresses, named=names.keys()))

    def read() -> Answers:
        answers: Answers = {}
        for address, calls in found:
            answers[address] = [(call.function, call.file, call.line) for call in calls]
            if address in names:
                answers[address][-1] = (names[address], *answers[address][-1][1:])
        return answers

    return read


def llvm(path: Path, addresses: list[int]) -> Reading:
    """Linkage names, which are what is compared, and so without the work of demangling, which ours does as well."""
    command = ["llvm-symbolizer", f"--obj={path}", "--inlines", "--functions=linkage", "--no-demangle"]
    output = _output(command, addresses)

    def read() -> Answers:
        answers: Answers = {}
        for address, block in zip(addresses, output.rstrip("\n").split("\n\n"), strict=True):
            words = block.split("\n")
            calls: list[Call] = []
            for function, place in zip(words[::2], words[1::2], strict=False):
                file, line, _ = place.rsplit(":", 2)
                known = file != "??" and (file, line) != ("crtstuff.c", "0")
                name = None if function == "??" else function
                calls.append((name, posixpath.normpath(file) if known else None, int(line)))
            answers[address] = calls
        return answers

    return read


def llvm_demangled(path: Path, addresses: list[int]) -> Reading:
    _output(["llvm-symbolizer", f"--obj={path}", "--inlines"], addresses)
    return dict


def addr2line(path: Path, addresses: list[int]) -> Reading:
    _output(["addr2line", "-i", "-f", "-C", "-a", "-e", str(path)], addresses)
    return dict


def pprof(path: Path, addresses: list[int]) -> Reading:
    """google-pprof symbolizes what a profile names; asked as the heap checker asks it, it takes the maps first."""
    with tempfile.NamedTemporaryFile("w", suffix=".heap") as profile:
        profile.write(
            f"heap profile: 1: 1 [ 1: 1] @ heapprofile\n     1:  1 [ 1: 1] @ {' '.join(map(hex, addresses))}\n"
        )
        profile.write(f"\nMAPPED_LIBRARIES:\n00000000-7fffffff r-xp 00000000 08:01 1 {path}\n")
        profile.flush()
        subprocess.run(["google-pprof", "--text", "--lines", path, profile.name], check=False, capture_output=True)
    return dict


def _output(command: list[str], addresses: list[int]) -> str:
    asked = "".join(f"{address:#x}\n" for address in addresses)
    return subprocess.run(command, input=asked, check=True, capture_output=True, text=True).stdout


def measured(name: str, side: Side, path: Path, addresses: list[int], *, rounds: int = ROUNDS) -> str:
    """Run one side in forks; print the least CPU time and the most memory that it and its children took. Its answers as JSON."""
    runs = [_run(side, path, addresses) for _ in range(rounds)]
    cpu_s, wall_s = min(run[0] for run in runs), min(run[1] for run in runs)
    rss_kib = max(run[2] for run in runs)
    sys.stdout.write(f"{name:26} {cpu_s:6.2f} s CPU {rss_kib >> 10:5} MiB {wall_s:6.2f} s wall\n")
    sys.stdout.flush()
    return runs[-1][3]


def _run(side: Side, path: Path, addresses: list[int]) -> tuple[float, float, int, str]:
    """CPU and wall seconds, KiB, and the answers as JSON: this process stays small, as a fork begins with its memory."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        start = time.monotonic()
        read = side(path, addresses)
        wall_s = time.monotonic() - start
        # What starts a native tool and holds its output is no part of it.
        mine = side in (ours, without_cache, debug_information)
        who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) if mine else (resource.RUSAGE_CHILDREN,)
        usages = [resource.getrusage(each) for each in who]
        cpu_s = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        with os.fdopen(writing, "w") as out:
            out.write(f"{cpu_s} {wall_s} {max(usage.ru_maxrss for usage in usages)}\n")
            json.dump(list(read().items()), out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as result:
        cpu, wall, rss = result.readline().split()
        answers = result.read()
    os.waitpid(pid, 0)
    return float(cpu), float(wall), int(rss), answers


def answers_of(written: str) -> Answers:
    return {address: [(f, p, n) for f, p, n in calls] for address, calls in json.loads(written)}


def aliases(path: Path) -> dict[str, str]:
    """One address for each name of the symbol table: a constructor's two names are the same function."""
    rows = (
        line.split()
        for line in subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout.splitlines()
    )
    return {row[2]: row[0] for row in rows if len(row) == 3}


def agreement(mine: Answers, reference: Answers, same: dict[str, str]) -> str:
    """Shares of equal answers; addresses that the reference knows nothing of do not count."""
    known = [a for a, calls in reference.items() if calls[0][1]]
    for answers in (mine, reference):
        for calls in answers.values():
            calls[-1] = (same.get(calls[-1][0] or "", calls[-1][0]), *calls[-1][1:])
    lines = sum(mine.get(a, [(None, None, 0)])[0][1:] == reference[a][0][1:] for a in known)
    functions = sum(mine.get(a, [(None, None, 0)])[-1][0] == reference[a][-1][0] for a in known)
    chains = sum([c[0] for c in mine.get(a, [])] == [c[0] for c in reference[a]] for a in known)
    count = max(1, len(known))
    return (
        f"of {len(known)} known addresses equal: lines {lines / count:.2%}, functions {functions / count:.2%}, "
        f"inlined chains {chains / count:.2%}"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder, "cache"))
        if len(sys.argv) > 1:
            path = Path(sys.argv[1])
        else:
            from tests.benchmarks.big_program import build_program

            path = build_program(Path(folder, "program"), units=UNITS)
        addresses = sample(path)
        sys.stdout.write(f"{path.name}: {path.stat().st_size >> 20} MiB, {len(addresses)} addresses\n")
        mine = measured("memtui", without_cache, path, addresses)
        _run(ours, path, addresses)
        measured("memtui, cached", ours, path, addresses)
        measured("debug information alone", debug_information, path, addresses)
        reference = measured("llvm-symbolizer", llvm, path, addresses)
        measured("llvm-symbolizer, demangled", llvm_demangled, path, addresses)
        measured("addr2line", addr2line, path, addresses)
        measured("google-pprof", pprof, path, addresses, rounds=1)
        sys.stdout.write(agreement(answers_of(mine), answers_of(reference), aliases(path)) + "\n")


if __name__ == "__main__":
    main()
