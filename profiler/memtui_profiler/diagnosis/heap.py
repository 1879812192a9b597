"""The parts of RSS that are large without being in use, what would give them back, and what would not.

The release rate gives back rate/1000 of the pages that are freed. Where no pages are freed it gives back nothing, whatever it
is set to (FACTS.md, "What the release rate really does").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from memtui_profiler.actions import Action
from memtui_profiler.allocators import allocator_of
from memtui_profiler.allocators.kind import AllocatorKind, PartNames
from memtui_profiler.diagnosis.balance import LEAST_BYTES, MEDIAN_S, Balance, freed_bytes, idle_s, persists, typical
from memtui_profiler.diagnosis.outside import (
    OUTSIDE_OFF_SHARE,
    OUTSIDE_ON_SHARE,
    outside_diagnosis,
    share_of,
    without_allocator,
)
from memtui_profiler.diagnosis.values import Diagnosis, DiagnosisInput, Verdict
from memtui_profiler.words import percent_words, size_words, span_words

_ON_SHARE, _OFF_SHARE = 0.30, 0.22
IDLE_S = 8.0
# From so many on, more than a few arenas are likely: a process is given them one by one, up to 8 a processor.
MANY_THREADS = 8
RELEASE_NEWS_S = 120.0


class LargePart(NamedTuple):
    """A part of RSS that is worth a line, and its size."""

    diagnosis: Diagnosis
    size_bytes: int


def large_parts(facts: DiagnosisInput, looks: Sequence[Balance]) -> list[LargePart]:
    """Retention, fragmentation and the part outside the heap, where each is large; the largest first."""
    if not looks:
        outside = without_allocator(facts)
        return [] if outside is None else [LargePart(*outside)]
    now, name = typical(looks), facts.allocator[-1].allocator
    balance_evidence = _balance_evidence(now, name)

    def is_large(part: Callable[[Balance], int]) -> bool:
        return persists(looks, part, on_share=_ON_SHARE, off_share=_OFF_SHARE)

    parts: list[LargePart] = []
    if is_large(lambda look: look.free_bytes):
        parts.append(LargePart(_retention(facts, looks, now, name, balance_evidence), now.free_bytes))
    elif is_large(lambda look: look.free_at_most_bytes) and not _released_since(facts):
        parts.append(LargePart(_cannot_tell(facts, now, name, balance_evidence), now.free_at_most_bytes))
    if is_large(lambda look: look.cached_bytes):
        parts.append(LargePart(_fragmentation(facts, now, balance_evidence), now.cached_bytes))
    if persists(looks, lambda look: look.outside_bytes, on_share=OUTSIDE_ON_SHARE, off_share=OUTSIDE_OFF_SHARE):
        parts.append(LargePart(outside_diagnosis(facts, now, name, balance_evidence), now.outside_bytes))
    return sorted(parts, key=lambda part: part.size_bytes, reverse=True)


def _retention(
    facts: DiagnosisInput, looks: Sequence[Balance], now: Balance, name: str, balance_evidence: tuple[str, ...]
) -> Diagnosis:
    over = facts.end is not None
    share = f"{share_of(now.free_bytes, now.rss_bytes)} of RSS {'was' if over else 'is'} free memory"
    kept = f"{share} {name} {'kept' if over else 'keeps'}"
    rate, unchanged_s = facts.allocator[-1].release_rate, idle_s(looks)
    if rate is None:
        kind = allocator_of(name) or AllocatorKind(name)
        why, short_why = "" if over else f"; {kind.free_pages_go}", ""
    elif unchanged_s >= IDLE_S:
        helps = "no rate could help" if over else "no rate helps"
        why, short_why = f"; no frees seen in {span_words(unchanged_s)}: {helps}", "; no frees seen"
    elif rate == 0:
        why, short_why = "; rate 0 returns nothing", "; rate 0"
    else:
        why, short_why = f"; rate {rate:g} returns {rate / 10:g} % of frees", f"; rate {rate:g}"
    return Diagnosis(
        Verdict.RETENTION,
        kept + why,
        *_release(facts, f"returns ~{size_words(now.free_bytes)}"),
        evidence=(*_retention_evidence(facts, looks, now, name, rate), *balance_evidence),
        shorter=(kept + short_why, kept, share, f"{size_words(now.free_bytes)} kept free"),
    )


def _release(facts: DiagnosisInput, words: str) -> tuple[Action | None, str]:
    return (Action.RELEASE, words) if facts.can.release and facts.end is None else (None, "")


def _retention_evidence(
    facts: DiagnosisInput, looks: Sequence[Balance], now: Balance, name: str, rate: float | None
) -> tuple[str, ...]:
    span = span_words(looks[-1].at_s - looks[0].at_s)
    least = min(look.free_bytes for look in looks)
    lines = [f"whole pages that {name} holds free: {size_words(now.free_bytes)} of {size_words(now.rss_bytes)} RSS"]
    if least >= LEAST_BYTES:
        lines.append(f"{size_words(least)} of it were free at each of {len(looks)} looks in {span}")
    if (unchanged_s := idle_s(looks)) >= IDLE_S:
        lines.append(
            f"for {span_words(unchanged_s)} its figures are the same to the byte: nothing was freed, or it was taken again at "
            "once"
        )
    if rate is not None:
        freed = freed_bytes(looks)
        lines += (
            f"at least {size_words(freed)} freed as whole pages in {span}; "
            f"of that, rate {rate:g} returns {rate / 10:g} %: {size_words(freed * rate / 1000)}",
            "the rate counts frees, not time: rate/1000 of the pages freed, 0.1 % at 1 and 1 % at 10, "
            "so an idle process releases nothing at any rate",
        )
    kind = allocator_of(name)
    if kind is not None and kind.release_call:
        lines.append(
            f"a release calls {kind.release_call}: free pages go back to the kernel, the program sees no difference"
        )
    if kind is not None:
        lines += filter(None, (kind.retention_advice, kind.arena_advice if _has_many_threads(facts) else ""))
    return tuple(lines)


def _has_many_threads(facts: DiagnosisInput) -> bool:
    counts = [row.threads for row in facts.details if row.threads is not None]
    return bool(counts) and counts[-1] >= MANY_THREADS


def _released_since(facts: DiagnosisInput) -> bool:
    """Whether the last release has taken all it could: glibc's malloc goes on counting as free what it gave back then."""
    if not facts.releases:
        return False
    after = [row.free_bytes for row in facts.allocator if row.at_s > facts.releases[-1].at_s]
    return not after or after[-1] < after[0] + LEAST_BYTES


def _cannot_tell(facts: DiagnosisInput, now: Balance, name: str, balance_evidence: tuple[str, ...]) -> Diagnosis:
    """Free memory that may or may not be resident: a release gives back an amount that only has bounds."""
    counts = f"{name} counts {size_words(now.free_counted_bytes)} free"
    return Diagnosis(
        Verdict.CANNOT_TELL,
        f"{counts}; {size_words(now.missing_bytes)} of its memory is not resident",
        *_release(facts, f"returns up to {size_words(now.free_at_most_bytes)}"),
        evidence=(
            f"resident of the {size_words(now.free_counted_bytes)} free: "
            f"{size_words(now.free_bytes)} at least, {size_words(now.free_at_most_bytes)} at the most",
            "what is not resident was allocated and never touched, or is in swap; no figure tells in which part it is",
            *balance_evidence,
        ),
        shorter=(f"{counts}: resident or not", counts),
    )


def _fragmentation(facts: DiagnosisInput, now: Balance, balance_evidence: tuple[str, ...]) -> Diagnosis:
    over = facts.end is not None
    in_threads = now.thread_bytes > now.central_bytes + now.transfer_bytes
    where = "in the threads' caches" if in_threads else "on partly used pages"
    share = f"{share_of(now.cached_bytes, now.rss_bytes)} of RSS {'was' if over else 'is'} free objects {where}"
    kind = allocator_of(facts.allocator[-1].allocator)
    remedies: list[str] = []
    if in_threads:
        remedies += filter(None, (kind.thread_cache_advice if kind is not None else "",))
    else:
        if kind is not None:
            remedies += [words for name, words in kind.program_advice.items() if facts.program.startswith(name)]
            remedies += [kind.arena_advice] if kind.arena_advice and _has_many_threads(facts) else []
        remedies.append(
            "what helps: objects that live long allocated apart from those that do not (a pool or an arena for each); "
            "the size classes tell whose objects lie free"
        )
    return Diagnosis(
        Verdict.FRAGMENTATION,
        f"{share}: no release {'could return' if over else 'returns'} it",
        None if over else Action.SHOW_HEAP,
        "" if over else "size classes",
        evidence=(
            f"free objects: {_places(now, kind)}",
            "a page goes back only once every object on it is freed; a release takes whole free pages alone",
            *remedies,
            *balance_evidence,
        ),
        shorter=(share, f"{size_words(now.cached_bytes)} free {where}"),
    )


def _places(now: Balance, kind: AllocatorKind | None) -> str:
    """Where free objects lie, by the allocator's own names: those that it does not have are left out."""
    names = PartNames() if kind is None else kind.part_names
    sizes = ((now.central_bytes, names.central), (now.transfer_bytes, names.transfer), (now.thread_bytes, names.thread))
    return ", ".join(f"{size_words(size)} in {name}" for size, name in sizes if name)


def _balance_evidence(now: Balance, name: str) -> tuple[str, ...]:
    sizes = (
        ("in use", now.in_use_bytes),
        ("free pages", now.free_counted_bytes),
        ("free objects", now.central_bytes + now.transfer_bytes + now.thread_bytes),
        ("of the allocator's own", now.metadata_bytes),
    )
    counted = ", ".join(f"{size_words(size)} {what}" for what, size in sizes)
    return (
        f"RSS {size_words(now.rss_bytes)} (medians of the last {MEDIAN_S:.0f} s); {name} counts {counted}; "
        f"outside it {size_words(now.outside_bytes)}",
    )


def release_diagnosis(facts: DiagnosisInput) -> Diagnosis | None:
    """The result of the newest release, for two minutes; None where it gave back little."""
    if not facts.releases or not facts.at_s:
        return None
    last, now_s = facts.releases[-1], facts.at_s[-1]
    given = last.before_bytes - last.after_bytes
    if given < max(LEAST_BYTES, _ON_SHARE * last.before_bytes) or now_s - last.at_s > RELEASE_NEWS_S:
        return None
    short = f"{size_words(given)} given back {span_words(max(0.0, now_s - last.at_s))} ago"
    sentence = f"{short}: {percent_words(given / last.before_bytes)} of RSS was free memory kept"
    evidence = (f"RSS before {size_words(last.before_bytes)}, after {size_words(last.after_bytes)}",)
    return Diagnosis(Verdict.RELEASED, sentence, evidence=evidence, shorter=(short,))
