"""What the recorded facts say, in one line each: pure functions, never more than the evidence carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from posixpath import basename

from memtui_parsers.leak_id import is_runtime_module
from memtui_parsers.values import Frame, LeakKind, LeakReport, ReportStatus, RunFacts
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.trend import MIN_SPAN_S, SURE_SCORE, Trend, recent_trend
from memtui_profiler.words import object_words, size_words

# Level is what keeps within this band; what does not is judged once its swings could have repeated.
LEVEL_SHARE = 0.05
LEVEL_BYTES = 16 << 20
WIDE_SPAN_S = 59.0
# How long the end of a rise is worth a word.
NEWS_S = 300.0
# What the heap checker ends a leaking program with, whatever that would have returned (FACTS.md).
LEAK_EXIT_CODE = 1


class Verdict(Enum):
    """The value is the word on the screen."""

    LOOKING = "LOOKING"
    GROWING = "GROWING"
    FALLING = "FALLING"
    LEVELS_OFF = "LEVELS OFF"
    LEVEL = "STABLE"
    EXITED = "EXITED"
    KILLED = "KILLED"
    LEAK = "LEAK"
    NOT_FREED = "NOT FREED"
    NO_LEAKS = "NO LEAKS"
    NO_REPORT = "NO REPORT"


_GLYPHS = {
    Verdict.LOOKING: "…",
    Verdict.GROWING: "▲",
    Verdict.FALLING: "▼",
    Verdict.LEVELS_OFF: "◿",
    Verdict.LEVEL: "✓",
    Verdict.EXITED: "○",
    Verdict.KILLED: "✗",
    Verdict.LEAK: "▲",
    Verdict.NOT_FREED: "▲",
    Verdict.NO_LEAKS: "✓",
    Verdict.NO_REPORT: "✗",
}


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


def summary_of(report: LeakReport, run: int | None) -> ReportSummary:
    """``report`` in short; its leaks are largest first, as load_report() gives them."""
    top = next(((leak, frame) for leak in report.leaks if (frame := _program_frame(leak.stack))), None)
    short = ReportSummary(run, report.mode, report.status, report.total_bytes, report.total_objects)
    if report.leaks:
        short = replace(short, kind=report.leaks[0].kind)
    if top is None:
        return short
    leak, frame = top
    place = f"{basename(frame.file)}:{frame.line}" if frame.file and frame.line else ""
    return replace(short, top_bytes=leak.size_bytes, top_function=frame.function or "", top_location=place)


def _program_frame(stack: tuple[Frame, ...]) -> Frame | None:
    """The first frame of the program's own that has a name or a line."""
    own = (f for f in stack if f.module is not None and not is_runtime_module(f.module.path))
    return next((f for f in own if f.function or f.file), None)


@dataclass(frozen=True, slots=True)
class DiagnosisInput:
    """What is known of the newest run. ``at_s`` rises; ``rss_bytes`` and ``anon_bytes`` go with it.

    At most some hundred points, of this run alone; ``anon_bytes`` may be empty. ``end`` None while it runs; ``settled``:
    all its reports are in. ``no_report`` is the recorder's sentence why a check left none.
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


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``key`` acts on the sentence (None: nothing to be done now), ``key_words`` says what it does."""

    verdict: Verdict
    sentence: str
    key: str | None = None
    key_words: str = ""
    evidence: tuple[str, ...] = ()

    @property
    def glyph(self) -> str:
        return _GLYPHS[self.verdict]

    @property
    def word(self) -> str:
        return self.verdict.value


def diagnose(facts: DiagnosisInput) -> tuple[Diagnosis, ...]:
    """One or two, the one to act on first."""
    report = None if facts.report is None else _of_report(facts.report, facts.run)
    if facts.end is None:
        first = _of_growth(facts)
        return (first, report) if report else (first,)
    ended = _of_end(facts, facts.end)
    if report is None or facts.report is None or facts.report.run != facts.run:
        return (ended, report) if report else (ended,)
    # How it ended matters more than the report only when that took a part of the report away.
    return (ended, report) if facts.no_report else (report, ended)


def _of_growth(facts: DiagnosisInput) -> Diagnosis:
    trend = recent_trend(facts.at_s, facts.rss_bytes)
    if trend is None:
        known_s = facts.at_s[-1] - facts.at_s[0] if facts.at_s else 0.0
        sentence = f"{known_s:.0f} s of samples; a verdict on growth takes {MIN_SPAN_S:.0f} s or more"
        return Diagnosis(Verdict.LOOKING, sentence, evidence=(f"{len(facts.at_s)} samples so far",))
    rate = f"{'+' if trend.slope > 0 else '-'}{size_words(abs(trend.slope))}/s over {trend.span_s:.0f} s"
    evidence = _evidence(facts, trend)
    if trend.sure and trend.slope > 0:
        if facts.mode == CHECK_OFF:
            return Diagnosis(Verdict.GROWING, rate, "m", "choose a check that names what leaks", evidence)
        return Diagnosis(Verdict.GROWING, rate, "t", "stop, for the report at exit", evidence)
    if trend.sure:
        return Diagnosis(Verdict.FALLING, rate, evidence=evidence)
    return _of_level(facts, trend, evidence)


def _of_level(facts: DiagnosisInput, trend: Trend, evidence: tuple[str, ...]) -> Diagnosis:
    now, now_s = facts.rss_bytes[-1], facts.at_s[-1]
    level_from_s, spread_bytes = _level_part(facts)
    level_s = now_s - level_from_s
    if level_s < MIN_SPAN_S:
        moves = f"RSS moves between {size_words(trend.low_bytes)} and {size_words(trend.high_bytes)}"
        if trend.span_s < WIDE_SPAN_S:
            sentence = f"{moves}; a verdict on such swings takes {WIDE_SPAN_S:.0f} s"
            return Diagnosis(Verdict.LOOKING, sentence, evidence=evidence)
        if abs(trend.score) >= SURE_SCORE:
            return Diagnosis(Verdict.LOOKING, f"{moves}; whether that goes on is not clear yet", evidence=evidence)
        return Diagnosis(Verdict.LEVEL, f"{moves}, with no trend in {trend.span_s:.0f} s", evidence=evidence)
    within = f", within {size_words(spread_bytes)}" if spread_bytes else ""
    still = f"stays at {size_words(now)}{within} for {level_s:.0f} s"
    # A rise long past (every program's start) is no news any more.
    news_from_s = now_s - max(NEWS_S, 2 * level_s) if level_s < NEWS_S else level_from_s
    before = [size for at, size in zip(facts.at_s, facts.rss_bytes, strict=True) if news_from_s <= at < level_from_s]
    rise = now - min(before, default=now)
    if rise > max(4 * spread_bytes, now // 4):
        return Diagnosis(Verdict.LEVELS_OFF, f"RSS rose by {size_words(rise)} and {still}", evidence=evidence)
    return Diagnosis(Verdict.LEVEL, f"RSS {still}", evidence=evidence)


def _level_part(facts: DiagnosisInput) -> tuple[float, int]:
    """Since when RSS has kept within a narrow band, and how wide it went in that time, in bytes."""
    low = high = facts.rss_bytes[-1]
    band = max(LEVEL_BYTES, int(LEVEL_SHARE * high))
    since_s = facts.at_s[-1]
    for at, size in zip(reversed(facts.at_s), reversed(facts.rss_bytes), strict=True):
        if max(high, size) - min(low, size) > band:
            break
        low, high, since_s = min(low, size), max(high, size), at
    return since_s, high - low


def _evidence(facts: DiagnosisInput, trend: Trend) -> tuple[str, ...]:
    said = [
        f"RSS: median slope {_signed(trend.slope)}/s over {trend.span_s:.0f} s (Theil-Sen over medians)",
        f"Mann-Kendall score {trend.score:+.1f}: beyond {SURE_SCORE} either way is no accident",
        f"RSS moved within {size_words(trend.spread_bytes)} in that time",
    ]
    anon = recent_trend(facts.at_s, facts.anon_bytes) if len(facts.anon_bytes) == len(facts.at_s) else None
    if anon is not None:
        said.append(f"anonymous memory (heap and stacks): {_signed(anon.slope)}/s over {anon.span_s:.0f} s")
        if trend.sure and trend.slope > 0 and not (anon.sure and anon.slope > 0):
            said.append(
                "the growth is not in anonymous memory: files or shared memory are mapped in, no leak of the heap"
            )
    return tuple(said)


def _of_end(facts: DiagnosisInput, end: RunFacts) -> Diagnosis:
    after = "" if end.seconds is None else f" after {end.seconds:.0f} s"
    peak = f"highest RSS seen: {size_words(max(facts.rss_bytes))}" if facts.rss_bytes else "no sample was taken"
    missing = f"; no report: {facts.no_report}" if facts.no_report else ""
    waiting = "" if facts.settled or facts.mode == CHECK_OFF or missing else "; its leak report is being read"
    evidence = (f"run {facts.run}, check {facts.mode}", peak)
    if end.oom_killed:
        todo = "" if missing else ": it needs more memory than it may have"
        sentence = f"by the OOM killer{after}, {peak}{missing or todo}"
        return Diagnosis(Verdict.KILLED, sentence, "r", "relaunch", evidence)
    if end.signal is not None:
        return Diagnosis(Verdict.KILLED, f"by {end.signal}{after}{missing}{waiting}", "r", "relaunch", evidence)
    code = "nobody saw how" if end.exit_code is None else f"exit code {end.exit_code}"
    if (
        end.exit_code == LEAK_EXIT_CODE
        and facts.report
        and facts.report.run == facts.run
        and facts.report.total_objects
    ):
        after += " (the checker's own code, for leaks)"
    verdict = Verdict.NO_REPORT if missing else Verdict.EXITED
    return Diagnosis(verdict, f"{code}{after}{missing}{waiting}", "r", "relaunch", evidence)


def _of_report(report: ReportSummary, run: int) -> Diagnosis:
    whose = "" if report.run is None or report.run == run else f"run {report.run}: "
    total = f"{size_words(report.total_bytes)} in {object_words(report.total_objects)}"
    evidence = (f"check {report.mode or 'unknown'}, {report.status.value}: {total}",)
    if report.status is ReportStatus.NOT_RUN:
        return Diagnosis(Verdict.NO_REPORT, f"{whose}the check did not run", "1", "why", evidence)
    cut = " (the report is cut)" if report.status is ReportStatus.TRUNCATED else ""
    if not report.total_objects and not report.total_bytes:
        if cut:
            return Diagnosis(Verdict.NO_REPORT, f"{whose}the report is cut before its first leak", "1", "why", evidence)
        caveat = "a stale pointer can hide a leak, so this is no proof"
        return Diagnosis(Verdict.NO_LEAKS, f"{whose}check {report.mode} found none; {caveat}", "1", "show", evidence)
    place = " ".join(part for part in (report.top_function, report.top_location) if part)
    most = f"; most at {place}: {size_words(report.top_bytes)}" if place else ""
    verdict = Verdict.NOT_FREED if report.kind is LeakKind.NOT_FREED else Verdict.LEAK
    return Diagnosis(verdict, f"{whose}{total}{cut}{most}", "1", "show the leaks", evidence)


def _signed(bytes_per_s: float) -> str:
    return f"{'-' if bytes_per_s < 0 else '+'}{size_words(abs(bytes_per_s))}"
