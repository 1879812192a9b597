"""What fills RSS by name, where a look at the mappings tells: huge pages, thread stacks, runtimes' heaps, a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from memtui_parsers.values import LeakKind
from memtui_profiler.diagnosis.balance import LEAST_BYTES
from memtui_profiler.diagnosis.reports import by_stack
from memtui_profiler.diagnosis.trend import Trend, pace
from memtui_profiler.diagnosis.values import Diagnosis, DiagnosisInput, Verdict
from memtui_profiler.region_kinds import RegionKind
from memtui_profiler.session.region_looks import RecordedLook, region_words
from memtui_profiler.session.rows import RegionRow
from memtui_profiler.words import percent_words, rate_words, size_words, span_words

# A part of memory goes by the name of a region that has this share of it, or of its growth.
_MOST = 0.5
_HUGE_SHARE = 0.5
# Looks are seldom, and seldomer where they cost much.
_FRESH_S = 300.0
_THREADS_SPAN_S = 60.0
_MANY_THREADS = 10
# What may be memory of no allocator. Files and shared memory are told apart by the kernel's own figures.
_ANONYMOUS = frozenset({RegionKind.STACKS.value, RegionKind.RUNTIME.value, RegionKind.ANONYMOUS.value})
_PARTS_OF_MANY = frozenset({RegionKind.HEAP.value, RegionKind.OTHER.value})
_HUGE_ADVICE_SHORT = "what helps: prctl(PR_SET_THP_DISABLE) in what starts it, or madvise for the machine"
_HUGE_ADVICE = (
    "what helps where the memory is touched here and there: no huge pages for this process, by prctl(PR_SET_THP_DISABLE) in "
    "whatever starts it; for the machine, /sys/kernel/mm/transparent_hugepage/enabled set to madvise",
    "or none for the heap alone: MALLOC_CONF=thp:never for jemalloc, GLIBC_TUNABLES=glibc.malloc.hugetlb=0 for glibc, "
    "madvise(MADV_NOHUGEPAGE) for what the program maps itself",
)


def newest_look(facts: DiagnosisInput) -> RecordedLook | None:
    """The newest look, if it still says something about now."""
    if not facts.regions or not facts.at_s:
        return None
    look = facts.regions[-1]
    cost_s = look.whole.cost_s or 0.0
    return look if facts.at_s[-1] - look.at_s <= max(_FRESH_S, 200 * cost_s) else None


def huge_pages_diagnosis(facts: DiagnosisInput) -> Diagnosis | None:
    """Most of RSS is in transparent huge pages; None where it is not."""
    look = newest_look(facts)
    if look is None:
        return None
    huge, rss = look.whole.huge_bytes, look.whole.rss_bytes
    if huge < max(LEAST_BYTES, _HUGE_SHARE * rss):
        return None
    # The size that one entry of a middle page table covers: a page of entries of eight bytes, each for a page.
    page = size_words(facts.page_bytes * facts.page_bytes // 8).replace(".0 ", " ")
    short = f"{size_words(huge)} of RSS ({percent_words(huge / max(1, rss))}) in transparent huge pages"
    largest = max(look.regions, key=lambda row: row.huge_bytes, default=look.whole)
    where = f"most of it, {size_words(largest.huge_bytes)}, is {region_words(largest)}"
    sentence = f"{short}: each touch of a page holds {page}"
    return Diagnosis(
        Verdict.HUGE_PAGES,
        f"{sentence}; {_HUGE_ADVICE_SHORT}",
        evidence=(
            f"AnonHugePages of /proc/PID/smaps: {size_words(huge)} of {size_words(rss)} resident; {where}",
            f"the first touch of any page of a huge one makes all {page} resident, also what the program never uses; "
            "no figure tells how much of it was touched",
            *_HUGE_ADVICE,
        ),
        shorter=(sentence, short, f"{size_words(huge)} in huge pages"),
    )


def mapped_evidence(facts: DiagnosisInput) -> tuple[str, ...]:
    """The largest regions in a sentence; empty where there was no look."""
    look = newest_look(facts)
    if look is None:
        return ()
    largest = (f"{region_words(row)} {size_words(row.rss_bytes)}" for row in look.regions[:5])
    return (f"resident by what is mapped: {', '.join(largest)}",)


def named_part(facts: DiagnosisInput, size_bytes: int) -> tuple[int, str] | None:
    """The size and the name of the region that has most of anonymous memory of ``size_bytes``; None where none with a name has."""
    look = newest_look(facts)
    rows = () if look is None else [row for row in look.regions if row.kind in _ANONYMOUS and _has_name(row)]
    largest = max(rows, key=lambda row: row.rss_bytes, default=None)
    if largest is None or largest.rss_bytes < _MOST * size_bytes:
        return None
    is_stacks = largest.kind == RegionKind.STACKS.value
    return largest.rss_bytes, stack_words(facts, largest) if is_stacks else region_words(largest)


def largest_of(facts: DiagnosisInput, kind: RegionKind, size_bytes: int) -> str:
    """``, most of it data.idx``: the file or the shared memory that has most of ``size_bytes``; '' where none has."""
    look = newest_look(facts)
    rows = () if look is None else [row for row in look.regions if row.kind == kind.value and row.name]
    largest = max(rows, key=lambda row: row.rss_bytes, default=None)
    if largest is None or largest.rss_bytes < _MOST * size_bytes:
        return ""
    return f", most of it {largest.name if kind is RegionKind.SHARED else region_words(largest)}"


def _has_name(row: RegionRow) -> bool:
    return bool(row.name) or row.kind == RegionKind.STACKS.value


def stack_words(facts: DiagnosisInput, stacks: RegionRow) -> str:
    """``thread stacks: 500 threads, 17 more a second, 200 KiB resident each``: the threads by their newest count."""
    threads = next((row.threads for row in reversed(facts.details) if row.threads is not None), None)
    more = _more_threads(facts)
    change = f", {_more_words(more, 'more')}" if more * _THREADS_SPAN_S >= 1.5 else ""
    count = f"{threads if threads is not None else stacks.mappings:,} threads".replace(",", " ")
    each = size_words(_each_bytes(stacks)).replace(".0 ", " ")
    return f"thread stacks: {count}{change}, {each} resident each"


def more_threads_words(facts: DiagnosisInput) -> str:
    """``17 more threads a second``; '' where their number does not grow by much."""
    more = _more_threads(facts)
    return _more_words(more, "more threads") if more * _THREADS_SPAN_S >= _MANY_THREADS else ""


def _more_words(per_s: float, what: str) -> str:
    return f"{per_s:.0f} {what} a second" if per_s >= 1.5 else f"{per_s * 60:.0f} {what} a minute"


def _each_bytes(stacks: RegionRow) -> int:
    return stacks.rss_bytes // max(1, stacks.mappings)


def _more_threads(facts: DiagnosisInput) -> float:
    """By how many threads a second the process grows, in the last minute."""
    rows = [row for row in facts.recent_details(_THREADS_SPAN_S) if row.threads is not None]
    return pace([row.at_s for row in rows], [row.threads or 0 for row in rows])


def growing_region(facts: DiagnosisInput, trend: Trend) -> str:
    """The name of the region that has most of the growth of RSS; '' where that cannot be told."""
    look = newest_look(facts)
    if look is None:
        return ""
    if look.stacks is not None and _more_threads(facts) * _each_bytes(look.stacks) >= _MOST * trend.slope:
        return stack_words(facts, look.stacks)
    since_s = facts.at_s[-1] - trend.span_s
    looks = [earlier for earlier in facts.regions if earlier.at_s >= since_s]
    if len(looks) < 2:
        return ""
    first, last = looks[0], looks[-1]
    whole = last.whole.rss_bytes - first.whole.rss_bytes
    rows = [row for row in last.regions if _has_name(row) and row.kind not in _PARTS_OF_MANY]
    grown = max(rows, key=_growth_since(first), default=None)
    if grown is None or whole <= 0 or _growth_since(first)(grown) < _MOST * whole:
        return ""
    return stack_words(facts, grown) if grown.kind == RegionKind.STACKS.value else region_words(grown)


def _growth_since(look: RecordedLook) -> Callable[[RegionRow], int]:
    def growth(row: RegionRow) -> int:
        before = look.region(row.kind, row.name)
        return row.rss_bytes - (0 if before is None else before.rss_bytes)

    return growth


def named_growth(facts: DiagnosisInput, growing: Diagnosis, trend: Trend) -> Diagnosis:
    """``growing`` with the region that grows, where that is known: a check of the heap finds nothing in a stack or a file."""
    if facts.growth is not None and facts.growth.kind is LeakKind.GROWTH:
        return growing  # it names the code, which says more than a mapping
    name = growing_region(facts, trend)
    if not name:
        more = more_threads_words(facts)
        return replace(growing, sentence=f"{growing.sentence}; {more}") if more else growing
    rate = f"+{rate_words(trend.slope)} over {span_words(trend.span_s)}"
    evidence = (*growing.evidence, *mapped_evidence(facts))
    named = replace(
        growing,
        sentence=f"{rate}, most of it {name}",
        shorter=(f"{rate}: {name.partition(':')[0]}", rate),
        evidence=evidence,
        action=None,
        action_words="",
        more=None,
    )
    return by_stack(facts, named, rate)
