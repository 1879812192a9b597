"""What a report says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memtui_profiler.growth.growth import Growth, GrowthRow
from memtui_profiler.growth.report_words import FIRST_TO_TOUCH, Outcome, notes_of, outcome_of
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
        (watched(MIB, MIB, given_back=2 * MIB), Outcome.NOTHING_GREW, "nothing grew in 10 s that stands out: 0 B"),
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
    java = (b"7f0000000000-7f0000100000 r-xp 00000000 08:01 5 /usr/lib/jvm/lib/server/libjvm.so",)
    found = replace(watched(10 * MIB, 10 * MIB), sampled=lacking, maps=java, has_ended=True)
    assert notes_of(found)[1:] == [
        "the process ended after 10 s; this is what was there when it was last looked at",
        "7 samples were lost, and the rest count for them",
        "3 samples have no stack, and are in no row",
        "11 of 100 stacks are cut: callers are deeper than 16.0 KiB, or unknown",
        "12 threads were not watched: there are too many for the processors here",
        "memory that system calls fill, as read() does, is not seen without root or perf_event_paranoid 1",
        "Java's collector moves memory, so the stacks are the collector's",
    ]
