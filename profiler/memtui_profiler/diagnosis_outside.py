"""What of RSS is no heap of the allocator's: files, shared memory, stacks; and what other processes hold."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from memtui_profiler.diagnosis_values import Diagnosis, DiagnosisInput, Verdict
from memtui_profiler.heap_balance import MEDIAN_S, Balance
from memtui_profiler.words import percent_words, size_words

# Smaller parts are every program's: its libraries, its stacks, the allocator's first spans.
LEAST_BYTES = 32 << 20
OUTSIDE_ON_SHARE, OUTSIDE_OFF_SHARE = 0.50, 0.42


def share_of(size_bytes: int, now: Balance) -> str:
    return percent_words(min(1.0, size_bytes / max(1, now.rss_bytes)))


class _Outside(NamedTuple):
    file_bytes: int
    shmem_bytes: int
    unknown_bytes: int
    threads: int | None

    def largest(self) -> tuple[int, str, str]:
        """How much, what it is in a sentence, and in fewer words."""
        return max(
            (self.file_bytes, "mapped files", "files"),
            (self.shmem_bytes, "shared memory", "shared memory"),
            (self.unknown_bytes, "stacks, mmap or another allocator", "stacks or mmap"),
        )


def _split(facts: DiagnosisInput, shared_bytes: int, unknown_bytes: int) -> _Outside | None:
    """What is outside by kind, medians of the last seconds; None where /proc/PID/status was not read."""
    recent = [row for row in facts.details if row.at_s >= _now_s(facts) - MEDIAN_S and row.shmem_bytes is not None]
    if not recent:
        return None
    shmem = min(shared_bytes, int(median(row.shmem_bytes or 0 for row in recent)))
    return _Outside(shared_bytes - shmem, shmem, unknown_bytes, recent[-1].threads)


def of_outside(facts: DiagnosisInput, now: Balance, name: str, whole: tuple[str, ...]) -> Diagnosis:
    was = "was" if facts.end is not None else "is"
    share = f"{share_of(now.outside_bytes, now)} of RSS {was} outside {name}"
    split = _split(facts, now.shared_bytes, now.unknown_bytes)
    if split is None:
        shared = now.shared_bytes >= now.unknown_bytes
        size, kind = max(now.shared_bytes, now.unknown_bytes), "files or shared memory" if shared else "stacks or mmap"
        return Diagnosis(Verdict.OUTSIDE, f"{share}: {size_words(size)} of {kind}", evidence=whole, shorter=(share,))
    size, kind, brief = split.largest()
    return Diagnosis(
        Verdict.OUTSIDE,
        f"{share}: {size_words(size)} of {kind}",
        evidence=(*_outside_evidence(split), *whole),
        shorter=(f"{size_words(size)} of RSS {was} {brief}", f"{size_words(size)} {brief}"),
    )


def _outside_evidence(split: _Outside) -> tuple[str, ...]:
    threads = "" if split.threads is None else f"; it has {split.threads} threads"
    return (
        f"mapped files {size_words(split.file_bytes)}: code, libraries, data; the kernel takes clean pages back when it must",
        f"shared memory {size_words(split.shmem_bytes)}: tmpfs, memfd, System V, shared anonymous mappings",
        f"anonymous memory that malloc does not know {size_words(split.unknown_bytes)}: stacks, mmap, "
        f"another allocator{threads}",
    )


def without_allocator(facts: DiagnosisInput) -> tuple[Diagnosis, int] | None:
    """Files and shared memory, and their size, where they are large: no heap, whoever allocates. Of the rest nothing is known."""
    recent = [
        (row.rss_bytes, row.file_bytes or 0, row.shmem_bytes)
        for row in facts.details
        if row.shmem_bytes is not None and row.at_s >= _now_s(facts) - MEDIAN_S
    ]
    if len(recent) < 5 or facts.allocator:
        return None
    if any(file + shmem < max(LEAST_BYTES, OUTSIDE_ON_SHARE * rss) for rss, file, shmem in recent):
        return None
    rss, file, shmem = (int(median(figures)) for figures in zip(*recent, strict=True))
    was = "was" if facts.end is not None else "is"
    size, kind = max((file, "mapped files"), (shmem, "shared memory"))
    share = f"{percent_words(min(1.0, (file + shmem) / max(1, rss)))} of RSS {was} no heap"
    split = _Outside(file, shmem, 0, facts.details[-1].threads)
    diagnosis = Diagnosis(
        Verdict.OUTSIDE,
        f"{share}: {size_words(size)} of {kind}",
        evidence=_outside_evidence(split)[:2],
        shorter=(f"{size_words(size)} of RSS {was} {kind}", f"{size_words(size)} {kind}"),
    )
    return diagnosis, file + shmem


def of_children(facts: DiagnosisInput) -> Diagnosis | None:
    """Where the processes below this one hold more than it does."""
    recent = [row for row in facts.details if row.at_s >= _now_s(facts) - MEDIAN_S and row.descendants_rss_bytes]
    if len(recent) < MEDIAN_S / 2 or facts.end is not None:
        return None
    if any((row.descendants_rss_bytes or 0) < max(row.rss_bytes, LEAST_BYTES) for row in recent):
        return None
    below, own = int(median(row.descendants_rss_bytes or 0 for row in recent)), int(median(r.rss_bytes for r in recent))
    count = recent[-1].descendants or 0
    who = "1 process below it holds" if count == 1 else f"{count} processes below it hold"
    sentence = f"{who} {size_words(below)}, this one {size_words(own)}: attach to the largest"
    evidence = (
        f"the RSS of all descendants adds up to {size_words(below)}; pages that they share are counted for each",
        "everything else on this screen is of the one process memtui follows",
    )
    return Diagnosis(Verdict.CHILDREN, sentence, evidence=evidence, shorter=(f"{who} {size_words(below)}",))


def _now_s(facts: DiagnosisInput) -> float:
    """Of the newest sample; a run's first figures may be there before its first point."""
    return facts.at_s[-1] if facts.at_s else facts.details[-1].at_s
