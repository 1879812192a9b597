"""Which part of RSS is large without being in use, what would give it back, and what would not.

Of the release rate: it returns rate/1000 of the pages that are freed, so where none are freed it returns nothing, whatever it
is set to (FACTS.md, "What the release rate really does").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from memtui_profiler.diagnosis_outside import (
    LEAST_BYTES,
    OUTSIDE_OFF_SHARE,
    OUTSIDE_ON_SHARE,
    of_outside,
    share_of,
    without_allocator,
)
from memtui_profiler.diagnosis_values import Diagnosis, DiagnosisInput, Verdict
from memtui_profiler.heap_balance import MEDIAN_S, Balance, freed_bytes, idle_s, persists, typical
from memtui_profiler.words import percent_words, size_words, span_words

HOLD_S = 10.0
# In a process that allocates, free memory counts once nobody has needed it for so long.
BUSY_HOLD_S = 20.0
_ON_SHARE, _OFF_SHARE = 0.30, 0.22
IDLE_S = 8.0
RELEASE_NEWS_S = 120.0

_RELEASES = {
    "tcmalloc": "MallocExtension::ReleaseFreeMemory()",
    "glibc malloc": "malloc_trim(0)",
    "jemalloc": "a purge of all arenas",
}


class Part(NamedTuple):
    """A part of RSS that is worth a line, and how large it is."""

    diagnosis: Diagnosis
    size_bytes: int


def parts(facts: DiagnosisInput, looks: Sequence[Balance]) -> list[Part]:
    """Retention, fragmentation and what is outside the heap, where each is large; the largest first."""
    if not looks:
        known = without_allocator(facts)
        return [] if known is None else [Part(*known)]
    now, name = typical(looks), facts.allocator[-1].allocator
    whole = _whole(facts, now, name)
    found: list[Part] = []
    if _large(looks, lambda b: b.free_bytes):
        found.append(Part(_retention(facts, looks, now, name, whole), now.free_bytes))
    elif _large(looks, lambda b: b.free_at_most_bytes) and not _released_since(facts):
        found.append(Part(_untold(facts, now, name, whole), now.free_at_most_bytes))
    if _large(looks, lambda b: b.cached_bytes):
        found.append(Part(_fragmentation(facts, now, whole), now.cached_bytes))
    if _large(looks, lambda b: b.outside_bytes, OUTSIDE_ON_SHARE, OUTSIDE_OFF_SHARE):
        found.append(Part(of_outside(facts, now, name, whole), now.outside_bytes))
    return sorted(found, key=lambda part: part.size_bytes, reverse=True)


def _large(
    looks: Sequence[Balance],
    part: Callable[[Balance], int],
    on_share: float = _ON_SHARE,
    off_share: float = _OFF_SHARE,
) -> bool:
    return persists(
        looks,
        part,
        on_share=on_share,
        off_share=off_share,
        least_bytes=LEAST_BYTES,
        hold_s=HOLD_S,
        busy_hold_s=BUSY_HOLD_S,
    )


def _retention(
    facts: DiagnosisInput, looks: Sequence[Balance], now: Balance, name: str, whole: tuple[str, ...]
) -> Diagnosis:
    over = facts.end is not None
    share = f"{share_of(now.free_bytes, now)} of RSS {'was' if over else 'is'} free memory"
    kept = f"{share} {name} {'kept' if over else 'keeps'}"
    rate, still_s = facts.allocator[-1].release_rate, idle_s(looks)
    helps = "no rate could help" if over else "no rate helps"
    if rate is None:
        why, brief = "" if over else "; only a release returns it", ""
    elif still_s >= IDLE_S:
        why, brief = f"; no frees seen in {span_words(still_s)}: {helps}", "; no frees seen"
    elif rate == 0:
        why, brief = "; rate 0 returns nothing", "; rate 0"
    else:
        why, brief = f"; rate {rate:g} returns {rate / 10:g} % of frees", f"; rate {rate:g}"
    key, words = _release(facts, f"returns ~{size_words(now.free_bytes)}")
    return Diagnosis(
        Verdict.RETENTION,
        kept + why,
        key,
        words,
        (*_retention_evidence(facts, looks, now, name, rate), *whole),
        (kept + brief, kept, share, f"{size_words(now.free_bytes)} kept free"),
    )


def _release(facts: DiagnosisInput, words: str) -> tuple[str | None, str]:
    return ("x", words) if facts.can.release and facts.end is None else (None, "")


def _retention_evidence(
    facts: DiagnosisInput, looks: Sequence[Balance], now: Balance, name: str, rate: float | None
) -> tuple[str, ...]:
    since_s = looks[-1].at_s - looks[0].at_s
    least = min(look.free_bytes for look in looks)
    said = [f"whole pages that {name} holds free: {size_words(now.free_bytes)} of {size_words(now.rss_bytes)} RSS"]
    if least >= LEAST_BYTES:
        said.append(f"{size_words(least)} of it were free at each of {len(looks)} looks in {span_words(since_s)}")
    if (still_s := idle_s(looks)) >= IDLE_S:
        said.append(
            f"for {span_words(still_s)} its figures are the same to the byte: nothing was freed, or it was taken again at once"
        )
    if rate is not None:
        freed = freed_bytes(looks)
        said.append(
            f"at least {size_words(freed)} freed as whole pages in {span_words(since_s)}; "
            f"of that, rate {rate:g} returns {rate / 10:g} %: {size_words(freed * rate / 1000)}"
        )
        said.append(
            "the rate counts frees, not time: rate/1000 of the pages freed, 0.1 % at 1 and 1 % at 10, "
            "so an idle process releases nothing at any rate"
        )
    if name in _RELEASES:
        said.append(
            f"a release calls {_RELEASES[name]}: free pages go back to the kernel, the program sees no difference"
        )
    return tuple(said)


def _released_since(facts: DiagnosisInput) -> bool:
    """Whether a release has just taken what it could: glibc's malloc goes on counting as free what it gave back then."""
    if not facts.releases:
        return False
    after = [row.free_bytes for row in facts.allocator if row.at_s > facts.releases[-1].at_s]
    return not after or after[-1] < after[0] + LEAST_BYTES


def _untold(facts: DiagnosisInput, now: Balance, name: str, whole: tuple[str, ...]) -> Diagnosis:
    """Free memory that may or may not be resident: how much a release gives can be bounded only."""
    counts = f"{name} counts {size_words(now.free_counted_bytes)} free"
    sentence = f"{counts}; {size_words(now.missing_bytes)} of its memory is not resident"
    key, words = _release(facts, f"returns up to {size_words(now.free_at_most_bytes)}")
    evidence = (
        f"resident of the {size_words(now.free_counted_bytes)} free: "
        f"{size_words(now.free_bytes)} at least, {size_words(now.free_at_most_bytes)} at the most",
        "what is not resident was allocated and never touched, or is in swap; no figure tells in which part it is",
    )
    return Diagnosis(
        Verdict.CANNOT_TELL, sentence, key, words, (*evidence, *whole), (f"{counts}: resident or not", counts)
    )


def _fragmentation(facts: DiagnosisInput, now: Balance, whole: tuple[str, ...]) -> Diagnosis:
    threads = now.thread_bytes > now.central_bytes + now.transfer_bytes
    where = "in the threads' caches" if threads else "on partly used pages"
    over = facts.end is not None
    share = f"{share_of(now.cached_bytes, now)} of RSS {'was' if over else 'is'} free objects {where}"
    sentence = f"{share}: no release {'could return' if over else 'returns'} it"
    evidence = [
        f"free objects: {size_words(now.central_bytes)} in the central lists, {size_words(now.transfer_bytes)} in the "
        f"transfer cache, {size_words(now.thread_bytes)} in the threads' caches",
        "a page goes back only once every object on it is freed; a release takes whole free pages alone",
    ]
    if threads:
        evidence.append("TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES bounds what the threads' caches hold")
    else:
        evidence.append(
            "what helps: objects that live long allocated apart from those that do not (a pool or an arena for each); "
            "the size classes on tab 2 tell whose objects lie free"
        )
    shorter = (share, f"{size_words(now.cached_bytes)} free {where}")
    return Diagnosis(
        Verdict.FRAGMENTATION,
        sentence,
        None if over else "2",
        "" if over else "size classes",
        (*evidence, *whole),
        shorter,
    )


def _whole(facts: DiagnosisInput, now: Balance, name: str) -> tuple[str, ...]:
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


def of_release(facts: DiagnosisInput) -> Diagnosis | None:
    """What the newest release gave, while it is news."""
    if not facts.releases or not facts.at_s:
        return None
    last, now_s = facts.releases[-1], facts.at_s[-1]
    given = last.before_bytes - last.after_bytes
    if given < LEAST_BYTES or given < _ON_SHARE * last.before_bytes or now_s - last.at_s > RELEASE_NEWS_S:
        return None
    ago = span_words(max(0.0, now_s - last.at_s))
    short = f"{size_words(given)} given back {ago} ago"
    sentence = f"{short}: {percent_words(given / last.before_bytes)} of RSS was free memory kept"
    evidence = (f"RSS before {size_words(last.before_bytes)}, after {size_words(last.after_bytes)}",)
    return Diagnosis(Verdict.RELEASED, sentence, evidence=evidence, shorter=(short,))
