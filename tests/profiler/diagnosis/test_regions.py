"""What fills RSS, named from looks at the mappings: huge pages, thread stacks, a runtime's heap; silence where they do not tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memtui_profiler.diagnosis.diagnose import diagnose
from memtui_profiler.diagnosis.values import DiagnosisInput, Verdict
from memtui_profiler.session.region_looks import LookReader, RecordedLook
from memtui_profiler.session.rows import RegionRow
from tests.profiler.diagnosis.test_heap import MIB, process


def look(at_s: float, *regions: tuple[str, str, int, float], huge: float = 0, threads: int = 4) -> RecordedLook:
    """Regions as (kind, name, mappings, MiB resident)."""
    rows = [
        RegionRow(at_s, 1, kind, name, count, 0, int(mib * MIB), 0, 0, 0, int(huge * MIB) if number == 0 else 0)
        for number, (kind, name, count, mib) in enumerate(regions)
    ]
    rss = sum(row.rss_bytes for row in rows)
    whole = RegionRow(at_s, 1, "all", "", 9, 0, rss, 0, 0, 0, int(huge * MIB), threads, 0.01)
    return RecordedLook(whole, tuple(rows))


def with_threads(facts: DiagnosisInput, first: float, per_s: float) -> DiagnosisInput:
    return replace(
        facts,
        details=[row._replace(threads=int(first + per_s * row.at_s)) for row in facts.details],
        allocator=facts.allocator,
    )


def test_huge_pages_are_a_line_of_their_own() -> None:
    facts = replace(
        process(in_use=197), regions=[look(80.0, ("anonymous", "", 7, 196.4), ("file", "/l", 5, 4.2), huge=196)]
    )
    huge, state = diagnose(facts)
    assert state.verdict is Verdict.LEVEL
    assert huge.verdict is Verdict.HUGE_PAGES
    whole = "196.0 MiB of RSS (98 %) in transparent huge pages: each touch of a page holds 2 MiB"
    assert huge.shorter[0] == whole and huge.sentence.startswith(f"{whole}; what helps: prctl(PR_SET_THP_DISABLE)")
    evidence = " ".join(huge.evidence)
    for remedy in ("PR_SET_THP_DISABLE", "madvise", "MALLOC_CONF=thp:never", "glibc.malloc.hugetlb=0"):
        assert remedy in evidence


@pytest.mark.parametrize(("page_bytes", "words"), [(4096, "2 MiB"), (16384, "32 MiB"), (65536, "512 MiB")])
def test_a_huge_page_is_as_large_as_the_machine_makes_it(page_bytes: int, words: str) -> None:
    facts = replace(
        process(in_use=900), regions=[look(80.0, ("anonymous", "", 7, 900), huge=800)], page_bytes=page_bytes
    )
    assert diagnose(facts)[0].shorter[0].endswith(f"holds {words}")


@pytest.mark.parametrize(("rss", "huge"), [(200, 90), (40, 20), (200, 0)])
def test_few_huge_pages_are_worth_no_line(rss: float, huge: float) -> None:
    facts = replace(process(in_use=rss), regions=[look(80.0, ("anonymous", "", 7, rss), huge=huge)])
    assert all(one.verdict is not Verdict.HUGE_PAGES for one in diagnose(facts))


def test_a_small_process_that_moves_by_much_does_not_stay() -> None:
    """As of a server of 20 MiB that took 12 MiB more at its start: within the band of what counts as level."""
    moved = process(seconds=20, in_use=lambda t: 12 if t < 3 else 24)
    (state, *_) = diagnose(replace(moved, allocator=[]))
    assert state.verdict is Verdict.LEVEL
    assert state.sentence == "RSS moved within 12.0 MiB for 20 s, and is 29.0 MiB"


def test_an_old_look_says_nothing() -> None:
    facts = replace(process(in_use=200, seconds=600), regions=[look(10.0, ("anonymous", "", 7, 200), huge=196)])
    assert all(one.verdict is not Verdict.HUGE_PAGES for one in diagnose(facts))


def test_growth_of_thread_stacks_has_its_name() -> None:
    growing = process(unknown=lambda t: 5 + 3.2 * t)
    facts = replace(with_threads(growing, 20, 16.6), regions=[look(88.0, ("thread-stacks", "", 1480, 289.0))])
    first = diagnose(facts)[0]
    assert first.verdict is Verdict.OUTSIDE or first.verdict is Verdict.GROWING
    assert "thread stacks: 1 514 threads, 17 more a second, 200 KiB resident each" in first.sentence
    assert "stacks, mmap or another allocator" not in first.sentence


def test_growth_of_thread_stacks_where_no_allocator_answers() -> None:
    growing = replace(with_threads(process(unknown=lambda t: 5 + 3.2 * t), 20, 16.6), allocator=[])
    facts = replace(growing, regions=[look(88.0, ("thread-stacks", "", 1480, 289.0))])
    (first, *_) = diagnose(facts)
    assert first.verdict is Verdict.GROWING
    assert (
        first.sentence
        == "+3.2 MiB/s over 60 s, most of it thread stacks: 1 514 threads, 17 more a second, 200 KiB resident each"
    )
    assert first.action is None, "no check of the heap finds a thread"


def test_many_threads_that_do_not_grow_are_not_what_grows() -> None:
    growing = with_threads(process(unknown=lambda t: 300 + 3.2 * t), 1500, 0)
    facts = replace(growing, regions=[look(88.0, ("thread-stacks", "", 1480, 289.0), ("anonymous", "", 3, 290))])
    grows = next(one for one in diagnose(replace(facts, allocator=[])) if one.verdict is Verdict.GROWING)
    assert "thread stacks" not in grows.sentence


def test_threads_that_grow_are_told_of_where_their_stacks_are_not_most_of_it() -> None:
    """As of Python's and Go's, which touch little of them."""
    growing = with_threads(process(unknown=lambda t: 5 + 3.2 * t), 20, 16.6)
    facts = replace(growing, regions=[look(88.0, ("thread-stacks", "", 1480, 12.0))])
    assert diagnose(replace(facts, allocator=[]))[0].sentence == "+3.2 MiB/s over 60 s; 17 more threads a second"
    few = with_threads(facts, 20, 0.02)
    assert diagnose(replace(few, allocator=[]))[0].sentence == "+3.2 MiB/s over 60 s"


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("runtime", "Go heap", "Go heap"),
        ("anonymous", "v8", "anonymous memory (v8)"),
        ("file", "/srv/data.idx", "data.idx"),
        ("shared", "/dev/shm/ring", "shared memory /dev/shm/ring"),
    ],
)
def test_what_has_grown_between_two_looks_has_its_name(kind: str, name: str, words: str) -> None:
    looks = [look(at, (kind, name, 3, 5 + 3.2 * at), ("heap", "", 1, 12)) for at in (40.0, 60.0, 80.0)]
    facts = replace(process(unknown=lambda t: 5 + 3.2 * t), regions=looks, allocator=[])
    assert f"+3.2 MiB/s over 60 s, most of it {words}" == diagnose(facts)[0].sentence


def test_one_look_or_a_heap_names_no_growth() -> None:
    facts = replace(process(unknown=lambda t: 5 + 3.2 * t), allocator=[])
    one = replace(facts, regions=[look(80.0, ("runtime", "Go heap", 3, 260))])
    heap = replace(facts, regions=[look(at, ("heap", "arenas", 3, 5 + 3.2 * at)) for at in (40.0, 80.0)])
    for known in (one, heap):
        assert diagnose(known)[0].sentence == diagnose(facts)[0].sentence


@pytest.mark.parametrize("seconds", [20, 90])
def test_growth_outside_is_told_beside_a_smaller_one_of_what_is_in_use(seconds: int) -> None:
    """As of a Python program: most of it is in arenas that malloc does not know."""
    growing = process(seconds=seconds, in_use=lambda t: 3 + 0.8 * t, unknown=lambda t: 5 + 5.7 * t)
    looks = [look(at, ("runtime", "Python objects (arenas)", 3, 5 + 5.7 * at)) for at in range(2, seconds, 6)]
    first, second = diagnose(replace(growing, regions=looks))
    assert first.verdict is (Verdict.GROWING if seconds == 20 else Verdict.OUTSIDE)
    assert "Python objects (arenas)" in first.sentence and "+5.7 MiB/s" in " ".join((first.sentence, *first.evidence))
    assert "in use grows 0.8 MiB/s" in second.sentence


def test_a_large_part_outside_has_the_name_of_what_has_most_of_it() -> None:
    facts = process(unknown=300)
    known = replace(facts, regions=[look(80.0, ("runtime", "Java heap", 3, 280), ("heap", "", 1, 12))])
    assert diagnose(facts)[0].sentence.endswith("of stacks, mmap or another allocator")
    assert diagnose(known)[0].sentence.endswith("280.0 MiB of Java heap")
    unnamed = replace(facts, regions=[look(80.0, ("anonymous", "", 3, 280), ("runtime", "Java heap", 3, 100))])
    assert diagnose(unnamed)[0].sentence.endswith("of stacks, mmap or another allocator")


def test_files_and_shared_memory_have_the_name_of_what_has_most_of_them() -> None:
    mapped = replace(
        process(file=300), regions=[look(80.0, ("file", "/srv/data.idx", 1, 280), ("file", "/lib/l.so", 5, 9))]
    )
    assert diagnose(mapped)[0].sentence.endswith("300.0 MiB of mapped files, most of it data.idx")
    shared = replace(process(shmem=300, allocator="musl"), regions=[look(80.0, ("shared", "/dev/shm/ring", 1, 300))])
    assert diagnose(replace(shared, allocator=[]))[0].sentence.endswith("of shared memory, most of it /dev/shm/ring")
    many = replace(process(file=300), regions=[look(80.0, *(("file", f"/srv/{n}", 1, 30.0) for n in range(10)))])
    assert diagnose(many)[0].sentence.endswith("300.0 MiB of mapped files")


def test_a_look_is_whole_only_with_its_last_row() -> None:
    whole = look(5.0, ("heap", "", 1, 3), ("file", "/a", 2, 1))
    rows = [*whole.regions, whole.whole]
    reader = LookReader()
    assert [reader.looks([row]) for row in rows] == [[], [], [whole]]
    assert LookReader().looks([rows[1], rows[2], *rows]) == [RecordedLook(whole.whole, (rows[1],)), whole]
