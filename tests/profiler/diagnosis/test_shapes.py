"""The diagnosis over recordings of real programs, second by second: what it must find, by when, and what it must never say."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import pytest

from memtui_parsers.values import RunFacts
from memtui_profiler.actions import Action
from memtui_profiler.diagnosis.diagnose import diagnose
from memtui_profiler.diagnosis.values import Diagnosis, Verdict
from tests.fixtures.memory_shapes import NAMES, load

MIB = 1 << 20
# What says something of the heap, of which none may be said where it is not so.
CLAIMS = frozenset(
    {
        Verdict.LEAK,
        Verdict.RETENTION,
        Verdict.FRAGMENTATION,
        Verdict.OUTSIDE,
        Verdict.CHILDREN,
        Verdict.CANNOT_TELL,
        Verdict.FALLING,
    }
)
# Seconds between the looks at the allocator: as fast as it was recorded, as it is by default, and backing off; and how many
# seconds later a verdict may come then.
PACES = {0.5: 0.0, 1.0: 0.0, 5.0: 45.0}


@dataclass(frozen=True)
class Shape:
    """The verdicts on a recording: ``claims`` are the only ones that may be reached, each by its second, and hold to the end.

    ``says`` has a pattern for the last sentence of a verdict, ``action`` is the one of the first line, ``at_the_end`` are all
    verdicts of the last second.
    """

    claims: dict[Verdict, float]
    says: dict[Verdict, str]
    action: Action | None = None
    at_the_end: tuple[Verdict, ...] = ()


SHAPES = {
    "leak_steady": Shape(
        {Verdict.LEAK: 70},
        {Verdict.LEAK: r"in use grows 0\.5 MiB/s for \d+ (s|min) and does not slow down"},
        Action.CHECK,
    ),
    "leak_bursts": Shape(
        {Verdict.LEAK: 70}, {Verdict.LEAK: r"in use grows 0\.[67] MiB/s for \d+ (s|min)"}, Action.CHECK
    ),
    "leak_slow_after_retention": Shape(
        {Verdict.RETENTION: 45, Verdict.LEAK: 90},
        {
            Verdict.RETENTION: r"8\d % of RSS is free memory tcmalloc keeps; rate 1 returns 0\.1 % of frees",
            Verdict.LEAK: r"in use grows 0\.4 MiB/s",
        },
        Action.RELEASE,
        (Verdict.RETENTION, Verdict.LEAK),
    ),
    "retention_idle": Shape(
        {Verdict.RETENTION: 25},
        {Verdict.RETENTION: r"9\d % of RSS is free memory tcmalloc keeps; no frees seen in \d+ s: no rate helps"},
        Action.RELEASE,
    ),
    "retention_frees": Shape(
        {Verdict.RETENTION: 30},
        {Verdict.RETENTION: r"9\d % of RSS is free memory tcmalloc keeps; rate 1 returns 0\.1 % of frees"},
        Action.RELEASE,
    ),
    "retention_reused": Shape({}, {}, at_the_end=(Verdict.LEVEL,)),
    "fragmentation": Shape(
        {Verdict.FRAGMENTATION: 30},
        {Verdict.FRAGMENTATION: r"9\d % of RSS is free objects on partly used pages: no release returns it"},
        Action.SHOW_HEAP,
    ),
    "outside_files": Shape(
        {Verdict.OUTSIDE: 15}, {Verdict.OUTSIDE: r"99 % of RSS is outside tcmalloc: 30\d\.\d MiB of mapped files"}
    ),
    "outside_shmem": Shape(
        {Verdict.OUTSIDE: 15}, {Verdict.OUTSIDE: r"9\d % of RSS is outside tcmalloc: 30\d\.\d MiB of shared memory"}
    ),
    "outside_stacks": Shape(
        {Verdict.OUTSIDE: 15}, {Verdict.OUTSIDE: r"9\d % of RSS is outside tcmalloc: 24\d\.\d MiB of stacks, mmap"}
    ),
    "outside_grows": Shape(
        {Verdict.OUTSIDE: 40},
        {Verdict.OUTSIDE: r"of RSS is outside tcmalloc: 1\d\d\.\d MiB of shared memory, \+2\.0 MiB/s"},
    ),
    "levels_off": Shape({}, {Verdict.LEVELS_OFF: r"in use rose by 11\d\.\d MiB and stays at 11\d\.\d MiB for \d+ s"}),
    "levels_off_straight": Shape({}, {Verdict.LEVELS_OFF: r"in use rose by \d+\.\d MiB and stays at 90\.\d MiB"}),
    "stable": Shape({}, {Verdict.LEVEL: r"RSS stays at 18\d\.\d MiB.* for \d+ s, 9\d % of it in use"}),
    "stable_noisy": Shape({}, {}, at_the_end=(Verdict.LEVELS_OFF,)),
    "falling": Shape({Verdict.FALLING: 21}, {Verdict.FALLING: r"-2\.0 MiB/s over \d+ s"}),
    "untouched": Shape(
        {Verdict.CANNOT_TELL: 15},
        {Verdict.CANNOT_TELL: r"tcmalloc counts 150\.\d MiB free; 399\.\d MiB of its memory is not resident"},
        Action.RELEASE,
    ),
    "children": Shape(
        {Verdict.CHILDREN: 8}, {Verdict.CHILDREN: r"2 processes below it hold 25\d\.\d MiB, this one 7\.\d MiB"}
    ),
}


@cache
def looks(name: str, pace: float) -> tuple[tuple[Diagnosis, ...], ...]:
    """The diagnoses at each second of a recording."""
    recording = load(name)
    return tuple(diagnose(recording.facts(float(s), looks_s=pace)) for s in range(1, int(recording.seconds) + 1))


def words(said: tuple[Diagnosis, ...]) -> set[Verdict]:
    return {diagnosis.verdict for diagnosis in said}


def test_each_program_is_judged() -> None:
    assert set(SHAPES) | {"released"} == set(NAMES)


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("name", SHAPES)
def test_nothing_false_is_ever_said_and_the_truth_in_time(name: str, pace: float) -> None:
    shape = SHAPES[name]
    for second, said in enumerate(looks(name, pace), start=1):
        assert 1 <= len(said) <= 2
        claimed = words(said) & CLAIMS
        assert claimed <= set(shape.claims), f"{second} s: {[d.sentence for d in said]}"
        late = {verdict for verdict, by_s in shape.claims.items() if second >= by_s + PACES[pace]} - claimed
        assert not late, f"{second} s: {[d.sentence for d in said]}"


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("name", SHAPES)
def test_what_was_found_stays_found(name: str, pace: float) -> None:
    before: set[Verdict] = set()
    for second, said in enumerate(looks(name, pace), start=1):
        now = words(said) & CLAIMS
        assert before <= now, f"{second} s: {before - now} is gone again"
        before = now


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("name", SHAPES)
def test_the_words_do_not_flap(name: str, pace: float) -> None:
    """Each word that is shown stays for some seconds; the first and the last may have been met in their middle."""
    shown = [tuple(diagnosis.verdict for diagnosis in said) for said in looks(name, pace)]
    starts = [n for n in range(1, len(shown)) if shown[n] != shown[n - 1]]
    short = [(a + 1, b + 1) for a, b in pairwise(starts) if b - a < 3 and shown[b] == shown[a - 1]]
    assert not short


@pytest.mark.parametrize("name", SHAPES)
def test_the_last_look_says_how_much_and_what_to_do(name: str) -> None:
    shape, said = SHAPES[name], looks(name, 1.0)[-1]
    for verdict, pattern in shape.says.items():
        assert any(d.verdict is verdict and re.search(pattern, d.sentence) for d in said), [d.sentence for d in said]
    if shape.action:
        assert said[0].action == shape.action
    if shape.at_the_end:
        assert tuple(d.verdict for d in said) == shape.at_the_end
    for diagnosis in said:
        assert diagnosis.evidence
        assert bool(diagnosis.action) == bool(diagnosis.action_words)


@pytest.mark.parametrize(("name", "free_bytes"), [("retention_idle", 395 * MIB), ("retention_frees", 320 * MIB)])
def test_what_a_release_would_give_is_what_the_allocator_has_free(name: str, free_bytes: int) -> None:
    said = looks(name, 1.0)[-1][0]
    match = re.fullmatch(r"returns ~(\d+\.\d) MiB", said.action_words)
    assert match is not None
    assert float(match[1]) * MIB == pytest.approx(free_bytes, rel=0.05)


def test_a_release_takes_the_verdict_away_and_gave_what_was_promised() -> None:
    """The program was recorded while it released memory by itself, as the action RELEASE does."""
    recording = load("released")
    said = looks("released", 1.0)
    fell_s = next(row.at_s for row in recording.allocator if row.released_bytes > 300 * MIB)
    before, after = said[int(fell_s) - 2], said[int(fell_s) + 1]
    assert Verdict.RETENTION in words(before)
    assert Verdict.RETENTION not in words(after)
    promised = float(before[0].action_words.removeprefix("returns ~").removesuffix(" MiB")) * MIB
    rss = {int(row.at_s): row.rss_bytes for row in recording.samples}
    assert rss[int(fell_s) - 2] - rss[int(fell_s) + 2] == pytest.approx(promised, rel=0.02)


@pytest.mark.parametrize("name", ["leak_steady", "leak_bursts", "leak_slow_after_retention", "levels_off"])
def test_growth_of_rss_is_no_leak_while_the_allocator_is_not_asked(name: str) -> None:
    recording = load(name)
    for second in range(1, int(recording.seconds) + 1, 5):
        facts = replace(recording.facts(float(second)), allocator=(), not_asked="it was switched off")
        assert not words(diagnose(facts)) & {
            Verdict.LEAK,
            Verdict.RETENTION,
            Verdict.FRAGMENTATION,
            Verdict.CANNOT_TELL,
        }


@pytest.mark.parametrize("name", ["outside_files", "outside_shmem"])
def test_files_and_shared_memory_are_no_heap_whoever_is_asked(name: str) -> None:
    facts = replace(load(name).facts(60.0), allocator=())
    said = diagnose(facts)[0]
    assert said.verdict is Verdict.OUTSIDE
    assert "of RSS is no heap: 30" in said.sentence


@pytest.mark.parametrize("name", ["retention_idle", "fragmentation", "outside_shmem", "leak_steady", "untouched"])
def test_after_the_end_it_says_how_it_was(name: str) -> None:
    recording = load(name)
    running = recording.facts(recording.seconds)
    over = replace(running, end=RunFacts(signal="SIGKILL", oom_killed=True, seconds=75.0), settled=True)
    ended, heap = diagnose(over)
    assert ended.verdict is Verdict.KILLED
    assert heap.verdict is diagnose(running)[0].verdict
    assert heap.action is None
    assert not re.search(r"\bis\b.*\bkeeps\b|\bgrows\b", heap.sentence)


def test_figures_that_are_old_say_nothing_of_now() -> None:
    recording = load("retention_idle")
    facts = recording.facts(recording.seconds)
    old = replace(facts, allocator=[row for row in facts.allocator if row.at_s < recording.seconds - 30])
    assert Verdict.RETENTION in words(diagnose(facts))
    assert Verdict.RETENTION not in words(diagnose(old))


@pytest.mark.parametrize("scale", [2, 10, 1000])
@pytest.mark.parametrize("name", ["leak_steady", "retention_idle", "fragmentation", "levels_off", "outside_stacks"])
def test_a_larger_process_of_the_same_shape_has_the_same_verdict(name: str, scale: int) -> None:
    recording = load(name)
    facts = recording.facts(recording.seconds)
    sizes = ("in_use_bytes", "free_bytes", "central_bytes", "transfer_bytes", "thread_bytes", "metadata_bytes")
    larger = replace(
        facts,
        rss_bytes=[scale * size for size in facts.rss_bytes],
        anon_bytes=[scale * size for size in facts.anon_bytes],
        allocator=[
            row._replace(released_bytes=scale * row.released_bytes, **{n: scale * getattr(row, n) for n in sizes})
            for row in facts.allocator
        ],
        details=(),
    )
    assert {Verdict.LEVEL if v is Verdict.LEVELS_OFF else v for v in words(diagnose(larger))} >= {
        Verdict.LEVEL if v is Verdict.LEVELS_OFF else v
        for v in words(diagnose(facts)) & (CLAIMS | {Verdict.LEVELS_OFF})
    }
