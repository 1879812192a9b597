"""Parses a made .heap file of 74 MB in 200,000 stacks, and one of a million lines in 1,000; prints CPU and peak memory.

Run by `make bench`, or alone: python tests/benchmarks/bench_heap_text.py. The bound is what STYLE.md measured.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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


def measure(path: Path) -> None:
    """In a process of its own, so that its peak is the parser's."""
    from memtui_parsers.heap_text import parse_heap

    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with path.open("rb") as stream:
        profile = parse_heap(stream)
    cpu_s = time.process_time() - began
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(
        f"{path.name}: {path.stat().st_size / 1e6:.0f} MB, {len(profile.entries)} stacks: {cpu_s:.2f} s CPU, "
        f"peak {peak_kb / 1024:.0f} MiB (before: {before_kb / 1024:.0f})\n"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, lines, stacks in (("distinct.heap", 200_000, 200_000), ("objects.heap", 1_000_000, 1_000)):
            for step in ("write", "measure"):
                subprocess.run(
                    [sys.executable, __file__, step, str(Path(folder) / name), str(lines), str(stacks)],
                    env={"PYTHONPATH": str(ROOT / "parsers")},
                    check=True,
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write_heap(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[1:2] == ["measure"]:
        measure(Path(sys.argv[2]))
    else:
        main()
