"""Heap profiles of every kind, made up and by real allocators: `memtui open` gives google-pprof's figures, in all and by stack.

jemalloc's are read by no google-pprof: what their samples stand for is held against what the program really has in use.
"""

from __future__ import annotations

import json
import os
import random
import re
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from memtui_parsers.formats.gperftools_heap import parse_heap
from tests.fixtures.command_line import run_memtui
from tests.fixtures.gperftools import reference_pprof
from tests.fixtures.heap_entries import entries_of
from tests.fixtures.leaky import build
from tests.integration.test_leaky_programs import TCMALLOC

JEMALLOC = "libjemalloc.so.2"
KINDS = (
    "@ heapprofile",
    "@ heapprofile/4096",
    "@ heap_v2/524288",
    "@ heap_v2/16384",
    "@ heap_v2/1",
    "@ heap_v2",
    "@ heapz_v2/524288",
    "@ heap/1048576",
    "@ heap/524289",
    "@ heap",
    "@ heapz/262144",
    "@ growth",
    "@ growthz/524288",
    "@ fragmentationz",
    "",
)
# pprof cuts the fraction off, memtui rounds: a stack may differ by one, and the total by a half for each stack.
STACKS = 120
STACK_SLACK = 1

Figures = dict[tuple[int, ...], tuple[int, int]]


def write_profile(path: Path, kind: str, *, freed: bool) -> None:
    """Several lines for each stack, of objects from 8 bytes to 4 MiB; ``freed``: a part of them is in use no longer."""
    dice = random.Random(kind)
    addresses = [dice.randrange(0x10_0000, 0x7FFF_FFFF_FFFF) for _ in range(300)]
    stacks = [" ".join(hex(dice.choice(addresses)) for _ in range(dice.randint(1, 30))) for _ in range(STACKS)]
    lines, totals = [], [0, 0, 0, 0]
    for _ in range(3 * STACKS):
        objects, size = dice.choice((1, 1, dice.randint(1, 50))), int(2 ** (3 + dice.random() * 19))
        ever = objects + dice.randint(0, 9) if freed else objects
        figures = (objects, objects * size, ever, ever * size)
        totals = [total + figure for total, figure in zip(totals, figures, strict=True)]
        lines.append("{:6}: {:8} [{:6}: {:8}] @ {}\n".format(*figures, dice.choice(stacks)))
    path.write_text("heap profile: {:6}: {:8} [{:6}: {:8}] {}\n".format(*totals, kind) + "".join(lines))


def google_pprof(path: Path, *options: str, program: str = "/bin/true") -> bytes:
    command = [reference_pprof(), *options, program, str(path)]
    return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout


def total(path: Path, measure: str, program: str = "/bin/true") -> int:
    matched = re.match(rb"Total: (\d+)", google_pprof(path, "--text", "--show_bytes", measure, program=program))
    assert matched
    return int(matched[1])


def stacks_of(path: Path, measure: str) -> dict[tuple[int, ...], int]:
    """What google-pprof counts by stack: words of 64 bits, each stack as its count, its depth, and an address a frame."""
    raw = google_pprof(path, "--raw", measure)
    begin = raw.index(b"--- profile\n") + len(b"--- profile\n")
    words = [word for (word,) in struct.iter_unpack("<Q", raw[begin:])]
    found, at = {}, 5
    while at < len(words):
        count, depth = words[at : at + 2]
        leaf, *callers = words[at + 2 : at + 2 + depth]
        stack = (leaf, *(caller + 1 for caller in callers))  # it takes one off a return address
        found[stack] = count
        at += 2 + depth
    return found


def opened(home: Path, path: Path) -> tuple[int, int, Figures, dict[str, Any]]:
    """Bytes, objects, both by stack, and the whole document, from `memtui open`."""
    result = run_memtui(home, ["open", "--format", "json", str(path)])
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    figures: Figures = {}
    for leak in document["leaks"]:
        stack = tuple(int(frame["address"], 16) for frame in leak["stack"])
        size_bytes, objects = figures.get(stack, (0, 0))
        figures[stack] = (size_bytes + leak["bytes"], objects + leak["objects"])
    return document["total"]["bytes"], document["total"]["objects"], figures, document


def hold(home: Path, path: Path, program: str = "/bin/true") -> dict[str, Any]:
    """That memtui's figures for a profile are google-pprof's. Returns memtui's document."""
    size_bytes, objects, figures, document = opened(home, path)
    slack = len(figures) / 2 + 1
    assert size_bytes == pytest.approx(total(path, "--inuse_space", program), abs=slack) and size_bytes > 0
    assert objects == pytest.approx(total(path, "--inuse_objects", program), abs=slack) and objects > 0
    if "google-pprof" in reference_pprof():  # jemalloc's copy prints no stacks of a file
        hold_by_stack(home, path)
    with path.open("rb") as stream:
        entries = entries_of(parse_heap(stream))
    for measure, ever in (
        ("--alloc_space", sum(entry.allocated_bytes for entry in entries)),
        ("--alloc_objects", sum(entry.allocated_objects for entry in entries)),
    ):
        assert ever == pytest.approx(total(path, measure, program), abs=len(entries) / 2 + 1)
    return document


def hold_by_stack(home: Path, path: Path) -> None:
    # Without the libraries neither of the two can tell an allocator's own frames, and leaves them out.
    bare = path.with_suffix(".bare.heap")
    bare.write_bytes(path.read_bytes().partition(b"\nMAPPED_LIBRARIES:")[0] + b"\n")
    _, _, figures, _ = opened(home, bare)
    for at, measure in enumerate(("--inuse_space", "--inuse_objects")):
        theirs = {stack: count for stack, count in stacks_of(bare, measure).items() if count}
        ours = {stack: pair[at] for stack, pair in figures.items() if stack}
        assert ours.keys() >= theirs.keys()
        # pprof shows a stack of less than one object not at all.
        assert all(abs(count - theirs.get(stack, 0)) <= STACK_SLACK for stack, count in ours.items())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_header(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "made.heap"
    write_profile(path, kind, freed=bool(kind))
    document = hold(tmp_path, path)
    assert document["status"] == "complete"
    leaks = document["leaks"]
    assert {leak["kind"] for leak in leaks} == {"growth" if "growth" in kind else "in-use"}


def environment(folder: Path, extra: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "TCMALLOC_STACKTRACE_METHOD": "libgcc", "HEAP_CHECK_DUMP_DIRECTORY": str(folder), **extra}


@pytest.mark.parametrize("period", ["4096", "65536", "524288"])
def test_what_tcmalloc_samples_and_how_it_grew(period: str, tmp_path: Path) -> None:
    program = build("samples", flags=("-Wl,--no-as-needed", "-ltcmalloc")).path
    command = [str(program), str(tmp_path)]
    extra = {"TCMALLOC_SAMPLE_PARAMETER": period}
    subprocess.run(command, env=environment(tmp_path, extra), capture_output=True, timeout=60, check=True)
    sample = tmp_path / "sample.heap"
    assert f"@ heap_v2/{period}\n".encode() in sample.read_bytes()
    hold(tmp_path, sample, str(program))
    growth = hold(tmp_path, tmp_path / "growth.heap", str(program))
    leaks = growth["leaks"]
    assert {leak["kind"] for leak in leaks} == {"growth"}


@pytest.mark.parametrize("check", [{"HEAPCHECK": "draconian"}, {"HEAPPROFILE": "p"}])
@pytest.mark.heap_checker
@pytest.mark.whole_dumps
def test_what_the_heap_checker_and_the_heap_profiler_write(check: dict[str, str], tmp_path: Path) -> None:
    program = build("basic").path
    extra = {name: str(tmp_path / value) if value == "p" else value for name, value in check.items()}
    env = environment(tmp_path, {"LD_PRELOAD": str(TCMALLOC), **extra})
    subprocess.run([str(program)], env=env, capture_output=True, timeout=60, check=False)  # a leak is an exit code
    hold(tmp_path, max(tmp_path.glob("*.heap")), str(program))


def in_use_by_function(document: dict[str, Any], names: tuple[str, ...]) -> Counter[str]:
    """Objects by the innermost of these functions."""
    found: Counter[str] = Counter()
    for leak in document["leaks"]:
        functions = [frame["function"] for frame in leak["stack"]]
        found[next((name for name in functions if name in names), "")] += leak["objects"]
    return found


@pytest.mark.parametrize(("log_period", "within"), [(0, 0.001), (12, 0.25)])
def test_what_jemalloc_samples_stands_for_what_is_in_use(log_period: int, within: float, tmp_path: Path) -> None:
    program = build("samples", flags=("-DPLAIN",)).path
    settings = f"prof:true,prof_final:true,lg_prof_sample:{log_period},prof_prefix:{tmp_path}/j"
    extra = {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": settings}
    done = subprocess.run([str(program), "x"], env=environment(tmp_path, extra), capture_output=True, timeout=60)
    if b"Invalid conf pair" in done.stderr:
        pytest.skip("this jemalloc was built without its profiler")
    (path,) = tmp_path.glob("j*.heap")
    _, _, _, document = opened(tmp_path, path)
    assert document["status"] == "complete"
    found = in_use_by_function(document, ("small()", "mixed(unsigned long)"))
    # As the source says: two of three stay of the first, with those of deep() and the large ones; all of the second.
    assert found["mixed(unsigned long)"] == pytest.approx(20_000 + 3_000 + 40, rel=within)
    assert found["small()"] == pytest.approx(30_000, rel=within)
    leaves = {leak["stack"][0]["function"] for leak in document["leaks"]}
    assert not any("prof" in str(name) for name in leaves)  # the allocator's own frames
