"""What a report says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memtui_parsers.procfs.maps import parse_mapping
from memtui_profiler.growth.growth import Growth, GrowthRow
from memtui_profiler.growth.report_words import FIRST_TO_TOUCH, NONE_HAS_HALF, Outcome, notes_of, outcome_of
from memtui_profiler.growth.watch import Sampled, Watched

MIB = 1 << 20
SAMPLED = Sampled(samples=100, lost=0, throttled=0, stackless=0, cut=10, unwatched_threads=0, system_calls=True)


def watched(
    grown: int, seen: float, samples: int = 50, *, given_back: int = 0, nobodys: int = 0, passing: int = 0
) -> Watched:
    rows = (GrowthRow((1,), grown - nobodys - passing, seen, samples),)
    growth = Growth(grown, nobodys, passing, 0, given_back, rows)
    return Watched(10.0, 100 * MIB, 100 * MIB + grown, growth, SAMPLED, (), (), False)


@pytest.mark.parametrize(
    ("found", "outcome", "first"),
    [
        (watched(10 * MIB, 10 * MIB), Outcome.STACKS, FIRST_TO_TOUCH),
        (watched(10 * MIB, 6 * MIB), Outcome.STACKS, FIRST_TO_TOUCH),
        (
            watched(10 * MIB, 4 * MIB),
            Outcome.CANNOT_TELL,
            "cannot tell what grew: 40 % of 10.0 MiB was seen to be touched",
        ),
        (
            watched(10 * MIB, 10 * MIB, 9),
            Outcome.CANNOT_TELL,
            "cannot tell what grew: only 9 samples of the new memory in 10 s; watch longer",
        ),
        (watched(100 << 10, 0, 0), Outcome.NOTHING_GREW, "nothing grew in 10 s that stands out: 100.0 KiB"),
        (
            watched(10 * MIB, 100 << 10, passing=10 * MIB - (100 << 10)),
            Outcome.NOTHING_GREW,
            "nothing grew in 10 s that stands out: 100.0 KiB",
        ),
        (
            watched(MIB, MIB, given_back=2 * MIB),
            Outcome.NOTHING_GREW,
            "nothing grew in all in 10 s: 1.0 MiB came, and 2.0 MiB went that was there before",
        ),
    ],
)
def test_it_would_rather_be_silent_than_wrong(found: Watched, outcome: Outcome, first: str) -> None:
    assert (outcome_of(found), notes_of(found)[0]) == (outcome, first)


def test_what_is_inferred_and_what_is_nobodys_is_said() -> None:
    notes = notes_of(watched(12 * MIB, 6 * MIB, nobodys=MIB, passing=2 * MIB))
    assert notes == [
        FIRST_TO_TOUCH,
        "3.0 MiB was not seen, and counts for those who touched the same mappings",
        "1.0 MiB of the growth is in no stack: nobody was seen to touch it",
        "2.0 MiB come and go, and are in no stack: whoever has them gives them back",
    ]


def test_what_the_sampling_lacked_is_said() -> None:
    lacking = Sampled(samples=100, lost=7, throttled=0, stackless=3, cut=11, unwatched_threads=12, system_calls=False)
    node = (b"7f0000000000-7f0000100000 r-xp 00000000 08:01 5 /usr/bin/node",)
    found = replace(watched(10 * MIB, 10 * MIB), sampled=lacking, maps=node, has_ended=True)
    assert notes_of(found)[1:] == [
        "the process ended after 10 s; this is what was there when it was last looked at",
        "samples lost: 7; the rest count for them",
        "3 samples have no stack, and are in no row",
        "11 of 100 stacks are cut: callers are deeper than 16.0 KiB, or unknown",
        "12 threads were not watched: there are too many for the processors here",
        "memory that system calls fill, as read() does, is not seen without root or perf_event_paranoid 1",
        "V8's collector moves memory, so some stacks of its heap are the collector's",
    ]


def test_where_no_stack_stands_out_it_is_said() -> None:
    found = watched(10 * MIB, 10 * MIB)
    rows = tuple(GrowthRow((0x1000 * number,), 2 * MIB, 2 * MIB, 10) for number in range(1, 6))
    several = replace(found, growth=replace(found.growth, rows=rows))
    assert outcome_of(several) is Outcome.STACKS
    assert notes_of(several) == [FIRST_TO_TOUCH, NONE_HAS_HALF]


def test_what_a_collector_moves_is_no_programs() -> None:
    java = parse_mapping(b"00000000-00100000 r-xp 00000000 08:01 5 /usr/lib/jvm/lib/server/libjvm.so")
    found = replace(watched(10 * MIB, 10 * MIB), mappings=(java,))
    assert outcome_of(found) is Outcome.CANNOT_TELL
    assert notes_of(found)[0] == "cannot tell what grew: Java's collector moves memory; ask the runtime"
    rows = (GrowthRow((0x200000,), 9 * MIB, 9 * MIB, 40), GrowthRow((0x1000,), MIB, MIB, 10))
    beside = replace(found, growth=replace(found.growth, rows=rows))
    assert outcome_of(beside) is Outcome.STACKS, "a library of the program's own allocates beside it"
