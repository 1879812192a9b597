"""Writes growth by stack as gperftools writes its growth profiles, which memtui, pprof and others read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from memtui_profiler.growth.growth import GrowthRow

MOST_ROWS = 20_000
# What the parser takes of a stack.
MOST_FRAMES = 256


def dump_text(rows: Iterable[GrowthRow], maps: Iterable[bytes]) -> Iterator[bytes]:
    """The lines: samples and bytes of each stack, then the files that were mapped. The header has the sums of the lines."""
    entries = [(row.samples, round(row.bytes), row.stack[:MOST_FRAMES]) for row in rows]
    entries = [entry for entry in entries if entry[1] > 0][:MOST_ROWS]
    yield (
        b"heap profile: "
        + _counts(sum(entry[0] for entry in entries), sum(entry[1] for entry in entries))
        + b"growth\n"
    )
    for samples, size, stack in entries:
        yield _counts(samples, size) + b" ".join(b"0x%x" % address for address in stack) + b"\n"
    yield b"\nMAPPED_LIBRARIES:\n"
    for line in maps:
        yield line + b"\n"


def write_dump(path: Path, rows: Iterable[GrowthRow], maps: Iterable[bytes]) -> None:
    """Write a file that is whole from the moment it is there. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(dump_text(rows, maps))
        unfinished.rename(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _counts(samples: int, size: int) -> bytes:
    return b"%6d: %8d [%6d: %8d] @ " % (samples, size, samples, size)
