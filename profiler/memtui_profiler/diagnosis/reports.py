"""The diagnosis of a leak report and of the end of a run, and reports in short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from memtui_parsers.report.difference import difference
from memtui_parsers.values import GrowthFacts, GrowthOutcome, LeakKind, LeakRecord, LeakReport, ReportStatus, RunFacts
from memtui_profiler.actions import Action
from memtui_profiler.diagnosis.values import Diagnosis, DiagnosisInput, GrowthSummary, ReportSummary, Verdict
from memtui_profiler.request import CHECK_OFF
from memtui_profiler.words import object_words, percent_words, rate_words, short_function, size_words, span_words

# What the heap checker ends a leaking program with, whatever that would have returned (FACTS.md).
LEAK_EXIT_CODE = 1
# What an action says that begins to watch page faults.
WATCH_WORDS = "what grows, by stack"
# Only the largest leaks are asked for a name: where none of these has one, there are no names yet.
MOST_NAMED = 8
_SNAPSHOT_KINDS = (LeakKind.IN_USE, LeakKind.GROWTH, LeakKind.ALLOCATED)

# The function and the file:line of the frame that a leak is named after, '' each where there is none.
Naming = Callable[[LeakRecord], tuple[str, str]]


def summary_of(report: LeakReport, run: int | None, name: Naming) -> ReportSummary:
    """``report`` in short. Its leaks are largest first, as load_report() gives them."""
    summary = ReportSummary(
        run, report.mode, report.status, report.total_bytes, report.total_objects, growth=report.growth
    )
    if not _tells_stacks(report):
        return replace(summary, kind=LeakKind.GROWTH)
    for leak in report.leaks[:MOST_NAMED]:
        function, location = name(leak)
        if function or location:
            return replace(
                summary, top_bytes=leak.size_bytes, top_function=function, top_location=location, kind=leak.kind
            )
    return replace(summary, kind=report.leaks[0].kind) if report.leaks else summary


def _tells_stacks(report: LeakReport) -> bool:
    """Whether what grew can be blamed on its stacks: of a report on growth that cannot tell, no stack is named."""
    return report.growth is None or report.growth.outcome is GrowthOutcome.STACKS


def watched_growth(report: LeakReport, name: Naming) -> GrowthSummary | None:
    """The growth since a watch of page faults began, which one report tells.

    None for a report of another kind, and for one that cannot tell.
    """
    growth = report.growth
    if growth is None or not report.leaks or not _tells_stacks(report):
        return None
    top = summary_of(report, None, name)
    return GrowthSummary(
        kind=LeakKind.GROWTH,
        grown_bytes=growth.grown_bytes,
        top_bytes=top.top_bytes,
        top_function=top.top_function,
        top_location=top.top_location,
        seconds=growth.seconds,
    )


def growth_summary(old: LeakReport, new: LeakReport, seconds: float | None, name: Naming) -> GrowthSummary | None:
    """The growth by stack from ``old`` to ``new``, both of one run, ``seconds`` apart.

    None where nothing has grown, or where the two cannot be compared: another checker, mode or process, or one that is cut or
    did not run.
    """
    if (old.checker, old.mode, old.pid) != (new.checker, new.mode, new.pid):
        return None
    if {old.status, new.status} != {ReportStatus.COMPLETE}:
        return None
    grown = [delta for delta in difference(old, new).deltas if delta.delta_bytes > 0]
    if not grown:
        return None
    grown.sort(key=lambda delta: delta.delta_bytes, reverse=True)
    summary = GrowthSummary(grown[0].record.kind, sum(delta.delta_bytes for delta in grown), seconds=seconds)
    for delta in grown[:MOST_NAMED]:
        function, location = name(delta.record)
        if function or location:
            return replace(
                summary,
                top_bytes=delta.delta_bytes,
                top_objects=delta.delta_objects,
                top_function=function,
                top_location=location,
            )
    return summary


def end_diagnosis(facts: DiagnosisInput, end: RunFacts) -> Diagnosis:
    """The diagnosis of how a run ended, and of why it left no report."""
    after = "" if end.seconds is None else f" after {end.seconds:.0f} s"
    peak = f"highest RSS seen: {size_words(max(facts.rss_bytes))}" if facts.rss_bytes else "no sample was taken"
    missing = f"; no report: {facts.no_report}" if facts.no_report else ""
    waiting = "" if facts.settled or facts.mode == CHECK_OFF or missing else "; its leak report is being read"
    shorter: tuple[str, ...] = ()
    verdict = Verdict.KILLED
    if end.oom_killed:
        shorter = (f"by the OOM killer{after}, {peak}",)
        sentence = f"{shorter[0]}{missing or ': it needs more memory than it may have'}"
    elif end.signal is not None:
        sentence = f"by {end.signal}{after}{missing}{waiting}"
    else:
        code = "nobody saw how" if end.exit_code is None else f"exit code {end.exit_code}"
        if end.exit_code == LEAK_EXIT_CODE and facts.own_report is not None and facts.own_report.total_objects:
            after += " (the checker's own code, for leaks)"
        verdict = Verdict.NO_REPORT if missing else Verdict.EXITED
        sentence = f"{code}{after}{missing}{waiting}"
    evidence = (f"run {facts.run}, check {facts.mode}", peak)
    return Diagnosis(verdict, sentence, Action.LAUNCH, "relaunch", evidence, shorter)


def report_diagnosis(facts: DiagnosisInput) -> Diagnosis | None:
    """The diagnosis of the newest report, of whichever run; None where there is none."""
    report = facts.report
    if report is None:
        return None
    whose = "" if report.run is None or report.run == facts.run else f"run {report.run}: "
    total = f"{size_words(report.total_bytes)} in {object_words(report.total_objects)}"
    evidence: tuple[str, ...] = (f"check {report.mode or 'unknown'}, {report.status.value}: {total}",)
    empty = not report.total_objects and not report.total_bytes
    cut = report.status is ReportStatus.TRUNCATED
    if report.status is ReportStatus.NOT_RUN or (empty and cut):
        what = "the report is cut before its first leak" if cut else "the check did not run"
        return Diagnosis(Verdict.NO_REPORT, f"{whose}{what}", Action.SHOW_LEAKS, "why", evidence)
    if empty and report.growth is not None:
        return _grown(facts, report.growth, whose, "", "", evidence)
    if empty:
        nothing = f"{whose}check {report.mode} found none"
        sentence = f"{nothing}; a stale pointer can hide a leak, so this is no proof"
        return Diagnosis(Verdict.NO_LEAKS, sentence, Action.SHOW_LEAKS, "show", evidence, (nothing,))
    total = f"{whose}{total}{' (the report is cut)' if cut else ''}"
    place = place_words(report.top_function, report.top_location)
    most = f"; most at {place}: {size_words(report.top_bytes)}" if place else ""
    short_place = report.top_location or short_function(report.top_function)
    short_most = f"; most at {short_place}" if short_place else ""
    if report.growth is not None:
        return _grown(facts, report.growth, whose, most, short_most, evidence)
    if report.kind in _SNAPSHOT_KINDS:
        return _snapshot(facts, total, most, short_most, evidence)
    shorter: tuple[str, ...] = (f"{total}{short_most}", total)
    grown, more = facts.growth, ""
    if grown is not None and not whose and grown.kind is report.kind:
        evidence += growth_evidence(grown)
        since = "than before" if grown.seconds is None else f"in {span_words(grown.seconds)}"
        more = f", {size_words(grown.grown_bytes)} more {since}"
        shorter = (f"{total}{more}{short_most}", *shorter)
    verdict = Verdict.NOT_FREED if report.kind is LeakKind.NOT_FREED else Verdict.LEAK
    return Diagnosis(verdict, f"{total}{more}{most}", Action.SHOW_LEAKS, "show the leaks", evidence, shorter)


def _snapshot(facts: DiagnosisInput, total: str, most: str, short_most: str, evidence: tuple[str, ...]) -> Diagnosis:
    """A heap profile lists memory in use, which is no leak; two of them tell what grows."""
    evidence += (
        "a snapshot holds what was allocated since the profiler began and is still in use: none of it need leak",
    )
    action, words = Action.SHOW_LEAKS, "show"
    if facts.growth is not None:
        evidence += growth_evidence(facts.growth)
    elif facts.can.snapshot:
        action, words = Action.SNAPSHOT, "another: growth"
    shorter = (f"{total} in use{short_most}", f"{total} in use")
    return Diagnosis(Verdict.SNAPSHOT, f"{total} in use{most}", action, words, evidence, shorter)


def _grown(
    facts: DiagnosisInput, growth: GrowthFacts, whose: str, most: str, short_most: str, evidence: tuple[str, ...]
) -> Diagnosis:
    """What has grown is no leak by that: a cache that fills grows as well."""
    total = f"{whose}{size_words(growth.grown_bytes)} grown in {span_words(growth.seconds)}"
    rate = f" ({rate_words(growth.bytes_per_s)})" if growth.seconds > 0 else ""
    seen = f"{size_words(growth.seen_bytes)} of it was seen to be touched, by {growth.samples} sampled page faults"
    evidence = (
        f"memory that is there and was not when the watching began: {size_words(growth.grown_bytes)}; {seen}",
        f"RSS {size_words(growth.rss_before_bytes)} then, {size_words(growth.rss_now_bytes)} now; "
        f"{size_words(growth.given_back_bytes)} of what was there is gone",
        "who touches memory first is not always who keeps it, and a cache that fills grows as well",
    )
    if growth.outcome is not GrowthOutcome.STACKS:
        nothing = growth.outcome is GrowthOutcome.NOTHING_GREW
        word = "nothing stands out" if nothing else "whose it is cannot be told"
        verdict = Verdict.SNAPSHOT if nothing else Verdict.CANNOT_TELL
        return Diagnosis(verdict, f"{total}: {word}", Action.SHOW_LEAKS, "show", evidence, (total,))
    action, words = Action.SHOW_LEAKS, "show"
    shorter = (f"{total}{short_most}", total)
    return Diagnosis(Verdict.SNAPSHOT, f"{total}{rate}{most}", action, words, evidence, shorter)


def place_words(function: str, location: str) -> str:
    """``open_session(Conn&) server.cpp:88``, without the part that is not known."""
    return " ".join(filter(None, (function, location)))


def by_stack(facts: DiagnosisInput, diagnosis: Diagnosis, rate: str) -> Diagnosis:
    """``diagnosis`` of growth with the code that watched page faults show to be behind it, or else with the action that finds it.

    ``rate``: the growth in words, the shortest form. It is right for any part of RSS: a page fault is one whoever allocates.
    """
    grown = facts.growth
    if grown is None or grown.kind is not LeakKind.GROWTH:
        able = facts.can.watch and facts.end is None
        return replace(diagnosis, action=Action.SNAPSHOT, action_words=WATCH_WORDS) if able else diagnosis
    evidence = diagnosis.evidence + growth_evidence(grown)
    diagnosis = replace(diagnosis, action=Action.SHOW_LEAKS, action_words="show", evidence=evidence)
    if not (grown.top_function or grown.top_location):
        return diagnosis
    return placed(diagnosis, f"{rate}, {share_words(grown)}", grown.top_function, grown.top_location)


def share_words(grown: GrowthSummary) -> str:
    """What stands before the place that grew most: page faults tell who touched the memory, and not who keeps it."""
    how = "first touched by" if grown.kind is LeakKind.GROWTH else "of it from"
    return f"{percent_words(grown.share)} {how}"


def placed(diagnosis: Diagnosis, head: str, function: str, location: str) -> Diagnosis:
    """``diagnosis`` with another sentence: ``head`` and the place."""
    forms = (
        f"{head} {place_words(function, location)}",
        f"{head} {place_words(short_function(function), location)}",
        f"{head} {location or short_function(function)}",
        *diagnosis.shorter,
    )
    return replace(diagnosis, sentence=forms[0], shorter=tuple(form for form in forms if form != forms[0]))


def growth_evidence(grown: GrowthSummary) -> tuple[str, ...]:
    place = place_words(grown.top_function, grown.top_location)
    if grown.kind is LeakKind.GROWTH:
        since = "" if grown.seconds is None else f" in {span_words(grown.seconds)}"
        most = f", {size_words(grown.top_bytes)} of it first touched by {place}" if place else ""
        return (f"page faults: {size_words(grown.grown_bytes)} grown{since}{most}",)
    between = "" if grown.seconds is None else f" in the {span_words(grown.seconds)} between them"
    lines = [f"the two newest reports: all stacks that grew grew by {size_words(grown.grown_bytes)}{between}"]
    if place:
        more = f"{size_words(grown.top_bytes)} in {object_words(grown.top_objects)}"
        lines.append(f"most of one stack: {place}, {more} more")
    return tuple(lines)
