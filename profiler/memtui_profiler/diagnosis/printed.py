"""The diagnosis of statistics that an allocator has printed: one answer, so it tells how large each part is, not what it does."""

from __future__ import annotations

from memtui_parsers.allocators.stats import PrintedStatistics
from memtui_profiler.allocators import allocator_of
from memtui_profiler.diagnosis.outside import OUTSIDE_ON_SHARE, share_of
from memtui_profiler.diagnosis.values import Diagnosis, Verdict
from memtui_profiler.words import size_words

ON_SHARE = 0.30
LINES = 2


def diagnose_printed(printed: PrintedStatistics) -> tuple[Diagnosis, ...]:
    """Return one or two diagnoses, the largest part first; that most is in use where nothing else is large."""
    stats, heap = printed.stats, printed.heap_bytes
    whole_bytes = printed.rss_bytes or max(heap, 1)
    evidence = _evidence(printed)
    if not printed.in_use_known:
        return (_not_counted(printed, evidence),)
    large: list[tuple[int, Diagnosis]] = []
    if stats.free_bytes >= ON_SHARE * whole_bytes:
        large.append((stats.free_bytes, _retention(printed, whole_bytes, evidence)))
    if stats.cached_bytes >= ON_SHARE * whole_bytes:
        large.append((stats.cached_bytes, _fragmentation(printed, whole_bytes, evidence)))
    outside = 0 if printed.rss_bytes is None else max(0, printed.rss_bytes - heap)
    if outside >= (OUTSIDE_ON_SHARE if printed.free_known else ON_SHARE) * whole_bytes:
        large.append((outside, _outside(printed, outside, whole_bytes, evidence)))
    if not large:
        return (_in_use(printed, whole_bytes, evidence),)
    return tuple(diagnosis for _, diagnosis in sorted(large, key=lambda part: part[0], reverse=True)[:LINES])


def whole_words(printed: PrintedStatistics) -> str:
    """Return what the parts are parts of."""
    return "RSS" if printed.rss_bytes else "its memory"


def _retention(printed: PrintedStatistics, whole_bytes: int, evidence: tuple[str, ...]) -> Diagnosis:
    free, kind = printed.stats.free_bytes, allocator_of(printed.allocator)
    share = f"{share_of(free, whole_bytes)} of {whole_words(printed)} is free memory"
    returns = kind.release_call if kind is not None else ""
    if not printed.free_is_whole:
        sentence = f"{share} inside {printed.allocator}, {size_words(free)}: whole pages or not is not told"
        remedy = (f"{returns} returns what of it is whole pages",) if returns else ()
        return Diagnosis(Verdict.CANNOT_TELL, sentence, evidence=(*remedy, *evidence), shorter=(share,))
    remedy = (f"{returns} returns it to the kernel; the program sees no difference",) if returns else ()
    sentence = f"{share} {printed.allocator} keeps: {size_words(free)}"
    return Diagnosis(Verdict.RETENTION, sentence, evidence=(*remedy, *evidence), shorter=(share,))


def _fragmentation(printed: PrintedStatistics, whole_bytes: int, evidence: tuple[str, ...]) -> Diagnosis:
    stats, kind = printed.stats, allocator_of(printed.allocator)
    in_caches = stats.thread_bytes > stats.central_bytes + stats.transfer_bytes
    where = "in the threads' caches" if in_caches else "on partly used pages"
    share = f"{share_of(stats.cached_bytes, whole_bytes)} of {whole_words(printed)} is free objects {where}"
    if in_caches:
        remedy = kind.thread_cache_advice if kind is not None else ""
    else:
        remedy = "what helps: objects that live long allocated apart from those that do not"
        remedy += "; the size classes tell whose objects lie free" if printed.detail.size_classes else ""
    lines = ("a page goes back only once every object on it is freed: no release returns this", remedy, *evidence)
    return Diagnosis(
        Verdict.FRAGMENTATION,
        f"{share}: {size_words(stats.cached_bytes)}, which no release returns",
        evidence=tuple(filter(None, lines)),
        shorter=(share,),
    )


def _outside(printed: PrintedStatistics, outside: int, whole_bytes: int, evidence: tuple[str, ...]) -> Diagnosis:
    share = share_of(outside, whole_bytes)
    if printed.free_known:
        sentence = f"{share} of RSS is outside {printed.allocator}: {size_words(outside)}"
        return Diagnosis(Verdict.OUTSIDE, sentence, evidence=evidence, shorter=(f"{share} of RSS is outside",))
    sentence = f"{size_words(printed.stats.in_use_bytes)} of {size_words(whole_bytes)} RSS is in use; of the rest nothing is told"
    more = "the rest is free in the allocator, or outside it: attach to the process to see which"
    return Diagnosis(
        Verdict.CANNOT_TELL, sentence, evidence=(more, *evidence), shorter=(f"{share} of RSS is not told",)
    )


def _in_use(printed: PrintedStatistics, whole_bytes: int, evidence: tuple[str, ...]) -> Diagnosis:
    in_use = printed.stats.in_use_bytes
    share = f"{share_of(in_use, whole_bytes)} of {whole_words(printed)} is in use"
    more = "who holds it: a heap profile, or a leak check if it grows; one answer does not say whether it does"
    return Diagnosis(
        Verdict.IN_USE, f"{share}: {size_words(in_use)}; little is free", evidence=(more, *evidence), shorter=(share,)
    )


def _not_counted(printed: PrintedStatistics, evidence: tuple[str, ...]) -> Diagnosis:
    has = f"{printed.allocator} has {size_words(printed.stats.in_use_bytes)} from the kernel"
    return Diagnosis(
        Verdict.CANNOT_TELL, f"{has}; how much of it is in use is not told", evidence=evidence, shorter=(has,)
    )


def _evidence(printed: PrintedStatistics) -> tuple[str, ...]:
    stats = printed.stats
    sizes = (
        ("in use" if printed.in_use_known else "in all", stats.in_use_bytes),
        ("free pages", stats.free_bytes),
        ("free objects", stats.cached_bytes),
        ("of the allocator's own", stats.metadata_bytes),
    )
    counted = ", ".join(f"{size_words(size)} {what}" for what, size in sizes if size)
    rss = f"; RSS {size_words(printed.rss_bytes)}" if printed.rss_bytes else ""
    return (f"{printed.writer} counts {counted}{rss}", *printed.notes)
