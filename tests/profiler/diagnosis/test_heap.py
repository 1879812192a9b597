"""The sentences for each allocator, rate and ability, the order of two lines, and no claim that the figures do not carry."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memtui_parsers.values import LeakKind, ReportStatus
from memtui_profiler.actions import Action
from memtui_profiler.diagnosis.balance import balances, freed_bytes, idle_s, typical
from memtui_profiler.diagnosis.diagnose import diagnose
from memtui_profiler.diagnosis.values import (
    Abilities,
    Diagnosis,
    DiagnosisInput,
    GrowthSummary,
    Release,
    ReportSummary,
    Verdict,
)
from memtui_profiler.session.rows import AllocatorSample, Sample

MIB = 1 << 20
ALL = Abilities(check=True, snapshot=True, release=True)
Figure = float | Callable[[float], float]


def at(figure: Figure, second: float) -> int:
    return int((figure(second) if callable(figure) else figure) * MIB)


def _six(values: Iterable[int]) -> tuple[int, int, int, int, int, int]:
    a, b, c, d, e, f = values
    return a, b, c, d, e, f


def process(
    *,
    seconds: int = 90,
    in_use: Figure = 10,
    free: Figure = 0,
    central: Figure = 0,
    transfer: Figure = 0,
    thread: Figure = 0,
    metadata: Figure = 1,
    shmem: Figure = 0,
    file: Figure = 3,
    unknown: Figure = 1,
    untouched: Figure = 0,
    rate: float | None = 1.0,
    allocator: str = "tcmalloc",
    every_s: int = 1,
    **more: object,
) -> DiagnosisInput:
    """A process with these figures in MiB at each second. RSS is their sum without ``untouched``."""
    times = [float(n) for n in range(seconds + 1)]
    heap = (in_use, free, central, transfer, thread, metadata)
    anon = [sum(at(f, t) for f in heap) + at(unknown, t) - at(untouched, t) for t in times]
    rss = [a + at(shmem, t) + at(file, t) for a, t in zip(anon, times, strict=True)]
    looks = [AllocatorSample(t, 1, allocator, *_six(at(f, t) for f in heap), 0, rate, 0.0001) for t in times[::every_s]]
    details = [
        Sample(
            t,
            1,
            r,
            r - a,
            anon_bytes=a,
            file_bytes=at(file, t),
            shmem_bytes=at(shmem, t),
            threads=4,
            descendants=0,
            descendants_rss_bytes=0,
        )
        for t, r, a in zip(times, rss, anon, strict=True)
    ]
    return replace(
        DiagnosisInput(times, rss, anon, allocator=looks, details=details[-60:], can=ALL),
        **more,  # type: ignore[arg-type]
    )


def words(facts: DiagnosisInput) -> list[Verdict]:
    return [diagnosis.verdict for diagnosis in diagnose(facts)]


def only(facts: DiagnosisInput, verdict: Verdict) -> Diagnosis:
    found = [diagnosis for diagnosis in diagnose(facts) if diagnosis.verdict is verdict]
    assert len(found) == 1, diagnose(facts)
    return found[0]


KEPT = process(free=400)
FREES = process(free=lambda t: 400 - 8 * (t % 2), in_use=lambda t: 10 + 8 * (t % 2))


@pytest.mark.parametrize(
    ("rate", "tail"),
    [
        (0.0, "rate 0 returns nothing"),
        (1.0, "rate 1 returns 0.1 % of frees"),
        (7.25, "rate 7.25 returns 0.725 % of frees"),
        (10.0, "rate 10 returns 1 % of frees"),
    ],
)
def test_what_a_rate_can_do_where_pages_are_freed(rate: float, tail: str) -> None:
    facts = replace(FREES, allocator=[row._replace(release_rate=rate) for row in FREES.allocator])
    assert only(facts, Verdict.RETENTION).sentence.endswith(f"; {tail}")


@pytest.mark.parametrize("rate", [0.0, 1.0, 10.0])
def test_no_rate_can_do_anything_where_nothing_is_freed(rate: float) -> None:
    facts = replace(KEPT, allocator=[row._replace(release_rate=rate) for row in KEPT.allocator])
    assert only(facts, Verdict.RETENTION).sentence.endswith("; no frees seen in 90 s: no rate helps")


@pytest.mark.parametrize(("name", "call"), [("glibc malloc", "malloc_trim(0)"), ("jemalloc", "a purge of all arenas")])
def test_other_allocators_have_their_own_means_and_no_rate(name: str, call: str) -> None:
    said = only(process(free=400, allocator=name, rate=None), Verdict.RETENTION)
    goes = "it decays only while the program allocates" if name == "jemalloc" else "only a release returns it"
    assert said.sentence == f"96 % of RSS is free memory {name} keeps; {goes}"
    assert (said.action, said.action_words) == (Action.RELEASE, "returns ~400.0 MiB")
    assert any(call in line for line in said.evidence)
    assert not any("rate" in line for line in said.evidence)


def test_what_cannot_be_asked_for_is_not_called_for() -> None:
    facts = replace(KEPT, can=Abilities(launch=False))
    assert only(facts, Verdict.RETENTION).action is None
    grows = process(in_use=lambda t: 100 + t, can=Abilities(launch=False))
    assert only(grows, Verdict.LEAK).action is None


@pytest.mark.parametrize(
    ("can", "mode", "action"),
    [
        (ALL, "normal", Action.CHECK),
        (Abilities(snapshot=True), "off", Action.SNAPSHOT),
        (Abilities(), "off", Action.CHOOSE_CHECK),
        (Abilities(), "normal", Action.STOP),
    ],
)
def test_what_a_leak_calls_for_is_what_can_name_it(can: Abilities, mode: str, action: Action) -> None:
    assert only(process(in_use=lambda t: 100 + t, can=can, mode=mode), Verdict.LEAK).action == action


def test_the_caches_of_threads_are_told_from_pages_partly_used() -> None:
    pages = only(process(central=200), Verdict.FRAGMENTATION)
    assert pages.sentence == "93 % of RSS is free objects on partly used pages: no release returns it"
    assert pages.action == Action.SHOW_HEAP
    threads = only(process(thread=200, central=10), Verdict.FRAGMENTATION)
    assert "in the threads' caches" in threads.sentence
    assert any("TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES" in line for line in threads.evidence)


@pytest.mark.parametrize(
    ("figures", "words_of_it"),
    [
        ({"file": 300}, "300.0 MiB of mapped files"),
        ({"shmem": 300}, "300.0 MiB of shared memory"),
        ({"unknown": 300}, "300.0 MiB of stacks, mmap or another allocator"),
        ({"shmem": 120, "file": 100, "unknown": 90}, "120.0 MiB of shared memory"),
    ],
)
def test_what_is_outside_is_called_by_the_largest(figures: dict[str, Figure], words_of_it: str) -> None:
    said = only(process(**figures), Verdict.OUTSIDE)  # type: ignore[arg-type]
    assert said.sentence.endswith(f"of RSS is outside tcmalloc: {words_of_it}")
    assert any("4 threads" in line for line in said.evidence)


def test_small_processes_are_not_worth_a_word() -> None:
    assert words(process(free=20, in_use=5)) == [Verdict.LEVEL]
    assert words(process(in_use=1, file=10)) == [Verdict.LEVEL]


def retention_seen(facts: DiagnosisInput) -> list[bool]:
    """Whether there was retention at each second from the tenth on."""
    return [
        Verdict.RETENTION
        in words(
            replace(
                facts,
                at_s=facts.at_s[:n],
                rss_bytes=facts.rss_bytes[:n],
                anon_bytes=facts.anon_bytes[:n],
                allocator=facts.allocator[:n],
            )
        )
        for n in range(10, len(facts.at_s) + 1)
    ]


@pytest.mark.parametrize("free_s", [8, 12, 20])
def test_what_is_kept_for_the_next_batch_is_called_retention_once_at_most(free_s: int) -> None:
    """A process that is idle between batches: the diagnosis remembers that the memory was taken again."""
    period = free_s + 6

    def free(t: float) -> float:
        return 20 if t % period < 6 else 300

    seen = retention_seen(process(seconds=170, free=free, in_use=lambda t: 310 - free(t)))
    assert sum(b and not a for a, b in pairwise(seen)) <= 1
    assert not any(seen[2 * period :])


def test_what_was_given_back_and_freed_again_is_retention_again() -> None:
    facts = process(seconds=120, free=lambda t: 0 if 40 <= t < 60 else 300)
    back = [row._replace(released_bytes=300 * MIB if row.at_s >= 40 else 0) for row in facts.allocator]
    seen = retention_seen(replace(facts, allocator=back))
    assert seen[20] and not seen[40] and seen[65]


@pytest.mark.parametrize("share", [0.24, 0.26, 0.28, 0.30, 0.32])
def test_a_share_at_the_border_does_not_come_and_go(share: float) -> None:
    dice = random.Random(int(share * 100))
    free = [1000 * share + dice.uniform(-25, 25) for _ in range(121)]
    facts = process(seconds=120, free=lambda t: free[int(t)], in_use=lambda t: 1000 - free[int(t)], file=0, unknown=0)
    seen = retention_seen(facts)[35:]
    assert sum(a != b for a, b in pairwise(seen)) <= 1


def test_of_memory_that_was_never_touched_it_says_what_it_does_not_know() -> None:
    facts = process(in_use=300, free=150, untouched=280)
    said = only(facts, Verdict.CANNOT_TELL)
    assert said.sentence == "tcmalloc counts 150.0 MiB free; 279.0 MiB of its memory is not resident"
    assert (said.action, said.action_words) == (Action.RELEASE, "returns up to 150.0 MiB")
    # A little that is missing leaves the verdict, with the lower figure.
    assert only(process(in_use=300, free=250, untouched=20), Verdict.RETENTION).action_words == "returns ~231.0 MiB"


def test_glibc_goes_on_counting_as_free_what_a_release_gave_back() -> None:
    given = replace(
        process(in_use=100, free=300, untouched=290, allocator="glibc malloc", rate=None),
        releases=(Release(60.0, 400 * MIB, 110 * MIB),),
    )
    assert Verdict.CANNOT_TELL not in words(given)
    assert only(given, Verdict.RELEASED).sentence == "290.0 MiB given back 30 s ago: 72 % of RSS was free memory kept"


def test_a_release_is_news_for_a_while() -> None:
    gave = replace(process(seconds=200), releases=(Release(90.0, 410 * MIB, 15 * MIB),))
    assert only(gave, Verdict.RELEASED).sentence.startswith("395.0 MiB given back 110 s ago")
    assert Verdict.RELEASED not in words(replace(process(seconds=230), releases=gave.releases))
    # One that gave nothing to speak of is none.
    assert Verdict.RELEASED not in words(replace(gave, releases=(Release(190.0, 410 * MIB, 400 * MIB),)))


def test_a_slow_leak_stands_behind_much_that_could_be_given_back_and_a_fast_one_before_it() -> None:
    slow = process(free=lambda t: 400 - 0.3 * t, in_use=lambda t: 20 + 0.3 * t, seconds=150)
    assert words(slow) == [Verdict.RETENTION, Verdict.LEAK]
    fast = process(free=400, in_use=lambda t: 20 + 5 * t, seconds=100)
    assert words(fast) == [Verdict.LEAK, Verdict.RETENTION]


def test_growth_that_is_not_in_use_names_its_part() -> None:
    kept = process(free=lambda t: 20 + t, in_use=300)
    assert (
        only(kept, Verdict.GROWING).sentence
        == "+1.0 MiB/s over 60 s, not of what is in use: free memory that tcmalloc keeps"
    )
    stacks = process(unknown=lambda t: 20 + t, in_use=300)
    assert "stacks, mmap or another allocator" in only(stacks, Verdict.GROWING).sentence
    files = process(file=lambda t: 20 + t, in_use=300)
    assert only(files, Verdict.GROWING).sentence.endswith("not of what is in use: mapped files")
    large = process(shmem=lambda t: 200 + 2 * t, in_use=100)
    assert words(large) == [Verdict.OUTSIDE]
    assert only(large, Verdict.OUTSIDE).sentence.endswith("of shared memory, +2.0 MiB/s")


def test_a_small_process_above_large_children_points_at_them() -> None:
    facts = process(in_use=20)
    below = [row._replace(descendants=3, descendants_rss_bytes=900 * MIB) for row in facts.details]
    said = diagnose(replace(facts, details=below))
    assert said[0].verdict is Verdict.CHILDREN
    assert said[0].sentence == "3 processes below it hold 900.0 MiB, this one 25.0 MiB: attach to the largest"
    one = [row._replace(descendants=1, descendants_rss_bytes=900 * MIB) for row in facts.details]
    assert diagnose(replace(facts, details=one))[0].sentence.startswith("1 process below it holds 900.0 MiB")
    larger = process(in_use=2000)
    below = [row._replace(descendants=3, descendants_rss_bytes=900 * MIB) for row in larger.details]
    assert Verdict.CHILDREN not in words(replace(larger, details=below))


def grown(kind: LeakKind, **more: object) -> GrowthSummary:
    return replace(
        GrowthSummary(kind, 50 * MIB, 48 * MIB, 900, "open_session(Conn&)", "server.cpp:88", 60.0),
        **more,  # type: ignore[arg-type]
    )


LEAKS = process(in_use=lambda t: 100 + t)
YOUNG = process(in_use=lambda t: 100 + t, seconds=40)


def test_two_snapshots_name_what_grows_and_prove_no_leak() -> None:
    said = only(replace(LEAKS, growth=grown(LeakKind.IN_USE)), Verdict.LEAK)
    assert said.sentence == "in use grows 1.0 MiB/s for 90 s, 96 % of it from open_session(Conn&) server.cpp:88"
    assert said.action == Action.SHOW_LEAKS
    assert any("open_session(Conn&) server.cpp:88, 48.0 MiB in 900 objects more" in line for line in said.evidence)
    young = only(replace(YOUNG, growth=grown(LeakKind.IN_USE)), Verdict.GROWING)
    assert young.sentence.endswith("96 % of it from open_session(Conn&) server.cpp:88")


def test_two_checks_that_find_the_growth_lost_prove_it_at_once() -> None:
    assert words(YOUNG) == [Verdict.GROWING]
    said = only(replace(YOUNG, growth=grown(LeakKind.UNREACHABLE)), Verdict.LEAK)
    assert said.sentence == "in use grows 1.0 MiB/s for 40 s, most lost from open_session(Conn&) server.cpp:88"
    # What they found is but a trickle of what grows, or they cannot say how fast it was.
    for little in (grown(LeakKind.UNREACHABLE, grown_bytes=MIB), grown(LeakKind.UNREACHABLE, seconds=None)):
        assert words(replace(YOUNG, growth=little)) == [Verdict.GROWING]


def report(kind: LeakKind, run: int = 1) -> ReportSummary:
    return ReportSummary(
        run, "normal", ReportStatus.COMPLETE, 42 * MIB, 11130, 41 * MIB, "open_session(Conn&)", "server.cpp:88", kind
    )


def test_a_check_of_this_run_names_the_leak_and_stands_below_it() -> None:
    leak, found = diagnose(replace(LEAKS, report=report(LeakKind.UNREACHABLE)))
    assert (leak.verdict, found.verdict) == (Verdict.LEAK, Verdict.LEAK)
    assert leak.sentence == "in use grows 1.0 MiB/s for 90 s; most lost from open_session(Conn&) server.cpp:88"
    assert found.sentence.startswith("42.0 MiB in 11 130 objects; most at open_session(Conn&) server.cpp:88")
    other = diagnose(replace(LEAKS, run=2, report=report(LeakKind.UNREACHABLE)))
    assert "open_session" not in other[0].sentence


def test_what_two_checks_differ_by_is_said_with_the_newer() -> None:
    facts = replace(process(), report=report(LeakKind.UNREACHABLE), growth=grown(LeakKind.UNREACHABLE))
    said = diagnose(facts)[0]
    assert said.sentence == (
        "42.0 MiB in 11 130 objects, 50.0 MiB more in 60 s; most at open_session(Conn&) server.cpp:88: 41.0 MiB"
    )


def test_a_snapshot_is_no_leak() -> None:
    facts = replace(process(), report=report(LeakKind.IN_USE))
    assert words(facts) == [Verdict.LEVEL, Verdict.SNAPSHOT]
    first = diagnose(facts)[1]
    assert first.sentence == "42.0 MiB in 11 130 objects in use; most at open_session(Conn&) server.cpp:88: 41.0 MiB"
    assert (first.action, first.action_words) == (Action.SNAPSHOT, "another: growth")
    second = diagnose(replace(facts, growth=grown(LeakKind.IN_USE)))[1]
    assert second.action == Action.SHOW_LEAKS
    assert any("most of one stack: open_session" in line for line in second.evidence)


def test_without_answers_it_says_why_not_in_the_evidence() -> None:
    facts = replace(LEAKS, allocator=(), not_asked="it has one thread")
    assert words(facts) == [Verdict.GROWING]
    assert any("it has one thread" in line for line in diagnose(facts)[0].evidence)


def test_growth_since_before_the_finest_figures_counts() -> None:
    """The newest minutes alone would not be enough: the amounts in use of older samples count as well."""
    facts = process(in_use=lambda t: 300 + 0.006 * t, seconds=900)
    recent = facts.allocator[-240:]
    before = [(row.at_s, row.in_use_bytes) for row in facts.allocator[:-240:10]]
    assert only(replace(facts, allocator=recent, in_use_before=before), Verdict.LEAK).sentence.startswith(
        "in use grows 6.1 KiB/s for "
    )
    assert Verdict.LEAK not in words(replace(facts, allocator=recent))


def test_the_figures_are_medians_of_the_last_ten_seconds() -> None:
    looks = balances(process(free=lambda t: 9000 if t == 88 else 400))
    assert typical(looks).free_bytes == 400 * MIB


def test_what_was_freed_and_for_how_long_nothing_was_seen() -> None:
    frees = balances(process(free=lambda t: 100 + 10 * min(t, 60), in_use=lambda t: 800 - 10 * min(t, 60)))
    assert idle_s(frees) == 30
    assert freed_bytes(frees) == 600 * MIB
    takes = balances(process(free=lambda t: 800 - 5 * t, in_use=lambda t: 10 + 5 * t))
    assert idle_s(takes) == 0
    assert freed_bytes(takes) == 0


def test_one_byte_that_moves_is_no_idleness() -> None:
    """A server frees, if only between two answers: then the sentence says only what a rate does with frees."""
    facts = replace(KEPT, allocator=[row._replace(thread_bytes=row.id + n % 3) for n, row in enumerate(KEPT.allocator)])
    assert only(facts, Verdict.RETENTION).sentence.endswith("; rate 1 returns 0.1 % of frees")


@pytest.mark.parametrize(
    "change",
    [
        {"in_use_bytes": -5},
        {"free_bytes": 2**63},
        {"central_bytes": 2**70, "thread_bytes": -(2**70)},
        {"at_s": -1e9},
        {"release_rate": float("inf")},
        {"release_rate": -1.0},
    ],
)
def test_hostile_figures_break_nothing(change: dict[str, float]) -> None:
    facts = replace(KEPT, allocator=[row._replace(**change) for row in KEPT.allocator])  # type: ignore[arg-type]
    assert 1 <= len(diagnose(facts)) <= 2
    one = replace(KEPT, allocator=[*KEPT.allocator[:-1], KEPT.allocator[-1]._replace(**change)])  # type: ignore[arg-type]
    assert 1 <= len(diagnose(one)) <= 2


sizes = st.integers(0, 2**44)
rates = st.none() | st.floats(0, 1000)
six_sizes = st.lists(sizes, min_size=6, max_size=6)


@st.composite
def any_facts(draw: st.DrawFn) -> DiagnosisInput:
    times = sorted(set(draw(st.lists(st.floats(0, 500), min_size=1, max_size=60))))
    rss = draw(st.lists(sizes, min_size=len(times), max_size=len(times)))
    anon = [draw(st.integers(0, r)) for r in rss]
    looks = [
        AllocatorSample(t, 1, "tcmalloc", *_six(draw(six_sizes)), draw(sizes), draw(rates), 0.0)
        for t in sorted(set(draw(st.lists(st.floats(0, 500), max_size=60))))
    ]
    details = [
        Sample(t, 1, r, r - a, a, draw(sizes), draw(sizes), 0, 0, 1, draw(st.integers(0, 9)), draw(sizes))
        for t, r, a in zip(times, rss, anon, strict=True)
    ]
    return DiagnosisInput(times, rss, anon, allocator=looks, details=details, can=ALL)


@settings(max_examples=150, deadline=None)
@given(any_facts())
def test_whatever_it_is_told_it_answers_in_one_or_two_lines(facts: DiagnosisInput) -> None:
    said = diagnose(facts)
    assert 1 <= len(said) <= 2
    for diagnosis in said:
        assert diagnosis.sentence and diagnosis.evidence
        assert bool(diagnosis.action) == bool(diagnosis.action_words)
        assert all(len(form) <= len(diagnosis.sentence) for form in diagnosis.shorter)


@settings(max_examples=100, deadline=None)
@given(any_facts())
def test_no_part_is_larger_than_what_is_resident(facts: DiagnosisInput) -> None:
    for look in balances(facts):
        assert 0 <= look.free_bytes <= look.free_at_most_bytes <= look.rss_bytes
        assert 0 <= look.outside_bytes <= look.rss_bytes
        assert 0 <= look.cached_bytes <= look.rss_bytes


def with_threads(facts: DiagnosisInput, count: int) -> DiagnosisInput:
    return replace(facts, details=[row._replace(threads=count) for row in facts.details])


@pytest.mark.parametrize(
    ("allocator", "advice"), [("glibc malloc", "MALLOC_ARENA_MAX"), ("jemalloc", "narenas"), ("tcmalloc", "")]
)
def test_many_threads_have_arenas_that_can_be_bounded(allocator: str, advice: str) -> None:
    few, many = (
        [
            "\n".join(only(with_threads(process(allocator=allocator, rate=None, **kept), count), verdict).evidence)
            for kept, verdict in (({"free": 400}, Verdict.RETENTION), ({"central": 200}, Verdict.FRAGMENTATION))
        ]
        for count in (2, 40)
    )
    assert all(advice in text for text in many)
    assert not advice or not any(advice in text for text in few)


def test_jemallocs_advice_is_jemallocs() -> None:
    kept = "\n".join(only(process(free=400, allocator="jemalloc", rate=None), Verdict.RETENTION).evidence)
    assert "dirty_decay_ms" in kept and "background_thread" in kept and "TCMALLOC" not in kept
    part_used = process(central=200, thread=20, allocator="jemalloc", rate=None)
    text = "\n".join(only(part_used, Verdict.FRAGMENTATION).evidence)
    assert "200.0 MiB in part-used slabs, 20.0 MiB in thread caches" in text
    assert not re.search("central|transfer|page heap|activedefrag", text)
    for server in ("redis-server", "valkey-server", "redis-check-rdb"):
        assert any(
            "activedefrag" in line for line in only(replace(part_used, program=server), Verdict.FRAGMENTATION).evidence
        )


def test_what_grows_where_no_check_can_see_it() -> None:
    rising = process(unknown=lambda t: 10 + 3 * t, seconds=120)
    facts = replace(rising, allocator=[], no_check="its memory comes from Go's runtime: net/http/pprof")
    said = only(facts, Verdict.GROWING)
    assert said.action is None and any("net/http/pprof" in line for line in said.evidence)
    assert only(replace(facts, no_check=""), Verdict.GROWING).action is Action.CHOOSE_CHECK


def test_what_is_beside_malloc_is_named_with_its_own_tool() -> None:
    facts = process(unknown=300, allocator="glibc malloc", rate=None, beside="V8, jemalloc in polars.so")
    said = only(facts, Verdict.OUTSIDE)
    assert "300.0 MiB of V8, jemalloc in polars.so, stacks or mmap" in said.sentence
    assert any("heapsnapshot-signal" in line for line in said.evidence)
    assert any("prof:true" in line for line in said.evidence)
    steady = process(in_use=20, unknown=20, allocator="glibc malloc", rate=None, beside="V8")
    assert "in use in glibc malloc, beside V8" in diagnose(steady)[0].sentence
