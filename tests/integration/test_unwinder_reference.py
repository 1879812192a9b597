"""Chains of calls of real programs are those that perf makes of the same registers and stacks."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from memtui_parsers.elf.image import read_image
from memtui_profiler.process.image import mapping_at, mappings_of
from memtui_profiler.unwinding.unwinder import StackEnd, Unwinder, Unwound
from tests.fixtures.frames import build, running
from tests.fixtures.perf_data import PerfSample, sampled_page_faults

PERIOD, SECONDS = 197, 1.0
LEAST_SAMPLES = 20
PYTHON = """
import json, re, sys
print("ready", flush=True)
while True:
    texts = [json.dumps({str(n): [n] * 9 for n in range(3000)}) for _ in range(8)]
    texts = [re.sub("1111", lambda match: str(len(bytes(300_000))), text) for text in texts]
"""
PROGRAMS: dict[str, Callable[[], list[str | Path]]] = {
    "C++ -O2": lambda: [build("frames.cpp", "-O2")],
    "C++ -O2, frame pointers": lambda: [build("frames.cpp", "-O2", "-fno-omit-frame-pointer")],
    "C++ -O0": lambda: [build("frames.cpp", "-O0")],
    "Rust -O": lambda: [build("frames.rs", "-O")],
    "python3": lambda: [sys.executable, "-c", PYTHON],
}


def placed(unwound: Unwound, pid: int) -> list[tuple[str, int]]:
    """(file, place in the file) of each address."""
    mappings = mappings_of(pid)
    found = []
    for address in unwound.addresses:
        mapping = mapping_at(mappings, address)
        assert mapping is not None
        found.append((mapping.path, address - mapping.start + mapping.offset))
    return found


def equal(sample: PerfSample, ours: list[tuple[str, int]]) -> bool:
    """Perf prints the byte before a return address, and what a signal has interrupted, or the signal's own frame, as it is."""
    return len(ours) == len(sample.chain) and all(
        file == their_file and place - their_place in (0, 1)
        for (file, place), (their_file, their_place) in zip(ours, sample.chain, strict=True)
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_chains_are_perfs(name: str, tmp_path: Path) -> None:
    with running(*PROGRAMS[name]()) as process:
        samples = sampled_page_faults(process.pid, tmp_path, period=PERIOD, seconds=SECONDS)
        unwinder = Unwinder(process.pid)
        unwound = [unwinder.unwind(sample.registers, sample.stack) for sample in samples]
        other = [
            (each.end, ours, sample.chain)
            for sample, each in zip(samples, unwound, strict=True)
            if not equal(sample, ours := placed(each, process.pid))
        ]
    assert len(samples) >= LEAST_SAMPLES
    assert len(other) <= len(samples) * 0.01, other[:3]
    ends = Counter(each.end for each in unwound)
    assert ends[StackEnd.OUTERMOST] >= len(samples) * 0.97, ends


def test_a_program_without_tables_is_followed_by_frame_pointers(tmp_path: Path) -> None:
    flags = ("-O1", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-omit-frame-pointer")
    path = build("no_tables.c", *flags)
    with running(path) as process:
        samples = sampled_page_faults(process.pid, tmp_path, period=PERIOD, seconds=SECONDS)
        unwinder = Unwinder(process.pid)
        files = [
            [Path(file).name for file, _ in placed(unwinder.unwind(sample.registers, sample.stack), process.pid)]
            for sample in samples
        ]
    assert len(samples) >= LEAST_SAMPLES
    # touch, descend eleven times, main; then libc's and _start
    assert all(names[:13] == [path.name] * 13 for names in files), Counter(map(tuple, files)).most_common(3)


def test_a_static_program(tmp_path: Path) -> None:
    path = build("no_tables.c", "-O2", "-static")
    with running(path) as process:
        samples = sampled_page_faults(process.pid, tmp_path, period=PERIOD, seconds=SECONDS)
        unwinder = Unwinder(process.pid)
        unwound = [unwinder.unwind(sample.registers, sample.stack) for sample in samples]
    assert len(samples) >= LEAST_SAMPLES
    assert {each.end for each in unwound} == {StackEnd.OUTERMOST}
    assert min(len(each.addresses) for each in unwound) >= 14


def test_no_frame_is_guessed_where_the_information_cannot_be_read(tmp_path: Path) -> None:
    whole = build("no_tables.c", "-O1", "-fno-omit-frame-pointer")
    data = bytearray(whole.read_bytes())
    with whole.open("rb") as stream:
        section = next(s for s in read_image(stream).sections if s.name == ".eh_frame")
    data[section.offset : section.offset + section.size] = b"\xff" * section.size
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    damaged.chmod(0o755)
    with running(damaged) as process:
        samples = sampled_page_faults(process.pid, tmp_path, period=PERIOD, seconds=SECONDS)
        unwinder = Unwinder(process.pid)
        unwound = [unwinder.unwind(sample.registers, sample.stack) for sample in samples]
    assert len(samples) >= LEAST_SAMPLES
    assert {(len(each.addresses), each.end) for each in unwound} == {(1, StackEnd.NO_INFORMATION)}


def test_what_is_damaged_ends_and_is_told(tmp_path: Path) -> None:
    with running(build("frames.cpp", "-O2")) as process:
        samples = sampled_page_faults(process.pid, tmp_path, period=PERIOD, seconds=SECONDS)
        unwinder = Unwinder(process.pid)
        for sample in samples[:200]:
            whole = unwinder.unwind(sample.registers, sample.stack)
            short = unwinder.unwind(sample.registers, sample.stack[:64])
            assert short.addresses == whole.addresses[: len(short.addresses)]
            assert short.end in (StackEnd.COPY_TOO_SHORT, StackEnd.OUTERMOST, StackEnd.NO_INFORMATION)
            for word in (b"\0", b"\xff", sample.stack[:8]):
                filled = (word * len(sample.stack))[: len(sample.stack)]
                assert len(unwinder.unwind(sample.registers, filled).addresses) >= 1
            assert unwinder.unwind((1,) * 17, sample.stack).end is StackEnd.NO_CODE
