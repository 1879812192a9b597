"""A made .heap file of 74 MB in 200,000 stacks, step by step to what the leak browser shows, and one of a million lines in 1,000.

Run by `make bench`, or alone: python tests/benchmarks/bench_heap_text.py. Of each step the median of ROUNDS of CPU seconds, and
the peak memory of its process. The steps are those of `memtui open`: parsed, collected (the rows that a recorder's worker sends),
written as a session, read back by the viewer, made a table, and aggregated: by stack, function, file and library, as trees. The
goals are 2 s and 120 MiB for the parser, 4 s for all up to the aggregated list. google-pprof --text reads PPROF_STACKS of the
same stacks, as it takes a minute for all; its figures are given for as many.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 3
PPROF_STACKS = 20_000
PPROF_S = 120
# Steps from the file to the list of stacks, each in one of the two processes that a user waits for.
AGGREGATED = ("collected and written", "read back", "made a table", "listed by stack")


def write_heap(path: Path, lines: int, stacks: int) -> None:
    """A leak dump as the heap checker writes it. As in a real program the calls fan out from main(): few roots, many leaves.

    So do sizes: those of tcmalloc's classes, most lines of one object.
    """
    dice = random.Random(2)
    addresses = [f"0x{0x7F0000000000 + 16 * n:012x}" for n in dice.sample(range(1 << 24), 20_000)]
    tails = []
    for _ in range(stacks):
        depth = dice.randint(12, 32)
        tails.append(" ".join(addresses[int(dice.random() * min(20_000, 4 ** (depth - n)))] for n in range(depth)))
    figures = []
    for _ in range(lines):
        objects = 1 if dice.random() < 0.7 else dice.randint(2, 100)
        figures.append((objects, objects * (16 << dice.randint(0, 11)) * dice.choice((4, 5, 6, 7)) // 4))
    total = f"{sum(objects for objects, _ in figures):6}: {sum(size for _, size in figures):8}"
    with path.open("w") as out:
        out.write(f"heap profile: {total} [{total}] @ heapprofile\n")
        for n, (objects, size) in enumerate(figures):
            out.write(f"{objects:6}: {size:8} [{objects:6}: {size:8}] @ {tails[n % stacks]}\n")
        out.write("\nMAPPED_LIBRARIES:\n7f0000000000-7f0010000000 r-xp 00001000 08:01 393232 /srv/rpc_server\n")


def measure(path: Path, folder: Path) -> None:
    """In a process of its own, so that its peak is the parser's."""
    import gc

    from memtui_parsers.formats.gperftools_heap import parse_heap

    gc.disable()  # as the worker has it
    with timed("parsed"), path.open("rb") as stream:
        parse_heap(stream)


def collected(path: Path, folder: Path) -> None:
    import gc

    from memtui_profiler.collect.collect import collect
    from memtui_profiler.collect.request import CollectRequest
    from memtui_profiler.collect.worker import encode

    gc.disable()  # as the worker has it
    with timed("collected"):
        for _ in encode(collect(CollectRequest(report=1, checker="", mode="", dump=str(path)))):
            pass


def written(path: Path, folder: Path) -> None:
    from memtui.commands.report_session import write_report_session

    with timed("collected and written"):
        write_report_session(folder, path)


def shown(path: Path, folder: Path) -> None:
    """In the viewer, of the session that was written."""
    import gc

    from memtui.reports.answer import View, Wish, answer
    from memtui.reports.arrangement import Query
    from memtui.reports.pattern import match_pattern
    from memtui.reports.table import Grouping, build_table
    from memtui.session.shown_reports import load_report_apart

    with timed("read back"):
        _, report = load_report_apart(folder, 1)
    gc.freeze()  # as the viewer does for so many
    with timed("made a table"):
        table = build_table(report)
    for grouping in (Grouping.STACK, Grouping.FUNCTION, Grouping.FILE, Grouping.LIBRARY):
        with timed(f"listed by {grouping.value}"):
            answer(table, Wish(Query(grouping=grouping)), match_pattern)
    for view in (View.CALLERS, View.CALLEES):
        with timed(f"as a tree of {view.value}"):
            answer(table, Wish(Query(), view), match_pattern)


STEPS = {step.__name__: step for step in (measure, collected, written, shown)}


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.process_time()
    yield
    spent_s = time.process_time() - began
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"{what}\t{spent_s}\t{peak_mib}\n")


def rounds(path: Path, steps: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Median CPU seconds and the highest peak in MiB of what each step says."""
    figures: dict[str, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            for step in steps:
                done = run(step, str(path), folder)
                for line in done.splitlines():
                    what, spent_s, peak_mib = line.split("\t")
                    figures.setdefault(what, []).append((float(spent_s), float(peak_mib)))
    return {
        what: (statistics.median(spent for spent, _ in found), max(peak for _, peak in found))
        for what, found in figures.items()
    }


def run(*words: str) -> str:
    paths = os.pathsep.join(str(ROOT / name) for name in ("parsers", "profiler", "tui"))
    command = [sys.executable, __file__, *words]
    return subprocess.run(command, env={"PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True, check=True).stdout


def google_pprof(path: Path) -> None:
    if shutil.which("google-pprof") is None:
        sys.stdout.write("google-pprof is not installed\n")
        return
    command = ["timeout", str(PPROF_S), "google-pprof", "--text", "/bin/true", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.stdout.write(f"google-pprof took more than {PPROF_S} s\n")
        return
    spent_s = used.ru_utime + used.ru_stime
    ours = rounds(path, ["measure", "written", "shown"])
    whole = sum(ours[what][0] for what in AGGREGATED)
    sys.stdout.write(
        f"{PPROF_STACKS} stacks: google-pprof --text {spent_s:.1f} s CPU, {used.ru_maxrss / 1024:.0f} MiB; memtui parsed "
        f"{ours['parsed'][0]:.2f} s, aggregated {whole:.2f} s: google-pprof takes {spent_s / whole:.0f} times as long\n"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        files = {"distinct": (200_000, 200_000), "objects": (1_000_000, 1_000), "some": (PPROF_STACKS, PPROF_STACKS)}
        paths = {}
        for file, (lines, stacks) in files.items():
            paths[file] = Path(name, f"{file}.heap")
            run("write", str(paths[file]), str(lines), str(stacks))
        for file, steps in (("distinct", ("measure", "collected", "written", "shown")), ("objects", ("measure",))):
            sys.stdout.write(f"{file}.heap, {paths[file].stat().st_size / 1e6:.0f} MB, {files[file][1]} stacks:\n")
            found = rounds(paths[file], steps)
            for what, (spent_s, peak_mib) in found.items():
                sys.stdout.write(f"  {what}: {spent_s:.2f} s CPU, peak {peak_mib:.0f} MiB\n")
            if all(what in found for what in AGGREGATED):
                sys.stdout.write(
                    f"  from the file to the list: {sum(found[what][0] for what in AGGREGATED):.2f} s CPU\n"
                )
            sys.stdout.flush()
        google_pprof(paths["some"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write_heap(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[1:2]:
        STEPS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
