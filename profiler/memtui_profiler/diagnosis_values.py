"""What the diagnosis is told, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from memtui_parsers.values import LeakKind, ReportStatus, RunFacts
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.session.rows import AllocatorSample, Sample


class Verdict(Enum):
    """The value is the word on the screen."""

    LOOKING = "LOOKING"
    GROWING = "GROWING"
    FALLING = "FALLING"
    LEVELS_OFF = "LEVELS OFF"
    LEVEL = "STABLE"
    RETENTION = "RETENTION"
    FRAGMENTATION = "FRAGMENTATION"
    OUTSIDE = "OUTSIDE THE HEAP"
    CHILDREN = "IN CHILDREN"
    CANNOT_TELL = "CANNOT TELL"
    RELEASED = "RELEASED"
    EXITED = "EXITED"
    KILLED = "KILLED"
    LEAK = "LEAK"
    NOT_FREED = "NOT FREED"
    NO_LEAKS = "NO LEAKS"
    NO_REPORT = "NO REPORT"
    SNAPSHOT = "SNAPSHOT"


_GLYPHS = {
    Verdict.LOOKING: "…",
    Verdict.GROWING: "▲",
    Verdict.FALLING: "▼",
    Verdict.LEVELS_OFF: "◿",
    Verdict.LEVEL: "✓",
    Verdict.RETENTION: "■",
    Verdict.FRAGMENTATION: "▒",
    Verdict.OUTSIDE: "◇",
    Verdict.CHILDREN: "◇",
    Verdict.CANNOT_TELL: "?",
    Verdict.RELEASED: "✓",
    Verdict.EXITED: "○",
    Verdict.KILLED: "✗",
    Verdict.LEAK: "▲",
    Verdict.NOT_FREED: "▲",
    Verdict.NO_LEAKS: "✓",
    Verdict.NO_REPORT: "✗",
    Verdict.SNAPSHOT: "○",
}

# What no live pointer reaches is lost whatever the program does next; all other kinds may still be in use.
LOST_KINDS = frozenset(
    {
        LeakKind.UNREACHABLE,
        LeakKind.DEFINITELY_LOST,
        LeakKind.INDIRECTLY_LOST,
        LeakKind.DIRECT,
        LeakKind.INDIRECT,
    }
)


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """The newest report in short; ``top_…`` are of its largest leak that runs through the program, '' while unnamed."""

    run: int | None
    mode: str
    status: ReportStatus
    total_bytes: int
    total_objects: int
    top_bytes: int = 0
    top_function: str = ""
    top_location: str = ""
    kind: LeakKind = LeakKind.UNREACHABLE

    @property
    def place(self) -> str:
        return " ".join(part for part in (self.top_function, self.top_location) if part)


@dataclass(frozen=True, slots=True)
class GrowthSummary:
    """What the two newest reports of one run differ by: all stacks that grew, and the one that grew most.

    ``top_…`` are of the largest that runs through the program, '' and 0 while unnamed; ``seconds`` lie between the two.
    """

    kind: LeakKind
    grown_bytes: int
    top_bytes: int = 0
    top_objects: int = 0
    top_function: str = ""
    top_location: str = ""
    seconds: float | None = None

    @property
    def share(self) -> float:
        """Of all that grew, what the one stack has, 0 to 1."""
        return self.top_bytes / self.grown_bytes if self.grown_bytes else 0.0


@dataclass(frozen=True, slots=True)
class Release:
    """Free memory was given back on request: RSS before and after."""

    at_s: float
    before_bytes: int
    after_bytes: int


@dataclass(frozen=True, slots=True)
class Abilities:
    """What can be asked of the process now; keys are named for nothing else. ``launch``: stop and relaunch it."""

    check: bool = False
    snapshot: bool = False
    release: bool = False
    launch: bool = True


@dataclass(frozen=True, slots=True)
class DiagnosisInput:
    """What is known of the newest run. ``at_s`` rises; ``rss_bytes`` and ``anon_bytes`` go with it.

    At most some hundred points, of this run alone; ``anon_bytes`` may be empty. ``end`` None while it runs; ``settled``:
    all its reports are in. ``no_report`` is the recorder's sentence why a check left none.

    ``allocator``: what the allocator said, the newest minutes, empty where nobody could ask; ``in_use_before`` what was in
    use before those, as (at_s, bytes), however sparse. ``details``: the samples of the last minute that have the slower
    figures. ``growth`` compares the two newest reports of this run. ``releases`` are of this run, oldest first.
    ``not_asked`` says why the allocator is not asked, as a phrase.
    """

    at_s: Sequence[float]
    rss_bytes: Sequence[int]
    anon_bytes: Sequence[int] = ()
    run: int = 1
    mode: str = CHECK_OFF
    end: RunFacts | None = None
    settled: bool = False
    no_report: str = ""
    report: ReportSummary | None = None
    allocator: Sequence[AllocatorSample] = ()
    in_use_before: Sequence[tuple[float, int]] = ()
    details: Sequence[Sample] = ()
    growth: GrowthSummary | None = None
    releases: Sequence[Release] = ()
    can: Abilities = Abilities()
    not_asked: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``key`` acts on the sentence (None: nothing to be done now), ``key_words`` says what it does.

    ``shorter`` are the same in fewer words, the longest first, for where the sentence does not fit.
    """

    verdict: Verdict
    sentence: str
    key: str | None = None
    key_words: str = ""
    evidence: tuple[str, ...] = ()
    shorter: tuple[str, ...] = ()

    @property
    def glyph(self) -> str:
        return _GLYPHS[self.verdict]

    @property
    def word(self) -> str:
        return self.verdict.value
