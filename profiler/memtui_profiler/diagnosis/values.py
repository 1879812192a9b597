"""The input and the output of the diagnosis, as frozen values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from memtui_parsers.values import GrowthFacts, LeakKind, ReportStatus, RunFacts
from memtui_profiler.actions import Action
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.session.region_looks import RecordedLook
from memtui_profiler.session.rows import AllocatorSample, Sample


class Verdict(Enum):
    """The value is the word for it and its glyph."""

    LOOKING = "LOOKING", "…"
    GROWING = "GROWING", "▲"
    FALLING = "FALLING", "▼"
    LEVELS_OFF = "LEVELS OFF", "◿"
    LEVEL = "STABLE", "✓"
    RETENTION = "RETENTION", "■"
    FRAGMENTATION = "FRAGMENTATION", "▒"
    OUTSIDE = "OUTSIDE THE HEAP", "◇"
    HUGE_PAGES = "HUGE PAGES", "◇"
    CHILDREN = "IN CHILDREN", "◇"
    CANNOT_TELL = "CANNOT TELL", "?"
    IN_USE = "IN USE", "○"
    RELEASED = "RELEASED", "✓"
    EXITED = "EXITED", "○"
    KILLED = "KILLED", "✗"
    LEAK = "LEAK", "▲"
    NOT_FREED = "NOT FREED", "▲"
    NO_LEAKS = "NO LEAKS", "✓"
    NO_REPORT = "NO REPORT", "✗"
    SNAPSHOT = "SNAPSHOT", "○"


# Blocks that no live pointer reaches are lost, whatever the program does next; all other kinds may still be in use.
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
    """The newest report in short.

    ``top_…`` describe its largest leak that runs through the program itself: 0 and '' while none has a name. ``growth``: what a
    report on growth is of.
    """

    run: int | None
    mode: str
    status: ReportStatus
    total_bytes: int
    total_objects: int
    top_bytes: int = 0
    top_function: str = ""
    top_location: str = ""
    kind: LeakKind = LeakKind.UNREACHABLE
    growth: GrowthFacts | None = None


@dataclass(frozen=True, slots=True)
class GrowthSummary:
    """The growth between the two newest reports of a run: of all stacks that grew, and of the one that grew most.

    ``top_…`` describe the largest growth that runs through the program itself: 0 and '' while none has a name. ``seconds`` is
    the time between the two reports, None where it is not known.
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
        """The part of all growth that the one stack has, 0 to 1."""
        return self.top_bytes / self.grown_bytes if self.grown_bytes else 0.0


@dataclass(frozen=True, slots=True)
class Release:
    """A release of free memory that the user asked for: RSS before and after it."""

    at_s: float
    before_bytes: int
    after_bytes: int


@dataclass(frozen=True, slots=True)
class Abilities:
    """The actions that are possible now; a diagnosis calls for no other.

    ``launch``: stop the target and launch it again. ``watch``: its page faults, for the growth by stack. ``ask``: begin to ask an
    allocator that is left alone until the user wants its figures.
    """

    check: bool = False
    snapshot: bool = False
    release: bool = False
    ask: bool = False
    watch: bool = False
    launch: bool = True


@dataclass(frozen=True, slots=True)
class DiagnosisInput:
    """The facts about the newest run.

    ``at_s`` (rising), ``rss_bytes`` and ``anon_bytes`` (may be empty) are one series of some hundred points at most. ``end``
    is None while the run lasts, ``settled`` True once all its reports are in, ``no_report`` the recorder's sentence why a
    check left none.

    ``allocator`` has the allocator's answers of the last minutes, empty where it was not asked; ``in_use_before`` the older
    amounts in use as (at_s, bytes), however sparse. ``details`` are the samples of the last minute that have the slower
    figures. ``growth`` compares the two newest reports of this run. ``releases`` are of this run, oldest first.
    ``not_asked`` is a phrase that says why the allocator is not asked, ``no_check`` one that says
    why no check sees what the target allocates, and what does. ``beside`` names allocators
    that it knows nothing of. ``regions``: the looks at the mappings of the last
    minutes, oldest first. ``page_bytes``: of the machine of the run. ``program``: the name of
    the program's file.
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
    beside: str = ""
    no_check: str = ""
    program: str = ""
    regions: Sequence[RecordedLook] = ()
    page_bytes: int = 4096

    @property
    def own_report(self) -> ReportSummary | None:
        """The newest report, if it is of this run."""
        return self.report if self.report is not None and self.report.run == self.run else None

    def recent_details(self, seconds: float) -> list[Sample]:
        """The slower figures of the last ``seconds`` before the newest sample."""
        # A run's first figures may be there before its first point.
        now_s = self.at_s[-1] if self.at_s else self.details[-1].at_s if self.details else 0.0
        return [row for row in self.details if row.at_s >= now_s - seconds]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A verdict in a sentence, with the figures behind it.

    ``action`` is what to do about it, None for nothing now, and ``action_words`` say what that does. ``shorter`` are the
    sentence in fewer words, the longest first, for where it does not fit. ``more`` is an action that gives more evidence.
    """

    verdict: Verdict
    sentence: str
    action: Action | None = None
    action_words: str = ""
    evidence: tuple[str, ...] = ()
    shorter: tuple[str, ...] = ()
    more: Action | None = None

    @property
    def word(self) -> str:
        return self.verdict.value[0]

    @property
    def glyph(self) -> str:
        return self.verdict.value[1]
