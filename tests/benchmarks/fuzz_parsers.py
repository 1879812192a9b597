"""Fuzzes every parser for a bounded time, from the real files in tests/fixtures; a crash, a hang or 1 GiB of memory ends it with 1.

    PYTHONPATH=. python tests/benchmarks/fuzz_parsers.py [--seconds N] [PARSER ...]

With atheris (pip install atheris; PyPI has it for CPython on Linux) coverage guides it; without, files are damaged at random, as
tests/parsers/formats/test_mutations.py does for a few seconds with the same seeds each time. What broke a parser is kept and named.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MEMORY_MB = 1024
INPUT_S = 10
PARSER_NAMES = (
    "valgrind_xml", "valgrind_text", "sanitizer_log", "pprof", "folded_stacks", "json_reader", "gperftools_heap", "heapcheck_log",
    "sniff", "gunzip", "zstd", "maps", "procfs", "cgroup", "tcmalloc", "malloc_info", "suppressions", "names",
    "sanitizer_steps", "clean_text", "elf", "dwarf",
)  # fmt: skip


def guided(name: str, seconds: int, folder: Path) -> None:
    """In a process of its own: libFuzzer ends it."""
    atheris: Any = importlib.import_module("atheris")  # no dependency: it has no wheels for every Python
    with atheris.instrument_imports(include=["memtui_parsers"]):
        from tests.fixtures import mutations, outside_texts

    parser = outside_texts.EVERY[name]
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(parser.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    tokens = folder / "tokens"
    words = ("".join(f"\\x{byte:02x}" for byte in token) for token in mutations.TOKENS)
    tokens.write_text("".join(f'"{word}"\n' for word in words))
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        "-max_len=100000",
        f"-dict={tokens}",
        f"-artifact_prefix={folder}/broke-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: mutations.try_parser(parser, data))
    atheris.Fuzz()


def blind(name: str, seconds: int, folder: Path) -> None:
    from tests.fixtures import mutations, outside_texts

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MB << 20, MEMORY_MB << 20))
    parser = outside_texts.EVERY[name]
    seeds, dice, tried = parser.seeds(), random.Random(), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = mutations.mutated(dice.choice(seeds), seeds, dice)
        (folder / "broke-last").write_bytes(data)
        began = time.process_time()
        mutations.try_parser(parser, data)
        took_s = time.process_time() - began
        assert took_s < INPUT_S, f"{took_s:.1f} s for {len(data)} bytes"
        tried += 1
    (folder / "broke-last").unlink()
    sys.stderr.write(f"stat::number_of_executed_units: {tried}\n")


def fuzz(name: str, seconds: int, how: str) -> bool:
    """Whether the parser held."""
    folder = Path(tempfile.mkdtemp(prefix=f"memtui-fuzz-{name}-"))
    paths = os.pathsep.join([str(ROOT), str(ROOT / "parsers"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, __file__, "--one", how, "--seconds", str(seconds), "--folder", str(folder), name],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines = done.stderr.splitlines()
    stats = {line.split(":")[2].strip(): line.split(":")[3].strip() for line in lines if line.startswith("stat::")}
    tried = stats.get("number_of_executed_units", "?")
    memory = f", peak {stats['peak_rss_mb']} MiB" if "peak_rss_mb" in stats else ""
    slowest = f", slowest {stats['slowest_unit_time_sec']} s" if "slowest_unit_time_sec" in stats else ""
    sys.stdout.write(
        f"{name}: {tried} inputs in {seconds} s{memory}{slowest}: {'held' if not done.returncode else 'BROKE'}\n"
    )
    if done.returncode:
        begins = (n for n, line in enumerate(lines) if "Traceback" in line or "ERROR: libFuzzer" in line)
        at = next(begins, max(0, len(lines) - 20))
        sys.stdout.write("\n".join(lines[at : at + 40]) + f"\nwhat broke it is in {folder}\n")
    else:
        shutil.rmtree(folder)
    sys.stdout.flush()
    return not done.returncode


def main() -> int:
    options = argparse.ArgumentParser(description="Fuzz the parsers.")
    options.add_argument("--seconds", type=int, default=60, help="for each parser (60)")
    options.add_argument("--one", choices=("guided", "blind"), help=argparse.SUPPRESS)
    options.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options.add_argument("parsers", nargs="*", help=f"of {', '.join(PARSER_NAMES)} (all)")
    words = options.parse_args()
    if words.one:
        (guided if words.one == "guided" else blind)(words.parsers[0], words.seconds, words.folder)
        return 0
    how = "guided" if importlib.util.find_spec("atheris") else "blind"
    if how == "blind":
        sys.stdout.write("without atheris (pip install atheris): damage at random\n")
    held = [fuzz(name, words.seconds, how) for name in words.parsers or PARSER_NAMES]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
