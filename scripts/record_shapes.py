"""Records tests/fixtures/memory_shapes: builds each program with tcmalloc, runs it, and keeps what was measured.

PYTHONPATH=. .venv/bin/python scripts/record_shapes.py [NAME ...]
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from memtui_profiler.process.sampling import ProcessSampler
from memtui_profiler.session.rows import AllocatorSample, Sample
from tests.fixtures.memory_shapes import NAMES, SOURCES, Recording, save

DEFAULT_S = 75.0
SECONDS = {
    "falling": 60.0,
    "leak_bursts": 150.0,
    "leak_slow_after_retention": 160.0,
    "leak_steady": 150.0,
    "levels_off": 150.0,
    "levels_off_straight": 130.0,
    "stable_noisy": 180.0,
    "retention_reused": 100.0,
}
SAMPLE_EVERY_S = 0.25
DETAIL_EVERY = 4
# Most of the time the programs sleep, so four fit on two cores.
AT_ONCE = 4


def main(names: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="shapes-", dir="/var/tmp") as scratch, ThreadPoolExecutor(AT_ONCE) as pool:
        for recording in pool.map(lambda name: record(name, Path(scratch)), names or NAMES):
            path = save(recording)
            sys.stdout.write(f"{path}: {recording.seconds:.0f} s, {path.stat().st_size} bytes\n")
            sys.stdout.flush()
    return 0


def record(name: str, scratch: Path) -> Recording:
    program, source = scratch / name, SOURCES / f"{name}.cpp"
    flags = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-pthread")
    subprocess.run(["g++", *flags, str(source), "-o", str(program), "-ltcmalloc"], check=True)
    command = [str(program), str(scratch / f"{name}.data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            return _watch(name, process, SECONDS.get(name, DEFAULT_S))
        finally:
            process.kill()


def _watch(name: str, process: subprocess.Popen[bytes], seconds: float) -> Recording:
    samples: list[Sample] = []
    allocator: list[AllocatorSample] = []
    begin_s = time.monotonic()
    with closing(ProcessSampler(process.pid)) as sampler, closing(_Lines(process)) as lines:
        while (now_s := time.monotonic() - begin_s) < seconds:
            if (sample := _sample(sampler, now_s, whole=len(samples) % DETAIL_EVERY == 0)) is None:
                raise RuntimeError(f"{name} ended after {now_s:.1f} s")
            samples.append(sample)
            next_s = len(samples) * SAMPLE_EVERY_S
            for line in lines.until(begin_s + next_s):
                allocator.append(_figures(line, time.monotonic() - begin_s))
    return Recording(name, tuple(samples), tuple(allocator))


def _sample(sampler: ProcessSampler, at_s: float, *, whole: bool) -> Sample | None:
    resident = sampler.resident()
    detail = sampler.detail() if whole else None
    if resident is None:
        return None
    sample = Sample(round(at_s, 3), 1, resident.rss_bytes, resident.shared_bytes)
    if detail is None:
        return sample
    status = detail.status
    return sample._replace(
        anon_bytes=status.anon_bytes,
        file_bytes=status.file_bytes,
        shmem_bytes=status.shmem_bytes,
        swap_bytes=status.swap_bytes,
        peak_rss_bytes=status.peak_rss_bytes,
        threads=status.threads,
        descendants=len(detail.descendants),
        descendants_rss_bytes=detail.descendants_rss_bytes,
    )


def _figures(line: bytes, at_s: float) -> AllocatorSample:
    *sizes, rate = line.split()
    in_use, free, central, transfer, thread, metadata, released = map(int, sizes)
    return AllocatorSample(
        round(at_s, 3), 1, "tcmalloc", in_use, free, central, transfer, thread, metadata, released, float(rate), 0.0
    )


class _Lines:
    """The lines a process prints, as they come."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._pipe = process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._rest = b""

    def until(self, deadline_s: float) -> Iterator[bytes]:
        while (left_s := deadline_s - time.monotonic()) > 0:
            if self._selector.select(left_s):
                *lines, self._rest = (self._rest + os.read(self._pipe, 65536)).split(b"\n")
                yield from lines

    def close(self) -> None:
        self._selector.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
