"""The part of RSS that is no heap: files, shared memory, stacks; and the memory of other processes."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from memtui_profiler.allocators import allocator_of
from memtui_profiler.diagnosis.balance import LEAST_BYTES, MEDIAN_S, Balance
from memtui_profiler.diagnosis.regions import largest_of, mapped_evidence, named_part
from memtui_profiler.diagnosis.values import Diagnosis, DiagnosisInput, Verdict
from memtui_profiler.region_kinds import RegionKind
from memtui_profiler.words import percent_words, size_words

OUTSIDE_ON_SHARE, OUTSIDE_OFF_SHARE = 0.50, 0.42


def share_of(size_bytes: int, rss_bytes: int) -> str:
    """The share of RSS in words, never above 100 %."""
    return percent_words(min(1.0, size_bytes / max(1, rss_bytes)))


class _Kinds(NamedTuple):
    """Memory outside the heap by its kind; ``threads`` None where nobody counted them, ``beside`` allocators of their own."""

    file_bytes: int
    shmem_bytes: int
    unknown_bytes: int
    threads: int | None
    beside: str = ""

    @property
    def others(self) -> str:
        return self.beside or "another allocator"

    def most(self, facts: DiagnosisInput) -> str:
        """The file or the shared memory that has most of the largest kind; '' where none has, or it is another kind."""
        size = self.largest()[0]
        kinds = ((self.file_bytes, RegionKind.FILE), (self.shmem_bytes, RegionKind.SHARED))
        kind = next((kind for bytes_of_kind, kind in kinds if bytes_of_kind == size), None)
        return "" if kind is None else largest_of(facts, kind, size)

    def largest(self) -> tuple[int, str, str]:
        """The size of the largest kind, its name in a sentence, and a shorter name."""
        return max(
            (self.file_bytes, "mapped files", "files"),
            (self.shmem_bytes, "shared memory", "shared memory"),
            (
                self.unknown_bytes,
                f"{self.beside}, stacks or mmap" if self.beside else "stacks, mmap or another allocator",
                self.beside or "stacks or mmap",
            ),
        )


def outside_diagnosis(facts: DiagnosisInput, now: Balance, name: str, balance_evidence: tuple[str, ...]) -> Diagnosis:
    """The diagnosis of a large part outside the heap of the allocator ``name``."""
    was = "was" if facts.end is not None else "is"
    share = f"{share_of(now.outside_bytes, now.rss_bytes)} of RSS {was} outside {name}"
    kinds = _kinds(facts, now)
    if kinds is None:
        shared = now.shared_bytes >= now.unknown_bytes
        size = max(now.shared_bytes, now.unknown_bytes)
        private = f"{facts.beside}, stacks or mmap" if facts.beside else "stacks or mmap"
        sentence = f"{share}: {size_words(size)} of {'files or shared memory' if shared else private}"
        return Diagnosis(Verdict.OUTSIDE, sentence, evidence=balance_evidence, shorter=(share,))
    size, kind, short_kind = kinds.largest()
    if size == kinds.unknown_bytes and not _allocators_in(facts.beside) and (named := named_part(facts, size)):
        size, kind = min(size, named[0]), named[1]
        short_kind = kind.partition(":")[0]
    whole = f"{size_words(size)} of {kind}{kinds.most(facts)}"
    return Diagnosis(
        Verdict.OUTSIDE,
        f"{share}: {whole}",
        evidence=(*_kinds_evidence(kinds), *mapped_evidence(facts), *balance_evidence),
        shorter=(whole, f"{size_words(size)} of RSS {was} {short_kind}", f"{size_words(size)} {short_kind}"),
    )


def _kinds(facts: DiagnosisInput, now: Balance) -> _Kinds | None:
    """The medians of the last seconds; None where /proc/PID/status was not read."""
    recent = [row for row in facts.recent_details(MEDIAN_S) if row.shmem_bytes is not None]
    if not recent:
        return None
    shmem = min(now.shared_bytes, int(median(row.shmem_bytes or 0 for row in recent)))
    return _Kinds(now.shared_bytes - shmem, shmem, now.unknown_bytes, recent[-1].threads, facts.beside)


def _allocators_in(beside: str) -> bool:
    """Whether there are allocators that map memory as a runtime's heap is mapped: whose it is cannot be told then."""
    return any((kind := allocator_of(words)) is not None and not kind.is_runtime for words in beside.split(", "))


def advice_on(beside: str) -> Iterator[str]:
    """What shows the memory of allocators that cannot be asked, a line each."""
    for words in filter(None, beside.split(", ")):
        if (kind := allocator_of(words)) is not None and kind.alternative:
            yield f"{words} is in this process beside malloc, and cannot be asked: {kind.alternative}"


def _kinds_evidence(kinds: _Kinds) -> tuple[str, ...]:
    threads = "" if kinds.threads is None else f"; it has {kinds.threads} threads"
    return (
        f"mapped files {size_words(kinds.file_bytes)}: code, libraries, data; the kernel takes clean pages back when it must",
        f"shared memory {size_words(kinds.shmem_bytes)}: tmpfs, memfd, System V, shared anonymous mappings",
        f"anonymous memory that malloc does not know {size_words(kinds.unknown_bytes)}: stacks, mmap, "
        f"{kinds.others}{threads}",
        *advice_on(kinds.beside),
    )


def without_allocator(facts: DiagnosisInput) -> tuple[Diagnosis, int] | None:
    """The diagnosis and the size of files and shared memory, where they are large and no allocator has answered.

    They are no heap, whoever allocates. Nothing is known about the rest.
    """
    recent = [
        (row.rss_bytes, row.file_bytes or 0, row.shmem_bytes)
        for row in facts.recent_details(MEDIAN_S)
        if row.shmem_bytes is not None
    ]
    if len(recent) < 5 or facts.allocator:
        return None
    if any(file + shmem < max(LEAST_BYTES, OUTSIDE_ON_SHARE * rss) for rss, file, shmem in recent):
        return None
    rss, file, shmem = (int(median(figures)) for figures in zip(*recent, strict=True))
    was = "was" if facts.end is not None else "is"
    kinds = _Kinds(file, shmem, 0, None)
    size, kind, _ = kinds.largest()
    diagnosis = Diagnosis(
        Verdict.OUTSIDE,
        f"{share_of(file + shmem, rss)} of RSS {was} no heap: {size_words(size)} of {kind}{kinds.most(facts)}",
        evidence=(*_kinds_evidence(kinds)[:2], *mapped_evidence(facts)),
        shorter=(f"{size_words(size)} of RSS {was} {kind}", f"{size_words(size)} {kind}"),
    )
    return diagnosis, file + shmem


def children_diagnosis(facts: DiagnosisInput) -> Diagnosis | None:
    """The diagnosis where the processes below this one hold more than it does; None where they do not."""
    recent = [row for row in facts.recent_details(MEDIAN_S) if row.descendants_rss_bytes]
    if len(recent) < MEDIAN_S / 2 or facts.end is not None:
        return None
    if any((row.descendants_rss_bytes or 0) < max(row.rss_bytes, LEAST_BYTES) for row in recent):
        return None
    below = int(median(row.descendants_rss_bytes or 0 for row in recent))
    own = int(median(row.rss_bytes for row in recent))
    count = recent[-1].descendants or 0
    holders = "1 process below it holds" if count == 1 else f"{count} processes below it hold"
    short = f"{holders} {size_words(below)}"
    evidence = (
        f"the RSS of all descendants adds up to {size_words(below)}; pages that they share are counted for each",
        "all other figures are of the one process that memtui follows",
    )
    sentence = f"{short}, this one {size_words(own)}: attach to the largest"
    return Diagnosis(Verdict.CHILDREN, sentence, evidence=evidence, shorter=(short,))
